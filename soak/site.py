"""The lab of a long run: made by the project's own program, its devices installed, taken down whatever happens."""

import json
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Network
from typing import Any

from lab.errors import LabError
from lab.passing import PassingLab, passing
from lab.path import hosts, lifecycle, site_faults
from lab.path.addresses import short
from lab.path.parts import HOME_INTERFACE, INTERNET, IOT, service_directory
from lab.path.services import ROOT
from lab.path.site import GATEWAY_INTERFACE, devices_network
from lab.path.site import Site as LanSite
from lab.report import Report
from lab.sensor import client_options, open_broker
from lab.state import Lab
from soak.border import allowed, allowed_in_lan
from soak.errors import SoakError
from soak.lines import LINE_FAULTS, Lines
from soak.schedule import AGENT_KILLED, HUNG_UP, OUTLIVED

AGENT = "private-iot-agent.service"
LAN = LanSite(("pi-1",), ("pi-2", "pi-3"))
_COMMAND_TIMEOUT = 120.0
_CONNECT_TIMEOUT = 90.0


@dataclass(frozen=True)
class Device:
    """A device of the lab.

    Attributes:
        client_id: Its MQTT client ID.
        topic_prefix: What its topics begin with.
        allowed: What may leave it outside the tunnel, from `soak.border`.
        border: The host and the interface where what leaves it is counted.
        tunnel: Whether it has a tunnel of its own.
        sensor: Whether it is a gateway, whose messages a sensor publishes at its broker.
    """

    name: str
    client_id: str
    topic_prefix: str
    allowed: tuple[str, ...]
    border: tuple[str, str]
    tunnel: bool = True
    sensor: bool = False


@dataclass(frozen=True)
class Site:
    """A running lab.

    Attributes:
        iot_address: AWS IoT's public address.
        lines: The devices' lines.
        sensor: How a sensor's mosquitto_pub gets to the broker.
    """

    lab: Lab
    devices: tuple[Device, ...]
    iot_address: str
    lines: Lines
    sensor: tuple[str, ...] = ()
    _one: threading.Lock = field(default_factory=threading.Lock, repr=False)

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
        if device.sensor and name != HUNG_UP:
            # It may have lost its power, or lose it just now; then its agent is away already.
            with suppress(LabError, SoakError):
                self._break_agent(device, name)
        elif name == HUNG_UP:
            self.hang_up(device)
        else:
            self._break_agent(device, name)

    def _break_agent(self, device: Device, name: str) -> None:
        if name == AGENT_KILLED:
            shown = self.run(device.name, "systemctl", "show", "-p", "MainPID", AGENT)
            number = int(shown.strip().partition("=")[2])
            # 0: another fault has it restarting just now, so that it is away already.
            if number:
                self.run(device.name, "sh", "-c", f"kill -9 {number} || true")
        else:
            # Another fault, such as `clock-skew`, may restart it just now and overtake this one.
            self.run(device.name, "sh", "-c", f"systemctl restart {AGENT} || true")

    def hang_up(self, *devices: Device) -> None:
        """Have AWS IoT's front end the connections of devices; nothing happens to those that have none."""
        names = [device.client_id for device in devices]
        self.run(IOT, *module("hang_up", f"{service_directory('gateway')}/control.sock", *names))

    def begin_fault(self, name: str, seconds: float, value: float = 0.0) -> None:
        """Break the path; it ends by itself."""
        if name in LINE_FAULTS:
            self.lines.begin(name, value, seconds)
            return
        with self._one if name in site_faults.NAMES else nullcontext():
            # On a busy machine the one before takes longer than it was drawn for.
            while name in site_faults.NAMES and site_faults.NAMES.keys() & self.faults().keys():
                time.sleep(0.1)
            lifecycle.ask(self.lab, {"command": "fault", "name": name, "seconds": seconds})
        if name in OUTLIVED:
            self.hang_up(*self.devices)

    def faults(self) -> dict[str, float]:
        """Return the faults that are under way, with the seconds left of each."""
        answer: dict[str, float] = lifecycle.ask(self.lab, {"command": "faults"})
        return {**answer, **self.lines.active()}

    def end_faults(self) -> None:
        for name in self.faults():
            if name in LINE_FAULTS:
                self.lines.end(name)
                continue
            lifecycle.ask(self.lab, {"command": "end-fault", "name": name})


def module(name: str, *words: str) -> list[str]:
    """Return the command that runs one of `soak.programs` in a host."""
    return ["env", f"PYTHONPATH={ROOT}", sys.executable, "-m", f"soak.programs.{name}", *words]


