"""Keeps a device on its gateway: the route to the VPC, the endpoint's name, and of several gateways one that answers.

The service's loop. It listens to the kernel's word of links and routes, so that a route which a DHCP client or
NetworkManager has flushed is back at once, and looks at /etc/hosts each second. Each gateway is asked for the
endpoint's name now and then: its DNS has no cache, so that an answer comes through its tunnel. The name leads to what
the gateway in use has last answered, as long as all of that is in the VPC.
"""

from __future__ import annotations

import errno
import logging
import selectors
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from ipaddress import IPv4Address

from device_agent._exceptions import DeviceAgentError
from device_agent.addresses import outside
from device_agent.daemon.loop import Loop
from device_agent.dns import PORT, DnsError, is_answer, read_answer, write_query
from device_agent.files import WantedFile, write_file
from device_agent.installation import HOSTS_FILE, Installation
from device_agent.neighbour.choice import Health, choose
from device_agent.neighbour.hosts_file import with_block, without_block
from device_agent.neighbour.lan import on_link
from device_agent.routes import Route
from device_agent.system import System
from device_agent.tcp import bind_to

TICK = 1.0
"""Seconds between looks at the file, and between questions while one is unanswered."""
ASK_EVERY = 5.0
"""Seconds between questions to a gateway that answers."""
LOOK_EVERY = 10.0
"""Seconds between looks at the route while the kernel tells of no change."""
MOST_QUERIES = 16
_NO_LINK = "no network of this device has its address"

_log = logging.getLogger(__name__)


class Gateway:
    """One gateway, asked over a socket that stays open, so that late answers count."""

    def __init__(self, system: System, loop: Loop, address: IPv4Address, installation: Installation, port: int) -> None:
        self.address = address
        self.health = Health()
        self.addresses: list[str] = []
        self._system, self._loop, self._installation, self._port = system, loop, installation, port
        self._socket: socket.socket | None = None
        self._queries: dict[bytes, tuple[bytes, float]] = {}
        self._asked_at = -float("inf")
        self._interface = ""

    def ask(self, link: Route | None, on_answer: Callable[[], None]) -> None:
        """Ask for the endpoint's name over the LAN's link if it is time."""
        now = self._system.monotonic()
        if now - self._asked_at < (ASK_EVERY if self.health.unanswered_since is None else TICK) - TICK / 10:
            return
        self._asked_at = now
        self.health.asked(now)
        if link is None or link.interface != self._interface:
            self.close()
        if link is None:
            self.health.failed(_NO_LINK)
            return
        try:
            if self._socket is None:
                self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
                bind_to(self._socket, link.interface)
                self._interface = link.interface
                self._socket.connect((str(self.address), self._port))
                self._loop.watch(self._socket, selectors.EVENT_READ, lambda _events: self._read(on_answer))
            query = write_query(self._installation.endpoint)
            if len(self._queries) >= MOST_QUERIES:
                del self._queries[next(iter(self._queries))]
            self._queries[query[:2]] = query, now
            self._socket.send(query)
        except OSError as error:
            self._fail(error)

    def _read(self, on_answer: Callable[[], None]) -> None:
        if self._socket is None:
            return
        try:
            answer = self._socket.recv(2048)
        except OSError as error:
            self._fail(error)
            return
        query, asked_at = self._queries.get(answer[:2], (b"", 0.0))
        if not is_answer(answer, query):
            return
        del self._queries[answer[:2]]
        try:
            addresses = read_answer(answer, query)
        except DnsError as error:
            self.health.failed(str(error))
            return
        foreign = outside(addresses, self._installation.vpc_cidr)
        if foreign or not addresses:
            self.health.failed(f"it says {', '.join(foreign) or 'nothing'}, outside {self._installation.vpc_cidr}")
            return
        now = self._system.monotonic()
        self.health.answered(now, now - asked_at)
        self.addresses = sorted(addresses)
        on_answer()

    def _fail(self, error: OSError) -> None:
        self.health.failed(error.strerror or str(error))
        self.close()

    def close(self) -> None:
        """Give the socket back; the next question opens another, of the addresses and routes of then."""
        if self._socket is not None:
            self._loop.unwatch(self._socket)
            self._socket.close()
            self._socket = None
        self._queries.clear()


