"""The text of the systemd units and of the one right that the agent's service has outside itself."""

from __future__ import annotations

from ipaddress import IPv4Network

from device_agent.installation import AGENT_SERVICE, OPENVPN_SERVICE, USER


def agent_unit(*, python: str, vpc_cidr: IPv4Network, home: bool) -> str:
    """Write the unit of `device-agent run`.

    It runs as a user of its own, sees the system read-only, and the kernel itself drops every packet to or from an
    address outside the VPC (`IPAddressDeny=`, systemd.resource-control(5)), whatever the agent may do.

    Args:
        python: The interpreter of the environment that the agent is installed in.
        vpc_cidr: The VPC's CIDR block.
        home: Whether that environment is under somebody's home, which then has to stay visible.

    Returns:
        The unit file's text.
    """
    return f"""\
# Written by `device-agent install`; changes are lost with the next one.
[Unit]
Description=Private path to AWS IoT: durable queue and connection
Wants=network-online.target {OPENVPN_SERVICE}
After=network-online.target time-sync.target {OPENVPN_SERVICE}
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
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK

NoNewPrivileges=yes
CapabilityBoundingSet=
ProtectSystem=strict
ProtectHome={"read-only" if home else "yes"}
PrivateTmp=yes
PrivateDevices=yes
ProtectClock=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectControlGroups=yes
ProtectProc=invisible
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM

[Install]
WantedBy=multi-user.target
"""


def openvpn_drop_in() -> str:
    """Write the drop-in that keeps the tunnel up: the distribution's unit has no `Restart=`.

    Returns:
        The drop-in's text.
    """
    return """\
# Written by `device-agent install`; changes are lost with the next one.
[Unit]
StartLimitIntervalSec=0

[Service]
Restart=always
RestartSec=5
"""


def tunnel_rule() -> str:
    """Write the polkit rule by which the agent's user may restart the tunnel, and nothing else.

    Returns:
        The rule's text (polkit(8)).
    """
    return f"""\
// Written by `device-agent install`: {AGENT_SERVICE} may restart the tunnel when the path is dead.
polkit.addRule(function (action, subject) {{
    if (action.id == "org.freedesktop.systemd1.manage-units" &&
        subject.user == "{USER}" &&
        action.lookup("unit") == "{OPENVPN_SERVICE}" &&
        action.lookup("verb") == "restart") {{
        return polkit.Result.YES;
    }}
}});
"""
