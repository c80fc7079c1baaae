"""What leaves a device by its home network outside the tunnel, counted by the kernel: the rules, and how they are read.

nftables counts every packet on its way out, after routing; nothing has to keep up with it, and it needs no more rights
than the lab has.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

TABLE = "soak"
_TOTAL, _DESTINATIONS = "outside", "destinations"
_NEIGHBOUR_DISCOVERY = (
    "icmpv6 type { nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert, mld2-listener-report }"
)


@dataclass(frozen=True)
class Destination:
    """Where packets went that had no business outside the tunnel.

    Attributes:
        port: Destination port; 0 where the protocol has none.
    """

    address: str
    protocol: str
    port: int
    packets: int


@dataclass(frozen=True)
class Crossed:
    """What was counted.

    Attributes:
        packets: All of them, IPv6 among them.
        destinations: Those of IPv4, by destination.
    """

    packets: int
    destinations: tuple[Destination, ...]

    def to(self, address: str, protocol: str, port: int) -> int:
        """Return how many packets went to one destination."""
        wanted = (address, protocol, port)
        return sum(one.packets for one in self.destinations if (one.address, one.protocol, one.port) == wanted)

    def without(self, address: str, protocol: str, port: int) -> "Crossed":
        """Return the rest when what went to one destination is left out."""
        kept = tuple(
            one for one in self.destinations if (one.address, one.protocol, one.port) != (address, protocol, port)
        )
        return Crossed(self.packets - self.to(address, protocol, port), kept)


def allowed(servers: Sequence[str], router: str) -> tuple[str, ...]:
    """Return what may leave a device by its home network, as conditions of nft(8).

    That is the tunnel's own UDP packets to a Client VPN endpoint; the kernel's word that such a packet came to a closed
    port; name lookups at the home router, by which the Client VPN endpoint itself is found; and IPv6's neighbour
    discovery, which goes nowhere. All else belongs inside the tunnel.

    Args:
        servers: Public addresses of the Client VPN endpoints.
        router: The home router's address.
    """
    endpoints = f"ip daddr {{ {', '.join(servers)} }}"
    return (
        f"{endpoints} udp dport 443",
        f"{endpoints} icmp type destination-unreachable",
        f"ip daddr {router} udp dport 53",
        _NEIGHBOUR_DISCOVERY,
    )


def allowed_in_lan(gateways: Sequence[str], vpc: str) -> tuple[str, ...]:
    """Return what may leave a neighbour of a gateway, as conditions of nft(8).

    That is TLS to AWS IoT in the VPC, which goes to the gateway; the question for its name, which the gateway answers;
    the kernel's word that such an answer came too late, to a closed port; and IPv6's neighbour discovery.

    Args:
        gateways: Their addresses in the LAN.
        vpc: The VPC's CIDR block.
    """
    resolvers = f"ip daddr {{ {', '.join(gateways)} }}"
    return (
        f"ip daddr {vpc} tcp dport {{ 443, 8883 }}",
        f"{resolvers} meta l4proto {{ tcp, udp }} th dport 53",
        f"{resolvers} icmp type destination-unreachable",
        _NEIGHBOUR_DISCOVERY,
    )


def rules(interface: str, conditions: Sequence[str], *, arriving: bool = False) -> str:
    """Return the table that counts everything else.

    Args:
        conditions: What is allowed.
        arriving: Whether the interface is the other end of the device's line, where the count outlives the device.
    """
    hook, name = ("prerouting priority -400", "iifname") if arriving else ("postrouting priority 300", "oifname")
    listed = f"@{_DESTINATIONS} {{{{ ip daddr . meta l4proto . {{}} counter }}}}"
    lines = [
        f"table inet {TABLE} {{",
        f"  counter {_TOTAL} {{ }}",
        f"  set {_DESTINATIONS} {{",
        "    type ipv4_addr . inet_proto . inet_service; flags dynamic; size 65535;",
        "  }",
        "  chain leaving {",
        f"    type filter hook {hook}; policy accept;",
        f'    {name} != "{interface}" return',
        *(f"    {condition} return" for condition in conditions),
        f"    counter name {_TOTAL}",
        f"    meta l4proto {{ tcp, udp }} update {listed.format('th dport')} return",
        f"    ip version 4 update {listed.format('0')}",
        "  }",
        "}",
    ]
    return "\n".join(lines) + "\n"


def read(listed: str) -> Crossed:
    """Read what was counted.

    Args:
        listed: What ``nft --json list table inet soak`` printed.
    """
    packets, destinations = 0, []
    for item in json.loads(listed)["nftables"]:
        if item.get("counter", {}).get("name") == _TOTAL:
            packets = item["counter"]["packets"]
        if item.get("set", {}).get("name") == _DESTINATIONS:
            for element in (entry["elem"] for entry in item["set"].get("elem", ())):
                address, protocol, port = element["val"]["concat"]
                destinations.append(Destination(address, str(protocol), int(port), element["counter"]["packets"]))
    return Crossed(packets, tuple(destinations))
