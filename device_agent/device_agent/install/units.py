"""The text of the systemd units and of the one right that the agent's service has outside itself."""

from __future__ import annotations

from collections.abc import Container, Sequence
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from device_agent.hop import Hop, TunnelHop
from device_agent.installation import (
    AGENT_SERVICE,
    FETCH_ENVIRONMENT,
    HOSTS_FILE,
    MANAGEMENT_SOCKET,
    OPENVPN_SERVICE,
    RENEWAL_SERVICE,
    USER,
)

_ALLOWED = ((OPENVPN_SERVICE, "restart"), (RENEWAL_SERVICE, "start"))
_PRIVATE = """\
PrivateTmp=yes
PrivateDevices=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectControlGroups=yes
"""
_RESTRICTED = """\
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
"""
"""Of a service's sandbox, the lines that two have (systemd.exec(5))."""
_RULE = """\
polkit.addRule(function (action, subject) {{
    if (action.id == "org.freedesktop.systemd1.manage-units" &&
        subject.user == "{user}" &&
        action.lookup("unit") == "{unit}" &&
        action.lookup("verb") == "{verb}") {{
        return polkit.Result.YES;
    }}
}});
"""


def agent_unit(*, python: str, vpc_cidr: IPv4Network, home: bool, hop: Hop | None = None) -> str:
    """Write the unit of `device-agent run`.

    It runs as a user of its own, sees the system read-only, and the kernel itself drops every packet to or from an
    address outside the VPC (`IPAddressDeny=`, systemd.resource-control(5)), whatever the agent may do.

    `home` is whether the agent's environment is under somebody's home, which then has to stay visible. `hop` is how the
    device reaches the VPC; a gateway is asked for the endpoint's name, so that its address is allowed too.
    """
    hop = hop or TunnelHop()
    gateways = "".join(f"IPAddressAllow={gateway}\n" for gateway in hop.gateways)
    return f"""\
# Written by `device-agent install`; changes are lost with the next one.
[Unit]
Description=Private path to AWS IoT: durable queue and connection
# No order after the network or the tunnel: the queue takes messages as soon as the disk is there.
Wants={hop.service}
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=main
ExecStart={python} -I -m device_agent run
User={USER}
Group={USER}
Restart=always
RestartSec=5
WatchdogSec=60
TimeoutStopSec=30
StateDirectory={USER}
StateDirectoryMode=0700
RuntimeDirectory={USER}
RuntimeDirectoryMode=0755
UMask=0077

IPAddressDeny=any
IPAddressAllow=localhost
IPAddressAllow={vpc_cidr}
{gateways}RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK

NoNewPrivileges=yes
CapabilityBoundingSet=
ProtectSystem=strict
ProtectHome={"read-only" if home else "yes"}
{_PRIVATE}ProtectProc=invisible
{_RESTRICTED}SystemCallFilter=@system-service
# Whether the clock is synchronised, which ProtectClock= would hide; without CAP_SYS_TIME nobody sets it.
SystemCallFilter=adjtimex clock_adjtime clock_adjtime64
SystemCallErrorNumber=EPERM

[Install]
WantedBy=multi-user.target
"""


MSSFIX = 1232
"""The most bytes of a TCP packet with OpenVPN's own overhead, without the headers below (`mssfix`, openvpn(8)): with
those of IPv6 and UDP 1,280 bytes, which every line carries whole (RFC 8200, section 5)."""

LONGEST_PAUSE = 120
"""The most seconds that OpenVPN pauses between two attempts; it says nothing meanwhile."""

PING_RESTART = 60
"""Seconds without a byte from the server after which OpenVPN begins anew; `doctor` waits as long."""


def openvpn_drop_in(directives: Container[str] = ()) -> str:
    """Write the drop-in that keeps the tunnel up, and lets the agent ask OpenVPN what it is at.

    The distribution's unit has no `Restart=` and its command line no room: the line here is that of Debian 12 and 13
    and of Ubuntu, with more behind it. What follows `--config` wins over the profile, so that profiles of every age
    behave alike:

    - `management`: the socket is for the agent's user alone. With it the agent itself restarts a dead tunnel.
    - `ping-restart`: `PING_RESTART`, not the 20 s that the endpoint pushes. Where the resolver's script, which OpenVPN
      waits for, takes longer, it fires the moment that the script is done, and runs it again, for ever. The agent
      itself notices a dead tunnel in seconds; and for a server that does not answer at all there is, unless the
      profile has one of its own, `connect-timeout`.
    - `connect-retry`: pauses grow to `LONGEST_PAUSE`, for the journal's sake; the agent ends them while the internet is
      there.
    - `mssfix`: unless the profile has one of its own.

    Args:
        directives: The names of the profile's directives.
    """
    more = "" if "mssfix" in directives else f" --mssfix {MSSFIX}"
    if "server-poll-timeout" not in directives and "connect-timeout" not in directives:
        more += " --connect-timeout 20"
    return f"""\
# Written by `device-agent install`; changes are lost with the next one.
[Unit]
StartLimitIntervalSec=0

[Service]
ExecStartPre=/bin/mkdir -p {Path(MANAGEMENT_SOCKET).parent}
ExecStart=
ExecStart=/usr/sbin/openvpn --suppress-timestamps --nobind --config %i.conf --management {MANAGEMENT_SOCKET} unix \
--management-client-user {USER} --pull-filter ignore ping-restart --ping-restart {PING_RESTART} \
--connect-retry 1 {LONGEST_PAUSE}{more}
Restart=always
RestartSec=5
"""


