"""The tunnel's restarts, decided on OpenVPN's own word, with time moved by hand; its real word is in the path tier."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from device_agent.daemon.loop import Loop
from device_agent.daemon.management import CONNECTED, PAUSING, PROGRESSING, Management
from device_agent.daemon.tunnel import (
    APART,
    APART_AT_MOST,
    BEHIND_THE_TUNNEL,
    GRACE,
    HUNG,
    QUIET_AFTER,
    SILENT,
    Tunnel,
    TunnelState,
    needs_restart,
)
from device_agent.install.units import LONGEST_PAUSE
from device_agent.installation import MANAGEMENT_SOCKET
from device_agent.system import Completed
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.device_agent_daemon.machine import Machine, advance, make_machine

SECONDS = st.floats(0, 10_000)


@given(
    state=st.sampled_from(sorted(PROGRESSING)),
    state_for=st.floats(0, HUNG),
    silent_for=SECONDS,
    dead_for=SECONDS,
    interface=st.booleans(),
)
def test_a_handshake_that_goes_on_is_never_begun_anew(**known: Any) -> None:
    assert not needs_restart(TunnelState(**known))


@given(state=st.sampled_from([*sorted(PROGRESSING), CONNECTED, "WAIT"]), quiet=st.floats(5.01, HUNG), long=SECONDS)
def test_a_script_that_takes_its_time_is_waited_for(state: str, quiet: float, long: float) -> None:
    """OpenVPN says nothing while it runs one: neither a state nor a count of bytes."""
    tunnel = TunnelState(
        state=state, state_for=long, silent_for=long, unresponsive_for=quiet, dead_for=long, interface=True
    )
    assert not needs_restart(tunnel)


@given(quiet=st.floats(5.01, LONGEST_PAUSE + HUNG), long=SECONDS)
def test_a_pause_between_two_attempts_is_waited_for(quiet: float, long: float) -> None:
    assert not needs_restart(TunnelState(state=PAUSING, state_for=long, unresponsive_for=quiet, dead_for=long))


@given(dead_for=st.floats(0, BEHIND_THE_TUNNEL - 0.1), silent_for=st.floats(0, SILENT - 0.1))
def test_a_tunnel_that_carries_bytes_is_left_alone(dead_for: float, silent_for: float) -> None:
    assert not needs_restart(
        TunnelState(state=CONNECTED, silent_for=silent_for, dead_for=dead_for, state_for=dead_for, interface=True)
    )


@pytest.mark.parametrize(
    "tunnel",
    [
        TunnelState(state=CONNECTED, silent_for=SILENT, interface=True),
        TunnelState(state=CONNECTED, dead_for=BEHIND_THE_TUNNEL, interface=True),
        TunnelState(state="WAIT", unresponsive_for=HUNG + 1),
        TunnelState(state=PAUSING, unresponsive_for=LONGEST_PAUSE + HUNG + 1),
        TunnelState(state="GET_CONFIG", state_for=HUNG + 1),
        TunnelState(state="RESOLVE", state_for=GRACE, interface=True),
        TunnelState(state=None, interface=True),
        TunnelState(state=None, dead_for=GRACE),
        TunnelState(state=None, away_for=HUNG + 1, dead_for=HUNG + 1),
    ],
)
def test_where_only_a_restart_helps_there_is_one(tunnel: TunnelState) -> None:
    assert needs_restart(tunnel)


@given(state=st.sampled_from(["WAIT", "RESOLVE", "RECONNECTING", "CONNECTING", "TCP_CONNECT"]), long=SECONDS)
def test_a_search_for_a_server_that_is_away_is_openvpns_own_affair(state: str, long: float) -> None:
    assert not needs_restart(TunnelState(state=state, state_for=long, silent_for=long, dead_for=long))


@given(away_for=st.floats(0, HUNG), dead_for=SECONDS, interface=st.booleans())
def test_an_openvpn_that_ends_or_starts_has_its_time(away_for: float, dead_for: float, *, interface: bool) -> None:
    """Its script also runs when it ends: somebody's `systemctl restart` takes as long."""
    assert not needs_restart(TunnelState(state=None, away_for=away_for, dead_for=dead_for, interface=interface))


class RecordingLoop(Loop):
    """Keeps the moment of each restart, and does no work."""

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine)
        self.machine = machine
        self.restarts: list[float] = []
        self.result: object = Completed(0, "", "")

    def in_background(self, work: Callable[[], Any], done: Callable[[Any], None]) -> None:
        del work
        self.restarts.append(self.machine.monotonic())
        self.hand_over(lambda: done(self.result))


