"""What the engine's work costs: this program against a program of as many empty resources, by the number of devices.

The empty program has the same language host, the same number of resources, and a plugin that answers at once, so its
time is the engine's own. The rest is what the stand-in plugins, the lab's cloud and the keys cost.

With its state in files the engine writes all of it after every step, which costs the square of the number of resources
and hides everything else. So each number is measured twice: with the state written once, at the end, and as it is.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench import device_stacks, empty_provider
from bench.pulumi import Outcome, run
from bench.summary import growth, ratio
from lab.cloud import server
from lab.engine import CHECKOUT, STACK, Engine, PluginSource, find_or_build
from lab.passing import stack_file
from lab.report import Report
from lab.state import Lab

DEVICES = (1, 10, 100, 1000)
BESIDE = (1, 10, 100, 300, 1000)
LIMIT = 900.0
CHECKPOINTS_UP_TO = 100
"""Devices above which the state is only written once: ten times the devices take a hundred times as long."""
# pulumi/sdk, go/common/env/env.go: "Skip saving state checkpoints and only save the final deployment", experimental.
_ONE_CHECKPOINT = {"PULUMI_EXPERIMENTAL": "true", "PULUMI_SKIP_CHECKPOINTS": "true"}

_EMPTY_PROGRAM = """\
import pulumi

class Empty(pulumi.CustomResource):
    def __init__(self, name):
        super().__init__("empty:index:Empty", name, {"name": name}, pulumi.ResourceOptions(version="1.0.0"))

for number in range(pulumi.Config().require_int("resources")):
    Empty(f"resource-{number}")
