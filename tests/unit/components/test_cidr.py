"""Addresses. Cannot prove that AWS has room in a zone or that another network of the site does not overlap."""

import re
from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from private_iot import ArgumentError, cidr

VPC = IPv4Network("10.0.0.0/16")


@st.composite
def networks(draw: st.DrawFn, shortest: int, longest: int) -> IPv4Network:
    length = draw(st.integers(shortest, longest))
    address = draw(st.integers(0, 2**32 - 1))
    return IPv4Network((address >> (32 - length) << (32 - length), length))


def test_the_first_subnet_of_the_walk_throughs_vpc_is_the_walk_throughs() -> None:
    assert [str(one) for one in cidr.plan_subnets("count", VPC, 3)] == ["10.0.1.0/24", "10.0.2.0/24", "10.0.3.0/24"]


def test_the_walk_throughs_resolver_is_the_base_plus_two() -> None:
    assert cidr.dns_server(VPC) == "10.0.0.2"


@given(networks(16, 27), st.integers(1, 12))
def test_computed_subnets_lie_inside_are_disjoint_and_can_be_associated(vpc: IPv4Network, count: int) -> None:
    room = 2 ** (min(max(vpc.prefixlen + 2, 24), 27) - vpc.prefixlen)
    if count > room:
        with pytest.raises(ArgumentError, match=rf"{room} subnets of"):
            cidr.plan_subnets("count", vpc, count)
        return
    subnets = cidr.plan_subnets("count", vpc, count)
    assert len(subnets) == count
    assert all(one.subnet_of(vpc) and one.prefixlen <= 27 for one in subnets)
    assert not any(a.overlaps(b) for index, a in enumerate(subnets) for b in subnets[:index])
    assert cidr.given_subnets("subnets", vpc, [str(one) for one in subnets]) == subnets


@given(networks(16, 25), st.integers(1, 3))
def test_a_further_zone_moves_no_subnet_that_exists(vpc: IPv4Network, count: int) -> None:
    assert cidr.plan_subnets("count", vpc, count + 1)[:count] == cidr.plan_subnets("count", vpc, count)


@pytest.mark.parametrize(
    ("vpc", "room", "length"),
    [
        ("10.0.0.0/16", 256, 24),
        ("10.0.0.0/22", 4, 24),
        ("10.0.0.0/23", 4, 25),
        ("10.0.0.0/24", 4, 26),
        ("10.0.0.0/25", 4, 27),
        ("10.0.0.0/26", 2, 27),
        ("10.0.0.0/27", 1, 27),
        ("10.0.0.0/28", 0, 27),
    ],
)
def test_a_smaller_vpc_gets_smaller_subnets_down_to_27(vpc: str, room: int, length: int) -> None:
    network = IPv4Network(vpc)
    if room:
        subnets = cidr.plan_subnets("count", network, room)
        assert {one.prefixlen for one in subnets} == {length}
        assert len(set(subnets)) == room
    with pytest.raises(ArgumentError, match=re.escape(f"{room} subnets of /{length} fit into {vpc}")):
        cidr.plan_subnets("count", network, room + 1)


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
