"""Security groups and authorization rules as nftables, as text.

Two tables are made: one in the VPC, where every packet between two network interfaces passes, and one in a Client VPN
endpoint, where every packet of a client passes.
"""

import ipaddress
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from lab.path.model import SecurityGroup, SecurityGroupRule

TUNNEL = "tun0"
PUBLIC = "wan0"
# Sets of a Client VPN endpoint that count each client's packets by its address.
FROM_CLIENTS = "from_clients"
TO_CLIENTS = "to_clients"


@dataclass(frozen=True)
class GroupedInterface:
    """An address inside the VPC and the security groups that its interface carries."""

    name: str
    address: str
    group_ids: tuple[str, ...]


def vpc_table(interfaces: Sequence[GroupedInterface], groups: Mapping[str, SecurityGroup]) -> str:
    """Return the rules between the network interfaces of a VPC.

    Security groups are stateful, deny by default, and the union of all groups of an interface counts; a referenced
    group stands for the addresses of the interfaces that carry it; a connection that is tracked outlives the rule
    that let it in; the resolver on base plus two is not filtered (VPC user guide, "Security groups for your VPC" and
    "Connection tracking").

    Args:
        interfaces: Every interface of the VPC that something listens or sends on.
    """
    members = {
        group_id: sorted(interface.address for interface in interfaces if group_id in interface.group_ids)
        for group_id in groups
    }
    lines = ["table inet security_groups", "delete table inet security_groups", "table inet security_groups {"]
    for number, interface in enumerate(interfaces):
        for egress in (True, False):
            lines.append(f"  chain {_chain(number, egress=egress)} {{")
            for group_id in interface.group_ids:
                group = groups.get(group_id)
                for rule in group.rules if group else ():
                    if rule.egress == egress:
                        verdict = f'counter return comment "{group_id} of {interface.name}"'
                        lines += [f"    {match} {verdict}" for match in _matches(rule, members)]
            direction = "outbound" if egress else "inbound"
            lines.append(f'    counter drop comment "no {direction} rule of {interface.name}"')
            lines.append("  }")
    lines += [
        "  chain forward {",
        "    type filter hook forward priority filter; policy drop;",
        "    ct state established,related accept",
    ]
    for number, interface in enumerate(interfaces):
        lines.append(f"    ip saddr {interface.address} jump {_chain(number, egress=True)}")
    for number, interface in enumerate(interfaces):
        lines.append(f"    ip daddr {interface.address} jump {_chain(number, egress=False)}")
    if interfaces:
        addresses = _set(interface.address for interface in interfaces)
        lines.append(f"    ip saddr {addresses} ip daddr {addresses} accept")
    return "\n".join([*lines, "  }", "}", ""])


def client_vpn_table(
    *,
    listening: tuple[str, int] | None,
    client_cidr: str,
    authorized: Iterable[str],
    source_addresses: Mapping[str, str],
) -> str:
    """Return the rules of a Client VPN endpoint.

    Nothing passes between the internet and the VPC: the one way is out of the tunnel, to an authorized network, under
    the association's own address (Client VPN administrator guide, "How AWS Client VPN works": source NAT;
    "Authorization rules": access is denied without one).

    Args:
        listening: Transport protocol and port, or None where the endpoint does not answer.
        authorized: Destination CIDRs of the active authorization rules.
        source_addresses: Address of each association's network interface, by the interface's name in the endpoint.
    """
    accept = [f'    iifname "{PUBLIC}" {listening[0]} dport {listening[1]} accept'] if listening else []
    rules = [
        f'    iifname "{TUNNEL}" ip daddr {cidr} counter accept comment "authorization rule {cidr}"'
        for cidr in sorted(set(authorized), key=lambda cidr: ipaddress.ip_network(cidr, strict=False))
    ]
    nat = [
        f'    ip saddr {client_cidr} oifname "{interface}" snat ip to {address}'
        for interface, address in source_addresses.items()
    ]
    return "\n".join(
        [
            "table inet client_vpn",
            "delete table inet client_vpn",
            "table inet client_vpn {",
            *(f"  set {name} {{ type ipv4_addr; size 65535; flags dynamic; }}" for name in (FROM_CLIENTS, TO_CLIENTS)),
            "  chain input {",
            "    type filter hook input priority filter; policy drop;",
            '    iifname "lo" accept',
            "    ct state established,related accept",
            *accept,
            "  }",
            "  chain forward {",
            "    type filter hook forward priority filter; policy drop;",
            f'    iifname "{TUNNEL}" update @{FROM_CLIENTS} {{ ip saddr counter }}',
            f'    oifname "{TUNNEL}" update @{TO_CLIENTS} {{ ip daddr counter }}',
            f'    iifname != "{TUNNEL}" ct state established,related accept',
            *rules,
            f'    iifname "{TUNNEL}" counter drop comment "no authorization rule"',
            "  }",
            "  chain postrouting {",
            "    type nat hook postrouting priority srcnat; policy accept;",
            *nat,
            "  }",
            "}",
            "",
        ]
    )