"""
_EMPTY_PROJECT = "name: empty\nruntime: python\n"


def measure(
    report: Report,
    devices: Sequence[int] = DEVICES,
    limit: float = LIMIT,
    beside: Sequence[int] = BESIDE,
    *,
    split: device_stacks.Split = device_stacks.SPLIT,
) -> dict[str, Any]:
    """Run both programs for each number of devices: `pulumi preview`, then `pulumi up` with each way of writing state.

    Then as many devices in stacks beside a base stack.

    Args:
        devices: Numbers of devices, in rising order.
        beside: Numbers of devices in device stacks.
        limit: Seconds after which a run of Pulumi is stopped, and said to be.
        split: How the latter are spread.

    Returns:
        ``rows``, one for each number, and ``beside``, one for each of device stacks; what was stopped, failed or not
        tried is None, with the reason in its ``notes``.
    """
    pulumi = find_or_build(report)
    rows: list[dict[str, Any]] = []
    if devices:
        # The first run of all reads every program and plugin from the disk, and would be slow for one row alone.
        _programs(report, pulumi, 1, limit, _ONE_CHECKPOINT)
    for count in devices:
        once, resources = _programs(report, pulumi, count, limit, _ONE_CHECKPOINT)
        if count <= CHECKPOINTS_UP_TO:
            each, _ = _programs(report, pulumi, count, limit, {})
        else:
            skipped = Outcome(None, f"not tried over {CHECKPOINTS_UP_TO} devices")
            each = Pair(skipped, skipped, skipped, skipped, None)
        rows.append(_row(count, resources, once, each))
        for key, outcome in _outcomes(once, each).items():
            if outcome.note:
                # What Pulumi said may name folders of this machine: it is for the terminal alone.
                said = f"{outcome.note}{outcome.said and ': '}{outcome.said}"
                report.warn(f"{count} devices, {key.removesuffix('_seconds')}: {said}")
    for key in ("once_seconds", "up_seconds", "preview_seconds"):
        for row, grown, empty in zip(rows, growth(rows, key), growth(rows, f"empty_{key}"), strict=True):
            row[key.replace("seconds", "growth")] = grown
            row[f"empty_{key}".replace("seconds", "growth")] = empty
    for row, before in zip(rows[1:], rows, strict=False):
        if row["resources"] and before["resources"]:
            further = row["devices"] - before["devices"]
            row["resources_a_device"] = (row["resources"] - before["resources"]) / further
    alone = {row["devices"]: row["up_seconds"] for row in rows}
    found = device_stacks.measure(report, pulumi, beside, limit, alone, split=split)
    return {"limit_seconds": limit, "rows": rows, "beside": found, "size": split.size, "jobs": split.jobs}


@dataclass(frozen=True)
class Pair:
    """What became of both programs.

    Attributes:
        state_bytes: Size of the project's state; None where `up` did not end well.
    """

    preview: Outcome
    up: Outcome
    empty_preview: Outcome
    empty_up: Outcome
    state_bytes: int | None


def _programs(
    report: Report, pulumi: Path, count: int, limit: float, variables: Mapping[str, str]
) -> tuple[Pair, int | None]:
    """Run both programs in a new lab, and return what became of them and how many resources each has."""
    with TemporaryDirectory(prefix="private-iot-bench-") as folder:
        lab = Lab("bench", Path(folder))
        lab.create()
        cloud = server.start(lab.cloud_directory)
        try:
            engine = Engine(lab, pulumi, cloud.url)
            engine.prepare(PluginSource.STANDIN, report)
            names = [f"pi-{number}" for number in range(1, count + 1)]
            options = ["--stack", STACK, "--config-file", str(stack_file(engine, names))]
            state_is_written = "once" if variables else "after every step"
            with report.step(f"{count} device{'s' * (count > 1)}, the state written {state_is_written}"):
                preview, up = _both(engine, options, limit, CHECKOUT, variables)
            state = _state(engine, STACK, CHECKOUT) if up.done else ""
            resources = _count(state) if state else None
            empty_preview = empty_up = Outcome(None, "not tried: nobody knows how many resources it would be")
            if resources:
                with report.step(f"the same of {resources} empty resources"):
                    empty_preview, empty_up = _empty(engine, Path(folder) / "empty", resources, limit, variables)
        finally:
            server.stop(lab.cloud_directory)
    return Pair(preview, up, empty_preview, empty_up, len(state.encode()) or None), resources


def _outcomes(once: Pair, each: Pair) -> dict[str, Outcome]:
    return {
        "preview_seconds": once.preview,
        "empty_preview_seconds": once.empty_preview,
        "once_seconds": once.up,
        "empty_once_seconds": once.empty_up,
        "up_seconds": each.up,
        "empty_up_seconds": each.empty_up,
    }


def _row(count: int, resources: int | None, once: Pair, each: Pair) -> dict[str, Any]:
    outcomes = _outcomes(once, each)
    return {
        "devices": count,
        "resources": resources,
        **{key: outcome.seconds for key, outcome in outcomes.items()},
        "preview_ratio": ratio(once.preview.seconds, once.empty_preview.seconds),
        "once_ratio": ratio(once.up.seconds, once.empty_up.seconds),
        "up_ratio": ratio(each.up.seconds, each.empty_up.seconds),
        "up_over_once": ratio(each.up.seconds, once.up.seconds),
        "peak_bytes": once.up.peak_bytes,
        "empty_peak_bytes": once.empty_up.peak_bytes,
        "peak_ratio": ratio(once.up.peak_bytes, once.empty_up.peak_bytes),
        "state_bytes": once.state_bytes,
        "checkpoints_peak_bytes": each.up.peak_bytes,
        "notes": {key: outcome.note for key, outcome in outcomes.items() if outcome.note},
    }


def _both(
    engine: Engine, options: list[str], limit: float, cwd: Path, variables: Mapping[str, str]
) -> tuple[Outcome, Outcome]:
    preview = run(engine, ["preview", *options], limit=limit, cwd=cwd, variables=variables)
    if not preview.done:
        return preview, Outcome(None, "not tried: the preview did not end")
    return preview, run(engine, ["up", "--yes", "--skip-preview", *options], limit=limit, cwd=cwd, variables=variables)


def _empty(
    engine: Engine, folder: Path, resources: int, limit: float, variables: Mapping[str, str]
) -> tuple[Outcome, Outcome]:
    """Run a program of so many empty resources."""
    folder.mkdir()
    (folder / "Pulumi.yaml").write_text(_EMPTY_PROJECT)
    (folder / "__main__.py").write_text(_EMPTY_PROGRAM)
    empty_provider.install(engine.home)
    config = folder / "Pulumi.empty.yaml"
    config.write_text(json.dumps({"config": {"empty:resources": resources}}))
    made = engine.run("stack", "init", "empty", cwd=folder)
    if made.returncode != 0:
        failed = Outcome(None, "failed: its stack could not be made")
        return failed, failed
    return _both(engine, ["--stack", "empty", "--config-file", str(config)], limit, folder, variables)


def _state(engine: Engine, stack: str, cwd: Path) -> str:
    return engine.run("stack", "export", "--stack", stack, cwd=cwd).stdout


def _count(state: str) -> int:
    """Return how many resources a state has, the stack and the providers left out."""
    resources = json.loads(state)["deployment"]["resources"]
    return sum(1 for item in resources if not item["type"].startswith(("pulumi:providers:", "pulumi:pulumi:")))
