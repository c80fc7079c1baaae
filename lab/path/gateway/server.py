"""The gateway: listeners with TLS, the connections behind them, and the table that both follow."""

import asyncio
import hashlib
import socket
import ssl
from pathlib import Path

from lab.path.gateway.authorization import Peer, certificate_fields
from lab.path.gateway.connection import DeviceConnection
from lab.path.gateway.journal import Journal, timestamp
from lab.path.gateway.limits import DENIED_PUBLISH, DeniedPublish
from lab.path.gateway.table import Listener, Table, TableError, load
from lab.path.gateway.tls import ALPN_PORT, MQTT_ALPN, PORTS, server_context

HANDSHAKE_TIMEOUT = 20.0
"""Seconds for a TLS handshake."""

SHUTDOWN_TIMEOUT = 2.0
"""Seconds to wait for a device's close_notify."""

BACKLOG = 256


class Gateway:
    """AWS IoT's front on one machine.

    Args:
        table_file: the table, read at once and again by ``reload``.
        broker_socket: the unix socket of the mosquitto behind it.
        denied_publish: what an MQTT 5 client gets for a denied QoS 1 publish.
        publishes_per_second: AWS's quota of publishes a connection, None to leave it out.
        ports: the MQTT port and the ALPN port of every listener.

    Raises:
        TableError: the table cannot be used.
    """

    def __init__(
        self,
        table_file: Path,
        broker_socket: Path,
        *,
        denied_publish: DeniedPublish = DENIED_PUBLISH,
        publishes_per_second: int | None = None,
        ports: tuple[int, int] = PORTS,
    ) -> None:
        self.broker_socket = broker_socket
        self.denied_publish = denied_publish
        self.publishes_per_second = publishes_per_second
        self.journal = Journal()
        self.connections: set[DeviceConnection] = set()
        self.table = load(table_file)
        self._table_file = table_file
        self._ports = ports
        self._context = server_context(self.table)
        self._by_client_id: dict[str, DeviceConnection] = {}
        self._listeners: dict[str, Listener] = {}
        self._accepting: dict[str, list[asyncio.Task[None]]] = {}
        self._handshakes: set[asyncio.Task[None]] = set()

    # --- listeners --------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Listen.

        Raises:
            TableError: an address cannot be listened on.
        """
        self._follow_listeners(self.table)

    def _follow_listeners(self, table: Table) -> None:
        """Open what is new and close what is gone; every new address is bound before anything changes."""
        wanted = {listener.address: listener for listener in table.listeners}
        bound: list[tuple[str, socket.socket]] = []
        try:
            for address in wanted.keys() - self._accepting.keys():
                for port in self._ports:
                    bound.append((address, _bound_socket(address, port)))
        except TableError:
            for _, server in bound:
                server.close()
            raise
        for address in self._accepting.keys() - wanted.keys():
            for task in self._accepting.pop(address):
                task.cancel()
        for address, server in bound:
            task = asyncio.get_running_loop().create_task(self._accept(address, server))
            self._accepting.setdefault(address, []).append(task)
        self._listeners = wanted

    async def _accept(self, local: str, server: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        port = server.getsockname()[1]
        with server:
            while True:
                try:
                    accepted, address = await loop.sock_accept(server)
                except OSError as error:  # for instance no file descriptors left: wait for some
                    self.journal.write("accept-failed", reason=str(error), listener=local)
                    await asyncio.sleep(0.2)
                    continue
                task = loop.create_task(self._serve(self._listeners[local], port, accepted, address))
                self._handshakes.add(task)
                task.add_done_callback(self._handshakes.discard)

    async def _serve(self, listener: Listener, port: int, accepted: socket.socket, address: tuple[str, int]) -> None:
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        needs_alpn = port == self._ports[1]
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: DeviceConnection(self, listener, needs_alpn=needs_alpn),
                accepted,
                ssl=self._context,
                ssl_handshake_timeout=HANDSHAKE_TIMEOUT,
                ssl_shutdown_timeout=SHUTDOWN_TIMEOUT,
            )
        except (OSError, ssl.SSLError, ConnectionError, asyncio.TimeoutError) as error:
            accepted.close()
            self.journal.counters.refused_handshakes += 1
            self.journal.write(
                "handshake-refused",
                reason=_handshake_reason(error),
                peer=f"{address[0]}:{address[1]}",
                listener=listener.address,
                port=port,
                vpcEndpointId=listener.vpc_endpoint_id,
            )

    # --- connections ------------------------------------------------------------------------------------------------

    def identify(self, transport: asyncio.Transport, *, needs_alpn: bool) -> tuple[Peer, str | None]:
        """Who has connected, and why it must not be, None when it may.

        A certificate that is not registered or not ACTIVE is closed on here: developerguide/x509-client-certs.html,
        "The client certificate must be registered with AWS IoT" and API_UpdateCertificate.html, "Devices cannot use a
        certificate that is not in the ACTIVE state to reconnect".
        """
        tls: ssl.SSLObject = transport.get_extra_info("ssl_object")
        address = transport.get_extra_info("peername")
        der = tls.getpeercert(binary_form=True) or b""
        certificate_id = hashlib.sha256(der).hexdigest()
        peer = Peer(address[0], address[1], certificate_id, certificate_fields(tls.getpeercert() or {}))
        certificate = self.table.certificates.get(certificate_id)
        if certificate is None:
            return peer, "certificate is not registered"
        if certificate.status != "ACTIVE":
            return peer, f"certificate is {certificate.status}"
        if needs_alpn and tls.selected_alpn_protocol() != MQTT_ALPN:
            return peer, f"port {ALPN_PORT} without the ALPN protocol {MQTT_ALPN}"
        return peer, None

    def remember(self, device: DeviceConnection) -> DeviceConnection | None:
        """Make a device the one of its client ID; the older one is dropped and returned.

        developerguide/mqtt.html: "the new client connection is accepted and the previously connected client is
        disconnected".
        """
        client_id = device.connect.client_id if device.connect else ""
        older = self._by_client_id.get(client_id)
        if older is not None:
            older.close("duplicate client ID: session taken over", 0x8E, keep_broker=True)
        self._by_client_id[client_id] = device
        return older

    def forget(self, device: DeviceConnection) -> None:
        """A device is gone."""
        client_id = device.connect.client_id if device.connect else ""
        if self._by_client_id.get(client_id) is device:
            del self._by_client_id[client_id]

    def disconnect(self, client_id: str) -> bool:
        """Close the connection of a client ID; False when there is none."""
        device = self._by_client_id.get(client_id)
        if device is None:
            return False
        device.close("closed by the operator", 0x98)
        return True

    # --- table ------------------------------------------------------------------------------------------------------

    def reload(self) -> None:
        """Read the table again; a table that cannot be used changes nothing.

        Connections stand as long as their certificate is ACTIVE and iot:Connect still allows them; every later packet is
        judged by the new policies.
        """
        try:
            table = load(self._table_file)
            context = server_context(table)
            self._follow_listeners(table)
        except TableError as error:
            self.journal.write("reload-failed", reason=str(error))
            return
        self.table, self._context = table, context
        for device in set(self.connections):
            if device.listener not in table.listeners:
                device.close("its listener is gone", 0x98)
            else:
                device.reauthorize()
        self.journal.write("reloaded", listeners=len(table.listeners), certificates=len(table.certificates))

    async def stop(self) -> None:
        """Close everything."""
        tasks = [task for accepting in self._accepting.values() for task in accepting]
        for task in (*tasks, *self._handshakes):
            task.cancel()
        await asyncio.gather(*tasks, *self._handshakes, return_exceptions=True)
        for device in set(self.connections):
            device.close("the gateway stops", 0x8B)

    def status(self) -> dict[str, object]:
        """The gateway as the control socket shows it."""
        connected = (device for device in self._by_client_id.values() if device.connect is not None)
        return {
            "endpoint": self.table.endpoint,
            "listeners": [
                {
                    "address": listener.address,
                    "ports": list(self._ports),
                    "vpcEndpointId": listener.vpc_endpoint_id,
                    "vpcId": listener.vpc_id,
                }
                for listener in self._listeners.values()
            ],
            "connections": [
                {
                    **device.details(),
                    "protocol": device.level,
                    "since": timestamp(device.since),
                    "messagesIn": device.messages_in,
                    "messagesOut": device.messages_out,
                }
                for device in connected
            ],
            "counters": self.journal.counters.as_json(),
        }


def _bound_socket(address: str, port: int) -> socket.socket:
    server = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    try:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.setblocking(False)
        server.bind((address, port))
        server.listen(BACKLOG)
    except OSError as error:
        server.close()
        raise TableError(f"listeners: {address} port {port} cannot be listened on: {error.strerror}") from error
    return server


def _handshake_reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return error.reason or str(error)
    return str(error) or type(error).__name__