def drop_table(*, devices: str | None = None, addresses: Sequence[str] = (), sources: Sequence[str] = ()) -> str:
    """Return a table that drops what an interface carries, or what is to or from some addresses, before any other rule.

    Args:
        devices: Name or pattern of the interfaces whose packets are dropped, such as ``lan-*``.
        addresses: Destinations that are dropped.
        sources: Whose packets are dropped.
    """
    matches = [f'    iifname "{devices}" counter drop'] if devices else []
    matches += [f"    ip daddr {_set(addresses)} counter drop"] if addresses else []
    matches += [f"    ip saddr {_set(sources)} counter drop"] if sources else []
    return "\n".join(
        [
            "table inet fault",
            "delete table inet fault",
            "table inet fault {",
            "  chain prerouting {",
            "    type filter hook prerouting priority raw; policy accept;",
            *matches,
            "  }",
            "  chain postrouting {",
            "    type filter hook postrouting priority raw; policy accept;",
            *([f'    oifname "{devices}" counter drop'] if devices else []),
            "  }",
            "}",
            "",
        ]
    )


NO_DROP_TABLE = "table inet fault\ndelete table inet fault\n"


def _chain(number: int, *, egress: bool) -> str:
    return f"{'egress' if egress else 'ingress'}_{number}"


def _set(addresses: Iterable[str]) -> str:
    return "{ " + ", ".join(addresses) + " }"


def _matches(rule: SecurityGroupRule, members: Mapping[str, Sequence[str]]) -> Iterator[str]:
    field = "daddr" if rule.egress else "saddr"
    if rule.cidr is not None:
        # An empty set cannot be written, and 0.0.0.0/0 needs no match.
        peer = "" if rule.cidr == "0.0.0.0/0" else f"ip {field} {rule.cidr}"
    else:
        addresses = members.get(rule.referenced_group_id or "", ())
        if not addresses:
            return
        peer = f"ip {field} {_set(addresses)}"
    yield " ".join(part for part in (peer, _protocol(rule)) if part) or "meta nfproto ipv4"


def _protocol(rule: SecurityGroupRule) -> str:
    match rule.protocol:
        case "-1":
            return ""
        case "tcp" | "6" | "udp" | "17":
            name = {"6": "tcp", "17": "udp"}.get(rule.protocol, rule.protocol)
            if rule.from_port < 0 or (rule.from_port, rule.to_port) == (0, 65535):
                return f"meta l4proto {name}"
            ports = str(rule.from_port) if rule.from_port == rule.to_port else f"{rule.from_port}-{rule.to_port}"
            return f"{name} dport {ports}"
        case "icmp" | "1":
            if rule.from_port < 0:
                return "meta l4proto icmp"
            code = f" icmp code {rule.to_port}" if rule.to_port >= 0 else ""
            return f"icmp type {rule.from_port}{code}"
        case number:
            return f"meta l4proto {number}"


def packets(sets: Mapping[str, object]) -> dict[str, int]:
    """Return the packets that a set has counted of each address.

    Args:
        sets: What ``nft -j list set`` prints.
    """
    counted = {}
    listed = sets["nftables"]
    assert isinstance(listed, list)  # noqa: S101 (libnftables-json(5))
    for item in listed:
        for element in item.get("set", {}).get("elem", ()):
            counted[element["elem"]["val"]] = element["elem"]["counter"]["packets"]
    return counted
