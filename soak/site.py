"""The lab of a long run: made by the project's own program, its devices installed, taken down whatever happens."""

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from lab.passing import PassingLab, passing
from lab.path import hosts, lifecycle
from lab.path.parts import IOT, service_directory
from lab.path.services import ROOT
from lab.report import Report
from lab.state import Lab
from soak.errors import SoakError
from soak.lines import LINE_FAULTS, Lines
from soak.schedule import AGENT_KILLED, HUNG_UP, OUTLIVED

AGENT = "private-iot-agent.service"
HOME_INTERFACE = "wlan0"
_COMMAND_TIMEOUT = 120.0
_CONNECT_PATIENCE = 90.0


@dataclass(frozen=True)
class Device:
    """A device of the lab.

    Attributes:
        client_id: Its MQTT client ID.
        topic_prefix: What its topics begin with.
        router: Address of its home network's router, which is its DNS server as well.
    """

    name: str
    client_id: str
    topic_prefix: str
    router: str


@dataclass(frozen=True)
class Site:
    """A running lab.

    Attributes:
        servers: Public addresses of the Client VPN endpoints.
        iot_address: AWS IoT's public address.
        lines: The devices' lines.
    """

    lab: Lab
    devices: tuple[Device, ...]
    servers: tuple[str, ...]
    iot_address: str
    lines: Lines

    def run(self, host: str, *argv: str, text: str | None = None) -> str:
        """Run a command in a host and return what it printed.

        Args:
            text: What it reads on standard input.

        Raises:
            SoakError: It failed.
        """
        return _run(self.lab, host, argv, text)

    def connections(self) -> int:
        """Return how many MQTT connections AWS IoT's front has accepted since the lab began."""
        hop = _hop(lifecycle.status(self.lab), "iot")
        return int(hop["status"]["counters"]["accepted"])

    def break_device(self, device: Device, name: str) -> None:
        """Restart or kill a device's agent, or hang up on it.

        Args:
            name: One of `soak.schedule.DEVICE_FAULTS`.
        """
        if name == HUNG_UP:
            self.hang_up(device)
        elif name == AGENT_KILLED:
            shown = self.run(device.name, "systemctl", "show", "-p", "MainPID", AGENT)
            number = int(shown.strip().partition("=")[2])
            # 0: another fault has it restarting just now, so that it is away already.
            if number:
                self.run(device.name, "sh", "-c", f"kill -9 {number} || true")
        else:
            self.run(device.name, "systemctl", "restart", AGENT)

    def hang_up(self, *devices: Device) -> None:
        """Have AWS IoT's front end the connections of devices; nothing happens to those that have none."""
        names = [device.client_id for device in devices]
        self.run(IOT, *module("hang_up", f"{service_directory('gateway')}/control.sock", *names))

    def begin_fault(self, name: str, seconds: float, value: float = 0.0) -> None:
        """Break the path; it ends by itself."""
        if name in LINE_FAULTS:
            self.lines.begin(name, value, seconds)
            return
        lifecycle.ask(self.lab, {"command": "fault", "name": name, "seconds": seconds})
        if name in OUTLIVED:
            self.hang_up(*self.devices)

    def faults(self) -> dict[str, float]:
        """Return the faults that are under way, with the seconds left of each."""
        answer: dict[str, float] = lifecycle.ask(self.lab, {"command": "faults"})
        return {**answer, **self.lines.active()}

    def end_faults(self) -> None:
        """End all faults."""
        for name in self.faults():
            if name in LINE_FAULTS:
                self.lines.end(name)
                continue
            lifecycle.ask(self.lab, {"command": "end-fault", "name": name})


def module(name: str, *words: str) -> list[str]:
    """Return the command that runs one of `soak.programs` in a host."""
    return ["env", f"PYTHONPATH={ROOT}", sys.executable, "-m", f"soak.programs.{name}", *words]


@contextmanager
def running_site(lab: Lab, devices: int, report: Report) -> Iterator[Site]:
    """Bring a lab up, and take it down after the block.

    Args:
        lab: A lab that does not exist yet.
        devices: How many devices it gets, ``pi-1`` and following.

    Raises:
        SoakError: A device does not connect.
        LabError: The lab exists, or cannot be brought up.
    """
    names = [f"pi-{number + 1}" for number in range(devices)]
    with passing(lab, names, report) as running:
        yield _install(running, names, report)


def _install(running: PassingLab, names: Sequence[str], report: Report) -> Site:
    lab, bundles = running.lab, running.outputs["devices"]
    with report.step("installing the agent"):
        for name in names:
            _run(lab, name, ("device-agent", "install", "-"), text=json.dumps(bundles[name]))
        for name in names:
            _wait_until_connected(lab, name)
    status = lifecycle.status(lab)
    return Site(
        lab=lab,
        devices=tuple(_device(lab, name, bundles[name]) for name in names),
        servers=tuple(
            address.partition(":")[0]
            for hop in status["hops"]
            if hop["hop"] == "client-vpn"
            for address in hop["addresses"]
        ),
        iot_address=_hop(status, "iot")["addresses"][0],
        lines=Lines(lambda host, *argv: _run(lab, host, argv), names, HOME_INTERFACE),
    )


def _device(lab: Lab, name: str, bundle: dict[str, Any]) -> Device:
    routes = json.loads(_run(lab, name, ("ip", "-j", "route")))
    router = next(route["gateway"] for route in routes if route["dst"] == "default")
    return Device(name, bundle["iot"]["clientId"], bundle["topicPrefix"], router)


def _run(lab: Lab, host: str, argv: Sequence[str], text: str | None = None) -> str:
    done = hosts.run(lab, host, argv, input=text, timeout=_COMMAND_TIMEOUT)
    if done.returncode != 0:
        raise SoakError(f"`{' '.join(argv)}` ended with {done.returncode} on {host}: {done.stderr.strip()}")
    return done.stdout


def _wait_until_connected(lab: Lab, name: str) -> None:
    deadline = time.monotonic() + _CONNECT_PATIENCE
    while True:
        # 0: connected and well.
        done = hosts.run(lab, name, ("device-agent", "status"), timeout=_COMMAND_TIMEOUT)
        if done.returncode == 0:
            return
        if time.monotonic() > deadline:
            raise SoakError(f"{name} did not connect within {_CONNECT_PATIENCE:.0f} s: {done.stdout}{done.stderr}")
        time.sleep(0.5)


def _hop(status: dict[str, Any], kind: str) -> dict[str, Any]:
    hop: dict[str, Any] = next(hop for hop in status["hops"] if hop["hop"] == kind)
    return hop
