"""Which addresses and short names the sandbox gives to what AWS does not say.

Everything is derived from the thing's own name, so that adding one device or endpoint moves no other: `sync` then
touches only what changed.
"""

import hashlib
import ipaddress
from collections.abc import Iterable, Mapping, Sequence

# TEST-NET-3 (RFC 5737) plays the public internet.
INTERNET = ipaddress.IPv4Network("203.0.113.0/24")
ROUTER = "203.0.113.1"
INTERNET_DNS = "203.0.113.53"
IOT_PUBLIC = "203.0.113.80"
CREDENTIALS_PUBLIC = "203.0.113.81"
NAMES_OF_ANYBODY = "attacker.example"
"""Every name below it is answered on the internet, as those of whoever wants to be told something by being asked."""
_CLIENT_VPN = range(100, 250)

_HOME_CANDIDATES = ("192.168.0.0/16", "10.192.0.0/16", "172.16.0.0/16", "100.64.0.0/16")


class AddressError(Exception):
    """No address is left, or two networks that must be apart overlap."""


def short(name: str) -> str:
    """Return eight hexadecimal digits of a name: an interface's name has at most 15 characters."""
    return hashlib.sha256(name.encode()).hexdigest()[:8]


def slots(names: Iterable[str], count: int) -> dict[str, int]:
    """Give each name a number of its own, below `count`, that depends on little but the name.

    Raises:
        AddressError: There are more names than numbers.
    """
    ordered = sorted(set(names))
    if len(ordered) > count:
        raise AddressError(f"{len(ordered)} names for {count} places: the lab carries {count} at most")
    taken: dict[int, str] = {}
    for name in ordered:
        slot = int(hashlib.sha256(name.encode()).hexdigest(), 16) % count
        while slot in taken:
            slot = (slot + 1) % count
        taken[slot] = name
    return {name: slot for slot, name in taken.items()}


def public_addresses(endpoint_ids: Iterable[str]) -> dict[str, str]:
    """Return the public address of each Client VPN endpoint."""
    return {name: str(INTERNET[_CLIENT_VPN[slot]]) for name, slot in slots(endpoint_ids, len(_CLIENT_VPN)).items()}


def home_networks(names: Sequence[str], taken: Iterable[str]) -> Mapping[str, ipaddress.IPv4Network]:
    """Return the home network of each device: a /24 that overlaps with none of the cloud's networks.

    Args:
        taken: CIDRs of VPCs and of Client VPN clients.

    Raises:
        AddressError: No private block is left.
    """
    used = [ipaddress.IPv4Network(cidr, strict=False) for cidr in taken]
    for candidate in map(ipaddress.IPv4Network, _HOME_CANDIDATES):
        if not any(candidate.overlaps(network) for network in used):
            networks = list(candidate.subnets(new_prefix=24))
            return {name: networks[slot] for name, slot in slots(names, len(networks)).items()}
    raise AddressError(
        f"none of {', '.join(_HOME_CANDIDATES)} is free of the cloud's networks {', '.join(map(str, used))}"
    )


def free_address(subnet_cidr: str, key: str, taken: Iterable[str]) -> str:
    """Return an address of a subnet that no interface has.

    The first four addresses and the last one are AWS's (VPC user guide, "Subnet CIDR blocks").

    Args:
        key: What the address is for; the same key gets the same address as long as it is free.

    Raises:
        AddressError: The subnet is full.
    """
    network = ipaddress.IPv4Network(subnet_cidr)
    used = set(taken)
    count = network.num_addresses - 5
    first = int(hashlib.sha256(key.encode()).hexdigest(), 16) % count
    for step in range(count):
        address = str(network[4 + (first + step) % count])
        if address not in used:
            return address
    raise AddressError(f"subnet {subnet_cidr} has no free address for {key}")
