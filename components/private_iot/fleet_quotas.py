"""What a number of devices needs of AWS, and what AWS has to raise for it. No Pulumi here.

Sources, each beside its number: CVPN = https://docs.aws.amazon.com/vpn/latest/clientvpn-admin/limits.html, ADDRESSES =
…/clientvpn-admin/what-is-best-practices.html, VPC =
https://docs.aws.amazon.com/iot/latest/developerguide/IoTCore-VPC.html, IOT =
https://docs.aws.amazon.com/general/latest/gr/iot-core.html.
"""

import math
from dataclasses import dataclass, field
from ipaddress import IPv4Network

CONNECTIONS_BY_ASSOCIATIONS = (7_000, 36_500, 66_500, 96_500, 126_000)
"""Concurrent connections of an endpoint with 1 to 5 associated subnets (CVPN, "Concurrent client connections")."""
CLIENT_VPN_ENDPOINTS = 5
"""Client VPN endpoints a Region (CVPN), which AWS raises on request."""
SMALLEST_CLIENT_PREFIX, LARGEST_CLIENT_PREFIX = 22, 12
"""A client CIDR is a /22 to a /12 (ADDRESSES)."""
DEVICES_BY_VPC_ENDPOINT = 100_000
"""Devices of an interface endpoint; more take several, with records of equal weight (VPC, "Limitations")."""
CONNECTS_PER_SECOND = 500
"""Connect requests of an account a second in the Regions with the lower default, 3,000 in most others (IOT, "Connect
requests per second per account"), which AWS raises."""
MAXIMUM_CONNECTIONS = 500_000
"""Concurrent client connections of an account (IOT, "Maximum concurrent client connections per account")."""
RECONNECT_SECONDS = 60
"""Seconds in which all devices should be back after the path was away; the agent's own pauses grow to two minutes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetNeeds:
    """What a fleet needs.

    Attributes:
        client_vpn_endpoints: Client VPN endpoints.
        associations: Subnets, each of another zone, that every endpoint is associated with.
        client_cidr_prefix: Prefix length of each endpoint's client CIDR, the smallest that is enough.
        vpc_endpoints: Interface endpoints of AWS IoT data.
        reconnect_seconds: Seconds until AWS IoT has taken all devices back at its default quota.
        raised: What AWS has to raise, one line each: quota, default, what is needed.
    """

    client_vpn_endpoints: int
    associations: int
    client_cidr_prefix: int
    vpc_endpoints: int
    reconnect_seconds: int
    raised: list[str] = field(default_factory=list)


def fleet_needs(devices: int, *, zones: int = len(CONNECTIONS_BY_ASSOCIATIONS)) -> FleetNeeds:
    """Work out what a number of devices, each with a tunnel of its own, needs.

    Args:
        devices: How many, 1 or more.
        zones: Zones of the Region that can be associated, 1 to 5.

    Raises:
        ValueError: A number is out of its range.
    """
    if devices < 1 or not 1 <= zones <= len(CONNECTIONS_BY_ASSOCIATIONS):
        raise ValueError(
            f"devices is {devices} and zones {zones}: 1 device or more, 1 to {len(CONNECTIONS_BY_ASSOCIATIONS)} zones"
        )
    endpoints = math.ceil(devices / CONNECTIONS_BY_ASSOCIATIONS[zones - 1])
    each = math.ceil(devices / endpoints)
    associations = next(
        number for number, connections in enumerate(CONNECTIONS_BY_ASSOCIATIONS, 1) if connections >= each
    )
    raised = []
    if endpoints > CLIENT_VPN_ENDPOINTS:
        raised.append(f"Client VPN endpoints per Region: {CLIENT_VPN_ENDPOINTS}, needed {endpoints}")
    if devices > MAXIMUM_CONNECTIONS:
        raised.append(f"concurrent client connections of AWS IoT: {MAXIMUM_CONNECTIONS}, needed {devices}")
    if devices > CONNECTS_PER_SECOND * RECONNECT_SECONDS:
        needed = math.ceil(devices / RECONNECT_SECONDS)
        raised.append(
            f"connect requests per second of AWS IoT: {CONNECTS_PER_SECOND}, needed {needed} for all to be back within "
            f"{RECONNECT_SECONDS} s"
        )
    return FleetNeeds(
        client_vpn_endpoints=endpoints,
        associations=associations,
        client_cidr_prefix=_client_prefix(each),
        vpc_endpoints=math.ceil(devices / DEVICES_BY_VPC_ENDPOINT),
        reconnect_seconds=math.ceil(devices / CONNECTS_PER_SECOND),
        raised=raised,
    )


def connections_of(client_cidr_block: str) -> int:
    """Return how many connections a client CIDR holds: half its addresses, since AWS needs the rest for availability.

    Source: ADDRESSES, "assign a CIDR block that contains twice the number of IP addresses".
    """
    return IPv4Network(client_cidr_block).num_addresses // 2


def _client_prefix(connections: int) -> int:
    """The smallest client CIDR with twice as many addresses as connections."""
    return min(SMALLEST_CLIENT_PREFIX, 32 - math.ceil(math.log2(2 * connections)))
