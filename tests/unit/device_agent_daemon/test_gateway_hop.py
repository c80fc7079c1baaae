"""The path's watch where a gateway is the first hop, over a real UDP socket on loopback, with time moved by hand."""

from __future__ import annotations

import selectors
import socket
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest
from device_agent.commands.metrics import lines
from device_agent.commands.status import screen
from device_agent.daemon import path_monitor
from device_agent.daemon.daemon import Daemon
from device_agent.daemon.loop import Loop
from device_agent.daemon.path_monitor import MonitorOptions, PathMonitor
from device_agent.daemon.tunnel import KeptGateway
from device_agent.installation import Installation
from device_agent.routes import Route

from tests.unit.device_agent_daemon.machine import HOME, Machine, advance, installation, make_machine

VPC = IPv4Network("10.0.0.0/16")
FIRST, SECOND = "127.0.0.2", "127.0.0.3"


def through(gateway: str) -> Route:
    return Route(VPC, "eth0", source="127.0.0.9", gateway=gateway)


class Bench:
    """A monitor whose gateways are two sockets of the test's."""

    def __init__(self, root: Path) -> None:
        self.machine: Machine = make_machine(root)
        self.machine.routes[:] = [HOME, through(FIRST)]
        self.loop = Loop(self.machine)
        self.asked: list[str] = []
        self.says = {FIRST: "10.0.1.105", SECOND: "10.0.1.106"}
        self.sockets = []
        port = 0
        for address in (FIRST, SECOND):
            served = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            served.bind((address, port))
            port = served.getsockname()[1]
            self.sockets.append(served)
            self.loop.watch(served, selectors.EVENT_READ, partial(self._answer, served, address))
        self.alive: list[bool | None] = []
        self.dead: list[str] = []
        self.monitor = PathMonitor(
            self.machine,
            self.loop,
            replace(installation(root), gateways=(IPv4Address(FIRST), IPv4Address(SECOND))),
            MonitorOptions(dns_port=port),
            on_alive=lambda: self.alive.append(self.monitor.alive),
            on_dead=self.dead.append,
        )

    def _answer(self, served: socket.socket, address: str, _events: int) -> None:
        query, peer = served.recvfrom(512)
        self.asked.append(address)
        said = self.says.get(address)
        if said == "SERVFAIL":
            served.sendto(query[:2] + b"\x81\x82" + query[4:], peer)
        elif said is not None:
            row = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4" + IPv4Address(said).packed
            served.sendto(query[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + query[12:] + row, peer)

    def seconds(self, count: int) -> None:
        for _second in range(count + 1):
            for _turn in range(3):
                self.loop.turn(0)
            if _second < count:
                advance(self.machine, self.loop, 1)

    def close(self) -> None:
        self.monitor.close()
        for served in self.sockets:
            served.close()
        self.loop.close()


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setattr(path_monitor, "bind_to", lambda _socket, _interface: None)
    built = Bench(tmp_path)
    built.monitor.start()
    built.seconds(2)
    yield built
    built.close()


def test_the_gateway_is_asked_and_its_answer_proves_the_path(bench: Bench) -> None:
    assert bench.monitor.alive is True
    assert bench.monitor.reason == f"through the gateway {FIRST}, the VPC's resolver answers"
    assert set(bench.asked) == {FIRST}
    assert (bench.monitor.interface, bench.monitor.tie) == ("eth0", None), "the LAN leads elsewhere too"


@pytest.mark.parametrize("said", [None, "SERVFAIL", "203.0.113.80"])
def test_a_gateway_that_cannot_ask_the_vpc_is_a_dead_path(bench: Bench, said: str | None) -> None:
    if said is None:
        del bench.says[FIRST]
    else:
        bench.says[FIRST] = said
    bench.seconds(30)
    assert bench.monitor.alive is False
    assert bench.monitor.reason == f"the VPC's resolver 10.0.0.2 behind the gateway {FIRST} does not answer"
    bench.says[FIRST] = "10.0.1.105"
    bench.seconds(3)
    assert bench.monitor.alive is True


def test_a_gateway_without_its_dns_is_a_dead_path(bench: Bench) -> None:
    bench.loop.unwatch(bench.sockets[0])
    bench.sockets[0].close()
    bench.seconds(30)
    assert bench.monitor.alive is False


def test_a_move_to_another_gateway_ends_the_connection_and_begins_anew(bench: Bench) -> None:
    bench.machine.routes[:] = [HOME, through(SECOND)]
    bench.alive.clear()
    bench.seconds(1)
    assert bench.dead[0] == f"the way is now the gateway {SECOND}"
    assert bench.alive[0] is None, "a connection may be tried before anything has answered"
    assert bench.monitor.alive is True
    assert bench.monitor.way == f"the gateway {SECOND}"


def test_without_its_route_the_path_is_dead_and_comes_back_with_it(bench: Bench) -> None:
    bench.machine.routes[:] = [HOME]
    bench.seconds(1)
    assert bench.monitor.alive is False
    assert "the gateway is down: the route to 10.0.0.2 leads through wlan0, which is no gateway" in bench.dead[0]
    assert not bench.monitor.usable()
    bench.machine.routes[:] = [HOME, through(FIRST)]
    assert bench.monitor.usable()
    bench.seconds(1)
    assert bench.monitor.alive is True


def test_a_network_that_covers_the_vpc_is_named(bench: Bench) -> None:
    bench.machine.routes[:] = [HOME, through(FIRST), Route(IPv4Network("10.0.0.0/24"), "docker0")]
    bench.seconds(1)
    assert bench.monitor.conflict
    assert "10.0.0.0/24 through docker0" in bench.monitor.reason


@pytest.fixture
def daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Daemon]:
    machine = make_machine(tmp_path)
    machine.routes[:] = [HOME, through(FIRST)]
    for folder in ("run/private-iot", "var/lib/private-iot"):
        machine.path(f"/{folder}").mkdir(parents=True)
    device = replace(installation(tmp_path), gateways=(IPv4Address(FIRST), IPv4Address(SECOND)))
    monkeypatch.setattr(Installation, "load", lambda _system: device)
    made = Daemon(machine)
    yield made
    made._socket.close()
    made._queue.close()
    made.loop.close()


def test_the_daemon_knows_its_gateway_and_waits_for_no_vpn_certificate(daemon: Daemon) -> None:
    assert isinstance(daemon._hop, KeptGateway)
    assert daemon._certificate_delivery.topic == ""
    daemon._monitor.usable()
    status = daemon.status()
    assert status["hop"] == {"kind": "gateway", "gateway": FIRST, "gateways": [FIRST, SECOND]}
    rows = screen({"running": True, **status})
    assert any(row.startswith("gateway ") and row.find(f"eth0 127.0.0.9 through {FIRST}") > 0 for row in rows)
    assert f"             of {FIRST}, {SECOND}" in rows
    written = list(lines({"running": True, **status}))
    assert f'private_iot_hop_gateway{{gateway="{FIRST}"}} 1' in written
    assert f'private_iot_hop_gateway{{gateway="{SECOND}"}} 0' in written