class OpenVpn:
    """OpenVPN's end of the management interface, word for word as 2.6 speaks."""

    def __init__(self, machine: Machine, loop: Loop) -> None:
        path = machine.path(MANAGEMENT_SOCKET)
        path.parent.mkdir(parents=True)
        self.listening = socket.socket(socket.AF_UNIX)
        self.listening.bind(str(path))
        self.listening.listen()
        self.loop = loop
        self.management = Management(machine, loop)
        self.management.look()
        self.connection = self.listening.accept()[0]
        self.connection.settimeout(5)
        self.say(">INFO:OpenVPN Management Interface Version 5 -- type 'help' for more info", "SUCCESS: verb=3")
        self.commands()

    def say(self, *lines: str) -> None:
        self.connection.sendall("".join(f"{line}\r\n" for line in lines).encode())
        self.loop.turn(0.5)

    def commands(self) -> list[str]:
        return self.connection.recv(4096).decode().splitlines()

    def close(self) -> None:
        self.management.close()
        self.connection.close()
        self.listening.close()


@pytest.fixture
def loop(tmp_path: Path) -> Iterator[RecordingLoop]:
    made = RecordingLoop(make_machine(tmp_path))
    yield made
    made.close()


@pytest.fixture
def openvpn(loop: RecordingLoop) -> Iterator[OpenVpn]:
    made = OpenVpn(loop.machine, loop)
    yield made
    made.close()


def test_openvpns_states_and_bytes_are_understood(openvpn: OpenVpn, loop: RecordingLoop) -> None:
    management = openvpn.management
    openvpn.say("SUCCESS: real-time state notification set to ON", "1795806830,GET_CONFIG,,,,,,", "END")
    assert management.state == "GET_CONFIG"
    loop.machine.pass_time(5)
    openvpn.say(">STATE:1795806835,CONNECTED,SUCCESS,172.31.0.2,203.0.113.7,443,,")
    assert (management.state, management.state_since) == (CONNECTED, loop.machine.monotonic())
    management.count_bytes(wanted=True)
    assert openvpn.commands() == ["bytecount 1"]
    openvpn.say(">BYTECOUNT:100,100")
    loop.machine.pass_time(1)
    openvpn.say(">BYTECOUNT:100,140")
    assert management.heard_at < loop.machine.monotonic()
    assert management.spoke_at == loop.machine.monotonic()
    openvpn.say(">BYTECOUNT:140,180")
    assert management.heard_at == loop.machine.monotonic()


def test_an_openvpn_that_ends_is_asked_again_when_it_is_back(openvpn: OpenVpn, loop: RecordingLoop) -> None:
    openvpn.say("1795806830,CONNECTED,SUCCESS,,,,,")
    openvpn.connection.close()
    loop.turn(0.5)
    assert openvpn.management.state is None
    assert openvpn.management.away_since == loop.machine.monotonic()
    openvpn.management.look()
    openvpn.connection = openvpn.listening.accept()[0]
    assert openvpn.commands() == ["state on", "state", "verb"]


@given(st.binary(max_size=3000))
def test_whatever_openvpn_says_the_agent_goes_on(junk: bytes) -> None:
    management = Management(Machine(), None)  # type: ignore[arg-type] # nothing is watched
    for line in junk.split(b"\n"):
        management._take(line.decode("ascii", "replace"))


def outage(tunnel: Tunnel, loop: RecordingLoop, seconds: int, interface: str | None) -> list[float]:
    loop.restarts.clear()
    start = loop.machine.monotonic()
    for _ in range(seconds):
        tunnel.path_is_dead("dead", interface=interface, public_name="iot.example")
        advance(loop.machine, loop, 1)
    return [moment - start for moment in loop.restarts]


def test_restarts_come_at_once_and_then_at_a_distance_that_doubles(loop: RecordingLoop) -> None:
    moments = outage(Tunnel(loop.machine, loop, Management(loop.machine, loop)), loop, 7200, "tun0")
    assert moments[0] == 0
    for number, (earlier, later) in enumerate(pairwise(moments)):
        apart = min(APART * 2**number, APART_AT_MOST)
        assert apart * 0.75 <= later - earlier <= apart * 1.25 + 1
    assert len(moments) < 20, "an hour's outage fills the journal"


