"""What the engine's work costs: this program against a program of as many empty resources, by the number of devices.

The empty program has the same language host, the same number of resources, and a plugin that answers at once, so its
time is the engine's own. The rest is what the stand-in plugins, the lab's cloud and the keys cost.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench import empty_provider, laboratory
from bench.pulumi import Outcome, run
from bench.summary import growth, ratio
from lab.cloud import server
from lab.engine import CHECKOUT, STACK, Engine, PluginSource, find_or_build
from lab.report import Report
from lab.state import Lab

DEVICES = (1, 10, 100, 1000)
LIMIT = 900.0

_EMPTY_PROGRAM = """\
import pulumi

class Empty(pulumi.CustomResource):
    def __init__(self, name):
        super().__init__("empty:index:Empty", name, {"name": name}, pulumi.ResourceOptions(version="1.0.0"))

for number in range(pulumi.Config().require_int("resources")):
    Empty(f"resource-{number}")
"""
_EMPTY_PROJECT = "name: empty\nruntime: python\n"


def measure(report: Report, devices: Sequence[int] = DEVICES, limit: float = LIMIT) -> dict[str, Any]:
    """Run both programs for each number of devices, `pulumi preview` first and then `pulumi up`.

    Args:
        report: Where progress goes.
        devices: Numbers of devices, in rising order.
        limit: Seconds after which a run of Pulumi is stopped, and said to be.

    Returns:
        ``rows``, one for each number; what was stopped or failed is None, with the reason in its ``notes``.
    """
    pulumi = find_or_build(report)
    rows: list[dict[str, Any]] = []
    for count in devices:
        rows.append(_row(report, pulumi, count, limit, rows))
    for key, name in (("up_seconds", "growth"), ("preview_seconds", "preview_growth")):
        for row, grown in zip(rows, growth(rows, key), strict=True):
            row[name] = grown
    for row, grown in zip(rows, growth(rows, "empty_up_seconds"), strict=True):
        row["growth_over_empty"] = ratio(row["growth"], grown)
    for row, before in zip(rows[1:], rows, strict=False):
        if row["resources"] and before["resources"]:
            further = row["devices"] - before["devices"]
            row["resources_a_device"] = (row["resources"] - before["resources"]) / further
    return {"limit_seconds": limit, "rows": rows}


def _row(report: Report, pulumi: Path, count: int, limit: float, before: Sequence[dict[str, Any]]) -> dict[str, Any]:
    with TemporaryDirectory(prefix="private-iot-bench-") as folder:
        lab = Lab("bench", Path(folder))
        lab.create()
        cloud = server.start(lab.cloud_directory)
        try:
            engine = Engine(lab, pulumi, cloud.url)
            engine.prepare(PluginSource.STANDIN, report)
            names = [f"pi-{number}" for number in range(1, count + 1)]
            options = ["--stack", STACK, "--config-file", str(laboratory.stack_file(engine, names))]
            with report.step(f"pulumi preview and up for {count} device{'s' * (count > 1)}"):
                preview, up = _both(engine, options, limit, CHECKOUT)
            state = _state(engine, STACK, CHECKOUT) if up.done else ""
            resources = _count(state) if state else predict(before, count)
            empty_preview = empty_up = Outcome(None, "not tried: nobody knows how many resources it would be")
            if resources:
                with report.step(f"the same of {resources} empty resources"):
                    empty_preview, empty_up = _empty(engine, Path(folder) / "empty", resources, limit)
        finally:
            server.stop(lab.cloud_directory)
    outcomes = {
        "preview_seconds": preview,
        "up_seconds": up,
        "empty_preview_seconds": empty_preview,
        "empty_up_seconds": empty_up,
    }
    for key, outcome in outcomes.items():
        if outcome.note:
            report.warn(
                f"{count} devices, {key.removesuffix('_seconds')}: {outcome.note}{outcome.said and ': '}{outcome.said}"
            )
    return {
        "devices": count,
        "resources": resources,
        **{key: outcome.seconds for key, outcome in outcomes.items()},
        "preview_ratio": ratio(preview.seconds, empty_preview.seconds),
        "up_ratio": ratio(up.seconds, empty_up.seconds),
        "peak_bytes": up.peak_bytes,
        "empty_peak_bytes": empty_up.peak_bytes,
        "peak_ratio": ratio(up.peak_bytes, empty_up.peak_bytes),
        "state_bytes": len(state.encode()) or None,
        "notes": {key: outcome.note for key, outcome in outcomes.items() if outcome.note},
    }


def _both(engine: Engine, options: list[str], limit: float, cwd: Path) -> tuple[Outcome, Outcome]:
    preview = run(engine, ["preview", *options], limit=limit, cwd=cwd)
    if not preview.done:
        return preview, Outcome(None, "not tried: the preview did not end")
    return preview, run(engine, ["up", "--yes", "--skip-preview", *options], limit=limit, cwd=cwd)


def _empty(engine: Engine, folder: Path, resources: int, limit: float) -> tuple[Outcome, Outcome]:
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
    return _both(engine, ["--stack", "empty", "--config-file", str(config)], limit, folder)


def _state(engine: Engine, stack: str, cwd: Path) -> str:
    return engine.run("stack", "export", "--stack", stack, cwd=cwd).stdout


def _count(state: str) -> int:
    """Return how many resources a state has, the stack and the providers left out."""
    resources = json.loads(state)["deployment"]["resources"]
    return sum(1 for item in resources if not item["type"].startswith(("pulumi:providers:", "pulumi:pulumi:")))


def predict(rows: Sequence[dict[str, Any]], devices: int) -> int | None:
    """Return how many resources so many devices have, from two smaller programs: each further device has as many.

    Args:
        rows: With ``devices`` and ``resources``.
        devices: The number to predict for.

    Returns:
        The number, or None where fewer than two rows know theirs.
    """
    known = [(row["devices"], row["resources"]) for row in rows if row["resources"]]
    if len(known) < 2:
        return None
    (fewer, less), (more, greater) = known[-2:]
    predicted: int = round(greater + (devices - more) * (greater - less) / (more - fewer))
    return predicted