@contextmanager
def running_site(lab: Lab, devices: int, report: Report, *, site: bool = False) -> Iterator[Site]:
    """Bring a lab up, and take it down after the block.

    Args:
        lab: A lab that does not exist yet.
        devices: How many devices it gets, ``pi-1`` and following.
        site: Whether it is a site instead: a gateway, two neighbours and a sensor.

    Raises:
        SoakError: A device does not connect.
        LabError: The lab exists, or cannot be brought up.
    """
    names = [f"pi-{number + 1}" for number in range(devices)]
    if site:
        with passing(lab, LAN.gateways, report, LAN) as running:
            yield _install_site(running, report)
        return
    with passing(lab, names, report) as running:
        bundles = running.outputs["devices"]
        with report.step("installing the agent"):
            for name in names:
                _run(lab, name, ("device-agent", "install", "-"), text=json.dumps(bundles[name]))
            for name in names:
                _wait_until_connected(lab, name)
        status = lifecycle.status(lab)
        yield _site(running, [_device(lab, name, bundles[name], status) for name in names], status)


def _install_site(running: PassingLab, report: Report) -> Site:
    lab, bundles = running.lab, running.outputs["devices"]
    (gateway,) = LAN.gateways
    hop = _hop(lifecycle.status(lab), "site")
    own = {**hop["gateways"], **hop["neighbours"]}
    with report.step("installing the site"):
        _run(lab, gateway, ("device-agent", "install", "-"), text=json.dumps(bundles[gateway]))
        _wait_until_connected(lab, gateway)
        allow = devices_network(IPv4Network(f"{own[gateway]}/24", strict=False))
        _run(lab, gateway, ("device-agent", "gateway", "enable", "--lan", GATEWAY_INTERFACE, "--allow", str(allow)))
        _run(lab, gateway, open_broker(["soak"]))
        for name in LAN.neighbours:
            words = ("device-agent", "install", "-", "--gateway", own[gateway])
            _run(lab, name, words, text=json.dumps(bundles[name]))
        for name in (gateway, *LAN.neighbours):
            _wait_until_connected(lab, name)
    status = lifecycle.status(lab)
    # Its own count would end with its power.
    border = (INTERNET, f"lan-{short(gateway)}")
    devices = [replace(_device(lab, gateway, bundles[gateway], status), border=border, sensor=True)]
    for name in LAN.neighbours:
        within = allowed_in_lan([own[gateway]], bundles[name]["network"]["vpcCidr"])
        iot = bundles[name]["iot"]
        border = (name, HOME_INTERFACE)
        devices.append(Device(name, iot["clientId"], bundles[name]["topicPrefix"], within, border, tunnel=False))
    return replace(_site(running, devices, status), sensor=client_options(own[gateway]))


def _site(running: PassingLab, devices: Sequence[Device], status: dict[str, Any]) -> Site:
    lab = running.lab
    return Site(
        lab=lab,
        devices=tuple(devices),
        iot_address=_hop(status, "iot")["addresses"][0],
        lines=Lines(lambda host, *argv: _run(lab, host, argv), [device.name for device in devices], HOME_INTERFACE),
    )


def _device(lab: Lab, name: str, bundle: dict[str, Any], status: dict[str, Any]) -> Device:
    routes = json.loads(_run(lab, name, ("ip", "-j", "route")))
    router = next(route["gateway"] for route in routes if route["dst"] == "default")
    servers = [
        address.partition(":")[0]
        for hop in status["hops"]
        if hop["hop"] == "client-vpn"
        for address in hop["addresses"]
    ]
    iot = bundle["iot"]
    return Device(name, iot["clientId"], bundle["topicPrefix"], allowed(servers, router), (name, HOME_INTERFACE))


def _run(lab: Lab, host: str, argv: Sequence[str], text: str | None = None) -> str:
    done = hosts.run(lab, host, argv, input=text, timeout=_COMMAND_TIMEOUT)
    if done.returncode != 0:
        raise SoakError(f"`{' '.join(argv)}` ended with {done.returncode} on {host}: {done.stderr.strip()}")
    return done.stdout


def _wait_until_connected(lab: Lab, name: str) -> None:
    deadline = time.monotonic() + _CONNECT_TIMEOUT
    while True:
        # 0: connected and well.
        done = hosts.run(lab, name, ("device-agent", "status"), timeout=_COMMAND_TIMEOUT)
        if done.returncode == 0:
            return
        if time.monotonic() > deadline:
            raise SoakError(f"{name} did not connect within {_CONNECT_TIMEOUT:.0f} s: {done.stdout}{done.stderr}")
        time.sleep(0.5)


def _hop(status: dict[str, Any], kind: str) -> dict[str, Any]:
    hop: dict[str, Any] = next(hop for hop in status["hops"] if hop["hop"] == kind)
    return hop
