"""The address check, with the kernel's own table of this process's connections."""

from __future__ import annotations

import dataclasses
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from ipaddress import IPv4Address, IPv4Network, IPv6Address

import pytest
from device_agent._exceptions import AddressError
from device_agent.addresses import outside, refuse_foreign_peers, resolve_inside
from device_agent.installation import Installation
from device_agent.routes import Route
from hypothesis import given
from hypothesis import strategies as st

from .material import FakeSystem
from .test_install import Pi, pi

__all__ = ["pi"]
VPC = IPv4Network("10.0.0.0/16")


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_is_outside_unless_it_is_in_the_block(address: IPv4Address) -> None:
    assert outside([str(address)], VPC) == ([] if address in VPC else [str(address)])
    mapped = f"::ffff:{address}"
    assert outside([mapped], VPC) == ([] if address in VPC else [mapped])


@given(st.ip_addresses(v=6))
def test_an_ipv6_address_is_always_outside(address: IPv6Address) -> None:
    inside = address.ipv4_mapped is not None and address.ipv4_mapped in VPC
    assert bool(outside([str(address)], VPC)) is not inside


@pytest.fixture
def installation(pi: Pi) -> Installation:
    assert pi.install() == 0, pi.err
    return Installation.load(pi.system)


@pytest.mark.parametrize("addresses", [["203.0.113.7"], ["10.0.1.105", "203.0.113.7"], ["10.0.1.105", "2001:db8::1"]])
def test_a_single_address_outside_is_enough_to_refuse(
    system: FakeSystem, installation: Installation, addresses: list[str]
) -> None:
    system.state["addresses"] = addresses
    with pytest.raises(AddressError, match=f"resolves to {addresses[-1]}, outside the VPC's 10.0.0.0/16"):
        resolve_inside(system, installation)


def test_a_name_without_an_address_is_refused(system: FakeSystem, installation: Installation) -> None:
    system.state["addresses"] = []
    with pytest.raises(AddressError, match="resolves to nothing"):
        resolve_inside(system, installation)


def test_a_name_that_does_not_resolve_is_refused(system: FakeSystem, installation: Installation) -> None:
    system.state["addresses"] = socket.gaierror(-2, "Name or service not known")
    with pytest.raises(AddressError, match="cannot be resolved"):
        resolve_inside(system, installation)


@pytest.fixture
def connections() -> Iterator[int]:
    """A connection of this process over IPv4, and one over IPv6's clothes for IPv4, to the same port."""
    with ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        port = server.getsockname()[1]
        stack.enter_context(socket.create_connection(("127.0.0.1", port)))
        mapped = stack.enter_context(socket.socket(socket.AF_INET6, socket.SOCK_STREAM))
        mapped.connect(("::ffff:127.0.0.1", port))
        yield port


def test_the_peers_of_this_process_are_found_in_the_kernels_table(connections: int, installation: Installation) -> None:
    inside = dataclasses.replace(installation, vpc_cidr=IPv4Network("127.0.0.0/8"))
    assert refuse_foreign_peers(inside, connections) == ["127.0.0.1"]


def test_a_connection_whose_peer_cannot_be_seen_is_refused(installation: Installation) -> None:
    with pytest.raises(AddressError, match="a peer that cannot be seen"):
        refuse_foreign_peers(installation, 1)


def test_an_address_that_is_reached_beside_the_tunnel_is_refused(
    system: FakeSystem, installation: Installation
) -> None:
    system.state["routes"]["10.0.1.105"] = ("wlan0", "10.0.1.57")
    system.state["table"] = [Route(IPv4Network("10.0.1.0/24"), "wlan0")]
    covered = "a route of another network covers the VPC: 10.0.1.0/24 through wlan0 lies in 10.0.0.0/16"
    with pytest.raises(AddressError, match=f"10.0.1.105 is reached through wlan0, .*{covered}"):
        resolve_inside(system, installation)


def test_a_peer_outside_the_vpc_is_refused(connections: int, installation: Installation) -> None:
    with pytest.raises(AddressError, match=r"went to 127\.0\.0\.1, outside the VPC's 10\.0\.0\.0/16, and was dropped"):
        refuse_foreign_peers(installation, connections)
