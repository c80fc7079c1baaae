"""Which zones a network uses and which block each has: a zone that is there stays, with its block. No Pulumi here."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network

from private_iot import cidr
from private_iot.errors import ArgumentError


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the program asked for.

    Attributes:
        vpc: The VPC's network.
        zones: The zones by name; none leaves the choice.
        blocks: One network a zone; none leaves the choice.
        count: How many subnets; 0 where neither it nor the two above were given.
        deciding: The name of the argument that decides how many there are, for messages.
    """

    vpc: IPv4Network
    zones: Sequence[str]
    blocks: Sequence[IPv4Network]
    count: int
    deciding: str


def wish(vpc: IPv4Network, zones: Sequence[str], blocks: Sequence[str], count: int | None) -> Wish:
    """Bring the three arguments together that say how many subnets there are.

    Raises:
        ArgumentError: They disagree, or a block is no part of the VPC, smaller than /27 or overlaps another.
    """
    given: dict[str, tuple[object, int]] = {}
    if zones:
        given["availability_zones"] = (list(zones), len(zones))
    if blocks:
        given["subnet_cidr_blocks"] = (list(blocks), len(blocks))
    if count is not None:
        given["availability_zone_count"] = (count, count)
    deciding = next(iter(given), None)
    for argument, (value, number) in given.items():
        if deciding and number != given[deciding][1]:
            raise ArgumentError(
                argument,
                value,
                f"it has to agree with {deciding}, which makes {given[deciding][1]} subnets",
                f"give as many or leave {argument} out",
            )
    number = given[deciding][1] if deciding else 1
    deciding = deciding or "vpc_cidr_block"
    if number < 1:
        raise ArgumentError(deciding, number, "a network needs at least 1 zone", "ask for 1 or more")
    if not blocks:
        _check_room(deciding, vpc, number)
    return Wish(
        vpc=vpc,
        zones=zones,
        blocks=_given_blocks("subnet_cidr_blocks", vpc, blocks),
        count=number,
        deciding=deciding,
    )


def choose_zones(
    wish: Wish, deployed: Mapping[str, IPv4Network], offered: Sequence[str] | None, service: str
) -> list[str]:
    """Name the zones: those that the program names, or else those that are used already and then the first offered.

    Args:
        wish: What the program asked for.
        deployed: The zones that the network has now, each with its block.
        offered: The zones in which the endpoint services are offered, None where AWS does not tell.
        service: The services' names, for messages.

    Raises:
        ArgumentError: There are too few, or AWS does not tell which there are.
    """
    if wish.zones:
        return list(wish.zones)
    if offered is None:
        raise ArgumentError(
            "availability_zones",
            [],
            f"AWS does not tell here which zones offer {service}",
            "name the zones that the VPC console offers for an endpoint of that service",
        )
    if wish.count > len(offered):
        raise ArgumentError(
            "availability_zone_count",
            wish.count,
            f"{service} is offered in {len(offered)} zones of this account ({', '.join(offered)})",
            f"ask for at most {len(offered)}",
        )
    kept = [zone for zone in sorted(deployed) if zone in offered]
    return sorted([*kept, *(zone for zone in sorted(offered) if zone not in kept)][: wish.count])


def place(wish: Wish, zones: Sequence[str], deployed: Mapping[str, IPv4Network]) -> dict[str, IPv4Network]:
    """Give every zone its block.

    Args:
        wish: What the program asked for.
        zones: The zones to use.
        deployed: The zones that the network has now, each with its block; also those that will go.

    Returns:
        Zone → block, in the order of `zones`.

    Raises:
        ArgumentError: A block that the program names is still another zone's, or overlaps one of the deployed.
    """
    kept = {zone: deployed[zone] for zone in zones if zone in deployed and deployed[zone].subnet_of(wish.vpc)}
    if wish.blocks:
        if wish.zones:
            placed = dict(zip(zones, wish.blocks, strict=True))
        else:
            placed = {zone: block for zone, block in kept.items() if block in wish.blocks}
            free = [block for block in wish.blocks if block not in placed.values()]
            placed |= dict(zip([zone for zone in zones if zone not in placed], free, strict=True))
        _check_free("subnet_cidr_blocks", placed, deployed)
    else:
        new = _free(wish, list(deployed.values()))
        placed = {zone: kept[zone] if zone in kept else next(new) for zone in zones}
    return {zone: placed[zone] for zone in zones}


def _check_free(argument: str, placed: Mapping[str, IPv4Network], deployed: Mapping[str, IPv4Network]) -> None:
    """A new subnet is made before an old one goes: AWS would refuse its block with InvalidSubnet.Conflict for ever."""
    for zone, block in placed.items():
        if deployed.get(zone) == block:
            continue
        for other, theirs in deployed.items():
            if block.overlaps(theirs):
                raise ArgumentError(
                    argument,
                    str(block),
                    f"it overlaps {theirs}, which zone {other} has until the new subnet stands",
                    "choose a block that is free, or take the zone out first and give its block away after that",
                )


def _length(vpc: IPv4Network) -> int:
    return min(max(vpc.prefixlen + 2, 24), cidr.SMALLEST_SUBNET)


def _planned(vpc: IPv4Network) -> list[IPv4Network]:
    """Cut the VPC into blocks whose size depends on it alone, so that a further zone never moves one that exists.

    /24 for a VPC of /16 to /22, a quarter of the VPC below that, at least a /27. The first block comes last, so that
    10.0.0.0/16 begins with 10.0.1.0/24.
    """
    if _length(vpc) < vpc.prefixlen:
        return []
    first, *others = vpc.subnets(new_prefix=_length(vpc))
    return [*others, first]


def _check_room(argument: str, vpc: IPv4Network, count: int) -> None:
    room = len(_planned(vpc))
    if count > room:
        remedy = f"ask for at most {room} or choose a larger VPC" if room else "choose a VPC of /27 or larger"
        raise ArgumentError(argument, count, f"{room} subnets of /{_length(vpc)} fit into {vpc}", remedy)


def _free(wish: Wish, taken: Sequence[IPv4Network]) -> Iterator[IPv4Network]:
    yield from (block for block in _planned(wish.vpc) if not any(block.overlaps(other) for other in taken))
    raise ArgumentError(
        wish.deciding,
        wish.count,
        f"the subnets that are there leave no block of /{_length(wish.vpc)} free in {wish.vpc}",
        "take a zone out in one deployment and bring the new one in the next",
    )


def _given_blocks(argument: str, vpc: IPv4Network, values: Sequence[str]) -> list[IPv4Network]:
    blocks: list[IPv4Network] = []
    for value in values:
        block = cidr.network(argument, value, "write it as 10.0.1.0/24")
        if not block.subnet_of(vpc):
            raise ArgumentError(argument, value, f"it lies outside the VPC {vpc}", f"choose a part of {vpc}")
        if block.prefixlen > cidr.SMALLEST_SUBNET:
            raise ArgumentError(
                argument,
                value,
                f"Client VPN associates subnets of /{cidr.SMALLEST_SUBNET} or larger",
                "choose a larger one",
            )
        for other in blocks:
            if block.overlaps(other):
                raise ArgumentError(argument, value, f"it overlaps {other}", "choose subnets that are disjoint")
        blocks.append(block)
    return blocks
