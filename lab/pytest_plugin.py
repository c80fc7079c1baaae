"""Fixtures for tests of a Pulumi project of one's own: ``pytest -p lab.pytest_plugin``.

``private_path`` is a lab with the project's program deployed and its network built, for the whole session; docs/lab.md
has a complete example.
"""

import json
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lab.cloud import server
from lab.engine import Engine, PluginSource, Program, find_or_build
from lab.errors import LabError
from lab.path import hosts, lifecycle, preflight
from lab.report import Report
from lab.state import Lab

_POLL = 0.25


@dataclass(frozen=True)
class Device:
    """A device of the lab: a network namespace with a file system of its own.

    Attributes:
        name: The name of its thing in AWS IoT.
    """

    lab: Lab
    name: str

    def run(
        self,
        *argv: str,
        input: str | None = None,  # noqa: A002 - subprocess's own word
        timeout: float = 120,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command on the device as root.

        Args:
            *argv: The command, such as ``"device-agent", "doctor", "--json"``.
            input: Text for its standard input.
            timeout: Seconds until it is killed.

        Raises:
            LabError: The lab has no such device.
            subprocess.TimeoutExpired: It took too long.
        """
        return hosts.run(self.lab, self.name, argv, input=input, timeout=timeout)

    def install(self, bundle: Any) -> None:
        """Install the device's bundle and wait until the agent has connected.

        Args:
            bundle: The bundle, one value of the program's output of `IotDevice.bundle`.

        Raises:
            AssertionError: The agent refused the bundle; with what it said.
        """
        done = self.run("device-agent", "install", "-", input=json.dumps(bundle))
        assert done.returncode == 0, done.stderr  # noqa: S101 - a test's own failure
        self.wait(lambda: self.doctor()["result"] == "healthy", "a healthy path")

    def doctor(self) -> dict[str, Any]:
        """Return what ``device-agent doctor --json`` finds: ``result`` and ``checks``."""
        found: dict[str, Any] = json.loads(self.run("device-agent", "doctor", "--json").stdout)
        return found

    def wait(self, condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
        """Wait for something to come about.

        Raises:
            AssertionError: It did not within `seconds`.
        """
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"{self.name}: no {what} within {seconds:g} s"  # noqa: S101 - see above
            time.sleep(_POLL)


@dataclass(frozen=True)
class PrivatePath:
    """A program that is deployed into a lab, and the network that it describes.

    Attributes:
        lab: The lab.
        engine: Pulumi for this lab, to run it again.
        outputs: The stack's outputs, secrets included.
    """

    lab: Lab
    engine: Engine
    outputs: dict[str, Any]

    def device(self, name: str) -> Device:
        """Return a device by the name of its thing."""
        return Device(self.lab, name)

    def status(self) -> dict[str, Any]:
        """Return the state of every hop, as ``python -m lab status --json`` has it under ``path``."""
        return lifecycle.status(self.lab)

    def sync(self) -> Sequence[str]:
        """Bring the network up to date after a change in the cloud; returns what was done."""
        return lifecycle.sync(self.lab, Report(quiet=True))

    @contextmanager
    def fault(self, name: str, seconds: float = 300) -> Iterator[None]:
        """Break a hop while the block runs.

        Args:
            name: One of those that ``python -m lab fault --help`` lists.
            seconds: When it ends by itself at the latest.
        """
        lifecycle.ask(self.lab, {"command": "fault", "name": name, "seconds": seconds})
        try:
            yield
        finally:
            lifecycle.ask(self.lab, {"command": "end-fault", "name": name})


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options, each with an ini setting of the same meaning."""
    group = parser.getgroup("lab", "a private path on this machine")
    for name, meaning in {
        "lab-program": "folder of the Pulumi project to deploy (default: pytest's root folder)",
        "lab-stack": "its stack (default: lab)",
        "lab-region": "the AWS Region whose network is built (default: aws:region of the stack's file)",
    }.items():
        group.addoption(f"--{name}", help=meaning)
        parser.addini(name.replace("-", "_"), meaning)


@pytest.fixture(scope="session")
def private_path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivatePath]:
    """The program deployed into a lab of its own, and its network; all of it is gone afterwards."""

    def chosen(name: str) -> str | None:
        config = request.config
        return config.getoption(f"--{name}") or config.getini(name.replace("-", "_")) or None

    directory = Path(chosen("lab-program") or ".")
    program = Program.of(request.config.rootpath / directory, stack=chosen("lab-stack"), region=chosen("lab-region"))
    program.require_stack_file()
    program.require_environment()
    report = Report()
    lab = Lab("pytest", tmp_path_factory.mktemp("lab") / "lab")
    preflight.require(lab)
    lab.create()
    try:
        url = server.start(lab.cloud_directory).url
        engine = Engine(lab, find_or_build(report), url, program)
        engine.prepare(PluginSource.STANDIN, report)
        up = engine.run("up", "--stack", program.stack, "--yes", "--skip-preview")
        if up.returncode != 0:
            raise LabError(f"`pulumi up` ended with {up.returncode}: {up.stdout}{up.stderr}")
        lifecycle.up(lab, program.region, url, report)
        shown = engine.run("stack", "output", "--stack", program.stack, "--json", "--show-secrets")
        yield PrivatePath(lab, engine, json.loads(shown.stdout))
    finally:
        lifecycle.down(lab)
        server.stop(lab.cloud_directory)
        lab.remove()
