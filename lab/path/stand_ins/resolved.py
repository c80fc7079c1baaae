"""A device's resolver: DNS a link, as systemd-resolved has it (systemd-resolved.service(8), "Protocols and routing").

It listens on 127.0.0.53. Each link has servers, domains and a default-route flag; all of it goes when the link goes.
A name goes to the links whose domain is its longest suffix; a name that none matches goes to every link that is a
default route, which a link with nothing but routing domains is not. Of several links all are asked at once and the
first good answer counts. There is no cache, no DNSSEC, no LLMNR and no mDNS.
"""

import asyncio
import contextlib
import json
import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from lab.path.stand_ins.ask import RESOLVED_SOCKET

UPSTREAM = Path("/run/systemd/resolve/resolv.conf")
STUB = "127.0.0.53"
_TIMEOUT = 5.0
_SERVFAIL, _NXDOMAIN = 2, 3


@dataclass
class LinkDns:
    """What one link is told.

    Attributes:
        servers: Addresses, asked in order.
        domains: Name and whether it only routes (``~name``); the root is the empty name.
        default_route: Explicit choice, or None for the automatic one.
        interface: The link's name; its servers are asked through it alone.
    """

    servers: list[str] = field(default_factory=list)
    domains: list[tuple[str, bool]] = field(default_factory=list)
    default_route: bool | None = None
    interface: str = ""

    @property
    def is_default(self) -> bool:
        """Whether names that no domain matches go here (systemd.network(5), DNSDefaultRoute=)."""
        if self.default_route is not None:
            return self.default_route
        return not any(routing for _, routing in self.domains)


class Links:
    """Every link's DNS, by the link's index."""

    def __init__(self) -> None:
        self.by_index: dict[int, LinkDns] = {}

    def link(self, index: int) -> LinkDns:
        """Return a link's settings.

        Raises:
            LookupError: There is no such link.
        """
        names = dict(socket.if_nameindex())
        if index not in names:
            raise LookupError(f"Link {index} not known")
        return self.by_index.setdefault(index, LinkDns(interface=names[index]))

    def revert(self, index: int) -> None:
        """Forget a link's settings.

        Raises:
            LookupError: There is no such link.
        """
        self.link(index)
        del self.by_index[index]

    def present(self) -> dict[str, LinkDns]:
        """Return the settings of the links that exist; those of links that are gone are forgotten."""
        names = dict(socket.if_nameindex())
        if gone := self.by_index.keys() - names.keys():
            for index in gone:
                del self.by_index[index]
            self.write_upstream()
        return {names[index]: link for index, link in self.by_index.items()}

    def write_upstream(self) -> None:
        """Tell every link's servers to programs that ask them directly, past the stub."""
        servers = dict.fromkeys(server for link in self.by_index.values() for server in link.servers)
        temporary = UPSTREAM.with_name(".resolv.conf")
        temporary.write_text("".join(f"nameserver {server}\n" for server in servers), encoding="ascii")
        temporary.replace(UPSTREAM)

    def route(self, name: str) -> list[LinkDns]:
        """Return the links that a name is asked on."""
        return route(name, list(self.present().values()))


def route(name: str, links: list[LinkDns]) -> list[LinkDns]:
    """Return the links that a name is asked on, of those that have servers.

    Args:
        name: Lower case, without the trailing dot.
        links: All links.
    """
    able = [link for link in links if link.servers]
    best, chosen = -1, []
    for link in able:
        for domain, _ in link.domains:
            if domain in ("", name) or name.endswith(f".{domain}"):
                labels = 0 if domain == "" else domain.count(".") + 1
                if labels > best:
                    best, chosen = labels, [link]
                elif labels == best and link not in chosen:
                    chosen.append(link)
    return chosen or [link for link in able if link.is_default]


def question(packet: bytes) -> str:
    """Return the name that a query asks for, in lower case without the trailing dot.

    Raises:
        ValueError: The packet is no query.
    """
    labels, position = [], 12
    try:
        while length := packet[position]:
            if length > 63:
                raise ValueError("compressed name in a question")
            labels.append(packet[position + 1 : position + 1 + length].decode("ascii", errors="replace").lower())
            position += 1 + length
    except IndexError:
        raise ValueError("truncated question") from None
    return ".".join(labels)


def failure(packet: bytes, code: int = _SERVFAIL) -> bytes:
    """Return an answer to a query that has nothing but a response code."""
    flags = (0x8080 | (packet[2] << 8 & 0x0100) | code).to_bytes(2, "big")
    end = packet.index(0, 12) + 5
    return packet[:2] + flags + packet[4:6] + b"\0\0\0\0\0\0" + packet[12:end]


