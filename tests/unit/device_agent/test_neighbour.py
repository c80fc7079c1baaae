"""What keeps a device on its gateway, without packets: the choice, the block in /etc/hosts, the route."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import pytest
from device_agent.daemon.loop import Loop
from device_agent.dns import write_query
from device_agent.hop import GatewayHop, TunnelHop, conflicts, hop_of
from device_agent.neighbour.choice import BACK_AFTER, DEAD_AFTER, MOST_PATIENCE, Health, choose
from device_agent.neighbour.hosts_file import BEGIN, END, with_block, without_block
from device_agent.neighbour.keeper import Keeper, set_name, undo
from device_agent.routes import Route
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.device_agent_daemon.machine import Machine, advance, installation, make_machine

ENDPOINT = "a1b2c3d4e5f6g7-ats.iot.ap-northeast-1.amazonaws.com"
VPC = IPv4Network("10.0.0.0/16")

# The choice


def answering(since: float = 0.0) -> Health:
    return Health(answering_since=since)


def test_the_device_stays_while_its_gateway_answers() -> None:
    assert choose(1, [Health(), answering(), answering()], 100.0) == 1


def test_a_silent_gateway_is_left_for_one_that_answers_and_not_before_it_is_dead() -> None:
    healths = [answering(), answering()]
    healths[0].asked(100.0)
    assert choose(0, healths, 100.0 + DEAD_AFTER - 0.1) == 0
    assert choose(0, healths, 100.0 + DEAD_AFTER) == 1


def test_a_line_whose_answers_come_late_has_longer() -> None:
    healths = [answering(), answering()]
    healths[0].answered(90.0, took=10.0)
    healths[0].asked(100.0)
    assert choose(0, healths, 119.0) == 0
    assert choose(0, healths, 120.0) == 1


def test_where_none_answers_the_device_stays() -> None:
    healths = [answering(), Health()]
    for health in healths:
        health.asked(0.0)
    assert choose(0, healths, 1000.0) == 0


def test_the_device_moves_back_when_the_preferred_one_has_answered_for_a_while() -> None:
    healths = [Health(), answering()]
    healths[0].answered(100.0, took=0.1)
    assert choose(1, healths, 100.0 + BACK_AFTER - 0.1) == 1
    assert choose(1, healths, 100.0 + BACK_AFTER) == 0


EVENTS = st.lists(
    st.tuples(st.sampled_from(["ask", "answer"]), st.integers(0, 2), st.floats(0.01, 20.0), st.floats(0.0, 40.0)),
    max_size=60,
)


@given(EVENTS)
def test_the_device_never_moves_to_a_gateway_that_does_not_answer_nor_away_without_a_reason(events: Any) -> None:
    healths, now, current = [Health() for _ in range(3)], 0.0, 0
    for event, place, delay, took in events:
        now += delay
        if event == "ask":
            healths[place].asked(now)
        else:
            healths[place].answered(now, took)
        chosen = choose(current, healths, now)
        if chosen != current:
            assert healths[chosen].answering_since is not None
            dead = healths[current].answering_since is None
            preferred = chosen < current and now - (healths[chosen].answering_since or 0.0) >= BACK_AFTER
            assert dead or preferred
        if healths[chosen].answering_since is None:
            assert all(health.answering_since is None for health in healths), "a dead one only where all are"
        current = chosen


@given(EVENTS)
def test_what_answers_no_more_is_left_in_bounded_time(events: Any) -> None:
    healths, now = [Health() for _ in range(3)], 0.0
    for _event, place, delay, took in events:
        now += delay
        healths[place].answered(now, took)
    healths[0].asked(now)
    now += MOST_PATIENCE + 0.1
    healths[1].answered(now, 0.1)
    assert choose(0, healths, now) != 0


# /etc/hosts

LINES = st.lists(
    st.one_of(
        st.text(alphabet=st.characters(codec="ascii", exclude_characters="\r\n"), max_size=30),
        st.sampled_from(["127.0.0.1 localhost", "# a comment", "10.0.1.5 printer", ""]),
    ).filter(lambda line: line not in (BEGIN, END)),
    max_size=8,
)
ADDRESSES = st.lists(st.integers(0x0A000000, 0x0A00FFFF).map(lambda n: str(IPv4Address(n))), min_size=1, max_size=4)


@given(lines=LINES, addresses=ADDRESSES, others=ADDRESSES)
def test_the_rest_of_the_file_stays_byte_for_byte(lines: list[str], addresses: list[str], others: list[str]) -> None:
    text = "".join(f"{line}\n" for line in lines)
    once = with_block(text, ENDPOINT, addresses)
    assert without_block(once) == text
    assert with_block(once, ENDPOINT, addresses) == once, "a second time changes nothing"
    assert with_block(once, ENDPOINT, others) == with_block(text, ENDPOINT, others)
    assert [row.split()[0] for row in once.splitlines() if row.endswith(f" {ENDPOINT}")] == addresses


@given(lines=LINES, addresses=ADDRESSES, more=LINES, cut=st.integers(0, 400))
def test_a_block_that_was_cut_or_followed_takes_nothing_else_with_it(
    lines: list[str], addresses: list[str], more: list[str], cut: int
) -> None:
    text, rest = ("".join(f"{line}\n" for line in part) for part in (lines, more))
    whole = with_block(text, ENDPOINT, addresses)
    assert without_block(whole + rest) == text + rest
    assert without_block(whole[: max(len(text), len(whole) - cut)]).startswith(text)


def test_the_files_mode_and_foreign_bytes_are_kept(tmp_path: Path) -> None:
    machine = make_machine(tmp_path)
    machine.path("/etc").mkdir()
    hosts = machine.path("/etc/hosts")
    hosts.write_bytes(b"127.0.0.1 localhost\n# \xff\n")
    hosts.chmod(0o640)
    set_name(machine, ENDPOINT, ["10.0.1.5"])
    assert hosts.read_bytes().startswith(b"127.0.0.1 localhost\n# \xff\n" + BEGIN.encode())
    assert hosts.stat().st_mode & 0o777 == 0o640


# The hops


@pytest.mark.parametrize("gateways", [(), (IPv4Address("192.168.1.10"),)])
def test_a_hop_takes_what_is_its_own_and_calls_the_rest_conflicts(gateways: tuple[IPv4Address, ...]) -> None:
    hop = hop_of(gateways)
    tunnel = Route(VPC, "tun0", "tun")
    gateway = Route(VPC, "eth0", gateway="192.168.1.10")
    other = Route(VPC, "eth0", gateway="192.168.1.1")
    assert isinstance(hop, GatewayHop if gateways else TunnelHop)
    assert (hop.takes(tunnel), hop.takes(gateway), hop.takes(other), hop.takes(None)) == (
        not gateways,
        bool(gateways),
        False,
        False,
    )
    ours, foreign = (gateway, tunnel) if gateways else (tunnel, gateway)
    assert ours not in conflicts(hop, [tunnel, gateway, other], VPC)
    assert other in conflicts(hop, [tunnel, gateway, other], VPC)
    assert hop.name(ours) == ("the gateway 192.168.1.10" if gateways else "tun0")
    assert hop.tie(ours) == (None if gateways else "tun0")
    assert str(hop.resolver(ours, IPv4Address("10.0.0.2"))) == ("192.168.1.10" if gateways else "10.0.0.2")
    assert foreign != ours


# The keeper, with a DNS of the test's in the gateway's place

LOOPBACK = Route(IPv4Network("127.0.0.0/8"), "lo")


class Lan(Machine):
    """A machine whose LAN is the loopback, and whose route is noted."""

    def list_routes(self) -> list[Route]:
        return [replace(route, interface="lan0") for route in self.routes]

    def set_route(self, network: IPv4Network, gateway: IPv4Address, interface: str) -> None:
        self.answers["route"] = [f"{network} via {gateway} dev {interface}"]

    def remove_own_routes(self, keep: IPv4Network | None = None) -> None:
        self.answers["kept"] = [str(keep)]
        self.answers.pop("route", None)


@contextmanager
def gateway_dns(address: str, port: int = 0) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as served:
        served.bind((address, port))
        served.settimeout(5)
        yield served


def answer(served: socket.socket, *addresses: str, error: int = 0) -> None:
    """Answer one question."""
    packet, peer = served.recvfrom(2048)
    assert packet[12:] == write_query(ENDPOINT)[12:]
    head = packet[:2] + bytes([0x81, 0x80 | error]) + b"\0\1" + len(addresses).to_bytes(2, "big") + b"\0\0\0\0"
    rows = b"".join(b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4" + IPv4Address(one).packed for one in addresses)
    served.sendto(head + packet[12:] + rows, peer)


def drain(served: socket.socket) -> int:
    """Drop the questions that nobody has answered, and give their number."""
    served.setblocking(False)
    count = 0
    with suppress(BlockingIOError):
        while served.recv(2048):
            count += 1
    return count


@pytest.fixture
def lan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lan:
    monkeypatch.setattr("device_agent.neighbour.keeper.bind_to", lambda _socket, _interface: None)
    machine = Lan(make_machine(tmp_path).root)
    machine.path("/etc").mkdir()
    machine.path("/etc/hosts").write_text("127.0.0.1 localhost\n")
    machine.routes[:] = [LOOPBACK]
    return machine


def kept(lan: Lan, *gateways: str, port: int) -> tuple[Keeper, Loop]:
    loop = Loop(lan)
    device = replace(installation(lan.root), gateways=tuple(map(IPv4Address, gateways)))
    keeper = Keeper(lan, loop, device, dns_port=port)
    return keeper, loop


def test_route_and_name_are_set_kept_and_taken_back(lan: Lan) -> None:
    with gateway_dns("127.0.0.2") as served:
        keeper, loop = kept(lan, "127.0.0.2", port=served.getsockname()[1])
        keeper.start()
        assert lan.answers["kept"] == ["10.0.0.0/16"], "the routes of an earlier bundle go"
        assert lan.answers["route"] == ["10.0.0.0/16 via 127.0.0.2 dev lan0"]
        assert "amazonaws" not in lan.path("/etc/hosts").read_text(), "no answer yet"
        answer(served, "10.0.1.106", "10.0.1.105")
        advance(lan, loop, 0.1)
        wanted = with_block("127.0.0.1 localhost\n", ENDPOINT, ["10.0.1.105", "10.0.1.106"])
        assert lan.path("/etc/hosts").read_text() == wanted
        lan.path("/etc/hosts").write_text("127.0.0.1 localhost\n")
        del lan.answers["route"]
        advance(lan, loop, 10.5)
        assert lan.path("/etc/hosts").read_text() == wanted
        assert lan.answers["route"] == ["10.0.0.0/16 via 127.0.0.2 dev lan0"]
        keeper.close()
        assert lan.path("/etc/hosts").read_text() == wanted, "it stays while the service is started anew"
        undo(lan)
        assert lan.path("/etc/hosts").read_text() == "127.0.0.1 localhost\n"
        assert "route" not in lan.answers
        loop.close()


@pytest.mark.parametrize(
    ("addresses", "error"), [(["203.0.113.80"], 0), (["10.0.1.105", "8.8.8.8"], 0), ([], 5), ([], 0)]
)
def test_an_answer_that_does_not_lead_into_the_vpc_is_none(lan: Lan, addresses: list[str], error: int) -> None:
    with gateway_dns("127.0.0.2") as served:
        keeper, loop = kept(lan, "127.0.0.2", port=served.getsockname()[1])
        keeper.start()
        answer(served, *addresses, error=error)
        advance(lan, loop, 0.1)
        assert lan.path("/etc/hosts").read_text() == "127.0.0.1 localhost\n"
        assert "no answer" in keeper.state()
        keeper.close()
        loop.close()


def test_the_device_moves_to_the_second_gateway_and_back(lan: Lan) -> None:
    with gateway_dns("127.0.0.2") as first, gateway_dns("127.0.0.3", first.getsockname()[1]) as second:
        keeper, loop = kept(lan, "127.0.0.2", "127.0.0.3", port=first.getsockname()[1])
        keeper.start()
        for _second in range(12):
            answer(second, "10.0.1.106")
            advance(lan, loop, 5.0 if _second else 1.0)
            if keeper.gateway == IPv4Address("127.0.0.3"):
                break
        assert lan.answers["route"] == ["10.0.0.0/16 via 127.0.0.3 dev lan0"]
        assert f"10.0.1.106 {ENDPOINT}\n" in lan.path("/etc/hosts").read_text()
        drain(first)
        for _second in range(int(BACK_AFTER) + 10):
            advance(lan, loop, 1.0)
            for served, address in ((first, "10.0.1.105"), (second, "10.0.1.106")):
                served.setblocking(False)
                try:
                    answer(served, address)
                except BlockingIOError:
                    continue
        assert keeper.gateway == IPv4Address("127.0.0.2")
        assert lan.answers["route"] == ["10.0.0.0/16 via 127.0.0.2 dev lan0"]
        keeper.close()
        loop.close()


def test_without_the_lan_nobody_is_asked_and_the_route_waits(lan: Lan) -> None:
    lan.routes.clear()
    with gateway_dns("127.0.0.2") as served:
        keeper, loop = kept(lan, "127.0.0.2", port=served.getsockname()[1])
        keeper.start()
        advance(lan, loop, 3.0)
        assert drain(served) == 0
        assert "route: no network of this device has its address" in keeper.state()
        lan.routes[:] = [LOOPBACK]
        advance(lan, loop, 1.5)
        assert lan.answers["route"] == ["10.0.0.0/16 via 127.0.0.2 dev lan0"]
        assert "route:" not in keeper.state()
        keeper.close()
        loop.close()
