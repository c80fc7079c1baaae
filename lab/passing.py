"""A lab for a while: brought up from nothing with some devices, and taken away again whatever happens.

For programs that measure or test in a lab of their own; `python -m lab up` is for people, whose lab stays.
"""

import argparse
import json
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab.cloud import server
from lab.cloud.server import CloudServer
from lab.commands import down
from lab.engine import CHECKOUT, STACK, Engine, PluginSource, find_or_build
from lab.errors import LabError
from lab.path import lifecycle, preflight
from lab.path.site import Site
from lab.report import Report
from lab.state import Lab, write_file

STAGES = ("cloud", "plugins and stack", "pulumi up")
"""The steps that are reported before the network's own two."""


@dataclass(frozen=True)
class PassingLab:
    """A lab that is up.

    Attributes:
        lab: The lab.
        cloud: Its cloud's process.
        outputs: The stack's outputs, secrets among them.
    """

    lab: Lab
    cloud: CloudServer
    outputs: dict[str, Any] = field(repr=False)


@contextmanager
def passing(
    lab: Lab,
    devices: Sequence[str],
    report: Report,
    site: Site | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Iterator[PassingLab]:
    """Bring a lab up, and take it away after the block.

    Args:
        lab: A lab that does not exist yet.
        devices: Names of its devices with a tunnel.
        report: Takes the progress.
        site: A LAN; its gateways are among the devices, and its other neighbours have no tunnel.
        settings: Further settings of the program.

    Raises:
        LabError: The lab exists, the machine lacks something, or a stage failed.
    """
    if lab.directory.exists():
        raise LabError(
            f"lab {lab.name!r} exists already: remove it with `python -m lab down --lab {lab.name}`,"
            " or take another one with --lab NAME"
        )
    preflight.require(lab)
    pulumi = find_or_build(report)
    lab.create()
    try:
        with lab.locked():
            neighbours = [name for name in site.neighbours if name not in devices] if site else []
            given = {"neighbours": neighbours, **(settings or {})} if neighbours else settings or {}
            running = _bring_up(lab, pulumi, (devices, given), report, site)
        yield running
    finally:
        remove(lab, report)


def remove(lab: Lab, report: Report) -> None:
    """Take a lab away; a further Ctrl-C must not leave half of it behind, and it takes seconds."""
    previous = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        down.run(argparse.Namespace(), lab, report)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _bring_up(
    lab: Lab, pulumi: Path, given: tuple[Sequence[str], Mapping[str, Any]], report: Report, site: Site | None
) -> PassingLab:
    cloud_stage, plugins_stage, up_stage = STAGES
    with report.step(cloud_stage):
        cloud = server.start(lab.cloud_directory)
    engine = Engine(lab, pulumi, cloud.url)
    with report.step(plugins_stage):
        engine.prepare(PluginSource.STANDIN, report)
    config = stack_file(engine, *given)
    with report.step(up_stage):
        _checked(engine, "up", "--stack", STACK, "--yes", "--skip-preview", "--config-file", str(config))
    lifecycle.up(lab, engine.region, cloud.url, report, site)
    shown = _checked(engine, "stack", "output", "--stack", STACK, "--json", "--show-secrets")
    return PassingLab(lab, cloud, json.loads(shown))


def _checked(engine: Engine, *words: str) -> str:
    done = engine.run(*words)
    if done.returncode != 0:
        said = [line.strip() for line in f"{done.stdout}\n{done.stderr}".splitlines() if line.strip()]
        raise LabError(f"`pulumi {' '.join(words[:2])}` ended with {done.returncode}: {' / '.join(said[-4:])}")
    return done.stdout


def stack_file(
    engine: Engine, devices: Sequence[str], settings: Mapping[str, Any] | None = None, *, stack: str = STACK
) -> Path:
    """Write a stack file of the lab's own with other devices: the checkout's is not written to.

    Args:
        engine: Whose directory it goes to.
        devices: The devices' names.
        settings: Further settings of the program.
        stack: The stack's name.

    Returns:
        The file, for `--config-file`.
    """
    salt = next(
        line.partition(":")[2].strip()
        for line in (CHECKOUT / f"Pulumi.{STACK}.yaml").read_text(encoding="utf-8").splitlines()
        if line.startswith("encryptionsalt:")
    )
    given = {"devices": list(devices), **(settings or {})}
    config = {"aws:region": engine.region, **{f"private-iot:{key}": value for key, value in given.items()}}
    path = engine.lab.engine_directory / f"Pulumi.{stack}.yaml"
    # JSON is YAML, and needs no library.
    write_file(path, json.dumps({"encryptionsalt": salt, "config": config}) + "\n")
    return path