def test_an_openvpn_that_cannot_be_asked_has_a_while_to_come_up_by_itself(loop: RecordingLoop) -> None:
    assert outage(Tunnel(loop.machine, loop, Management(loop.machine, loop)), loop, 12, None) == [GRACE]


def test_after_a_return_restarts_come_as_at_first(loop: RecordingLoop) -> None:
    tunnel = Tunnel(loop.machine, loop, Management(loop.machine, loop))
    outage(tunnel, loop, 1800, "tun0")
    tunnel.path_is_alive()
    advance(loop.machine, loop, APART_AT_MOST * 2)
    moments = outage(tunnel, loop, 60, "tun0")
    assert moments[0] == 0
    assert moments[1] <= APART * 1.25 + 1


def test_an_openvpn_that_is_blocked_is_not_a_silent_server(openvpn: OpenVpn, loop: RecordingLoop) -> None:
    """It takes the routes away, and then its script takes eight seconds: no count comes that would show silence."""
    tunnel = Tunnel(loop.machine, loop, openvpn.management)
    openvpn.say(">STATE:1,CONNECTED,SUCCESS,,,,,")
    assert outage(tunnel, loop, 8, None) == []
    for count in range(5):
        openvpn.say(f">BYTECOUNT:100,{count}")
        tunnel.path_is_dead("dead", interface="tun0", public_name="iot.example")
        advance(loop.machine, loop, 1)
    assert len(loop.restarts) == 1, "a server that is silent by OpenVPN's own count was not given up"


def test_a_long_outage_is_a_quiet_one_and_its_end_brings_the_log_back(openvpn: OpenVpn, loop: RecordingLoop) -> None:
    tunnel = Tunnel(loop.machine, loop, openvpn.management)
    openvpn.say(">STATE:1,WAIT,,,,,,")
    outage(tunnel, loop, int(QUIET_AFTER) + 5, None)
    assert openvpn.commands() == ["bytecount 1", "verb 0"]
    tunnel.path_is_alive()
    assert openvpn.commands() == ["bytecount 0", "verb 3"]


def test_an_openvpn_that_a_killed_agent_left_quiet_logs_again(openvpn: OpenVpn) -> None:
    openvpn.say("SUCCESS: verb=0")
    assert openvpn.commands() == ["verb 3"]


def test_an_openvpn_that_ends_in_a_quiet_outage_is_away_and_the_agent_goes_on(
    openvpn: OpenVpn, loop: RecordingLoop
) -> None:
    tunnel = Tunnel(loop.machine, loop, openvpn.management)
    openvpn.say(">STATE:1,WAIT,,,,,,")
    outage(tunnel, loop, int(QUIET_AFTER) + 5, None)
    openvpn.connection.close()
    advance(loop.machine, loop, 1)
    assert openvpn.management.state is None
    assert openvpn.management.away_since is not None


@pytest.mark.parametrize("online", [True, False])
def test_openvpns_pause_is_ended_only_while_the_home_network_is_there(
    openvpn: OpenVpn, loop: RecordingLoop, *, online: bool
) -> None:
    loop.result = ["203.0.113.7"] if online else OSError("Temporary failure in name resolution")
    tunnel = Tunnel(loop.machine, loop, openvpn.management)
    openvpn.say(">STATE:1,RECONNECTING,server_poll,,,,,")
    for _ in range(20):
        tunnel.path_is_dead("dead", interface=None, public_name="iot.example")
        advance(loop.machine, loop, 1)
        openvpn.say(">BYTECOUNT:0,0")
    assert ("signal SIGUSR1" in openvpn.commands()) is online


def test_a_restart_that_is_not_allowed_is_told_with_systemds_own_words(loop: RecordingLoop) -> None:
    tunnel = Tunnel(loop.machine, loop, Management(loop.machine, loop))
    loop.result = Completed(1, "", "Failed to restart: Interactive authentication required.\n")
    outage(tunnel, loop, 1, "tun0")
    assert tunnel.error is not None
    assert tunnel.error.endswith("cannot be restarted: Failed to restart: Interactive authentication required.")


def test_dns_is_set_anew_at_a_distance_that_doubles(loop: RecordingLoop) -> None:
    tunnel = Tunnel(loop.machine, loop, Management(loop.machine, loop))
    for _ in range(3600):
        tunnel.dns_is_wrong("10.0.0.2 answers rightly, but the system's resolver does not")
        advance(loop.machine, loop, 1)
    assert loop.restarts[0] == 1000.0
    assert 5 <= len(loop.restarts) <= 12