class _Upstream(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, _: Any) -> None:
        if not self.answer.done():
            self.answer.set_result(data)

    def error_received(self, error: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)

    def connection_lost(self, _: Exception | None) -> None:
        self.answer.cancel()


async def _ask(server: str, interface: str, packet: bytes) -> bytes:
    """Ask a link's server through that link alone, as systemd-resolved does (IP_UNICAST_IF)."""
    asking = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        asking.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
        asking.connect((server, 53))
    except OSError:
        asking.close()
        raise
    transport, protocol = await asyncio.get_running_loop().create_datagram_endpoint(_Upstream, sock=asking)
    try:
        transport.sendto(packet)
        return await asyncio.wait_for(protocol.answer, _TIMEOUT)
    finally:
        transport.close()


async def _ask_link(link: LinkDns, packet: bytes) -> bytes:
    for server in link.servers:
        with contextlib.suppress(OSError, TimeoutError):
            return await _ask(server, link.interface, packet)
    return failure(packet)


async def resolve(links: Links, packet: bytes) -> bytes:
    """Return the answer to a query: the first good one, else a negative one, else a failure."""
    name = question(packet)
    pending = {asyncio.create_task(_ask_link(link, packet)) for link in links.route(name)}
    worst = failure(packet)
    try:
        while pending:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                answer = task.result()
                if answer[3] & 0x0F == 0:
                    return answer
                if answer[3] & 0x0F == _NXDOMAIN:
                    worst = answer
        return worst
    finally:
        for task in pending:
            task.cancel()


class _Stub(asyncio.DatagramProtocol):
    def __init__(self, links: Links) -> None:
        self.links = links
        self.tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, address: Any) -> None:
        task = asyncio.create_task(self._answer(data, address))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _answer(self, data: bytes, address: Any) -> None:
        with contextlib.suppress(ValueError):
            answer = await resolve(self.links, data)
            self.transport.sendto(answer, address)


async def _serve_tcp(links: Links, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(asyncio.IncompleteReadError, ValueError, OSError):
        while True:
            packet = await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
            answer = await resolve(links, packet)
            writer.write(len(answer).to_bytes(2, "big") + answer)
            await writer.drain()
    writer.close()


def apply(links: Links, request: dict[str, Any]) -> Any:
    """Do what `busctl` or `resolvectl` asks for.

    Raises:
        LookupError: There is no such link.
    """
    match request["command"]:
        case "SetLinkDNS":
            links.link(request["index"]).servers = request["servers"]
        case "SetLinkDomains":
            domains = [(name.rstrip(".").lower(), bool(routing)) for name, routing in request["domains"]]
            links.link(request["index"]).domains = domains
        case "SetLinkDefaultRoute":
            links.link(request["index"]).default_route = request["value"]
        case "RevertLink":
            links.revert(request["index"])
        case "SetLinkDNSSEC" | "SetLinkLLMNR" | "SetLinkMulticastDNS" | "SetLinkDNSOverTLS" | "FlushCaches":
            pass
        case "status":
            return {
                name: {
                    "servers": link.servers,
                    "domains": [("~" if routing else "") + (domain or ".") for domain, routing in link.domains],
                    "defaultRoute": link.is_default,
                }
                for name, link in links.present().items()
            }
        case other:
            raise LookupError(f"Unknown method {other}")
    return None


async def _serve_control(links: Links, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        answer: dict[str, Any] = {"result": apply(links, json.loads(await reader.readline()))}
        links.write_upstream()
    except (LookupError, ValueError) as error:
        answer = {"error": str(error)}
    writer.write(json.dumps(answer).encode() + b"\n")
    with contextlib.suppress(OSError):
        await writer.drain()
    writer.close()


async def _main() -> None:
    links = Links()
    Path(RESOLVED_SOCKET).parent.mkdir(parents=True, exist_ok=True)
    loop = asyncio.get_running_loop()
    await loop.create_datagram_endpoint(lambda: _Stub(links), local_addr=(STUB, 53))
    tcp = await asyncio.start_server(lambda reader, writer: _serve_tcp(links, reader, writer), STUB, 53)
    Path(RESOLVED_SOCKET).unlink(missing_ok=True)
    control = await asyncio.start_unix_server(
        lambda reader, writer: _serve_control(links, reader, writer), RESOLVED_SOCKET
    )
    async with tcp, control:
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_main())
