"""Who listens on a port of this device: /proc/net/tcp and /proc/net/udp (proc(5)), and whose descriptor it is."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Literal

from device_agent.system import System

_LISTEN, _UNCONNECTED = "0A", "07"


@dataclass(frozen=True, slots=True)
class Listener:
    """A socket that takes what comes to a port.

    Attributes:
        address: The local address; 0.0.0.0 or :: for all.
        process: The number of a process that has it open; 0 if that cannot be seen.
        program: That process's name (comm of proc(5)).
    """

    address: IPv4Address | IPv6Address
    process: int
    program: str

    def __str__(self) -> str:
        """Name it for people."""
        return f"{self.program} (process {self.process})" if self.process else "another program"


def find_listeners(system: System, port: int, protocol: Literal["tcp", "udp"] = "tcp") -> list[Listener]:
    """List who listens on a port, over IPv4 and IPv6. Only root sees other users' processes."""
    state = _LISTEN if protocol == "tcp" else _UNCONNECTED
    found = {
        inode: address
        for table in (protocol, f"{protocol}6")
        for address, local_port, line_state, inode in _rows(system.path(f"/proc/self/net/{table}"))
        if local_port == port and line_state == state
    }
    owners = _owners(system, set(found))
    return [Listener(address, *owners.get(inode, (0, ""))) for inode, address in found.items()]


def parse_row(line: str) -> tuple[IPv4Address | IPv6Address, int, str, str]:
    """Read a line of the table: local address, local port, state, inode.

    Raises:
        ValueError: It is no such line.
    """
    words = line.split()
    if len(words) < 10:
        raise ValueError(line)
    digits, _, port = words[1].partition(":")
    # Each 32 bits as the machine has them in memory.
    count = len(digits) // 8
    packed = struct.pack(f"={count}I", *(int(digits[8 * i : 8 * i + 8], 16) for i in range(count)))
    family = socket.AF_INET if count == 1 else socket.AF_INET6
    return ip_address(socket.inet_ntop(family, packed)), int(port, 16), words[3], words[9]


def _rows(path: Path) -> Iterator[tuple[IPv4Address | IPv6Address, int, str, str]]:
    try:
        lines = path.read_text("ascii").splitlines()[1:]
    except OSError:
        return
    yield from map(parse_row, lines)


def _owners(system: System, inodes: set[str]) -> dict[str, tuple[int, str]]:
    """Find a process for each socket."""
    wanted = {f"socket:[{inode}]": inode for inode in inodes}
    found: dict[str, tuple[int, str]] = {}
    for process in system.path("/proc").glob("[0-9]*") if wanted else ():
        try:
            for entry in (process / "fd").iterdir():
                inode = wanted.get(str(entry.readlink()))
                if inode is not None:
                    found[inode] = int(process.name), (process / "comm").read_text("utf-8").strip()
        except OSError:
            continue  # It has ended, or is another user's.
    return found
