"""The doctor's checks of a device without a tunnel: the gateway of the LAN, and the endpoint's name."""

from __future__ import annotations

import socket
from ipaddress import IPv4Address

from device_agent.addresses import outside
from device_agent.dns import PORT, DnsError, DnsSilentError, query
from device_agent.doctor.checks import CheckContext, Finding
from device_agent.doctor.device_checks import find_conflict
from device_agent.doctor.path_checks import check_resolver
from device_agent.installation import HOSTS_FILE, Installation
from device_agent.neighbour.lan import on_link
from device_agent.system import System
from device_agent.tcp import bind_to

ANSWER_WITHIN = 2.0
"""Seconds for each of two questions to a gateway, and for a connection."""

_NOTHING = "nothing comes back: it is off, out of this LAN, or does not let this device through"


def check_gateway_hop(context: CheckContext) -> Finding:
    """See that packets for the VPC go to a gateway of this device, and that it answers through its tunnel."""
    system, installation = context.system, context.installation
    troubles = {gateway: _trouble(system, installation, gateway) for gateway in installation.gateways}
    told = "; ".join(f"{gateway}: {trouble or 'answers'}" for gateway, trouble in troubles.items())
    if not [gateway for gateway, trouble in troubles.items() if trouble is None]:
        return Finding(
            "failed",
            f"no gateway leads to the VPC: {told}",
            "the gateway is the hop that is broken: it is off, out of this LAN, or its own tunnel is down",
            "`sudo device-agent doctor` on the gateway tells which; this device goes on by itself when it is back",
        )
    route = system.find_route(installation.dns_server)
    if route is None or not installation.hop.takes(route) or route.gateway is None:
        again = f"`sudo systemctl restart {installation.hop.service}`; `journalctl -u {installation.hop.service}`"
        return find_conflict(context) or Finding(
            "failed",
            f"{installation.dns_server} {f'is reached through {route.interface}' if route else 'has no route'}; {told}",
            "the gateway answers, but packets for the VPC do not go to it",
            f"{again} tells what removes the route",
        )
    used = IPv4Address(route.gateway)
    if troubles[used] is not None:
        return Finding(
            "failed",
            f"packets go to the gateway {used}, which does not lead to the VPC: {told}",
            "the gateway in use is the hop that is broken, and another one answers",
            "ask again: the device moves to it within seconds",
        )
    if any(troubles.values()):
        return Finding(
            "warning",
            f"the VPC is reached through the gateway {used}; {told}",
            "one of this device's gateways is dead, and only the rest carries it",
            "`sudo device-agent doctor` on that gateway tells why; the device moves back by itself",
        )
    return Finding("ok", f"the VPC is reached through the gateway {used} on {route.interface}; {told}")


def _trouble(system: System, installation: Installation, gateway: IPv4Address) -> str | None:
    """Ask a gateway for the endpoint's name; None if it answers rightly."""
    link = on_link(gateway, system.list_routes())
    if link is None:
        return "no network of this device has its address"
    try:
        answers = query(str(gateway), installation.endpoint, timeout=ANSWER_WITHIN, interface=link.interface)
    except DnsError as error:
        if isinstance(error.__cause__, ConnectionRefusedError):
            return f"it is there, but is no gateway now ({error})"
        silent = isinstance(error, DnsSilentError)
        if error.__cause__ is not None or (silent and not _is_there(gateway, link.interface)):
            return _NOTHING
        # Without a route its DNS refuses; into a dead tunnel it asks in vain.
        return f"it is there, but its tunnel is down ({error})"
    foreign = outside(answers, installation.vpc_cidr)
    if foreign or not answers:
        return f"it says {', '.join(foreign) or 'nothing'}, outside {installation.vpc_cidr}"
    return None


def _is_there(gateway: IPv4Address, interface: str) -> bool:
    """Tell whether the gateway's own DNS takes a connection: it does so with its tunnel down."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as connection:
        connection.settimeout(ANSWER_WITHIN)
        try:
            bind_to(connection, interface)
            connection.connect((str(gateway), PORT))
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
    return True


def check_name(context: CheckContext) -> Finding:
    """Resolve the endpoint as any program does; the gateway has answered rightly before."""
    return check_resolver(context, _explain_name)


def _explain_name(_system: System, installation: Installation, seen: str) -> Finding:
    return Finding(
        "failed",
        seen,
        f"the gateway's answer is right, but this device's programs do not get it from {HOSTS_FILE}",
        f"`sudo systemctl restart {installation.hop.service}`; in /etc/nsswitch.conf `hosts:` begins with `files`",
    )
