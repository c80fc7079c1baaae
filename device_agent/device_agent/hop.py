"""The first hop towards the VPC: the device's own tunnel, or a gateway of its LAN. What differs between them is here.

The kernel's routing table says which way packets go. A hop judges a route, and says who is asked for the endpoint's
name behind it, which service keeps it, and what it is called in findings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Protocol

from device_agent.routes import Route, overlapping

OPENVPN_FILE = "/etc/openvpn/client/clientvpn.conf"
OPENVPN_SERVICE = "openvpn-client@clientvpn.service"
OPENVPN_DROP_IN = f"/etc/systemd/system/{OPENVPN_SERVICE}.d/private-iot.conf"
NEIGHBOUR_SERVICE = "private-iot-neighbour.service"
NEIGHBOUR_UNIT = f"/etc/systemd/system/{NEIGHBOUR_SERVICE}"


class Hop(Protocol):
    """The first hop."""

    @property
    def kind(self) -> str:
        """`tunnel` or `gateway`."""

    @property
    def service(self) -> str:
        """The unit that keeps it."""

    @property
    def unit_file(self) -> str:
        """The file of that unit which `install` writes."""

    @property
    def profile_file(self) -> str | None:
        """OpenVPN's profile, with the VPN's certificate; None without a tunnel."""

    @property
    def gateways(self) -> tuple[IPv4Address, ...]:
        """The gateways, the first preferred; none of a tunnel."""

    @property
    def missing(self) -> str:
        """What is asked when packets do not take it, such as `is the tunnel up?`."""

    def takes(self, route: Route | None) -> bool:
        """Tell whether a route to an address of the VPC leads over it."""

    def name(self, route: Route) -> str:
        """Call it by its name, such as `tun0` or `the gateway 192.168.1.10`."""

    def tie(self, route: Route) -> str | None:
        """Give the interface that connections are tied to, so that they die with it; None if there is more on it."""

    def resolver(self, route: Route, vpc_resolver: IPv4Address) -> IPv4Address:
        """Tell who answers for the VPC's resolver to this device."""

    def proves(self, *, inside: bool) -> bool:
        """Tell whether an answer of that resolver proves the path; `inside`: it gives addresses, all of the VPC."""

    def changed(self, before: Route, now: Route) -> bool:
        """Tell whether connections do not survive a change from one route over it to another."""


@dataclass(frozen=True, slots=True)
class TunnelHop:
    """OpenVPN's tunnel."""

    kind = "tunnel"
    service = OPENVPN_SERVICE
    unit_file = OPENVPN_DROP_IN
    profile_file = OPENVPN_FILE
    gateways: tuple[IPv4Address, ...] = ()
    missing = "is the tunnel up?"

    def takes(self, route: Route | None) -> bool:
        return route is not None and route.tunnel

    def name(self, route: Route) -> str:
        return route.interface

    def tie(self, route: Route) -> str | None:
        return route.interface

    def resolver(self, route: Route, vpc_resolver: IPv4Address) -> IPv4Address:
        return vpc_resolver

    def proves(self, *, inside: bool) -> bool:
        return True

    def changed(self, before: Route, now: Route) -> bool:
        return False


@dataclass(frozen=True, slots=True)
class GatewayHop:
    """A device of the LAN that is a gateway; of several, the one that the kernel's route leads through."""

    gateways: tuple[IPv4Address, ...]
    kind = "gateway"
    service = NEIGHBOUR_SERVICE
    unit_file = NEIGHBOUR_UNIT
    profile_file = None
    missing = "is the gateway up?"

    def takes(self, route: Route | None) -> bool:
        return route is not None and (
            route.interface == "lo" or (route.gateway is not None and IPv4Address(route.gateway) in self.gateways)
        )

    def name(self, route: Route) -> str:
        return f"the gateway {route.gateway}"

    def tie(self, route: Route) -> str | None:
        return None

    def resolver(self, route: Route, vpc_resolver: IPv4Address) -> IPv4Address:
        return IPv4Address(route.gateway) if route.gateway else vpc_resolver

    def proves(self, *, inside: bool) -> bool:
        # The gateway itself says that it cannot ask.
        return inside

    def changed(self, before: Route, now: Route) -> bool:
        # Each gateway gives the packets an address of its own.
        return (before.gateway, before.interface) != (now.gateway, now.interface)


def hop_of(gateways: Sequence[IPv4Address]) -> Hop:
    """Give the hop of a device: through gateways, or without any its tunnel."""
    return GatewayHop(tuple(gateways)) if gateways else TunnelHop()


def conflicts(hop: Hop, routes: Sequence[Route], network: IPv4Network) -> list[Route]:
    """Pick the routes of other networks that keep addresses of the VPC from a hop, the most specific first."""
    return [route for route in overlapping(routes, network) if not hop.takes(route)]
