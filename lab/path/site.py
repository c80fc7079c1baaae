"""A site: a LAN of its own whose devices have one tunnel among them, that of its gateway.

Which device is where is no business of AWS's, so that whoever brings the lab up says it. A gateway has a home of its
own, which is the site's uplink, and an interface to the LAN; a neighbour has the LAN alone. A sensor is in the LAN as
well: a network without a device, as a microcontroller's is, for programs such as mosquitto_pub.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from ipaddress import IPv4Network
from typing import Any

from lab.errors import LabError
from lab.path.parts import HOME_INTERFACE, End, Host, Link

LAN, SENSOR = "site-lan", "sensor"
"""The hosts that a site adds: the LAN's switch, and the sensor."""
GATEWAY_INTERFACE = "lan0"
BRIDGE = "switch"
# The LAN's lower half is for devices: what a gateway may allow without the sensor. It has room for as many neighbours.
_FIRST_NEIGHBOUR, _SENSOR, _MOST_GATEWAYS, _MOST_NEIGHBOURS = 20, 200, 8, 100


@dataclass(frozen=True)
class Site:
    """Who is in the LAN, by the names of their things.

    Attributes:
        gateways: One or more; the first is everybody's router and resolver, as a DHCP server would say.
    """

    gateways: tuple[str, ...]
    neighbours: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what is no site.

        Raises:
            LabError: There is no gateway, too many of either, or a name is there twice.
        """
        names = [*self.gateways, *self.neighbours]
        if not self.gateways or not all(names) or len(set(names)) < len(names):
            raise LabError(f"site {self}: use GATEWAY[,GATEWAY][=NEIGHBOUR,…], each name once, such as pi-1=pi-2,pi-3")
        if len(self.gateways) > _MOST_GATEWAYS or len(self.neighbours) > _MOST_NEIGHBOURS:
            raise LabError(f"site {self}: use at most {_MOST_GATEWAYS} gateways and {_MOST_NEIGHBOURS} neighbours")

    def __str__(self) -> str:
        return "=".join(",".join(names) for names in (self.gateways, self.neighbours) if names)

    @classmethod
    def parse(cls, text: str) -> "Site":
        """Read ``GATEWAY[,GATEWAY][=NEIGHBOUR[,NEIGHBOUR]]``.

        Raises:
            LabError: It is none.
        """
        gateways, equals, neighbours = text.partition("=")
        return cls(tuple(gateways.split(",")), tuple(neighbours.split(",")) if equals else ())

    def document(self) -> dict[str, Any]:
        """Return it for JSON, as `of` reads it."""
        return asdict(self)

    @classmethod
    def of(cls, document: Mapping[str, Sequence[str]]) -> "Site":
        return cls(tuple(document["gateways"]), tuple(document["neighbours"]))


def addresses(site: Site, network: IPv4Network) -> dict[str, str]:
    """Return each host's address in the LAN.

    Args:
        network: The LAN, a /24.
    """
    hosts = [(name, 1 + number) for number, name in enumerate(site.gateways)]
    hosts += [(name, _FIRST_NEIGHBOUR + number) for number, name in enumerate(site.neighbours)]
    return {name: str(network[number]) for name, number in (*hosts, (SENSOR, _SENSOR))}


def devices_network(network: IPv4Network) -> IPv4Network:
    """Return the part of the LAN that its devices are in, and the sensor is not."""
    return next(network.subnets(new_prefix=25))


def hosts(site: Site, network: IPv4Network) -> Iterator[Host]:
    """Yield the hosts of the LAN but for its gateways."""
    router = addresses(site, network)[site.gateways[0]]
    yield Host(LAN, "lan", None)
    for name in site.neighbours:
        yield Host(name, "device", router)
    yield Host(SENSOR, "sensor", router)


def links(site: Site, network: IPv4Network) -> Iterator[Link]:
    """Yield the cables between the LAN's switch and each of its hosts."""
    own = addresses(site, network)
    router = own[site.gateways[0]]
    for number, (name, address) in enumerate(own.items()):
        gateway = name in site.gateways
        interface, routes = (GATEWAY_INTERFACE, ()) if gateway else (HOME_INTERFACE, (f"default via {router}",))
        yield Link(End(LAN, f"port{number}", bridge=BRIDGE), End(name, interface, (f"{address}/24",), routes))
