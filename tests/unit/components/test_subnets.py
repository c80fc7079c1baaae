"""Zones and blocks over the life of a network. Cannot prove that AWS has room in a zone."""

import re
from ipaddress import IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from private_iot import ArgumentError, subnets

from tests.unit.components.networks import networks

VPC = IPv4Network("10.0.0.0/16")
SERVICE = "com.amazonaws.ap-northeast-1.iot.data"
zone_lists = st.lists(st.sampled_from("abcdef"), min_size=1, max_size=4, unique=True)


def placed(
    vpc: IPv4Network, zones: list[str], deployed: dict[str, IPv4Network] | None = None
) -> dict[str, IPv4Network]:
    return subnets.place(subnets.wish(vpc, zones, [], None), zones, deployed or {})


def test_the_first_subnet_of_the_walk_throughs_vpc_is_the_walk_throughs() -> None:
    blocks = placed(VPC, ["a", "c", "d"])
    assert {zone: str(block) for zone, block in blocks.items()} == {
        "a": "10.0.1.0/24",
        "c": "10.0.2.0/24",
        "d": "10.0.3.0/24",
    }


@given(networks(16, 27), st.integers(1, 12))
def test_computed_subnets_lie_inside_are_disjoint_and_can_be_associated(vpc: IPv4Network, count: int) -> None:
    room = 2 ** (min(max(vpc.prefixlen + 2, 24), 27) - vpc.prefixlen)
    zones = [f"zone-{number}" for number in range(count)]
    if count > room:
        with pytest.raises(ArgumentError, match=rf"{room} subnets of"):
            placed(vpc, zones)
        return
    blocks = list(placed(vpc, zones).values())
    assert len(blocks) == count
    assert all(one.subnet_of(vpc) and one.prefixlen <= 27 for one in blocks)
    assert not any(a.overlaps(b) for index, a in enumerate(blocks) for b in blocks[:index])
    given_again = subnets.wish(vpc, [], [str(one) for one in blocks], None)
    assert list(subnets.place(given_again, zones, {}).values()) == blocks


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
        blocks = placed(network, [f"zone-{number}" for number in range(room)]).values()
        assert {one.prefixlen for one in blocks} == {length}
        assert len(set(blocks)) == room
    with pytest.raises(ArgumentError, match=re.escape(f"{room} subnets of /{length} fit into {vpc}")):
        subnets.wish(network, [], [], room + 1)


@given(st.lists(zone_lists, min_size=2, max_size=6))
def test_a_zone_keeps_its_block_for_as_long_as_it_is_there_whatever_comes_and_goes(life: list[list[str]]) -> None:
    """AWS makes the new subnets before it deletes the old ones: at no moment may two overlap."""
    deployed: dict[str, IPv4Network] = {}
    for zones in life:
        blocks = placed(VPC, zones, deployed)
        assert list(blocks) == zones
        for zone in zones:
            if zone in deployed:
                assert blocks[zone] == deployed[zone]
        together = {**deployed, **blocks}.items()
        assert not any(a.overlaps(b) for one, a in together for other, b in together if one != other)
        deployed = blocks


@given(zone_lists, st.lists(st.sampled_from("abcdef"), unique=True), st.integers(1, 6))
def test_a_chosen_zone_stays_chosen_when_the_service_comes_to_further_zones(
    offered: list[str], more: list[str], count: int
) -> None:
    wish = subnets.wish(VPC, [], [], count)
    if count > len(offered):
        with pytest.raises(ArgumentError, match=f"offered in {len(offered)} zones"):
            subnets.choose_zones(wish, {}, offered, SERVICE)
        return
    first = subnets.choose_zones(wish, {}, offered, SERVICE)
    assert first == sorted(offered)[:count]
    deployed = subnets.place(wish, first, {})
    later = sorted({*offered, *more})
    assert subnets.choose_zones(wish, deployed, later, SERVICE) == first
    if count < len(later):
        one_more = subnets.choose_zones(subnets.wish(VPC, [], [], count + 1), deployed, later, SERVICE)
        assert set(first) < set(one_more)


def test_zones_that_aws_does_not_tell_are_unknown_and_not_none() -> None:
    """GovCloud: DescribeVpcEndpointServices gives names without details."""
    assert subnets.choose_zones(subnets.wish(VPC, ["a"], [], None), {}, None, SERVICE) == ["a"]
    with pytest.raises(ArgumentError, match=r"AWS does not tell here which zones .*; name the zones"):
        subnets.choose_zones(subnets.wish(VPC, [], [], 1), {}, None, SERVICE)


@pytest.mark.parametrize(
    ("zones", "blocks", "message"),
    [
        (["c", "a"], ["10.0.1.0/24", "10.0.2.0/24"], "it overlaps 10.0.1.0/24, which zone a has"),
        (["c"], ["10.0.1.0/24"], "it overlaps 10.0.1.0/24, which zone a has until the new subnet stands"),
        (["a", "c"], ["10.0.1.0/25", "10.0.2.0/24"], "subnet_cidr_blocks is '10.0.1.0/25': it overlaps 10.0.1.0/24"),
        (["a", "c"], ["10.0.0.0/22", "10.0.4.0/24"], "subnet_cidr_blocks is '10.0.0.0/22': it overlaps"),
    ],
)
def test_a_block_that_aws_would_refuse_for_ever_is_refused_at_once(
    zones: list[str], blocks: list[str], message: str
) -> None:
    deployed = {"a": IPv4Network("10.0.1.0/24"), "c": IPv4Network("10.0.2.0/24")}
    with pytest.raises(ArgumentError, match=re.escape(message)):
        subnets.place(subnets.wish(VPC, zones, blocks, None), zones, deployed)


def test_chosen_zones_keep_their_given_blocks_in_whatever_order_these_are_written() -> None:
    deployed = {"a": IPv4Network("10.0.1.0/24"), "c": IPv4Network("10.0.2.0/24")}
    wish = subnets.wish(VPC, [], ["10.0.2.0/24", "10.0.1.0/24"], None)
    assert subnets.place(wish, ["a", "c"], deployed) == deployed
