"""The path's watch over a real UDP socket on loopback, with time moved by hand; and the tunnel's restarts.

That a tunnel's death looks like this is shown by the path tier.
"""

from __future__ import annotations

import selectors
import socket
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address
from itertools import pairwise
from pathlib import Path

import pytest
from device_agent.daemon.loop import Loop
from device_agent.daemon.path_monitor import MonitorOptions, PathMonitor, dns_query
from device_agent.daemon.tunnel import APART, APART_LATER, GRACE, PATIENT_AFTER, Tunnel
from device_agent.routes import Route, route_to
from device_agent.system import Completed

from tests.unit.device_agent_daemon.machine import Machine, advance, installation, make_machine


class Bench:
    """A monitor whose resolver is a socket of the test's."""

    def __init__(self, root: Path) -> None:
        self.machine: Machine = make_machine(root)
        self.loop = Loop(self.machine)
        self.resolver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.resolver.bind(("127.0.0.1", 0))
        self.resolver.settimeout(5)
        self.answering = True
        self.asked = 0
        self.alive = 0
        self.dead: list[str] = []
        self.doubts = 0
        options = MonitorOptions(dns_port=self.resolver.getsockname()[1])
        self.monitor = PathMonitor(
            self.machine,
            self.loop,
            replace(installation(root), dns_server=IPv4Address("127.0.0.1")),
            options,
            on_alive=self._alive,
            on_dead=self.dead.append,
            on_doubt=self._doubt,
        )
        self.loop.watch(self.resolver, selectors.EVENT_READ, self._ask)

    def _alive(self) -> None:
        self.alive += 1

    def _doubt(self) -> None:
        self.doubts += 1

    def _ask(self, _events: int) -> None:
        query, peer = self.resolver.recvfrom(512)
        self.asked += 1
        if self.answering:
            self.resolver.sendto(query[:2] + b"\x81\x80" + query[4:], peer)

    def seconds(self, count: int) -> None:
        for _ in range(count):
            advance(self.machine, self.loop, 1)
            # What was sent by this is there at once on loopback, and is read by these.
            for _ in range(3):
                self.loop.turn(0)

    def close(self) -> None:
        self.monitor.close()
        self.resolver.close()
        self.loop.close()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    built = Bench(tmp_path)
    yield built
    built.close()


def test_an_answer_makes_the_path_alive_and_is_asked_for_now_and_then_only(bench: Bench) -> None:
    bench.monitor.start()
    bench.seconds(2)
    assert bench.monitor.alive is True
    assert bench.alive == 1
    first = bench.asked
    bench.seconds(30)
    assert 2 <= bench.asked - first <= 4


def test_while_the_service_answers_nobody_asks_the_resolver(bench: Bench) -> None:
    bench.monitor.start()
    bench.seconds(2)
    asked = bench.asked
    for _ in range(30):
        bench.monitor.evidence()
        bench.seconds(1)
    assert bench.asked == asked


def test_a_silent_resolver_means_death_within_seconds_of_a_suspicion(bench: Bench) -> None:
    bench.monitor.start()
    bench.seconds(2)
    bench.answering = False
    bench.monitor.suspect()
    bench.seconds(4)
    assert bench.monitor.alive is False
    assert bench.dead[0] == "the VPC's resolver 127.0.0.1 does not answer"
    assert bench.doubts >= 2, "nobody asked the service itself before the path was called dead"


def test_without_a_suspicion_a_silent_resolver_is_found_within_a_quarter_of_a_minute(bench: Bench) -> None:
    bench.monitor.start()
    bench.seconds(2)
    bench.answering = False
    bench.seconds(15)
    assert bench.monitor.alive is False


def test_a_silent_resolver_is_not_death_while_the_service_answers(bench: Bench) -> None:
    bench.monitor.start()
    bench.seconds(2)
    bench.answering = False
    for _ in range(60):
        bench.seconds(1)
        if bench.doubts:
            bench.doubts = 0
            bench.monitor.evidence()
    assert bench.monitor.alive is True


def test_a_resolver_that_never_answered_proves_nothing_by_its_silence(bench: Bench) -> None:
    bench.answering = False
    bench.monitor.start()
    bench.seconds(60)
    assert bench.monitor.alive is None
    assert bench.monitor.usable()
    assert bench.asked < 15


def test_a_path_that_comes_back_is_found_within_two_seconds(bench: Bench) -> None:
    bench.monitor.start()
    bench.seconds(2)
    bench.answering = False
    bench.seconds(120)
    died = bench.monitor.alive is False
    bench.answering = True
    before = bench.alive
    bench.seconds(2)
    assert died
    assert bench.monitor.alive is True
    assert bench.alive == before + 1


