"""The text of a gateway's systemd units, and of the DNS forwarder's configuration.

The forwarder is Debian's dnsmasq (package dnsmasq-base, which starts nothing by itself), also where systemd-resolved
is: resolved's extra stub listener would answer the LAN every name, is bound to an address that DHCP may change, and a
restart of resolved takes the tunnel's DNS away. dnsmasq answers the endpoint's name alone, on whatever address the
interface has, and the packet filter keeps its questions in the tunnel.
"""

from __future__ import annotations

from ipaddress import IPv4Address

from device_agent.gateway.rules import TABLE
from device_agent.installation import GATEWAY_DNS_FILE, GATEWAY_RULES_FILE, GATEWAY_SERVICE

_HEAD = "# Written by `device-agent gateway enable`; `device-agent gateway disable` removes it.\n"
_FORWARDING = "/proc/sys/net/ipv4/ip_forward"


def gateway_unit(*, forwarded_before: bool) -> str:
    """Write the unit that loads the packet filter, then has the kernel forward; its end takes both back.

    It follows nftables.service, whose restart empties every table: a gateway without its filter forwards anything.
    """
    stop = "" if forwarded_before else f'ExecStop=/bin/sh -c "echo 0 > {_FORWARDING}"\n'
    return f"""\
{_HEAD}[Unit]
Description=Gateway to AWS IoT for the LAN: packet filter and forwarding
DefaultDependencies=no
After=nftables.service systemd-sysctl.service
PartOf=nftables.service
Before=network-pre.target shutdown.target
Wants=network-pre.target
Conflicts=shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/sbin/nft -f {GATEWAY_RULES_FILE}
ExecStart=/bin/sh -c "echo 1 > {_FORWARDING}"
{stop}ExecStop=/usr/sbin/nft delete table inet {TABLE}

[Install]
WantedBy=multi-user.target nftables.service
"""


def dns_unit() -> str:
    """Write the unit of the DNS forwarder."""
    return f"""\
{_HEAD}[Unit]
Description=Gateway to AWS IoT for the LAN: its private name
After={GATEWAY_SERVICE} network.target
StartLimitIntervalSec=0

[Service]
ExecStart=/usr/sbin/dnsmasq --keep-in-foreground --conf-file={GATEWAY_DNS_FILE} --pid-file=
Restart=always
RestartSec=5
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes

[Install]
WantedBy=multi-user.target
"""


def dns_configuration(*, lan: str, endpoint: str, dns_server: IPv4Address) -> str:
    """Write dnsmasq's configuration (dnsmasq(8)): without a cache, so that an answer proves the tunnel."""
    return f"""\
{_HEAD}interface={lan}
except-interface=lo
bind-dynamic
no-resolv
no-hosts
cache-size=0
server=/{endpoint}/{dns_server}
"""
