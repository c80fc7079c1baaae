"""Connections of Client VPN: seen on the servers, told to the cloud, ended on request, and logged.

What `DescribeClientVpnConnections` shows comes from here, and `TerminateClientVpnConnections` is carried out here. The
entries of the connection log have AWS's fields (Client VPN administrator guide, "Connection logging"); as there, a
client whose certificate was refused leaves none.
"""

import asyncio
import contextlib
import datetime
import hashlib
import json
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from lab.path import held, network, nftables, openvpn
from lab.path.live import LiveNetwork
from lab.path.model import ClientVpnEndpoint
from lab.path.parts import service_directory

_INTERVAL = 1.0
_STALE = 2.5
# Counters alone are told less often: they change every second, since both sides ping.
_COUNTERS_INTERVAL = 10.0


@dataclass(frozen=True)
class Connection:
    """One connection of a client.

    Attributes:
        connection_id: ``cvpn-connection-`` and 17 hexadecimal digits, as AWS's.
        end: Seconds since the epoch, or None while it is active.
    """

    connection_id: str
    client: openvpn.Client
    packets: tuple[int, int] = (0, 0)
    end: float | None = None

    def report(self) -> dict[str, Any]:
        return {
            "connectionId": self.connection_id,
            "commonName": self.client.common_name,
            "clientIp": self.client.address,
            "connectionEstablishedTime": _timestamp(self.client.since),
            "ingressBytes": self.client.received,
            "egressBytes": self.client.sent,
            "ingressPackets": self.packets[0],
            "egressPackets": self.packets[1],
            "status": "active" if self.end is None else "terminated",
        }

    def log_entry(self, endpoint: ClientVpnEndpoint) -> dict[str, str]:
        """Return the entry of the connection log: an attempt while it is active, a reset once it has ended."""
        address, _, port = self.client.real_address.rpartition(":")
        end = {} if self.end is None else {"connection-duration-seconds": str(int(self.end - self.client.since))}
        return {
            "connection-log-type": "connection-attempt" if self.end is None else "connection-reset",
            "connection-attempt-status": "successful" if self.end is None else "NA",
            "connection-reset-status": "NA" if self.end is None else "successful",
            "connection-attempt-failure-reason": "NA",
            "connection-id": self.connection_id,
            "client-vpn-endpoint-id": endpoint.client_vpn_endpoint_id,
            "transport-protocol": endpoint.transport_protocol,
            "connection-start-time": _timestamp(self.client.since),
            "connection-last-update-time": _timestamp(self.end or self.client.since),
            "client-ip": self.client.address,
            "common-name": self.client.common_name,
            "device-type": "NA",
            "device-ip": address,
            "port": port,
            "ingress-bytes": str(self.client.received),
            "egress-bytes": str(self.client.sent),
            "ingress-packets": str(self.packets[0]),
            "egress-packets": str(self.packets[1]),
            "connection-end-time": "NA" if self.end is None else _timestamp(self.end),
            **end,
            "username": "N/A",
        }


