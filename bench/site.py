"""A site: a neighbour through a gateway beside a tunnel of its own, and two brokers on one device, in one run."""

from ipaddress import IPv4Network
from typing import Any

from bench.environment import peers_python
from bench.laboratory import AGENT, Laboratory
from bench.messages import Peers, once
from bench.peers.program import SIZE
from bench.summary import median, ratio
from lab.path import lifecycle
from lab.path.site import GATEWAY_INTERFACE, Site, devices_network
from lab.report import Report

GATEWAY, ALONE, NEIGHBOUR = "pi-1", "pi-2", "pi-3"
DEVICES = (GATEWAY, ALONE)
SITE = Site((GATEWAY,), (NEIGHBOUR,))
OWN_TUNNEL, BRIDGE = "a tunnel of its own", "mosquitto bridge, saved at every change"
# The title of a row, its peer and its device; the first of each group is what the others are compared with.
GROUPS = (
    ((OWN_TUNNEL, "sdk", ALONE), ("through a gateway", "sdk", NEIGHBOUR)),
    ((BRIDGE, "bridge", ALONE), ("mosquitto, and the agent's queue behind it", "local-broker", ALONE)),
)


def measure(report: Report, laboratory: Laboratory, count: int, repetitions: int) -> dict[str, Any]:
    """Measure each row.

    Args:
        laboratory: With `DEVICES` and `SITE`.
        count: Messages of a burst.
        repetitions: How often; the medians are given.

    Returns:
        ``neighbours`` and ``brokers``, the rows of each group, and what was run.
    """
    peers = Peers(laboratory, peers_python(report))
    laboratory.install_agent(GATEWAY)
    hop = next(hop for hop in lifecycle.status(laboratory.lab)["hops"] if hop["hop"] == "site")
    allow = str(devices_network(IPv4Network(f"{hop['gateways'][GATEWAY]}/24", strict=False)))
    laboratory.run(GATEWAY, "device-agent", "gateway", "enable", "--lan", GATEWAY_INTERFACE, "--allow", allow)
    laboratory.install_agent(ALONE)
    for device in DEVICES:
        laboratory.run(device, "systemctl", "stop", AGENT)
    laboratory.give_identity(NEIGHBOUR)
    taken: dict[str, list[dict[str, float]]] = {title: [] for group in GROUPS for title, _peer, _device in group}
    with laboratory.listener() as listener:
        for number in range(1, repetitions + 1):
            with report.step(f"round {number} of {repetitions}: {count} messages each way"):
                for group in GROUPS:
                    for title, peer, device in group:
                        run = f"{peer}-{device}-{number}"
                        taken[title].append(once(peers, listener, peer, run, count, device=device))
    neighbours, brokers = ([_row(title, taken[title]) for title, _peer, _device in group] for group in GROUPS)
    for rows in (neighbours, brokers):
        for row in rows:
            row["rate_ratio"] = ratio(row["messages_per_second"], rows[0]["messages_per_second"])
            row["arrival_ratio"] = ratio(row["arrival_p50_ms"], rows[0]["arrival_p50_ms"])
    return {
        "count": count,
        "payload_bytes": SIZE,
        "repetitions": repetitions,
        "neighbours": neighbours,
        "brokers": brokers,
    }


def _row(title: str, samples: list[dict[str, float]]) -> dict[str, Any]:
    return {"peer": title, **{key: median([item[key] for item in samples]) for key in samples[0]}, "samples": samples}
