"""Whether the private path is there: a route through the tunnel, and the VPC's resolver answering behind it.

A dead tunnel looks alive from within: its interface and its routes stay until OpenVPN gives up, which takes a minute.
So while AWS IoT itself is silent, one small DNS query goes through the tunnel now and then, and at once when a PUBACK
is late. It is sent only where the route leads through the tunnel.
"""

from __future__ import annotations

import logging
import os
import selectors
import socket
from collections.abc import Callable
from dataclasses import dataclass

from device_agent.daemon.binding import bind_to
from device_agent.daemon.loop import Loop
from device_agent.installation import Installation
from device_agent.routes import route_to
from device_agent.system import System

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitorOptions:
    """How closely the path is watched. All in seconds, but `losses`.

    Attributes:
        tick: Between looks at the route.
        probe_every: Between DNS queries while nothing else proves that the path is alive.
        answer_within: How long a DNS answer may take.
        losses: Unanswered queries in a row after which the path is dead.
        dns_port: The resolver's port.
    """

    tick: float = 1.0
    probe_every: float = 10.0
    answer_within: float = 0.9
    losses: int = 3
    dns_port: int = 53


class PathMonitor:
    """Watches the path. All calls on the loop's thread."""

    def __init__(
        self,
        system: System,
        loop: Loop,
        installation: Installation,
        options: MonitorOptions | None = None,
        *,
        on_alive: Callable[[], None],
        on_dead: Callable[[str], None],
        on_doubt: Callable[[], None] = lambda: None,
    ) -> None:
        """Prepare; `start` begins.

        Args:
            system: The clock and the routing table.
            loop: The loop.
            installation: The resolver and the endpoint's name.
            options: How closely to watch.
            on_alive: Called when a path that was dead is found alive, or may be: `alive` tells.
            on_dead: Called with the reason at each tick while the path is dead.
            on_doubt: Called at each tick while the resolver is silent: AWS IoT should be asked over the connection,
                since the resolver alone may be down.
        """
        self._system = system
        self._loop = loop
        self._installation = installation
        self._options = options or MonitorOptions()
        self._on_alive = on_alive
        self._on_dead = on_dead
        self._on_doubt = on_doubt
        self.alive: bool | None = None
        self.reason = "not looked at yet"
        self.interface: str | None = None
        self.since = system.now()
        self._seen = -float("inf")
        self._suspected = False
        self._lost = 0
        self._ever_answered = False
        self._socket: socket.socket | None = None
        self._query_id = b""
        self._sent_at = -float("inf")

    def start(self) -> None:
        """Begin to watch."""
        self._tick()

    def use(self, installation: Installation) -> None:
        """Watch the path of another installation."""
        self._installation = installation

    def evidence(self) -> None:
        """Take note that AWS IoT answered just now."""
        self._seen = self._system.monotonic()
        self._suspected = False
        self._lost = 0

    def suspect(self) -> None:
        """Look at once, since an answer is late."""
        if not self._suspected:
            self._suspected = True
            self._check()

    def usable(self) -> bool:
        """Tell whether a connection may be tried: the route leads through the tunnel, and nothing proves it dead."""
        self._look_at_route()
        return self.alive is not False

    def close(self) -> None:
        """Stop watching."""
        self._end_probe()

    def _tick(self) -> None:
        self._check()
        self._loop.call_later(self._options.tick, self._tick)

    def _check(self) -> None:
        self._look_at_route()
        if self.interface is None:
            self._on_dead(self.reason)
            return
        now = self._system.monotonic()
        if self._socket is not None:
            if now - self._sent_at < self._options.answer_within:
                return
            self._end_probe()
            self._lost += 1
            self._on_doubt()
            # Where the resolver has never answered, its silence says nothing.
            if self._lost >= self._options.losses and self._ever_answered and now - self._seen > self._silence():
                self._set_alive(
                    alive=False, reason=f"the VPC's resolver {self._installation.dns_server} does not answer"
                )
        early = self._lost < self._options.losses
        urgent = self.alive is False or (early and (self._suspected or self._lost > 0 or self.alive is None))
        if urgent or now - max(self._sent_at, self._seen) >= self._options.probe_every:
            self._probe(self.interface)
        if self.alive is False:
            self._on_dead(self.reason)

    def _silence(self) -> float:
        return self._options.answer_within * self._options.losses

    def _look_at_route(self) -> None:
        route = route_to(self._system, self._installation.dns_server)
        if route is not None and route.tunnel:
            if self.interface is None:
                self.interface = route.interface
                self._lost = 0
                # Another interface may be another tunnel: only an answer tells.
                if self.alive is False:
                    self._set_alive(alive=None, reason="the tunnel is up; no answer through it yet")
            return
        self.interface = None
        self._end_probe()
        where = f"leads through {route.interface}, which is no tunnel" if route else "does not exist"
        self._set_alive(alive=False, reason=f"the tunnel is down: the route to {self._installation.dns_server} {where}")

    def _set_alive(self, *, alive: bool | None, reason: str) -> None:
        changed = self.alive is not alive
        self.alive, self.reason = alive, reason
        if not changed:
            return
        self.since = self._system.now()
        _log.log(logging.WARNING if alive is False else logging.INFO, "path: %s", reason)
        if alive is not False:
            self._on_alive()

    # The probe: one DNS query (RFC 1035, section 4), of which only the answer's identity matters

    def _probe(self, interface: str) -> None:
        self._sent_at = self._system.monotonic()
        self._query_id = os.urandom(2)
        probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            bind_to(probe, interface)
            probe.connect((str(self._installation.dns_server), self._options.dns_port))
            probe.send(dns_query(self._installation.endpoint, self._query_id))
        except OSError:
            probe.close()
            self._lost += 1
            return
        self._socket = probe
        self._loop.watch(probe, selectors.EVENT_READ, self._answered)

    def _answered(self, _events: int) -> None:
        if self._socket is None:
            return
        try:
            answer = self._socket.recv(512)
        except OSError:
            self._end_probe()
            return
        if answer[:2] != self._query_id or len(answer) < 12 or not answer[2] & 0x80:
            return
        self._end_probe()
        self._ever_answered = True
        self._lost = 0
        self._suspected = False
        self._set_alive(alive=True, reason=f"through {self.interface}, the VPC's resolver answers")

    def _end_probe(self) -> None:
        if self._socket is not None:
            self._loop.unwatch(self._socket)
            self._socket.close()
            self._socket = None


def dns_query(name: str, query_id: bytes) -> bytes:
    """Write a query for a name's A records.

    Args:
        name: The name.
        query_id: Two bytes.

    Returns:
        The packet: one question, recursion desired.
    """
    labels = b"".join(bytes([len(label)]) + label.encode("ascii") for label in name.rstrip(".").split("."))
    return query_id + bytes.fromhex("01000001000000000000") + labels + bytes.fromhex("0000010001")
