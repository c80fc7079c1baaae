"""The kernel's routes and links: the real kernel's, and answers of kernels with other links."""

from __future__ import annotations

import struct
import subprocess
import sys
from ipaddress import IPv4Address, IPv4Network

import pytest
from device_agent.routes import TUNNEL_KINDS, Route, describe_conflict, find_route, list_routes, overlapping, parse_link
from hypothesis import given
from hypothesis import strategies as st

VPC = IPv4Network("10.0.0.0/16")
HOME = Route(IPv4Network("0.0.0.0/0"), "wlan0")
TUNNEL = Route(VPC, "tun0", "tun")


def test_the_loopback_never_leaves_the_device() -> None:
    route = find_route(IPv4Address("127.0.0.1"))
    assert route == Route(IPv4Network("127.0.0.1/32"), "lo", source="127.0.0.1")
    assert route.tunnel


def test_every_route_that_is_listed_is_the_kernels_own_decision() -> None:
    for route in list_routes():
        found = find_route(route.network[0])
        assert found is None or isinstance(found.interface, str)


_CHANGES = """
import subprocess
from device_agent.routes import RouteChanges

changes = RouteChanges()
seen = [changes.happened()]
for words in ("link set lo up", "address add 10.9.9.1/32 dev lo", "route add 10.8.0.0/16 dev lo", "link set lo down"):
    subprocess.run(["ip", *words.split()], check=True)
    seen += [changes.happened(), changes.happened()]
changes.close()
seen.append(changes.happened())
print(seen)
"""


def test_the_kernel_tells_once_of_links_addresses_and_routes_that_change() -> None:
    # In a network namespace of its own, where nothing else changes.
    words = ["unshare", "--map-root-user", "--net", sys.executable, "-c", _CHANGES]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout == f"{[False, *[True, False] * 4, True]}\n"


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def link(name: str, kind: str | None) -> bytes:
    """RTM_NEWLINK's body: struct ifinfomsg, then IFLA_IFNAME, and IFLA_LINKINFO with IFLA_INFO_KIND."""
    info = attribute(18 | 0x8000, attribute(1, kind.encode() + b"\0")) if kind else b""
    return bytes(16) + attribute(3, name.encode() + b"\0") + attribute(4, struct.pack("=I", 1500)) + info


@pytest.mark.parametrize("kind", ["tun", "ovpn", "ovpn-dco"])
def test_every_link_that_openvpn_makes_is_a_tunnel(kind: str) -> None:
    """With data channel offload there is no tun_flags in sysfs; only the kind tells."""
    name, found = parse_link(link("tun0", kind))
    assert (name, found) == ("tun0", kind)
    assert Route(VPC, name, found).tunnel


@pytest.mark.parametrize("kind", [None, "veth", "bridge", "vlan"])
def test_a_name_alone_makes_no_tunnel(kind: str | None) -> None:
    name, found = parse_link(link("tun0", kind))
    assert not Route(VPC, name, found).tunnel


@pytest.mark.parametrize("network", ["10.0.0.0/24", "10.0.0.0/16", "10.0.0.0/8", "10.0.200.0/30"])
def test_a_home_network_that_shares_addresses_with_the_vpc_is_found(network: str) -> None:
    home = Route(IPv4Network(network), "wlan0")
    assert overlapping([HOME, TUNNEL, home], VPC) == [home]
    assert describe_conflict(home, VPC) == (
        f"a route of another network covers the VPC: {network} through wlan0 lies in 10.0.0.0/16"
    )


@given(st.lists(st.integers(0, 2**32 - 1), max_size=8), st.integers(1, 32))
def test_only_what_shares_an_address_is_found(addresses: list[int], prefix: int) -> None:
    routes = [Route(IPv4Network((address, prefix), strict=False), "wlan0") for address in addresses]
    found = overlapping([HOME, TUNNEL, *routes], VPC)
    assert all(route.network.overlaps(VPC) for route in found)
    assert set(routes) - set(found) == {route for route in routes if not route.network.overlaps(VPC)}
    assert TUNNEL_KINDS.isdisjoint(route.kind for route in found)