class Keeper:
    """Keeps route and name. All calls on the loop's thread."""

    def __init__(
        self,
        system: System,
        loop: Loop,
        installation: Installation,
        *,
        on_state: Callable[[str], None] = lambda _state: None,
        dns_port: int = PORT,
    ) -> None:
        """Prepare; `start` begins.

        Args:
            system: The machine.
            loop: The loop.
            installation: The device, with its gateways.
            on_state: Called each second with how it is, in one line.
            dns_port: The gateways' DNS port.
        """
        self._system = system
        self._loop = loop
        self._installation = installation
        self._on_state = on_state
        self._gateways = [Gateway(system, loop, address, installation, dns_port) for address in installation.gateways]
        self._current = 0
        self._changes = system.route_changes()
        self._trouble: dict[str, str] = {}
        self._looked_at = -float("inf")

    @property
    def gateway(self) -> IPv4Address:
        """The gateway that is gone through."""
        return self._gateways[self._current].address

    def start(self) -> None:
        """Set the route, and keep everything from now on."""
        with self._reporting("old routes"):
            self._system.remove_own_routes(self._installation.vpc_cidr)
        if self._changes.fileno() >= 0:
            self._loop.watch(self._changes, selectors.EVENT_READ, lambda _events: self._routes_changed())
        self._keep_route()
        self._tick()

    def close(self) -> None:
        """Stop; route and name stay."""
        for gateway in self._gateways:
            gateway.close()
        self._changes.close()

    def _routes_changed(self) -> None:
        if self._changes.happened():
            self._keep_route()

    def _tick(self) -> None:
        routes = self._system.list_routes()
        for gateway in self._gateways:
            gateway.ask(on_link(gateway.address, routes), self._keep_name)
        chosen = choose(self._current, [gateway.health for gateway in self._gateways], self._system.monotonic())
        if chosen != self._current:
            before, self._current = self.gateway, chosen
            _log.warning("from %s to the gateway %s", before, self.gateway)
            self._keep_route()
        elif self._trouble or self._system.monotonic() - self._looked_at >= LOOK_EVERY:
            self._keep_route()
        self._keep_name()
        self._on_state(self.state())
        self._loop.call_later(TICK, self._tick)

    def state(self) -> str:
        """Say how it is."""
        health = self._gateways[self._current].health
        silent = f"; no answer for {health.waits(self._system.monotonic()):.0f} s {health.reason}".rstrip()
        troubles = [f"; {what}: {why}" for what, why in self._trouble.items()]
        return f"through {self.gateway}{'' if health.answering_since is not None else silent}{''.join(troubles)}"

    def _keep_route(self) -> None:
        self._looked_at = self._system.monotonic()
        link = on_link(self.gateway, self._system.list_routes())
        with self._reporting("route"):
            if link is None:
                raise OSError(errno.ENETUNREACH, _NO_LINK)
            # Setting what is there already changes nothing, and the kernel tells of nothing.
            self._system.set_route(self._installation.vpc_cidr, self.gateway, link.interface)

    def _keep_name(self) -> None:
        addresses = self._gateways[self._current].addresses
        if not addresses:
            return
        with self._reporting(HOSTS_FILE):
            set_name(self._system, self._installation.endpoint, addresses)

    @contextmanager
    def _reporting(self, what: str) -> Iterator[None]:
        """Note what fails, and log it once; the next turn tries again."""
        try:
            yield
        except (OSError, DeviceAgentError) as error:
            text = (error.strerror if isinstance(error, OSError) else None) or str(error)
            if self._trouble.get(what) != text:
                _log.warning("%s: %s", what, text)
            self._trouble[what] = text
        else:
            self._trouble.pop(what, None)


def set_name(system: System, name: str, addresses: list[str]) -> None:
    """Let the endpoint's name lead to addresses, for every program of the device.

    Raises:
        DeviceAgentError: The file cannot be read or written; the old one is untouched.
    """
    _edit(system, lambda text: with_block(text, name, addresses))


def undo(system: System) -> None:
    """Take route and name back.

    Raises:
        OSError: The kernel refuses.
        DeviceAgentError: The file cannot be read or written.
    """
    system.remove_own_routes()
    _edit(system, without_block)


def _edit(system: System, change: Callable[[str], str]) -> None:
    path = system.path(HOSTS_FILE)
    text, mode = "", 0o644
    with suppress(FileNotFoundError):
        # Whatever others have written there is kept, byte for byte.
        text, mode = path.read_text("utf-8", "surrogateescape"), path.stat().st_mode & 0o777
    wanted = change(text)
    if wanted != text:
        write_file(system, HOSTS_FILE, WantedFile(content=wanted.encode("utf-8", "surrogateescape"), mode=mode))
