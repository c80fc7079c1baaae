"""The address guard: the agent talks to addresses inside the VPC and to nothing else.

AWS IoT's endpoint has the same name inside and outside the VPC. Without the tunnel, or with another resolver, that name
leads to a public address, and a connection would leave the private path. So every answer is checked before a client is
built, and the peer of the connection itself afterwards, since the SDK resolves the name a second time.
"""

from __future__ import annotations

import sys
from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_address
from pathlib import Path

from device_agent._exceptions import AddressError
from device_agent.installation import Installation
from device_agent.system import System

_ESTABLISHED = "01"


def outside(addresses: list[str], network: IPv4Network) -> list[str]:
    """Pick the addresses that are not inside a network.

    Args:
        addresses: IPv4 and IPv6 addresses. Any IPv6 address counts as outside unless it is IPv4 in IPv6's clothes: AWS
            IoT's VPC endpoint has IPv4 addresses only.
        network: The VPC's CIDR block.

    Returns:
        Those outside, in their order.
    """
    return [address for address in addresses if _unmapped(address) not in network]


def resolve_inside(system: System, installation: Installation) -> list[str]:
    """Resolve the endpoint and refuse unless every single answer is inside the VPC.

    Args:
        system: The machine whose resolver is asked.
        installation: The endpoint and the VPC's CIDR block.

    Returns:
        The addresses, at least one.

    Raises:
        AddressError: The name does not resolve, or an answer is outside the VPC.
    """
    try:
        addresses = system.resolve(installation.endpoint)
    except OSError as error:
        raise AddressError(
            f"{installation.endpoint} cannot be resolved ({error.strerror or error}); is the tunnel up?"
            " `device-agent doctor` tells"
        ) from error
    strangers = outside(addresses, installation.vpc_cidr)
    if strangers or not addresses:
        raise AddressError(
            f"{installation.endpoint} resolves to {', '.join(strangers) or 'nothing'}, outside the VPC's"
            f" {installation.vpc_cidr}; nothing was sent; is the tunnel up? `device-agent doctor` tells"
        )
    return addresses


def refuse_foreign_peers(installation: Installation, port: int) -> list[str]:
    """Refuse if this process has a connection to the MQTT port of an address outside the VPC.

    Args:
        installation: The VPC's CIDR block.
        port: The MQTT port.

    Returns:
        The peers, all inside the VPC.

    Raises:
        AddressError: A peer is outside.
    """
    found = peers(port)
    strangers = outside(found, installation.vpc_cidr)
    if strangers:
        raise AddressError(
            f"the connection to {installation.endpoint} went to {', '.join(strangers)}, outside the VPC's"
            f" {installation.vpc_cidr}, and was dropped; is the tunnel up? `device-agent doctor` tells"
        )
    return found


def peers(port: int, *, proc: Path = Path("/proc/self")) -> list[str]:
    """List the remote addresses of this process's established TCP connections to a port.

    The SDK offers no such call, so the kernel is asked: proc(5), `/proc/PID/net/tcp` by the inode of each open socket.

    Args:
        port: The remote port.
        proc: The process's folder.

    Returns:
        The addresses, each once.
    """
    inodes = set()
    for entry in (proc / "fd").iterdir():
        try:
            target = str(entry.readlink())
        except OSError:
            continue
        if target.startswith("socket:["):
            inodes.add(target[len("socket:[") : -1])
    found: dict[str, None] = {}
    for table in ("net/tcp", "net/tcp6"):
        try:
            lines = (proc / table).read_text("ascii").splitlines()[1:]
        except OSError:
            continue  # A kernel without IPv6 has no such table.
        for line in lines:
            fields = line.split()
            address, _, remote_port = fields[2].partition(":")
            if fields[3] == _ESTABLISHED and int(remote_port, 16) == port and fields[9] in inodes:
                found[str(_unmapped(_from_kernel(address)))] = None
    return list(found)


def _from_kernel(text: str) -> str:
    """Decode proc(5)'s hexadecimal address: 32-bit words, each in the machine's byte order."""
    words = [int(text[start : start + 8], 16).to_bytes(4, sys.byteorder) for start in range(0, len(text), 8)]
    return str(ip_address(b"".join(words)))


def _unmapped(address: str) -> IPv4Address | IPv6Address:
    found = ip_address(address.partition("%")[0])
    return (found.ipv4_mapped or found) if isinstance(found, IPv6Address) else found