def neighbour_unit(*, python: str, gateways: Sequence[IPv4Address], slot: str | None = None) -> str:
    """Write the unit that keeps a device without a tunnel on its gateway: the route and the endpoint's name.

    It is root's, as OpenVPN's is, with one capability, and may talk to the gateways alone. What it has set stays while
    it is stopped or started anew; only the unit of a trial takes it back.

    Args:
        python: The interpreter.
        gateways: The gateways.
        slot: The folder of the slot on trial, or None for the installation.
    """
    command = f"{python} -I -m device_agent neighbour"
    allowed = "".join(f"IPAddressAllow={gateway}\n" for gateway in gateways)
    if slot is None:
        rest, end = "\n[Install]\nWantedBy=multi-user.target\n", ""
    else:
        command, rest, end = (
            f"{command} --slot {slot}",
            "",
            f"ExecStopPost={python} -I -m device_agent neighbour --remove\n",
        )
    return f"""\
# Written by `device-agent install`; changes are lost with the next one.
[Unit]
Description=Way to AWS IoT through a gateway of the LAN: route and name
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=main
ExecStart={command}
{end}Restart=always
RestartSec=5
WatchdogSec=60
TimeoutStopSec=30

IPAddressDeny=any
IPAddressAllow=localhost
{allowed}RestrictAddressFamilies=AF_UNIX AF_INET AF_NETLINK

NoNewPrivileges=yes
CapabilityBoundingSet=CAP_NET_ADMIN
ProtectSystem=strict
# {HOSTS_FILE} is replaced by one rename, which needs its folder.
ReadWritePaths=/etc
{_PRIVATE}{_RESTRICTED}SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM
{rest}"""


def renewal_unit(*, python: str, vpc_cidr: IPv4Network) -> str:
    """Write the unit that judges a delivered certificate: as root, but with the agent's own way out and no other."""
    return f"""\
# Written by `device-agent install`; changes are lost with the next one.
[Unit]
Description=Put a delivered VPN certificate in the present one's place

[Service]
Type=oneshot
ExecStart={python} -I -m device_agent renew
TimeoutStartSec=900
IPAddressDeny=any
IPAddressAllow=localhost
IPAddressAllow={vpc_cidr}
"""


def fetch_unit(*, python: str, stack: str, device: str, path: str = "") -> str:
    """Write the unit that fetches the device's bundle from a stack's outputs.

    Args:
        python: The interpreter that has the agent.
        stack: The stack's name.
        device: The device's name.
        path: Where programs are searched; systemd's own list by default, which lacks a user's `~/.pulumi/bin`.
    """
    return f"""\
# Written by `device-agent fetch --timer`; `--no-timer` removes it.
[Unit]
Description=Fetch this device's bundle from the outputs of a Pulumi stack
Wants=network-online.target
After=network-online.target

[Service]
Type=oneshot
EnvironmentFile=-{FETCH_ENVIRONMENT}
Environment=HOME=/root{f" PATH={path}" if path else ""}
ExecStart={python} -I -m device_agent fetch --stack {stack} --device {device}
"""


def fetch_timer() -> str:
    """Write the timer of `fetch_unit`."""
    return """\
# Written by `device-agent fetch --timer`; `--no-timer` removes it.
[Unit]
Description=Fetch this device's bundle once a day

[Timer]
OnCalendar=daily
RandomizedDelaySec=6h
Persistent=yes

[Install]
WantedBy=timers.target
"""


def unit_rule() -> str:
    """Write the polkit rules by which the agent's user may do two things (polkit(8)).

    It may restart the tunnel, and start the judgement of a delivered certificate.
    """
    rules = (_RULE.format(unit=unit, verb=verb, user=USER) for unit, verb in _ALLOWED)
    head = f"// Written by `device-agent install`: what {AGENT_SERVICE} may have systemd do.\n"
    return head + "".join(rules)
