"""Helping the tunnel back: restarting OpenVPN where it does not know that it is dead, or cannot get on by itself.

OpenVPN is asked what it is at (`Management`): a handshake that goes on, a resolver script that takes its time on a
loaded device, or a search for a server that is away are left alone, since a restart would only begin them anew. The
agent's user may restart this one unit by a polkit rule that `device-agent install` writes. Restarts keep a distance
that doubles, with a random part, so that a thousand devices do not return in step.
"""

from __future__ import annotations

import logging
import random
from dataclasses import dataclass
from typing import Protocol

from device_agent.daemon.loop import Loop
from device_agent.daemon.management import CONNECTED, PAUSING, PROGRESSING, Management
from device_agent.install.units import LONGEST_PAUSE
from device_agent.installation import OPENVPN_SERVICE
from device_agent.system import Completed, System

GRACE = 10.0
"""Seconds that OpenVPN has to get on by itself once it knows."""
SILENT = 3.0
"""Seconds without a byte from the server, which sends a ping every second, after which the tunnel itself is dead."""
BEHIND_THE_TUNNEL = 60.0
"""Seconds of a dead path after which even a tunnel is restarted that the server's bytes come through."""
UNRESPONSIVE = 5.0
"""Seconds without a word after which OpenVPN runs a script, or hangs."""
HUNG = 90.0
"""Seconds after which it hangs, and an unfinished handshake is given up."""
APART, APART_AT_MOST = 20.0, 600.0
"""Seconds between the first two restarts of an outage, doubled with each, give or take a quarter."""
DNS_APART = 60.0
"""The same where only the system's resolver is wrong."""
QUIET_AFTER = 60.0
"""Seconds of an outage after which OpenVPN logs next to nothing."""
PAUSE, PAUSE_LATER, LATER = 8.0, 20.0, 900.0
"""Seconds that OpenVPN may pause between two attempts while the home network reaches the internet, at first and after
`LATER` seconds of an outage; its own pauses grow to two minutes."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class TunnelState:
    """What is known of OpenVPN and of a path that is dead. All but the first and last in seconds.

    Attributes:
        state: OpenVPN's own word; None if it cannot be asked.
        state_for: How long it has been in that state.
        silent_for: How long no byte had come from the server when OpenVPN last gave their count.
        unresponsive_for: How long OpenVPN has said nothing.
        away_for: How long an OpenVPN has been away that could be asked before; None if it never could.
        dead_for: How long the path has been dead.
        interface: Whether the tunnel's interface, with its routes and its DNS, is there.
    """

    state: str | None
    state_for: float = 0.0
    silent_for: float = 0.0
    unresponsive_for: float = 0.0
    away_for: float | None = None
    dead_for: float = 0.0
    interface: bool = False


def needs_restart(tunnel: TunnelState) -> bool:
    """Tell whether only a restart helps a dead path. Pure."""
    if tunnel.state is None and tunnel.away_for is not None:
        # It ends, with the resolver's script, or systemd starts it again.
        return tunnel.away_for > HUNG
    if tunnel.state is None:
        return tunnel.interface or tunnel.dead_for >= GRACE
    if tunnel.unresponsive_for > UNRESPONSIVE:
        return tunnel.unresponsive_for > HUNG + (LONGEST_PAUSE if tunnel.state == PAUSING else 0)
    if tunnel.state == CONNECTED:
        return tunnel.silent_for >= SILENT or tunnel.dead_for >= BEHIND_THE_TUNNEL
    if tunnel.state in PROGRESSING:
        return tunnel.state_for > HUNG
    # It searches for its server. The routes and the DNS of the tunnel that is dead may be what keeps it from that.
    return tunnel.interface and tunnel.state_for >= GRACE


class HopCare(Protocol):
    """What the daemon does for the first hop. All calls on the loop's thread."""

    restarts: int
    error: str | None

    @property
    def state(self) -> str | None:
        """OpenVPN's own word, if there is one."""

    def look(self) -> None:
        """See how it is. To be called every second."""

    def doubt(self) -> None:
        """Take note that nothing has come for a while."""

    def path_is_dead(self, reason: str, *, interface: str | None, public_name: str) -> None:
        """Do what helps."""

    def path_is_alive(self) -> None:
        """Take note that the path is there."""

    def dns_is_wrong(self, reason: str) -> None:
        """Have the name of the endpoint lead to the VPC again."""

    def dns_is_right(self) -> None:
        """Take note that it does."""

    def close(self) -> None:
        """Give the system's resources back."""


