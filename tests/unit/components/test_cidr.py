"""Addresses. Cannot prove that AWS has room in a zone or that another network of the site does not overlap."""

from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from private_iot import ArgumentError, cidr

from tests.unit.components.networks import networks

VPC = IPv4Network("10.0.0.0/16")


def test_the_walk_throughs_resolver_is_the_base_plus_two() -> None:
    assert cidr.dns_server(VPC) == "10.0.0.2"


@given(networks(0, 32))
def test_a_vpc_is_taken_from_16_to_28_and_nowhere_else(network: IPv4Network) -> None:
    if 16 <= network.prefixlen <= 28:
        assert cidr.vpc_network("vpc_cidr_block", str(network)) == network
        assert IPv4Address(cidr.dns_server(network)) in network
    else:
        with pytest.raises(ArgumentError, match="/16 to a /28"):
            cidr.vpc_network("vpc_cidr_block", str(network))


@given(networks(0, 32))
def test_the_clients_network_is_taken_from_12_to_22_and_nowhere_else(network: IPv4Network) -> None:
    if 12 <= network.prefixlen <= 22:
        assert cidr.client_network("client_cidr_block", str(network)) == network
    else:
        with pytest.raises(ArgumentError, match="/12 to a /22"):
            cidr.client_network("client_cidr_block", str(network))


@given(networks(12, 22), networks(16, 28))
def test_an_overlap_with_the_clients_is_found_whichever_is_larger(clients: IPv4Network, vpc: IPv4Network) -> None:
    overlap = clients.subnet_of(vpc) or vpc.subnet_of(clients)
    if overlap:
        with pytest.raises(ArgumentError, match="overlaps the VPC"):
            cidr.check_disjoint("client_cidr_block", clients, vpc)
    else:
        cidr.check_disjoint("client_cidr_block", clients, vpc)


@given(networks(16, 28), networks(32, 32))
def test_a_resolver_is_inside_the_vpc_or_refused(vpc: IPv4Network, address: IPv4Network) -> None:
    server = str(address.network_address)
    if address.subnet_of(vpc):
        cidr.check_dns_servers("dns_servers", [server], vpc)
    else:
        with pytest.raises(ArgumentError, match="devices take a resolver inside the VPC"):
            cidr.check_dns_servers("dns_servers", [server], vpc)


def test_host_bits_are_refused_with_the_network_that_was_meant() -> None:
    with pytest.raises(ArgumentError) as refused:
        cidr.vpc_network("vpc_cidr_block", "10.0.1.7/16")
    assert str(refused.value) == (
        "vpc_cidr_block is '10.0.1.7/16': it is no network address, host bits are set; write 10.0.0.0/16"
    )


@given(st.text(max_size=20))
def test_any_text_is_a_network_or_refused_in_words(text: str) -> None:
    try:
        network = IPv4Network(text) if "/" in text else None
    except ValueError:
        network = None
    if network is not None and 16 <= network.prefixlen <= 28:
        assert cidr.vpc_network("vpc_cidr_block", text) == network
    else:
        with pytest.raises(ArgumentError, match=r"^vpc_cidr_block is "):
            cidr.vpc_network("vpc_cidr_block", text)
