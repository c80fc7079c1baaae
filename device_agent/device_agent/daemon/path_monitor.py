"""Whether the private path is there: a route over the first hop, and the VPC's resolver answering behind it.

A dead tunnel looks alive from within: its interface and its routes stay until OpenVPN gives up; a gateway's tunnel
cannot be seen at all. So while nothing else comes from AWS IoT, one small DNS query goes over the hop now and then, and
at once when an answer is late: to the VPC's resolver, or to the gateway, which asks it. It is sent only where the route
leads over the hop. On a line whose queues are full the answer comes late and counts all
the same; how long is waited follows the answers seen.
"""

from __future__ import annotations

import logging
import selectors
import socket
from collections.abc import Callable
from dataclasses import dataclass

from device_agent.addresses import outside
from device_agent.daemon.loop import Loop
from device_agent.dns import DnsError, is_answer, read_answer, write_query
from device_agent.hop import conflicts
from device_agent.installation import Installation
from device_agent.routes import Route, describe_conflict
from device_agent.system import System
from device_agent.tcp import bind_to

LONGEST_ANSWER = 15.0
"""Seconds that are waited for a DNS answer at most, however late earlier ones came."""
LOOK_EVERY = 10.0
"""Seconds between looks at the route while the kernel tells of no change; a change is seen with the next tick."""
MOST_QUERIES = 16
"""Queries whose late answers still count."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitorOptions:
    """How closely the path is watched. All in seconds, but `losses`.

    Attributes:
        tick: Between looks at what has changed.
        probe_every: Between DNS queries while nothing else proves that the path is alive.
        answer_within: How long a DNS answer may take on a line that has not shown to be slower; else twice the time of
            the last one, or of the connection's round trip, `LONGEST_ANSWER` at most.
        losses: Unanswered queries in a row after which the path is dead.
        dns_port: The resolver's port.
    """

    tick: float = 1.0
    probe_every: float = 10.0
    answer_within: float = 0.9
    losses: int = 3
    dns_port: int = 53


class PathMonitor:
    """Watches the path. All calls on the loop's thread.

    Attributes:
        alive: Whether the path is there; None if the hop is there and nothing has come over it yet.
        reason: Why, in one line.
        route: The route over the hop, or None while there is none.
        conflict: Whether a route of another network covers the VPC's resolver: no restart of the tunnel helps.
        resolves: Whether the VPC's resolver itself last gave addresses of the endpoint, all inside the VPC.
        since: The wall clock at the last change of `alive`.
    """

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
            on_doubt: Called when the resolver is silent: AWS IoT should be asked over the connection, since the
                resolver alone may be down.
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
        self.route: Route | None = None
        self.conflict = False
        self.resolves = False
        self.since = system.now()
        self._seen = -float("inf")
        self._suspected = False
        self._lost = 0
        self._ever_answered = False
        self._answer_time = self._round_trip = 0.0
        self._socket: socket.socket | None = None
        self._queries: dict[bytes, tuple[bytes, float]] = {}
        self._sent_at = -float("inf")
        self._pending = False
        self._changes = system.route_changes()
        self._looked_at = -float("inf")

    @property
    def interface(self) -> str | None:
        """The interface that the hop is reached through, or None while no route leads over it."""
        return self.route.interface if self.route else None

    @property
    def tie(self) -> str | None:
        """The interface that connections are tied to, if the hop has one of its own."""
        return self._installation.hop.tie(self.route) if self.route else None

    @property
    def way(self) -> str | None:
        """The hop by its name, such as `tun0` or `the gateway 192.168.1.10`; None while no route leads over it."""
        return self._installation.hop.name(self.route) if self.route else None

    def start(self) -> None:
        """Begin to watch."""
        self._tick()

    def use(self, installation: Installation) -> None:
        """Watch the path of another installation."""
        self._installation = installation

    def evidence(self) -> None:
        """Take note that something came from AWS IoT just now."""
        self._seen = self._system.monotonic()
        self._suspected = False
        self._lost = 0
        if self.alive is False and self.route is not None:
            self._set_alive(alive=True, reason=f"through {self.way}, AWS IoT answers")

    def expect_answers_after(self, round_trip: float) -> None:
        """Take note of the connection's round trip in seconds: an answer comes as late through the same queues.

        It counts until an answer of the resolver tells anew.
        """
        self._round_trip = round_trip

    def suspect(self) -> None:
        """Look at once, since an answer is late."""
        if not self._suspected:
            self._suspected = True
            self._check()

    def usable(self) -> bool:
        """Tell whether a connection may be tried: the route leads over the hop, and nothing proves it dead."""
        self._look_at_route()
        return self.alive is not False

    def close(self) -> None:
        """Stop watching."""
        self._end_probe()
        self._changes.close()

    def _tick(self) -> None:
        self._check()
        self._loop.call_later(self._options.tick, self._tick)

    def _check(self) -> None:
        now = self._system.monotonic()
        if self._changes.happened() or self.route is None or now - self._looked_at >= LOOK_EVERY:
            self._look_at_route()
        if self.route is None:
            self._on_dead(self.reason)
            return
        if self._pending:
            if now - self._sent_at < self._answer_within():
                return
            # The socket stays open: an answer that comes later counts.
            self._pending = False
            self._lost += 1
            self._on_doubt()
            # Where the resolver has never answered, its silence says nothing.
            if self._lost >= self._options.losses and self._ever_answered and now - self._seen > self._silence():
                behind = f" behind {self.way}" if self._installation.gateways else ""
                self._set_alive(
                    alive=False, reason=f"the VPC's resolver {self._installation.dns_server}{behind} does not answer"
                )
        early = self._lost < self._options.losses
        urgent = self.alive is False or (early and (self._suspected or self._lost > 0 or self.alive is None))
        if urgent or now - max(self._sent_at, self._seen) >= self._options.probe_every:
            self._probe(self.route)
        if self.alive is False:
            self._on_dead(self.reason)

    def _answer_within(self) -> float:
        late = 2 * max(self._answer_time, self._round_trip)
        return min(max(self._options.answer_within, late), LONGEST_ANSWER)

    def _silence(self) -> float:
        return self._answer_within() * self._options.losses

    def _look_at_route(self) -> None:
        server, hop = self._installation.dns_server, self._installation.hop
        self._looked_at = self._system.monotonic()
        route = self._system.find_route(server)
        if route is not None and hop.takes(route):
            self.conflict = False
            before, self.route = self.route, route
            moved = before is not None and hop.changed(before, route)
            if before is None or moved:
                self._lost = 0
            if moved:
                self._end_probe()
                self._set_alive(alive=False, reason=f"the way is now {self.way}")
                self._on_dead(self.reason)
            # Another interface may be another tunnel: only an answer tells.
            if self.alive is False and (before is None or moved):
                self._set_alive(alive=None, reason=f"the {hop.kind} is up; no answer through it yet")
            return
        self.route = None
        self._end_probe()
        network = self._installation.vpc_cidr
        found = [item for item in conflicts(hop, self._system.list_routes(), network) if server in item.network]
        self.conflict = bool(found)
        if found:
            reason = f"{describe_conflict(found[0], network)}; give the home network or the VPC other addresses"
        elif route:
            reason = (
                f"the {hop.kind} is down: the route to {server} leads through {route.interface}, which is no {hop.kind}"
            )
        else:
            reason = f"the {hop.kind} is down: the route to {server} does not exist"
        self._set_alive(alive=False, reason=reason)

    def _set_alive(self, *, alive: bool | None, reason: str) -> None:
        changed = self.alive is not alive
        if changed or reason != self.reason:
            _log.log(logging.WARNING if alive is False else logging.INFO, "path: %s", reason)
        self.alive, self.reason = alive, reason
        if not changed:
            return
        self.since = self._system.now()
        if alive is not False:
            self._on_alive()

    # The probe: the endpoint's name is asked for; any answer proves the path

    def _probe(self, route: Route) -> None:
        self._sent_at = self._system.monotonic()
        try:
            if self._socket is None:
                self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
                bind_to(self._socket, route.interface)
                resolver = self._installation.hop.resolver(route, self._installation.dns_server)
                self._socket.connect((str(resolver), self._options.dns_port))
                self._loop.watch(self._socket, selectors.EVENT_READ, self._answered)
            query = write_query(self._installation.endpoint)
            if len(self._queries) >= MOST_QUERIES:
                del self._queries[next(iter(self._queries))]
            self._queries[query[:2]] = query, self._sent_at
            self._socket.send(query)
        except OSError:
            self._end_probe()
            self._lost += 1
            return
        self._pending = True

    def _answered(self, _events: int) -> None:
        if self._socket is None or self.route is None:
            return
        try:
            answer = self._socket.recv(2048)
        except OSError:
            self._end_probe()
            # Refused is as good as not answered.
            self._pending = True
            return
        query, sent_at = self._queries.get(answer[:2], (b"", 0.0))
        if not is_answer(answer, query):
            return
        try:
            addresses = read_answer(answer, query)
        except DnsError:
            addresses = []
        self.resolves = bool(addresses) and not outside(addresses, self._installation.vpc_cidr)
        if not self._installation.hop.proves(inside=self.resolves):
            return
        self._answer_time, self._round_trip = self._system.monotonic() - sent_at, 0.0
        self._end_probe()
        self._ever_answered = True
        self._lost = 0
        self._suspected = False
        self._set_alive(alive=True, reason=f"through {self.way}, the VPC's resolver answers")

    def _end_probe(self) -> None:
        self._pending = False
        if self._socket is not None:
            self._loop.unwatch(self._socket)
            self._socket.close()
            self._socket = None
            self._queries.clear()
