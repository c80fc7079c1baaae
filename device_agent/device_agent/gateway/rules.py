"""The packet filter of a gateway as nftables' text (nft(8)), in a table of its own. Pure.

From the LAN into the VPC, through the tunnel, to AWS IoT's two ports, and the answers: nothing else passes that has to
do with the tunnel. A device that forwarded nothing before goes on forwarding nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network

TABLE = "private_iot_gateway"
PORTS = (443, 8883)
"""AWS IoT's ports for MQTT (https://docs.aws.amazon.com/iot/latest/developerguide/protocols.html)."""
TUNNEL = "tun*"
"""OpenVPN takes the first tun device that is free, data channel offload or not."""
MAX_NEIGHBOURS = 4096
FORGET_AFTER = "1d"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """What a gateway lets through.

    Attributes:
        lan: The LAN's interface.
        allowed: The addresses of the LAN that may use it.
        vpc_cidr: The VPC's CIDR block.
        forwarded_before: Whether the device forwarded packets before it became one.
    """

    lan: str
    allowed: IPv4Network
    vpc_cidr: IPv4Network
    forwarded_before: bool


def ruleset(gateway: Gateway) -> str:
    """Write the table; loading it replaces one that is there, in one step (nft(8), "Atomic rule set replacement")."""
    lan, allowed, vpc = f'"{gateway.lan}"', gateway.allowed, gateway.vpc_cidr
    tunnel, ports = f'"{TUNNEL}"', f"{{ {', '.join(map(str, PORTS))} }}"
    rest = "" if gateway.forwarded_before else "\n        drop"
    return f"""\
# Written by `device-agent gateway enable`; `device-agent gateway disable` removes it.
table inet {TABLE}
delete table inet {TABLE}
table inet {TABLE} {{
    set neighbours {{
        type ipv4_addr
        size {MAX_NEIGHBOURS}
        flags dynamic,timeout
        timeout {FORGET_AFTER}
        counter
    }}
    counter to_vpc {{ }}
    counter from_vpc {{ }}
    chain forward {{
        type filter hook forward priority filter - 10; policy accept;
        iifname {lan} oifname {tunnel} ip saddr {allowed} ip daddr {vpc} tcp dport {ports} \
update @neighbours {{ ip saddr }} counter name to_vpc accept
        iifname {tunnel} oifname {lan} ip saddr {vpc} ip daddr {allowed} tcp sport {ports} \
ct state established,related counter name from_vpc accept
        ip daddr {vpc} drop
        oifname {tunnel} drop
        iifname {tunnel} drop{rest}
    }}
    chain postrouting {{
        type nat hook postrouting priority srcnat; policy accept;
        ip saddr {allowed} ip daddr {vpc} oifname {tunnel} masquerade
    }}
    chain input {{
        type filter hook input priority filter - 10; policy accept;
        iifname {lan} meta l4proto {{ tcp, udp }} th dport 53 ip saddr != {allowed} drop
    }}
    chain output {{
        type filter hook output priority filter - 10; policy accept;
        ip daddr {vpc} oifname != "lo" oifname != {tunnel} drop
    }}
}}
"""
