"""Tying sockets to the tunnel's interface, so that they die with it.

When OpenVPN ends it removes its routes before its interface. For that moment the kernel sends what is on its way to the
VPC through the default route, with the tunnel's address, into the home network. A socket that is bound to the interface
sends nothing there. The SDK has no option for it, but the process may set it on any of its sockets; since Linux 5.7
without privileges, once for each (socket(7), SO_BINDTODEVICE).
"""

from __future__ import annotations

import os
import socket
from pathlib import Path

_NAME_SIZE = 16
_FAMILIES = (socket.AF_INET, socket.AF_INET6)


def bind_to(tied: socket.socket, interface: str) -> None:
    """Let a socket send and receive through one interface only.

    Args:
        tied: The socket, connected or not.
        interface: The interface's name. A socket that is bound to it already is left alone.

    Raises:
        OSError: There is no such interface, the socket is bound to another, or the kernel is older than 5.7.
    """
    present = tied.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, _NAME_SIZE).rstrip(b"\0")
    if present != interface.encode():
        tied.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode() + b"\0")


def bind_connections(interface: str, *, files: Path = Path("/proc/self/fd")) -> int:
    """Tie every TCP connection of this process to an interface. The agent has no other than the one to AWS IoT.

    Args:
        interface: The interface's name.
        files: The process's open files.

    Returns:
        How many there are.

    Raises:
        OSError: As for `bind_to`.
    """
    count = 0
    for entry in files.iterdir():
        try:
            # A copy of our own: the SDK's threads may close theirs at any time.
            descriptor = os.dup(int(entry.name))
        except OSError:
            continue
        try:
            found = socket.socket(fileno=descriptor)
        except OSError:
            os.close(descriptor)
            continue
        with found:
            if found.family in _FAMILIES and found.type == socket.SOCK_STREAM:
                bind_to(found, interface)
                count += 1
    return count
