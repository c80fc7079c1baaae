"""What `python -m lab up` costs, stage by stage, each time from nothing."""

from typing import Any

from bench import laboratory
from bench.summary import median
from lab.passing import STAGES
from lab.path import lifecycle
from lab.report import Report

REPETITIONS = 3
_TITLES = dict(
    zip(
        (*STAGES, *lifecycle.STAGES),
        (
            "cloud: AWS's APIs on loopback",
            "plugins and an empty stack",
            "pulumi up",
            "network: its sandbox",
            "network: built from what the cloud has",
        ),
        strict=True,
    )
)


def measure(report: Report, repetitions: int = REPETITIONS) -> dict[str, Any]:
    """Start a lab with one device a few times and remove it each time.

    Args:
        repetitions: How often; the medians are given.

    Returns:
        ``rows``: a stage and its seconds with its share of the whole; ``memory``: what holds how many bytes
        (proportional set size, proc(5): a page that several processes share counts once in all).
    """
    seconds: list[dict[str, float]] = []
    cloud, network = [], []
    for _number in range(repetitions):
        with laboratory.running(report, laboratory.DEVICES[:1]) as lab:
            seconds.append(lab.seconds)
            cloud.append(float(lab.cloud_bytes))
            network.append(float(lab.network_bytes))
    whole = median([sum(taken.values()) for taken in seconds])
    rows = [
        {"stage": title, "seconds": (taken := median([sample[key] for sample in seconds])), "share": taken / whole}
        for key, title in _TITLES.items()
    ]
    rows.append({"stage": "in all", "seconds": whole, "share": 1.0})
    held = {"the cloud's one process": median(cloud), "the network's processes together": median(network)}
    held["in all"] = sum(held.values())
    memory = [{"what": what, "bytes": size, "share": size / held["in all"]} for what, size in held.items()]
    return {"repetitions": repetitions, "rows": rows, "memory": memory, "samples": seconds}