def test_without_a_route_through_a_tunnel_nothing_is_asked_and_the_path_is_dead_at_once(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.monitor.use(installation(tmp_path))
    bench.machine.tunnel_down()
    bench.monitor.start()
    bench.seconds(5)
    assert bench.monitor.alive is False
    assert not bench.monitor.usable()
    assert bench.dead[0] == "the tunnel is down: the route to 10.0.0.2 leads through wlan0, which is no tunnel"
    assert bench.asked == 0
    bench.close()


def test_strange_answers_prove_nothing(bench: Bench) -> None:
    bench.loop.unwatch(bench.resolver)
    bench.monitor.start()
    query, peer = bench.resolver.recvfrom(512)
    for strange in (b"", b"\0\0" + query[2:], query, query[:2] + b"\x81"):
        bench.resolver.sendto(strange, peer)
        bench.loop.turn(0.2)
    assert bench.monitor.alive is None


def test_the_query_is_one_that_dns_servers_understand() -> None:
    assert dns_query("ab.example", b"\x12\x34") == bytes.fromhex(
        "1234 0100 0001 0000 0000 0000 02 6162 07 6578616d706c65 00 0001 0001"
    )


# Routes


def test_the_longest_prefix_wins_and_a_tunnel_is_told_by_its_driver(tmp_path: Path) -> None:
    machine = make_machine(tmp_path)
    machine.tunnel_up()
    assert route_to(machine, IPv4Address("10.0.1.105")) == Route("tun0", tunnel=True)
    assert route_to(machine, IPv4Address("10.1.0.1")) == Route("wlan0", tunnel=False)
    machine.tunnel_down()
    assert route_to(machine, IPv4Address("10.0.1.105")) == Route("wlan0", tunnel=False)
    machine.path("/proc/net/route").unlink()
    assert route_to(machine, IPv4Address("10.0.1.105")) is None
    assert route_to(machine, IPv4Address("127.0.0.1")) == Route("lo", tunnel=True)


# Restarts of the tunnel


class RecordingLoop(Loop):
    """Keeps the moment of each restart."""

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine)
        self.machine = machine
        self.restarts: list[float] = []
        self.result = Completed(0, "", "")

    def in_background(self, work: object, done: object) -> None:
        del work
        self.restarts.append(self.machine.monotonic())
        self.hand_over(lambda: done(self.result))  # type: ignore[operator] # as the real one


def dead_for(tunnel: Tunnel, loop: RecordingLoop, seconds: int, interface: str | None) -> list[float]:
    loop.restarts.clear()
    start = loop.machine.monotonic()
    for _ in range(seconds):
        tunnel.path_is_dead("dead", interface=interface)
        advance(loop.machine, loop, 1)
    return [moment - start for moment in loop.restarts]


def test_a_tunnel_that_is_up_but_dead_is_restarted_at_once_and_then_at_a_distance(tmp_path: Path) -> None:
    loop = RecordingLoop(make_machine(tmp_path))
    tunnel = Tunnel(loop.machine, loop)
    moments = dead_for(tunnel, loop, 300, "tun0")
    assert moments[0] == 0
    gaps = [later - earlier for earlier, later in pairwise(moments)]
    assert all(APART * 0.75 <= gap <= APART * 1.25 + 1 for gap in gaps)
    assert len(set(gaps)) > 1, "no jitter: a fleet would return in step"
    loop.close()


def test_a_tunnel_without_an_interface_has_a_while_to_come_up_by_itself(tmp_path: Path) -> None:
    loop = RecordingLoop(make_machine(tmp_path))
    assert dead_for(Tunnel(loop.machine, loop), loop, 12, None) == [GRACE]
    loop.close()


def test_after_ten_minutes_restarts_are_rarer_and_after_a_return_as_at_first(tmp_path: Path) -> None:
    loop = RecordingLoop(make_machine(tmp_path))
    tunnel = Tunnel(loop.machine, loop)
    moments = [moment for moment in dead_for(tunnel, loop, 1800, "tun0") if moment > PATIENT_AFTER + APART_LATER]
    gaps = [later - earlier for earlier, later in pairwise(moments)]
    assert min(gaps) >= APART_LATER * 0.75
    tunnel.path_is_alive()
    advance(loop.machine, loop, 120)
    assert dead_for(tunnel, loop, 60, "tun0")[0] == 0
    loop.close()


def test_a_restart_that_is_not_allowed_is_told_with_systemds_own_words(tmp_path: Path) -> None:
    loop = RecordingLoop(make_machine(tmp_path))
    tunnel = Tunnel(loop.machine, loop)
    loop.result = Completed(1, "", "Failed to restart: Interactive authentication required.\n")
    dead_for(tunnel, loop, 1, "tun0")
    assert tunnel.error is not None
    assert tunnel.error.endswith("cannot be restarted: Failed to restart: Interactive authentication required.")
    loop.close()
