"""`device-agent doctor`: prove the path, hop by hop, and name the broken one."""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import replace

from device_agent._exceptions import InstallationError
from device_agent.doctor.agent_checks import agent_is_connected, check_agent_connection, check_agent_echo
from device_agent.doctor.checks import Check, CheckContext, Finding, run_checks
from device_agent.doctor.device_checks import check_certificates, check_files, check_hop_service, check_interface
from device_agent.doctor.gateway_check import check_gateway
from device_agent.doctor.home_checks import check_home, check_neighbours_public_way, check_public_way
from device_agent.doctor.hop_check import check_gateway_hop, check_name
from device_agent.doctor.path_checks import check_echo, check_mqtt, check_resolver, check_tcp, check_tls
from device_agent.doctor.server_check import check_vpn_server
from device_agent.install.restart_unit import agent_paused
from device_agent.installation import GATEWAY_FILE, Installation
from device_agent.system import System

HELP = "prove the private path from the ground up and name the hop that is broken"

CHECKS = (
    Check("files", "files, owners and modes", check_files),
    Check("certificates", "clock and certificates", check_certificates, ("files",)),
    Check("tunnel", "the tunnel's service", check_hop_service, ("files",)),
    Check("home", "the home network that carries the tunnel", check_home, ("files",)),
    Check("interface", "the tunnel's interface, routes and connection", check_interface, ("tunnel", "home")),
    Check("vpn-server", "the VPN server's certificate", check_vpn_server, ("interface", "certificates")),
    Check("resolver", "every address of the endpoint is inside the VPC", check_resolver, ("interface",)),
    Check("tcp", "TCP to the VPC endpoint", check_tcp, ("resolver",)),
    Check("tls", "TLS: the server's names and dates", check_tls, ("tcp", "certificates")),
    Check("mqtt", "MQTT connect", check_mqtt, ("tls",)),
    Check("echo", "publish and subscribe", check_echo, ("mqtt",)),
    Check("public-way", "the public way is refused", check_public_way, ("certificates", "home")),
)
NEIGHBOUR_CHECKS = (
    *CHECKS[:2],
    Check("neighbour", "the service that keeps the way through the gateway", check_hop_service, ("files",)),
    Check("gateway", "the gateway: its tunnel, its DNS and the route to it", check_gateway_hop, ("files",)),
    Check("resolver", "every address of the endpoint is inside the VPC", check_name, ("gateway",)),
    *(check for check in CHECKS if check.name in ("tcp", "tls", "mqtt", "echo")),
    Check("public-way", "the public way is refused", check_neighbours_public_way, ("certificates",)),
)
"""Of a device without a tunnel."""
GATEWAY_CHECKS = (Check("gateway", "packet filter, forwarding and DNS for neighbours", check_gateway, ("interface",)),)
"""Of a device that is a gateway."""
TELL_AFTER = 2.0
"""Seconds after which a check says that it goes on; a resolver that is silent takes glibc 20 s and more."""
_THROUGH_AGENT = {"mqtt": check_agent_connection, "echo": check_agent_echo}
_LABELS = {"ok": "ok", "warning": "WARNING", "failed": "FAILED", "skipped": "skipped"}
_COLOURS = {"ok": "32", "warning": "33", "failed": "31", "skipped": "90"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    checks = "\n".join(f"  {check.name:<13} {check.title}" for check in CHECKS)
    parser.epilog = (
        f"checks, in order:\n{checks}\n"
        "\n"
        "Of a device without a tunnel `neighbour` and `gateway` stand in place of tunnel, home, interface and\n"
        "vpn-server.\n"
        "\n"
        "exit codes: 0 healthy, 1 warnings, 2 broken\n"
        "\n"
        "public-way connects to AWS IoT's public address outside the tunnel, to see the device refused there;\n"
        "--no-public-way leaves it out. While the agent is connected, mqtt and echo go through it; one that is not is\n"
        "paused, since AWS IoT allows one connection a client ID.\n"
    )
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    parser.add_argument("--no-public-way", action="store_true", help="send nothing outside the tunnel")
    parser.add_argument("--port", type=int, default=8883, help="8883, or 443 with ALPN (8883)")


def run(arguments: argparse.Namespace, system: System) -> int:
    """Run the command.

    Returns:
        0 if every check is ok, 1 if there are warnings, 2 if one failed.
    """
    checks = [*_checks_of_hop(system), *(GATEWAY_CHECKS if system.path(GATEWAY_FILE).exists() else ())]
    checks = [check for check in checks if not (arguments.no_public_way and check.name == "public-way")]
    findings: list[tuple[Check, Finding]] = []
    connected = agent_is_connected(system)
    if connected:
        checks = [replace(check, examine=_THROUGH_AGENT.get(check.name, check.examine)) for check in checks]
    checks = [replace(check, examine=_telling(check)) for check in checks]
    with nullcontext() if connected else agent_paused(system):
        for check, finding in run_checks(checks, CheckContext(system, arguments.port)):
            findings.append((check, finding))
            if not arguments.json:
                _print(check, finding)
    results = {finding.result for _check, finding in findings}
    code = 2 if "failed" in results else 1 if "warning" in results else 0
    if arguments.json:
        print(json.dumps({"result": ("healthy", "warnings", "broken")[code], "checks": _rows(findings)}, indent=2))
    else:
        print(
            ("the private path is healthy", "the private path works, with warnings", "the private path is broken")[code]
        )
    return code


def _checks_of_hop(system: System) -> Sequence[Check]:
    with suppress(InstallationError):
        if Installation.load(system).gateways:
            return NEIGHBOUR_CHECKS
    return CHECKS


def _telling(check: Check) -> Callable[[CheckContext], Finding]:
    """Return the check's examination, which says on standard error that it goes on where it takes a while."""

    def tell() -> None:
        print(f"{check.name}: still waiting for an answer", file=sys.stderr, flush=True)

    def examine(context: CheckContext) -> Finding:
        timer = threading.Timer(TELL_AFTER, tell)
        timer.daemon = True
        timer.start()
        try:
            return check.examine(context)
        finally:
            timer.cancel()

    return examine


def _rows(findings: list[tuple[Check, Finding]]) -> list[dict[str, str]]:
    return [
        {
            "check": check.name,
            "result": finding.result,
            "seen": finding.seen,
            "meaning": finding.meaning,
            "remedy": finding.remedy,
        }
        for check, finding in findings
    ]


def _print(check: Check, finding: Finding) -> None:
    label = f"{_LABELS[finding.result]:<8}"
    if sys.stdout.isatty() and not os.environ.get("NO_COLOR"):
        label = f"\033[{_COLOURS[finding.result]}m{label}\033[0m"
    print(f"{label} {check.name:<13} {finding.seen}")
    for name, text in (("means", finding.meaning), ("remedy", finding.remedy)):
        if text:
            print(f"{'':8} {name + ':':<13} {text}")
    sys.stdout.flush()