def _timestamp(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%d %H:%M:%S")


def connection_id(endpoint_id: str, server_start: float, client: openvpn.Client) -> str:
    """Return an id that is the same for the whole life of a connection and for no other."""
    key = f"{endpoint_id} {server_start} {client.client_id} {client.real_address} {client.since}"
    return f"cvpn-connection-0{hashlib.sha256(key.encode()).hexdigest()[:16]}"


class _Packets:
    """Counts the packets of each connection: the filter counts by address, and a later client may have the same."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str, str], int] = {}
        self._totals: dict[tuple[str, str, str], int] = {}
        self._before: dict[tuple[str, str], int] = {}

    def count(self, endpoint_id: str) -> None:
        """Read the filter's counters of an endpoint, which begin again at zero with every new filter."""
        for name in (nftables.FROM_CLIENTS, nftables.TO_CLIENTS):
            try:
                text = network.command(
                    [*network.enter(endpoint_id), "nft", "-j", "list", "set", "inet", "client_vpn", name]
                )
            except network.CommandError:
                continue
            for address, packets in nftables.packets(json.loads(text)).items():
                key = (endpoint_id, name, address)
                before = self._seen.get(key, 0)
                step = packets - before if packets >= before else packets
                self._totals[key] = self._totals.get(key, 0) + step
                self._seen[key] = packets

    def of(self, endpoint_id: str, connection: Connection) -> tuple[int, int]:
        """Return the packets from and to a connection's client since it was first seen."""
        counted = []
        for name in (nftables.FROM_CLIENTS, nftables.TO_CLIENTS):
            total = self._totals.get((endpoint_id, name, connection.client.address), 0)
            counted.append(total - self._before.setdefault((connection.connection_id, name), total))
        return counted[0], counted[1]


class Connections:
    def __init__(self, live: LiveNetwork) -> None:
        self.live = live
        self._packets = _Packets()
        self.active: dict[str, dict[str, Connection]] = {}
        self._errors: dict[str, str] = {}
        self._streams: dict[str, str] = {}
        self._terminating: list[str] = []
        self._told = 0.0
        self._lock = asyncio.Lock()

    @property
    def error(self) -> str | None:
        """What keeps the cloud from hearing of connections, or from being heard; None where nothing does."""
        return next(iter(self._errors.values()), None)

    async def watch(self) -> None:
        """Look at the servers every second, for ever."""
        while True:
            await self.poll()
            await asyncio.sleep(_INTERVAL)

    async def watch_terminations(self) -> None:
        """Wait at the cloud for what `TerminateClientVpnConnections` marks, for ever, and end it."""
        while True:
            aws = self.live.aws
            if aws is None:
                await asyncio.sleep(_INTERVAL)
                continue
            known = ",".join(self._terminating)
            try:
                answer = await held.ask(aws.url, "ec2/client-vpn-terminations", region=aws.region, known=known)
            except OSError as error:
                self._errors["terminations"] = str(error)
                await asyncio.sleep(_INTERVAL)
            else:
                self._errors.pop("terminations", None)
                self._terminating = answer["terminating"]
                await self.poll()

    async def poll(self) -> None:
        """Look at the servers, and tell the cloud of what is new."""
        async with self._lock:
            for endpoint in self.live.cloud.client_vpn_endpoints if self.live.cloud else ():
                try:
                    await self._poll(endpoint)
                    self._errors.pop(endpoint.client_vpn_endpoint_id, None)
                except (BotoCoreError, ClientError, OSError) as error:
                    self._errors[endpoint.client_vpn_endpoint_id] = f"{endpoint.client_vpn_endpoint_id}: {error}"

    async def close(self) -> None:
        """Tell the cloud that every connection has ended."""
        for endpoint in self.live.cloud.client_vpn_endpoints if self.live.cloud else ():
            with contextlib.suppress(BotoCoreError, ClientError, OSError):
                await self._update(endpoint, {})

    async def _poll(self, endpoint: ClientVpnEndpoint) -> None:
        clients = await self._clients(endpoint)
        if clients is None:
            return
        await self._update(endpoint, clients)
        for known in [clients[identifier] for identifier in self._terminating if identifier in clients]:
            kill = f"client-kill {known.client.client_id}"
            await asyncio.to_thread(openvpn.manage, self._file(endpoint, "management.sock"), kill)

    async def _clients(self, endpoint: ClientVpnEndpoint) -> dict[str, Connection] | None:
        """Return the server's clients by connection id, or None where it has not told them yet."""
        name = f"client-vpn {endpoint.client_vpn_endpoint_id}"
        running = self.live.running.get(name)
        if running is None or not running.running:
            return {}
        status = await self._status(endpoint)
        # A file that was there before this server is its predecessor's.
        if status is None or status.at < int(running.started):
            return None
        found = {}
        for client in status.clients:
            identifier = connection_id(endpoint.client_vpn_endpoint_id, running.started, client)
            found[identifier] = Connection(identifier, client)
        return found

    async def _status(self, endpoint: ClientVpnEndpoint) -> openvpn.Status | None:
        """Return what the server says of itself, or None where it does not answer.

        It writes its file whenever it wakes up, which its clients make it do every second; the last one that goes
        leaves it asleep, and then it has to be asked. Asking every time would fill its log.
        """
        try:
            text = self._file(endpoint, "status").read_text(encoding="utf-8", errors="replace")
            status = openvpn.parse_status(text)
            if status and status.at < time.time() - _STALE and self.active.get(endpoint.client_vpn_endpoint_id):
                socket = self._file(endpoint, "management.sock")
                status = openvpn.parse_status(await asyncio.to_thread(openvpn.manage, socket, "status 3"))
        except OSError:
            return None
        return status

    def _file(self, endpoint: ClientVpnEndpoint, name: str) -> Path:
        return Path(service_directory(f"client-vpn {endpoint.client_vpn_endpoint_id}"), name)

    async def _update(self, endpoint: ClientVpnEndpoint, found: dict[str, Connection]) -> None:
        known = self.active.get(endpoint.client_vpn_endpoint_id, {})
        ended = [replace(known[key], end=time.time()) for key in known.keys() - found.keys()]
        new = [found[key] for key in found.keys() - known.keys()]
        self.active[endpoint.client_vpn_endpoint_id] = found
        due = bool(found) and time.monotonic() - self._told > _COUNTERS_INTERVAL
        if self.live.aws is None or not (new or ended or due):
            return
        self._told = time.monotonic()
        identifier = endpoint.client_vpn_endpoint_id
        self._packets.count(identifier)
        found = {key: replace(item, packets=self._packets.of(identifier, item)) for key, item in found.items()}
        ended = [replace(item, packets=self._packets.of(identifier, item)) for item in ended]
        self.active[identifier] = found
        body = {
            "region": self.live.aws.region,
            "clientVpnEndpointId": endpoint.client_vpn_endpoint_id,
            "connections": [connection.report() for connection in [*found.values(), *ended]],
        }
        await asyncio.to_thread(self.live.aws.lab, "ec2/client-vpn-connections", body)
        if endpoint.connection_log and (new or ended):
            await asyncio.to_thread(self._log, endpoint, [*ended, *new])

    def _log(self, endpoint: ClientVpnEndpoint, connections: list[Connection]) -> None:
        assert self.live.aws is not None  # noqa: S101 (checked by the caller)
        assert endpoint.connection_log is not None  # noqa: S101 (checked by the caller)
        logs = self.live.aws.client("logs")
        group = endpoint.connection_log.log_group
        stream = endpoint.connection_log.log_stream or (
            f"{endpoint.client_vpn_endpoint_id}-{self.live.aws.region}-{time.strftime('%Y/%m/%d', time.gmtime())}"
        )
        if self._streams.get(group) != stream:
            with contextlib.suppress(logs.exceptions.ResourceAlreadyExistsException):
                logs.create_log_stream(logGroupName=group, logStreamName=stream)
            self._streams[group] = stream
        now = int(time.time() * 1000)
        events = [{"timestamp": now, "message": json.dumps(item.log_entry(endpoint))} for item in connections]
        logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)
