"""`device-agent install`: put a device bundle in place, all of it or nothing."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from dataclasses import replace
from functools import partial
from ipaddress import IPv4Address
from pathlib import Path

from device_agent._exceptions import InstallationError, UsageError
from device_agent.files import reporting
from device_agent.install.bundle import INPUT_LIMIT, Bundle, parse_bundle
from device_agent.install.device_keys import load_device_keys
from device_agent.install.machine import check_machine, warnings_about
from device_agent.install.plan import Plan, apply_plan, make_plan, make_upgrade
from device_agent.install.restart_unit import services_locked
from device_agent.installation import GATEWAY_FILE, Installation
from device_agent.neighbour.lan import check_gateways, read_gateways
from device_agent.settings import load_settings
from device_agent.system import System

HELP = "install a device bundle: tunnel or gateway, identity and services"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.epilog = (
        "examples:\n"
        "  pulumi stack output devices --show-secrets --json | jq '.[\"pi-1\"]' | ssh pi sudo device-agent install -\n"
        "  pulumi stack output devices --show-secrets --json | sudo device-agent install - --device pi-1 --dry-run\n"
        "  pulumi stack output devices --show-secrets --json | jq '.[\"press-1\"]' |\n"
        "    ssh press-1 sudo device-agent install - --gateway 192.168.1.10          a neighbour, without a tunnel\n"
        "\n"
        "Everything is checked before anything is changed, and a second time changes nothing. A bundle that replaces\n"
        "another is tried first: with its own tunnel and a message to itself. If that fails, the old one stays.\n"
        "After an upgrade by pipx, `sudo device-agent install --upgrade`; the Debian package does so itself.\n"
        "The input holds private keys: pipe it in, and keep it out of files.\n"
    )
    parser.add_argument(
        "source",
        metavar="FILE",
        nargs="?",
        help="'-' for standard input, or a file: one bundle, the stack's output `devices`, or all of its outputs",
    )
    parser.add_argument("--device", metavar="NAME", help="which device of several")
    parser.add_argument(
        "--gateway",
        metavar="ADDRESS",
        action="append",
        help="for a device without a tunnel: a gateway of its LAN; again for a second one, which takes over when the"
        " first is dead (those of the device that is installed, if any)",
    )
    parser.add_argument(
        "--upgrade",
        action="store_true",
        help="keep the bundle, and bring the services that an earlier release of the agent installed up to this one",
    )
    parser.add_argument("--dry-run", action="store_true", help="show what would be changed")
    parser.add_argument(
        "--verify",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="try the bundle before it counts (by default if it replaces another)",
    )
    parser.add_argument("--json", action="store_true", help="print what was done as JSON")


def run(arguments: argparse.Namespace, system: System) -> int:
    """Run the command.

    Raises:
        DeviceAgentError: The input or the machine is not fit, a step failed, or the new bundle did not pass its trial;
            everything is as it was.
    """
    if system.user_id() != 0:
        raise UsageError("install needs root; run it with sudo")
    if arguments.upgrade:
        return _upgrade(arguments, system)
    if arguments.source is None:
        raise UsageError("install needs a bundle: '-' for standard input, or a file; or --upgrade")
    return install(arguments, system, read_source(arguments.source))


def _upgrade(arguments: argparse.Namespace, system: System) -> int:
    given = (arguments.source, arguments.device, arguments.verify, arguments.gateway)
    if any(value is not None for value in given):
        raise UsageError("install --upgrade keeps the bundle: leave out FILE, --device, --gateway and --verify")
    with nullcontext(system) if arguments.dry_run else services_locked(system) as locked:
        plan = make_upgrade(locked, python=sys.executable)
        _apply(plan, arguments)
    _report(Installation.load(system).name, plan, arguments)
    return 0


def _apply(plan: Plan, arguments: argparse.Namespace) -> None:
    if not arguments.dry_run:
        apply_plan(plan, (lambda _text: None) if arguments.json else partial(print, flush=True))


def install(arguments: argparse.Namespace, system: System, data: bytes) -> int:
    """Install the bundle that an input holds; see `run`."""
    keys = load_device_keys(system)
    bundle = parse_bundle(data, device=arguments.device, now=system.now(), keys=keys)
    bundle = replace(bundle, gateways=_gateways(system, bundle, arguments.gateway))
    load_settings(system)
    check_machine(system, bundle, sys.executable)
    for warning in warnings_about(system, bundle):
        print(f"warning: {warning}", file=sys.stderr)
    with nullcontext(system) if arguments.dry_run else services_locked(system) as locked:
        plan = make_plan(locked, bundle, verify=arguments.verify, python=sys.executable)
        _apply(plan, arguments)
    _report(bundle.name, plan, arguments)
    return 0


def _gateways(system: System, bundle: Bundle, given: Sequence[str] | None) -> tuple[IPv4Address, ...]:
    """Give the gateways of a device without a tunnel; those that it has unless others are given.

    Raises:
        UsageError: They do not fit the bundle or the device's networks.
    """
    if bundle.profile is not None:
        if given:
            raise UsageError(
                f"{bundle.name} has a tunnel of its own in this bundle: leave out --gateway; a device without one is"
                " among the stack's `neighbours`"
            )
        return ()
    if system.path(GATEWAY_FILE).exists():
        raise UsageError(
            f"{bundle.name} has no tunnel in this bundle, and this device is a gateway, which needs one; first"
            " `device-agent gateway disable`"
        )
    gateways = read_gateways(given or ())
    if not gateways:
        with suppress(InstallationError):
            gateways = Installation.load(system).gateways
    if not gateways:
        raise UsageError(
            f"{bundle.name} has no tunnel in this bundle: name the gateway of its LAN, `--gateway 192.168.1.10`, where"
            " `device-agent gateway enable` was run"
        )
    found = ((gateway, system.find_route(gateway)) for gateway in gateways)
    own = [gateway for gateway, route in found if route is not None and route.interface == "lo"]
    check_gateways(gateways, system.list_routes(), bundle.vpc_cidr, own=own)
    return gateways


def _report(name: str, plan: Plan, arguments: argparse.Namespace) -> None:
    texts = plan.texts
    if arguments.json:
        print(json.dumps({"device": name, "dryRun": arguments.dry_run, "changes": texts}))
    elif arguments.dry_run:
        print("\n".join(f"would {text}" for text in texts) or f"{name} is installed; nothing would be changed")
    elif texts:
        print(f"{name} is installed; `device-agent doctor` proves the path")
    else:
        print(f"{name} is installed already; nothing changed")


def read_source(source: str) -> bytes:
    """Read at most one byte more than is allowed, so that the size can be refused."""
    if source == "-":
        if sys.stdin.isatty():
            raise UsageError(
                "standard input is a terminal; pipe in `pulumi stack output devices --show-secrets --json`"
            )
        return sys.stdin.buffer.read(INPUT_LIMIT + 1)
    with reporting(f"{source} cannot be read"), Path(source).open("rb") as stream:
        return stream.read(INPUT_LIMIT + 1)
