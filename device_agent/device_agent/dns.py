"""DNS packets (RFC 1035, section 4), and one question to one server, past the system's resolver."""

from __future__ import annotations

import secrets
import socket
import struct

PORT = 53
_TYPES = {"A": 1, "AAAA": 28}
_IN = 1
_RECURSE = 0x0100
_NAME_ERROR = 3


class DnsError(Exception):
    """The server did not answer, or not with an answer; the message says how."""


class DnsSilentError(DnsError):
    """The server did not answer at all."""


def query(
    server: str,
    name: str,
    kind: str = "A",
    *,
    timeout: float = 2,
    interface: str | None = None,
) -> list[str]:
    """Ask a server for a name's addresses (RFC 1035, over UDP, twice at most).

    Args:
        server: The server's address.
        name: A host name.
        kind: `A` or `AAAA`.
        timeout: Seconds for each attempt.
        interface: The network interface to send through, or None for the routing table's choice.

    Returns:
        The addresses; none if the name does not exist or has none of this kind.

    Raises:
        DnsSilentError: No answer.
        DnsError: A failure such as SERVFAIL or REFUSED, or no way to the server.
    """
    packet = write_query(name, kind)
    family = socket.AF_INET6 if ":" in server else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as connection:
        connection.settimeout(timeout)
        try:
            if interface:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode("ascii") + b"\0")
            connection.connect((server, PORT))
            for _attempt in range(2):
                connection.send(packet)
                try:
                    return read_answer(connection.recv(4096), packet, kind)
                except TimeoutError:
                    continue
        except OSError as error:
            raise DnsError(f"{server}: {error.strerror or error}") from error
    raise DnsSilentError(f"{server} does not answer")


def write_query(name: str, kind: str = "A") -> bytes:
    """Write a query: one question, recursion desired, a random number.

    Raises:
        DnsError: It is not a host name.
    """
    labels = [label.encode("ascii") for label in name.rstrip(".").split(".")]
    if not all(0 < len(label) < 64 for label in labels):
        raise DnsError(f"{name} is not a host name")
    question = b"".join(bytes([len(label)]) + label for label in labels) + struct.pack(">xHH", _TYPES[kind], _IN)
    return struct.pack(">HHHHHH", secrets.randbits(16), _RECURSE, 1, 0, 0, 0) + question


def is_answer(data: bytes, query: bytes) -> bool:
    """Tell whether a packet answers a query, with whatever result."""
    return len(data) >= 12 and data[:2] == query[:2] and bool(data[2] & 0x80)


def read_answer(data: bytes, query: bytes, kind: str = "A") -> list[str]:
    """Read the addresses of an answer.

    Args:
        data: The packet.
        query: The query's, whose question the answer has to repeat.
        kind: `A` or `AAAA`.

    Returns:
        The addresses; none if the name does not exist or has none of this kind.

    Raises:
        DnsError: It is not an answer to the query, is malformed, or reports a failure.
    """
    question = query[12:]
    try:
        _number, flags, _questions, answers, _authorities, _more = struct.unpack_from(">HHHHHH", data)
        position = 12 + len(question)
        if not is_answer(data, query) or data[12:position].lower() != question.lower():
            raise DnsError("the answer is not to the question")
        if flags & 0xF not in (0, _NAME_ERROR):
            raise DnsError(f"the server answers with error {flags & 0xF}")
        found = []
        for _answer in range(answers):
            position = _skip_name(data, position)
            record, _class, _ttl, length = struct.unpack_from(">HHIH", data, position)
            position += 10
            if record == _TYPES[kind]:
                family = socket.AF_INET if kind == "A" else socket.AF_INET6
                found.append(socket.inet_ntop(family, data[position : position + length]))
            position += length
        return found
    except (struct.error, IndexError, ValueError):
        raise DnsError("the answer is malformed") from None


def _skip_name(data: bytes, position: int) -> int:
    while data[position]:
        if data[position] & 0xC0:  # a pointer to an earlier name
            return position + 2
        position += data[position] + 1
    return position + 1
