"""What `pulumi up` costs: this program against a program of as many empty resources, by the number of devices.

The empty program has the same language host, the same number of resources, and a plugin that answers at once, so its
time is the engine's own. The rest is what the stand-in plugins, the lab's cloud and the keys cost.
"""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench import empty_provider
from lab.cloud import server
from lab.engine import Engine, PluginSource, find_or_build
from lab.report import Report
from lab.state import Lab

DEVICES = (1, 10, 100)
TIMEOUT = 3600.0

_EMPTY_PROGRAM = """\
import pulumi

class Empty(pulumi.CustomResource):
    def __init__(self, name):
        super().__init__("empty:index:Empty", name, {"name": name}, pulumi.ResourceOptions(version="1.0.0"))

for number in range(pulumi.Config().require_int("resources")):
    Empty(f"resource-{number}")
"""
_EMPTY_PROJECT = "name: empty\nruntime: python\n"


@dataclass(frozen=True)
class Run:
    """One `pulumi up`.

    Attributes:
        seconds: Its wall time.
        resources: How many resources the state has afterwards, the stack and the providers left out.
        state_bytes: Size of the state file.
    """

    seconds: float
    resources: int
    state_bytes: int


def measure(report: Report, devices: tuple[int, ...] = DEVICES) -> list[dict[str, Any]]:
    """Run both programs for each number of devices.

    Args:
        report: Where progress goes.
        devices: Numbers of devices.

    Returns:
        A row for each number: devices, resources, resources a device, seconds of both, their ratio, state size.
    """
    pulumi = find_or_build(report)
    rows = []
    for count in devices:
        with TemporaryDirectory(prefix="private-iot-bench-") as folder:
            lab = Lab("bench", Path(folder))
            lab.create()
            cloud = server.start(lab.cloud_directory)
            try:
                engine = Engine(lab, pulumi, cloud.url)
                (lab.engine_directory / "state").mkdir(mode=0o700)
                engine.prepare(PluginSource.STANDIN, report, stack="bench-lab")
                with report.step(f"pulumi up for {count} devices"):
                    ours = _program(engine, lab, count)
                with report.step(f"pulumi up of {ours.resources} empty resources"):
                    empty = _empty_program(engine, Path(folder) / "empty", ours.resources)
            finally:
                server.stop(lab.cloud_directory)
        rows.append(
            {
                "devices": count,
                "resources": ours.resources,
                "seconds": round(ours.seconds, 2),
                "empty_seconds": round(empty.seconds, 2),
                "ratio": round(ours.seconds / empty.seconds, 2),
                "state_bytes": ours.state_bytes,
            }
        )
    for row, before in zip(rows[1:], rows, strict=False):
        row["growth"] = round((row["seconds"] / before["seconds"]) / (row["devices"] / before["devices"]), 2)
        row["resources_a_device"] = (row["resources"] - before["resources"]) / (row["devices"] - before["devices"])
    return rows


def _program(engine: Engine, lab: Lab, devices: int) -> Run:
    """Run this project's program with so many devices."""
    config = lab.engine_directory / "Pulumi.bench.yaml"
    names = [f"pi-{number}" for number in range(1, devices + 1)]
    config.write_text(json.dumps({"config": {"aws:region": engine.region, "private-iot:devices": names}}))
    return _up(engine, engine_stack="bench", options=["--config-file", str(config)])


def _empty_program(engine: Engine, folder: Path, resources: int) -> Run:
    """Run a program of so many empty resources."""
    folder.mkdir()
    (folder / "Pulumi.yaml").write_text(_EMPTY_PROJECT)
    (folder / "__main__.py").write_text(_EMPTY_PROGRAM)
    empty_provider.install(engine.home)
    config = folder / "Pulumi.empty.yaml"
    config.write_text(json.dumps({"config": {"empty:resources": resources}}))
    return _up(engine, engine_stack="empty", options=["--config-file", str(config)], cwd=folder)


def _up(engine: Engine, *, engine_stack: str, options: list[str], **where: Any) -> Run:
    _checked(engine, "stack", "init", engine_stack, **where)
    started = time.monotonic()
    _checked(engine, "up", "--stack", engine_stack, "--yes", "--skip-preview", *options, **where)
    seconds = time.monotonic() - started
    state = _checked(engine, "stack", "export", "--stack", engine_stack, **where)
    resources = json.loads(state)["deployment"]["resources"]
    counted = [r for r in resources if not r["type"].startswith(("pulumi:providers:", "pulumi:pulumi:"))]
    return Run(seconds, len(counted), len(state.encode()))


def _checked(engine: Engine, *arguments: str, **where: Any) -> str:
    done = engine.run(*arguments, timeout=TIMEOUT, **where)
    if done.returncode != 0:
        raise SystemExit(f"bench: pulumi {arguments[0]} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout
