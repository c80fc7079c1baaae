"""The path's watch over a real UDP socket on loopback, with time moved by hand.

That a tunnel's death looks like this is shown by the path tier.
"""

from __future__ import annotations

import selectors
import socket
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest
from device_agent.daemon.loop import Loop
from device_agent.daemon.path_monitor import MonitorOptions, PathMonitor
from device_agent.routes import Route

from tests.unit.device_agent_daemon.machine import AnyChange, Machine, advance, installation, make_machine


class Bench:
    """A monitor whose resolver is a socket of the test's."""

    def __init__(self, root: Path) -> None:
        self.machine: Machine = make_machine(root)
        self.machine.routes.append(Route(IPv4Network("127.0.0.0/8"), "lo"))
        self.loop = Loop(self.machine)
        self.resolver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.resolver.bind(("127.0.0.1", 0))
        self.resolver.settimeout(5)
        self.answering = True
        self.late: list[tuple[bytes, tuple[str, int]]] = []
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
        answer = query[:2] + b"\x81\x80" + query[4:]
        if self.answering:
            self.resolver.sendto(answer, peer)
        else:
            self.late.append((answer, peer))

    def answer_late(self) -> None:
        """Let what was asked longest ago have its answer now."""
        answer, peer = self.late.pop(0)
        self.resolver.sendto(answer, peer)

    def seconds(self, count: int) -> None:
        self._settle()
        for _ in range(count):
            advance(self.machine, self.loop, 1)
            self._settle()

    def _settle(self) -> None:
        """Read what was sent just now: on loopback it is there at once."""
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


def test_the_route_is_asked_for_when_the_kernel_tells_of_a_change_and_else_seldom(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.monitor.start()
    bench.seconds(2)
    looks: list[float] = []
    found = bench.machine.find_route(IPv4Address("127.0.0.1"))

    def find_route(_self: Machine, _address: IPv4Address) -> Route | None:
        looks.append(bench.machine.monotonic())
        return found

    monkeypatch.setattr(Machine, "find_route", find_route)
    changes = bench.monitor._changes
    assert isinstance(changes, AnyChange)
    changes.quiet = True
    bench.seconds(40)
    assert len(looks) == 4, "the kernel is asked though it tells of no change"
    found, changes.quiet = None, False
    bench.seconds(1)
    assert bench.monitor.alive is False
    assert "the route to 127.0.0.1 does not exist" in bench.dead[0]


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


def test_an_answer_that_comes_late_counts_and_later_ones_are_given_as_long(bench: Bench) -> None:
    bench.monitor.start()
    bench.seconds(2)
    bench.answering = False
    bench.monitor.suspect()
    for _ in range(20):
        bench.seconds(2)
        # As behind a queue of two seconds, which nothing else fills.
        while bench.late:
            bench.answer_late()
        bench.loop.turn(0)
        assert bench.monitor.alive is True
        bench.monitor.suspect()


def test_a_resolver_behind_the_queue_of_a_slow_line_has_as_long_as_the_connections_own_answers(bench: Bench) -> None:
    bench.monitor.start()
    bench.seconds(2)
    bench.answering = False
    bench.monitor.suspect()
    for _ in range(10):
        bench.monitor.evidence()
        bench.monitor.expect_answers_after(12.0)
        bench.seconds(4)
    seen = [bench.monitor.alive]
    bench.seconds(60)
    seen.append(bench.monitor.alive)
    # The line is quick again: so is the judgement.
    bench.answering = True
    bench.seconds(16)
    seen.append(bench.monitor.alive)
    bench.answering = False
    bench.monitor.suspect()
    bench.seconds(5)
    assert [*seen, bench.monitor.alive] == [True, False, True, False]


def test_an_answer_to_a_query_long_ago_says_nothing_of_the_line(bench: Bench) -> None:
    """After an hour's outage the next one is found as quickly as the first."""
    bench.monitor.start()
    bench.seconds(2)
    bench.answering = False
    bench.seconds(3600)
    bench.answering = True
    bench.seconds(3)
    came_back = bench.monitor.alive
    bench.answering = False
    bench.monitor.suspect()
    bench.seconds(4)
    assert (came_back, bench.monitor.alive) == (True, False)


def test_what_comes_from_the_service_revives_a_path_that_was_called_dead(bench: Bench) -> None:
    bench.monitor.start()
    bench.seconds(2)
    bench.answering = False
    bench.monitor.suspect()
    bench.seconds(4)
    died = bench.monitor.alive is False
    bench.monitor.evidence()
    assert died
    assert bench.monitor.alive is True


def test_a_route_of_another_network_is_named_and_no_restart_is_asked_for(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.monitor.use(installation(tmp_path))
    bench.machine.tunnel_up()
    bench.machine.routes.append(Route(IPv4Network("10.0.0.0/24"), "wlan0"))
    bench.monitor.start()
    bench.seconds(2)
    covered = bench.monitor.conflict
    assert bench.dead[0] == (
        "a route of another network covers the VPC: 10.0.0.0/24 through wlan0 lies in 10.0.0.0/16;"
        " give the home network or the VPC other addresses"
    )
    bench.machine.tunnel_up()
    usable = bench.monitor.usable()
    assert (covered, usable, bench.monitor.conflict) == (True, True, False)
    bench.close()


@pytest.mark.parametrize(("address", "right"), [("127.0.1.5", True), ("203.0.113.80", False)])
def test_whether_the_vpcs_resolver_answers_rightly_is_known(bench: Bench, address: str, *, right: bool) -> None:
    vpc = replace(
        installation(bench.machine.root), dns_server=IPv4Address("127.0.0.1"), vpc_cidr=IPv4Network("127.0.0.0/16")
    )
    bench.monitor.use(vpc)
    bench.loop.unwatch(bench.resolver)
    bench.monitor.start()
    query, peer = bench.resolver.recvfrom(512)
    record = b"\xc0\x0c" + bytes.fromhex("0001 0001 0000003c 0004") + IPv4Address(address).packed
    bench.resolver.sendto(query[:2] + bytes.fromhex("8180 0001 0001 0000 0000") + query[12:] + record, peer)
    bench.loop.turn(1)
    assert bench.monitor.alive is True
    assert bench.monitor.resolves is right
