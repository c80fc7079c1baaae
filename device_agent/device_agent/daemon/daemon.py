"""`device-agent run`: the queue, the connection, the local socket and what watches over them, on one loop."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

from device_agent.client import AGENT_SOCKET
from device_agent.daemon.access import Access, GroupTopics
from device_agent.daemon.certificate_delivery import CertificateDelivery
from device_agent.daemon.certificate_watch import CertificateWatch
from device_agent.daemon.connection import SESSION_EXPIRY, Connection
from device_agent.daemon.delivery import Delivery, DeliveryOptions
from device_agent.daemon.local_requests import LocalRequests
from device_agent.daemon.local_socket import MAX_BUFFERED, LocalSocket
from device_agent.daemon.loop import Loop
from device_agent.daemon.management import Management
from device_agent.daemon.notify import Notifier
from device_agent.daemon.path_monitor import MonitorOptions, PathMonitor
from device_agent.daemon.queue import Queue
from device_agent.daemon.tunnel import HopCare, KeptGateway, Tunnel
from device_agent.installation import QUEUE_FILE, Installation
from device_agent.local_broker.bridge import LocalBroker
from device_agent.local_broker.client import build_local_client
from device_agent.local_broker.session import KnownFilters
from device_agent.local_broker.topic_maps import read_maps
from device_agent.messages import Limits
from device_agent.mqtt import PORT
from device_agent.settings import MqttSettings
from device_agent.system import System

FLUSH = 5.0
GOODBYE = 3.0
"""Seconds, when told to end, for what is in flight and for the goodbye; systemd waits 30."""
TELL_EVERY = 5.0
"""Seconds between the lines that `systemctl status` shows."""
LATE = 2.0
"""Seconds without PUBACK after which the path is looked at."""
RESTART_AFTER_FAILURES = 3
"""Failed attempts in a row after which the tunnel is restarted though nothing proves it dead."""
DNS_WRONG_AFTER = 2
"""Attempts in a row for which the system's resolver led elsewhere, though the VPC's own answers rightly, after which
the tunnel is restarted: OpenVPN's script then sets the resolver anew."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What can be set for `run`.

    Attributes:
        limits: How much the queue keeps.
        delivery: How messages are sent.
        monitor: How closely the path is watched.
        port: AWS IoT's port, 8883 or 443.
        groups: Which topics local programs may use, by the name of a Unix group; without any, all of the device's.
        max_buffered: Bytes to hold for all local programs together, besides the queue.
        session_expiry: Seconds that AWS IoT keeps what comes in for persistent subscriptions while the device is
            offline.
        mqtt: The broker on this device, and which of its topics are which.
    """

    limits: Limits = field(default_factory=Limits)
    delivery: DeliveryOptions = field(default_factory=DeliveryOptions)
    monitor: MonitorOptions = field(default_factory=MonitorOptions)
    port: int = PORT
    groups: Mapping[str, GroupTopics] = field(default_factory=dict)
    max_buffered: int = MAX_BUFFERED
    session_expiry: int = SESSION_EXPIRY
    mqtt: MqttSettings = field(default_factory=MqttSettings)


class Daemon:
    """Everything that `run` runs."""

    def __init__(self, system: System, options: Options | None = None, notifier: Notifier | None = None) -> None:
        """Read the installation, and open the queue and the socket.

        Args:
            system: The machine.
            options: Limits and the like.
            notifier: Talks to systemd.

        Raises:
            DeviceAgentError: Nothing usable is installed, another agent runs, or the socket cannot be made.
        """
        options = options or Options()
        self._system = system
        self._notifier = notifier or Notifier()
        self._installation = Installation.load(system)
        self._started = system.now()
        self._stopping = False
        self.loop = Loop(system)
        self._queue = Queue(
            system,
            system.path(QUEUE_FILE),
            options.limits,
            on_added=lambda: self.loop.hand_over(self._delivery.pump),
            on_restored=lambda: self.loop.hand_over(self._delivery.read_again),
        )
        hop = self._installation.hop
        self._hop: HopCare = KeptGateway() if hop.gateways else Tunnel(system, self.loop, Management(system, self.loop))
        self._monitor = PathMonitor(
            system,
            self.loop,
            self._installation,
            options.monitor,
            on_alive=self._path_is_alive,
            on_dead=self._path_is_dead,
            on_doubt=self._doubt,
        )
        self._delivery = Delivery(system, self.loop, self._queue, options.delivery)
        self._connection = Connection(
            system,
            self.loop,
            self._installation,
            self._monitor,
            self._delivery,
            queue_id=lambda: self._queue.queue_id,
            on_message=self._received,
            on_subscribed=self._subscribed,
            more_status=self._more_status,
            port=options.port,
            session_expiry=options.session_expiry,
        )
        try:
            access = Access(options.groups, self._installation.topic_prefix)
            self._warnings = access.warnings
            for warning in access.warnings:
                _log.warning("%s", warning)
            self._requests = LocalRequests(
                self.loop,
                self._queue,
                self._connection,
                access,
                prefix=self._installation.topic_prefix,
                status=self.status,
            )
            self._socket = LocalSocket(
                self.loop,
                system.path(AGENT_SOCKET),
                self._requests.handle,
                self._requests.left,
                max_buffered=options.max_buffered,
            )
            self._local_broker = self._make_local_broker(options.mqtt)
        except BaseException:
            self._queue.close()
            raise
        self._certificates = CertificateWatch(system, self.loop, self._installation)
        self._certificate_delivery = CertificateDelivery(
            system,
            self.loop,
            self._installation.topic_prefix,
            self._connection.say_online,
            # Without a tunnel there is no certificate of the VPN to deliver.
            wanted=not hop.gateways,
        )

    def _make_local_broker(self, settings: MqttSettings) -> LocalBroker | None:
        maps = read_maps(settings.publish, settings.subscribe, self._installation.topic_prefix)
        known = KnownFilters(self._system)
        if not settings.wanted and not known.subscribe:
            return None
        return LocalBroker(
            self._system,
            self.loop,
            self._queue,
            self._requests.persistent,
            maps=maps,
            known=known,
            build=partial(build_local_client, self._system, settings),
        )

    def run(self) -> None:
        """Run until SIGTERM or SIGINT; end in order."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda _number, _frame: self.loop.hand_over(self._stop))
        self._monitor.start()
        self._connection.start()
        self._certificates.start()
        self._certificate_delivery.start()
        if self._certificate_delivery.topic:
            self._connection.subscribe(self._certificate_delivery.topic)
        if self._local_broker is not None:
            self._local_broker.start()
        self._second()
        self._tell()
        if self._notifier.watchdog is not None:
            self._watchdog(self._notifier.watchdog)
        self._notifier.ready()
        try:
            self.loop.run()
        finally:
            self._socket.close()
            self._monitor.close()
            self._hop.close()
            self._queue.close()
            self.loop.close()
            self._notifier.close()

    # The path

    def _path_is_alive(self) -> None:
        if self._monitor.alive:
            self._hop.path_is_alive()
        self._connection.path_is_alive()

    def _path_is_dead(self, reason: str) -> None:
        self._connection.path_is_dead(reason)
        self._help_hop(reason)

    def _help_hop(self, reason: str) -> None:
        # No restart moves a route of another network.
        if not self._stopping and not self._monitor.conflict:
            self._hop.path_is_dead(reason, interface=self._monitor.interface, public_name=self._installation.endpoint)

    def _doubt(self) -> None:
        self._hop.doubt()
        self._connection.ping()

    def _second(self) -> None:
        self._hop.look()
        self._connection.look()
        if self._delivery.oldest() > LATE:
            self._monitor.suspect()
            self._connection.ping()
        if self._monitor.alive is None and self._connection.failures >= RESTART_AFTER_FAILURES:
            self._help_hop("no connection, and nothing proves the path")
        if self._connection.wrong_addresses == 0:
            self._hop.dns_is_right()
        elif (
            self._connection.wrong_addresses >= DNS_WRONG_AFTER
            and self._monitor.alive
            and self._monitor.resolves
            and not self._stopping
        ):
            self._hop.dns_is_wrong(
                f"{self._installation.dns_server} answers rightly, but the system's resolver does not"
            )
        self.loop.call_later(1.0, self._second)

    def _tell(self) -> None:
        self._notifier.status(self._line())
        self.loop.call_later(TELL_EVERY, self._tell)

    # Local programs

    def _received(
        self, topic: str, payload: bytes, properties: dict[str, str], acknowledge: Callable[[], None]
    ) -> None:
        if topic == self._certificate_delivery.topic:
            self._certificate_delivery.received(payload)
        self._requests.received(topic, payload, properties, acknowledge)

    def _subscribed(self, topic_filter: str, refusal: str | None) -> None:
        self._requests.subscribed(topic_filter, refusal)

    # How it is

    def _more_status(self) -> dict[str, Any]:
        return self._certificate_delivery.status()

    def status(self) -> dict[str, Any]:
        """Say how everything is.

        Returns:
            What `device-agent status --json` prints.
        """
        totals, connection, installation = self._queue.totals(), self._connection, self._installation
        counters = totals.counters
        return {
            "device": installation.name,
            "startedAt": _iso(self._started),
            "hop": {
                "kind": installation.hop.kind,
                "gateway": self._monitor.route.gateway if installation.gateways and self._monitor.route else None,
                "gateways": [str(gateway) for gateway in installation.gateways],
            },
            "tunnel": {
                "alive": self._monitor.alive,
                "reason": self._monitor.reason,
                "since": _iso(self._monitor.since),
                "interface": self._monitor.interface,
                "address": self._address(),
                "state": self._hop.state,
                "restarts": self._hop.restarts,
                "error": self._hop.error,
            },
            "connection": {
                "connected": connection.connected,
                "since": _iso(connection.since),
                "endpoint": installation.endpoint,
                "vpcEndpointId": installation.vpc_endpoint_id,
                "addresses": connection.peers,
                "connections": connection.connections,
                "persistentSession": connection.keeps_session,
                "lastError": connection.last_error,
                "lastErrorAt": _iso(connection.last_error_at),
            },
            "queue": {
                "depth": totals.depth,
                "bytes": totals.size,
                "inFlight": self._delivery.in_flight,
                "accepted": counters["accepted"],
                "sent": counters["sent"],
                "refused": counters["refused"],
                "dropped": counters["dropped_by_size"] + counters["dropped_by_age"],
                "droppedBySize": counters["dropped_by_size"],
                "droppedByAge": counters["dropped_by_age"],
                "deadLetters": totals.dead_letters,
                "deadLettersDropped": counters["dead_letters_dropped"],
                "damagedFilesSetAside": counters["set_aside"],
                "received": totals.received,
                "receivedBytes": totals.received_size,
                "receivedDropped": counters["received_dropped"],
                "lastRefusal": self._delivery.last_refusal,
                "error": self._queue.error,
            },
            "localBroker": self._local_broker.status() if self._local_broker is not None else None,
            "certificates": [asdict(certificate) for certificate in self._certificates.found],
        }

    def _address(self) -> str | None:
        route = self._system.find_route(self._installation.dns_server) if self._monitor.interface else None
        return route.source if route else None

    def _line(self) -> str:
        totals = self._queue.totals()
        error = self._connection.last_error or "connecting for the first time"
        connected = "connected" if self._connection.connected else f"not connected: {error}"
        if self._monitor.alive is False:
            connected = self._monitor.reason
        warnings = [certificate.warning for certificate in self._certificates.found if certificate.warning]
        troubles = [
            trouble for trouble in (self._queue.error, self._certificates.error, *warnings, *self._warnings) if trouble
        ]
        return "; ".join([connected, f"{totals.depth} queued, {totals.counters['sent']} sent", *troubles])

    def _watchdog(self, interval: float) -> None:
        """Give the sign of life as long as the loop turns and the writer writes; being offline is no reason to die."""
        if self._queue.stalled_for() < interval / 2:
            self._notifier.alive()
        self.loop.call_later(interval / 4, lambda: self._watchdog(interval))

    # Ending

    def _stop(self) -> None:
        if self._stopping:
            return
        self._stopping = self._requests.stopping = True
        _log.info("ending: %d messages are queued and stay so", self._queue.totals().depth)
        self._notifier.stopping()
        if self._local_broker is not None:
            self._local_broker.stop()
        self._flush(self._system.monotonic() + FLUSH)

    def _flush(self, until: float) -> None:
        busy = self._connection.connected and self._queue.totals().depth > 0
        if busy and self._system.monotonic() < until:
            self.loop.call_later(0.05, lambda: self._flush(until))
            return
        self.loop.call_later(GOODBYE, self.loop.stop)
        self._connection.stop(self.loop.stop)


def _iso(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
