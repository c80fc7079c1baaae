"""Which addresses of a subnet are free."""

import hashlib
import ipaddress
from collections.abc import Iterable

RESERVED_AT_START = 4
"""Network address, router, DNS and "future use" (VPC user guide, "Subnet sizing"); the last address is reserved too."""


def is_usable(address: str, cidr: str) -> bool:
    """Tell whether a network interface may have an address in a subnet.

    Args:
        address: IPv4 address.
        cidr: the subnet's.

    Returns:
        True unless it is outside or one of the five that AWS reserves.
    """
    network = ipaddress.IPv4Network(cidr)
    offset = int(ipaddress.IPv4Address(address)) - int(network.network_address)
    return RESERVED_AT_START <= offset < network.num_addresses - 1


def free_address(cidr: str, taken: Iterable[str], seed: str) -> str | None:
    """Choose a free address of a subnet.

    AWS does not hand addresses out in order; neither does this, so that nobody relies on one.

    Args:
        cidr: the subnet's.
        taken: addresses that other network interfaces have.
        seed: decides where the search starts.

    Returns:
        An address, or None if the subnet is full.
    """
    network = ipaddress.IPv4Network(cidr)
    usable = network.num_addresses - RESERVED_AT_START - 1
    occupied = set(taken)
    start = int.from_bytes(hashlib.sha256(seed.encode()).digest())
    for step in range(usable):
        address = str(network.network_address + RESERVED_AT_START + (start + step) % usable)
        if address not in occupied:
            return address
    return None