class KeptGateway:
    """A gateway needs no help: the service that keeps the device on it puts back what is lost."""

    restarts = 0
    error: str | None = None
    state: str | None = None

    def look(self) -> None: ...
    def doubt(self) -> None: ...
    def path_is_dead(self, reason: str, *, interface: str | None, public_name: str) -> None: ...
    def path_is_alive(self) -> None: ...
    def dns_is_wrong(self, reason: str) -> None: ...
    def dns_is_right(self) -> None: ...
    def close(self) -> None: ...


class Tunnel:
    """Restarts the tunnel, but not too often. All calls on the loop's thread."""

    def __init__(self, system: System, loop: Loop, management: Management) -> None:
        """Prepare.

        Args:
            system: The machine.
            loop: The loop.
            management: OpenVPN's own word.
        """
        self._system = system
        self._loop = loop
        self._management = management
        self._dead_since: float | None = None
        self._in_a_row = 0
        self._dns_in_a_row = 0
        self._not_before = -float("inf")
        self._running = False
        self._resolving = False
        self.restarts = 0
        self.error: str | None = None

    @property
    def state(self) -> str | None:
        """OpenVPN's own word."""
        return self._management.state

    def look(self) -> None:
        """Ask OpenVPN what it is at."""
        self._management.look()

    def doubt(self) -> None:
        """Have the bytes counted that come from the server."""
        self._management.count_bytes(wanted=True)

    def close(self) -> None:
        """Ask no longer."""
        self._management.close()

    def path_is_dead(self, reason: str, *, interface: str | None, public_name: str) -> None:
        """Do what helps. Called again and again while the path is dead.

        Args:
            reason: Why it is dead.
            interface: The tunnel's interface, if there is one.
            public_name: A name that the home network's resolver knows while it reaches the internet.
        """
        now, management = self._system.monotonic(), self._management
        if self._dead_since is None:
            self._dead_since = now
        management.count_bytes(wanted=True)
        dead_for = now - self._dead_since
        tunnel = TunnelState(
            state=management.state,
            state_for=now - management.state_since,
            silent_for=management.spoke_at - management.heard_at,
            unresponsive_for=now - management.spoke_at,
            away_for=None if management.away_since is None else now - management.away_since,
            dead_for=dead_for,
            interface=interface is not None,
        )
        if needs_restart(tunnel):
            self._in_a_row += self._restart(reason, APART * 2**self._in_a_row)
        if management.state not in (None, CONNECTED):
            management.be_quiet(wanted=dead_for >= QUIET_AFTER)
            pause = PAUSE if dead_for < LATER else PAUSE_LATER
            if management.state == PAUSING and tunnel.state_for >= pause:
                self._retry_if_online(public_name)

    def path_is_alive(self) -> None:
        """Take note that the path is there."""
        if self._dead_since is not None:
            self._dead_since = None
            self._in_a_row = 0
            self._management.count_bytes(wanted=False)
            self._management.be_quiet(wanted=False)

    def dns_is_wrong(self, reason: str) -> None:
        """Have the system's resolver settings made anew, as OpenVPN's script does when the tunnel comes up."""
        self._dns_in_a_row += self._restart(reason, DNS_APART * 2**self._dns_in_a_row)

    def dns_is_right(self) -> None:
        """Take note that the system's resolver gives the VPC's answer."""
        self._dns_in_a_row = 0

    def _restart(self, reason: str, apart: float) -> bool:
        now = self._system.monotonic()
        if self._running or now < self._not_before:
            return False
        self._not_before = now + min(apart, APART_AT_MOST) * random.uniform(0.75, 1.25)  # noqa: S311 - no secret
        self._running = True
        self.restarts += 1
        _log.warning("restarting %s: %s", OPENVPN_SERVICE, reason)
        self._loop.in_background(
            lambda: self._system.run(["systemctl", "restart", OPENVPN_SERVICE], timeout=60), self._done
        )
        return True

    def _retry_if_online(self, name: str) -> None:
        """End OpenVPN's pause if the home network reaches the internet: DNS tells, without a line in any log."""
        if self._resolving:
            return
        self._resolving = True

        def resolved(result: object) -> None:
            self._resolving = False
            if not isinstance(result, Exception) and self._management.state == PAUSING:
                self._management.retry()

        self._loop.in_background(lambda: self._system.resolve(name), resolved)

    def _done(self, result: Completed) -> None:
        self._running = False
        if result.returncode == 0:
            self.error = None
            return
        words = (result.stderr or result.stdout).strip().splitlines()
        error = f"{OPENVPN_SERVICE} cannot be restarted: {words[-1] if words else f'exit code {result.returncode}'}"
        if error != self.error:
            _log.error("%s", error)
        self.error = error
