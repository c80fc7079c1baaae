"""The gateway: listeners with TLS, the connections behind them, and the table that both follow."""

import asyncio
import hashlib
import socket
from pathlib import Path

from lab.path.gateway.authorization import Peer, certificate_fields
from lab.path.gateway.connection import DeviceConnection
from lab.path.gateway.journal import Journal, timestamp
from lab.path.gateway.limits import DENIED_PUBLISH, DeniedPublish
from lab.path.gateway.table import Listener, Table, TableError, load
from lab.path.gateway.tls import ALPN_PORT, MQTT_ALPN, PORTS, server_context
from lab.path.gateway.tls_stream import TlsStream

BACKLOG = 256


class Gateway:
    """AWS IoT's front on one machine.

    Args:
        table_file: the table, read at once and again by ``reload``.
        broker_socket: the unix socket of the mosquitto behind it.
        denied_publish: what an MQTT 5 client gets for a denied QoS 1 publish.
        publishes_per_second: AWS's quota of publishes a connection, None to leave it out.
        ports: the MQTT port and the ALPN port of every listener.
        provisioning_socket: where fleet provisioning's requests are answered.

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
        provisioning_socket: Path | None = None,
    ) -> None:
        self.broker_socket = broker_socket
        self.denied_publish = denied_publish
        self.publishes_per_second = publishes_per_second
        self.provisioning_socket = provisioning_socket
        self.journal = Journal()
        self.connections: set[DeviceConnection] = set()
        self.table = load(table_file)
        self._table_file = table_file
        self._ports = ports
        self._context = server_context(self.table)
        self._by_client_id: dict[str, DeviceConnection] = {}
        self._listeners: dict[str, Listener] = {}
        self._servers: dict[str, list[asyncio.Server]] = {}
        self._reloading = asyncio.Lock()

    # --- listeners --------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Listen.

        Raises:
            TableError: an address cannot be listened on.
        """
        await self._follow_listeners(self.table)

    async def _follow_listeners(self, table: Table) -> None:
        """Open what is new and close what is gone; every new address is bound before anything changes."""
        wanted = {listener.address: listener for listener in table.listeners}
        bound: list[tuple[str, socket.socket]] = []
        try:
            for address in wanted.keys() - self._servers.keys():
                for port in self._ports:
                    bound.append((address, _bound_socket(address, port)))
        except TableError:
            for _, server in bound:
                server.close()
            raise
        for address in self._servers.keys() - wanted.keys():
            for listening in self._servers.pop(address):
                listening.close()
        self._listeners.update(wanted)
        for address, server in bound:
            self._servers.setdefault(address, []).append(await self._listen(address, server))

    async def _listen(self, address: str, server: socket.socket) -> asyncio.Server:
        port = server.getsockname()[1]

        def serve() -> TlsStream:
            listener = self._listeners[address]
            return TlsStream(
                self._context,
                lambda stream: DeviceConnection(self, listener, stream, needs_alpn=port == self._ports[1]),
                lambda stream, reason: self._refused(listener, port, stream, reason),
            )

        return await asyncio.get_running_loop().create_server(serve, sock=server, backlog=BACKLOG)

    def _refused(self, listener: Listener, port: int, stream: TlsStream, reason: str) -> None:
        self.journal.counters.refused_handshakes += 1
        address, peer_port = stream.peer_address
        self.journal.write(
            "handshake-refused",
            reason=reason,
            peer=f"{address}:{peer_port}",
            listener=listener.address,
            port=port,
            vpcEndpointId=listener.vpc_endpoint_id,
        )

    # --- connections ------------------------------------------------------------------------------------------------

    def identify(self, device: DeviceConnection) -> tuple[Peer, str | None]:
        """Who has connected, and why it must not be, None when it may.

        A certificate that is not registered or not ACTIVE ends here: developerguide/x509-client-certs.html (a client
        certificate has to be registered) and API_UpdateCertificate.html ("Devices cannot use a certificate that is not
        in the ACTIVE state to reconnect").
        """
        tls = device.stream.tls
        address, port = device.stream.peer_address
        certificate_id = hashlib.sha256(tls.getpeercert(binary_form=True) or b"").hexdigest()
        peer = Peer(address, port, certificate_id, certificate_fields(tls.getpeercert() or {}))
        certificate = self.table.certificates.get(certificate_id)
        if certificate is None:
            return peer, "certificate is not registered"
        if certificate.status != "ACTIVE":
            return peer, f"certificate is {certificate.status}"
        if device.needs_alpn and tls.selected_alpn_protocol() != MQTT_ALPN:
            return peer, f"port {ALPN_PORT} without the ALPN protocol {MQTT_ALPN}"
        return peer, None

    def remember(self, device: DeviceConnection, client_id: str) -> None:
        """Make a device the one of its client ID; the older one is dropped.

        developerguide/mqtt.html: "the new client connection is accepted and the previously connected client is
        disconnected".
        """
        older = self._by_client_id.get(client_id)
        if older is not None:
            older.close("duplicate client ID: session taken over", 0x8E)
        self._by_client_id[client_id] = device

    def forget(self, device: DeviceConnection) -> None:
        """A device is gone."""
        self.connections.discard(device)
        if device.client_id is not None and self._by_client_id.get(device.client_id) is device:
            del self._by_client_id[device.client_id]

    def disconnect(self, client_id: str) -> bool:
        """Close the connection of a client ID; False when there is none."""
        device = self._by_client_id.get(client_id)
        if device is None:
            return False
        device.close("closed by the operator", 0x98)
        return True

    # --- table ------------------------------------------------------------------------------------------------------

    async def reload(self) -> None:
        """Read the table again; a table that cannot be used changes nothing.

        Connections stand as long as their certificate is ACTIVE and iot:Connect still allows them; every later packet
        is judged by the new policies.
        """
        async with self._reloading:
            try:
                table = load(self._table_file)
                context = server_context(table)
                await self._follow_listeners(table)
            except TableError as error:
                self.journal.write("reload-failed", reason=str(error))
                return
            self.table, self._context = table, context
            for device in set(self.connections):
                if device.listener in table.listeners:
                    device.reauthorize()
                else:
                    device.close("its listener is gone", 0x98)
            self.journal.write("reloaded", listeners=len(table.listeners), certificates=len(table.certificates))

    def stop(self) -> None:
        """Close everything."""
        for servers in self._servers.values():
            for server in servers:
                server.close()
        for device in set(self.connections):
            device.close("the gateway stops", 0x8B)

    def status(self) -> dict[str, object]:
        """The gateway as the control socket shows it."""
        return {
            "endpoint": self.table.endpoint,
            "listeners": [
                {
                    "address": listener.address,
                    "ports": list(self._ports),
                    "vpcEndpointId": listener.vpc_endpoint_id,
                    "vpcId": listener.vpc_id,
                }
                for listener in self.table.listeners
            ],
            "connections": [
                {
                    **device.details(),
                    "protocol": device.level,
                    "since": timestamp(device.since),
                    "messagesIn": device.messages_in,
                    "messagesOut": device.messages_out,
                }
                for device in self._by_client_id.values()
            ],
            "counters": self.journal.counters.as_json(),
        }


def _bound_socket(address: str, port: int) -> socket.socket:
    server = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    try:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind((address, port))
    except OSError as error:
        server.close()
        raise TableError(f"listeners: {address} port {port} cannot be listened on: {error.strerror}") from error
    return server
