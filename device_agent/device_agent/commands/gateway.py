"""`device-agent gateway`: let the neighbours of a LAN reach AWS IoT through this device's tunnel."""

from __future__ import annotations

import argparse
import os
from ipaddress import IPv4Address

from device_agent._exceptions import UsageError
from device_agent.files import WantedFile, remove
from device_agent.gateway.lan import choose_network
from device_agent.gateway.rules import Gateway, ruleset
from device_agent.gateway.state import read_state, write_state
from device_agent.gateway.units import dns_configuration, dns_unit, gateway_unit
from device_agent.install.steps import enable, start, write
from device_agent.install.undo import undone_on_error
from device_agent.installation import (
    GATEWAY_DNS_FILE,
    GATEWAY_DNS_SERVICE,
    GATEWAY_DNS_UNIT,
    GATEWAY_FILE,
    GATEWAY_RULES_FILE,
    GATEWAY_SERVICE,
    GATEWAY_UNIT,
    Installation,
)
from device_agent.ports import find_listeners
from device_agent.service import is_active, is_enabled, systemctl
from device_agent.system import System

HELP = "let neighbours of the LAN reach AWS IoT through this device's tunnel, and nothing else"
FILES = (GATEWAY_DNS_UNIT, GATEWAY_UNIT, GATEWAY_DNS_FILE, GATEWAY_RULES_FILE, GATEWAY_FILE)
SERVICES = (GATEWAY_DNS_SERVICE, GATEWAY_SERVICE)
_PROGRAMS = {"/usr/sbin/nft": "nftables", "/usr/sbin/dnsmasq": "dnsmasq-base"}
_FORWARDING = "/proc/sys/net/ipv4/ip_forward"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.epilog = (
        "examples:\n"
        "  sudo device-agent gateway enable --lan eth1                            all of eth1's network\n"
        "  sudo device-agent gateway enable --lan eth0 --allow 192.168.1.0/26     neighbours in the uplink's network\n"
        "\n"
        "Neighbours get to AWS IoT's ports in the VPC, and its name by DNS; TLS is between them and AWS IoT.\n"
    )
    parser.add_argument("action", choices=("enable", "disable"), help="become a gateway, or no longer be one")
    parser.add_argument("--lan", metavar="IFACE", help="the LAN's network interface")
    parser.add_argument("--allow", metavar="CIDR", help="the neighbours' addresses (all of the interface's network)")


def run(arguments: argparse.Namespace, system: System) -> int:
    """Run the command.

    Raises:
        DeviceAgentError: The arguments or the machine are not fit, or a step failed; everything is as it was.
    """
    if system.user_id() != 0:
        raise UsageError("gateway needs root; run it with sudo")
    if arguments.action == "disable":
        if arguments.lan or arguments.allow:
            raise UsageError("--lan and --allow belong to `gateway enable`")
        return _disable(system)
    if not arguments.lan:
        raise UsageError("`gateway enable` needs --lan IFACE, the LAN's network interface")
    return _enable(system, arguments.lan, arguments.allow)


def _enable(system: System, lan: str, allow: str | None) -> int:
    installation, present = Installation.load(system), read_state(system)
    if installation.gateways:
        raise UsageError(
            f"{installation.name} has no tunnel: it goes through {installation.gateways[0]} itself; a gateway is a"
            " device with a tunnel of its own"
        )
    routes = system.list_routes()
    exists = system.path(f"/sys/class/net/{lan}").exists() and "/" not in lan
    allowed = choose_network(lan, allow, routes, installation.vpc_cidr, exists=exists)
    for program, package in _PROGRAMS.items():
        if not system.path(program).exists():
            raise UsageError(f"{program} is missing; `sudo apt install {package}`")
    own = {IPv4Address(route.source) for route in routes if route.interface == lan and route.source}
    _check_port(system, own, ours=present is not None)
    gateway = Gateway(
        lan=lan,
        allowed=allowed,
        vpc_cidr=installation.vpc_cidr,
        forwarded_before=present.forwarded_before if present else _forwards(system),
    )
    texts = {
        GATEWAY_FILE: write_state(gateway),
        GATEWAY_RULES_FILE: ruleset(gateway),
        GATEWAY_DNS_FILE: dns_configuration(
            lan=lan, endpoint=installation.endpoint, dns_server=installation.dns_server
        ),
        GATEWAY_UNIT: gateway_unit(forwarded_before=gateway.forwarded_before),
        GATEWAY_DNS_UNIT: dns_unit(),
    }
    wanted = {path: WantedFile(content=text.encode("ascii")) for path, text in texts.items()}
    changed = [path for path in wanted if not wanted[path].matches(system, path)]
    with undone_on_error() as undo:
        for path in changed:
            print(f"write {path}", flush=True)
            write(system, path, wanted[path], undo)
        services = tuple(reversed(SERVICES))
        disabled = [unit for unit in services if not is_enabled(system, unit)]
        if disabled:
            print(f"enable {' '.join(disabled)}", flush=True)
            enable(system, disabled, undo)
        elif changed:
            systemctl(system, "daemon-reload")
        for unit in services:
            if changed or not is_active(system, unit):
                print(f"start {unit} anew", flush=True)
                start(system, unit, undo)
    print(f"{allowed} of {lan} reaches AWS IoT through this device; `device-agent status` counts")
    return 0


def _check_port(system: System, own: set[IPv4Address], *, ours: bool) -> None:
    for protocol in ("tcp", "udp"):
        for listener in find_listeners(system, 53, "udp" if protocol == "udp" else "tcp"):
            everywhere = int(listener.address) == 0
            if (everywhere or listener.address in own) and not (ours and listener.program == "dnsmasq"):
                raise UsageError(
                    f"{protocol} port 53 of the LAN's address is {listener}'s; the gateway answers the endpoint's name"
                    " there: stop it, or have it leave the interface alone"
                )


def _forwards(system: System) -> bool:
    try:
        return system.path(_FORWARDING).read_text("ascii").strip() == "1"
    except OSError:
        return False


def _disable(system: System) -> int:
    units = [unit for unit in SERVICES if is_active(system, unit) or is_enabled(system, unit)]
    files = [path for path in FILES if os.path.lexists(system.path(path))]
    for unit in units:
        print(f"stop and disable {unit}", flush=True)
        systemctl(system, "disable", "--now", unit)
    for path in files:
        print(f"remove {path}", flush=True)
        remove(system, path)
    if files:
        systemctl(system, "daemon-reload")
    print("this device is no gateway" if files or units else "this device is no gateway; nothing changed")
    return 0
