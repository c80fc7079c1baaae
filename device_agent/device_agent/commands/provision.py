"""`device-agent provision`: give this device its identity with its batch's claim, and install it."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

from device_agent._exceptions import UsageError
from device_agent.commands.install import read_source
from device_agent.files import reporting
from device_agent.install.claim import own_serial_number, parse_claim
from device_agent.install.machine import check_machine, warnings_about
from device_agent.install.provisioning import provision
from device_agent.install.restart_unit import services_locked
from device_agent.settings import load_settings
from device_agent.system import System

HELP = "give this device its identity with its batch's claim, and install it"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.epilog = (
        "examples:\n"
        "  pulumi stack output claims --show-secrets --json | jq .spring | ssh pi sudo device-agent provision -\n"
        "  sudo device-agent provision /boot/firmware/claim.json     in an image's first boot; the file is destroyed\n"
        "\n"
        "The device's key is made here and stays here. Cut off anywhere, the next run goes on where it\n"
        "was; run twice, nothing changes. With another batch's claim an installed device takes that batch's tunnel.\n"
    )
    parser.add_argument(
        "source",
        metavar="FILE",
        help="'-' for standard input, or a file, which is destroyed when it is done: one claim, or `claims`",
    )
    parser.add_argument("--serial-number", metavar="NUMBER", help="the device's serial number (the Pi's own)")
    parser.add_argument("--batch", metavar="NAME", help="which batch of several")


def run(arguments: argparse.Namespace, system: System) -> int:
    """Run the command.

    Raises:
        DeviceAgentError: The claim or the machine is not fit, AWS IoT refused the device, or a step failed.
    """
    if system.user_id() != 0:
        raise UsageError("provision needs root, since it installs; run it with sudo")
    serial_number = arguments.serial_number or own_serial_number(system)
    data = read_source(arguments.source)
    claim = parse_claim(data, batch=arguments.batch, serial_number=serial_number, now=system.now())
    load_settings(system)
    check_machine(system, claim.bundle, sys.executable)
    for warning in warnings_about(system, claim.bundle):
        print(f"warning: {warning}", file=sys.stderr)
    with services_locked(system) as locked:
        name = provision(locked, claim, partial(print, flush=True))
    if arguments.source != "-":
        _destroy(Path(arguments.source))
    print(f"{name} is provisioned" if name else f"{serial_number} is provisioned already; nothing changed")
    return 0


def _destroy(file: Path) -> None:
    """Remove a claim's file with its content, as far as a file system lets a program do so."""
    with reporting(f"{file} holds the claim and cannot be destroyed"):
        with file.open("r+b") as stream:
            stream.write(bytes(file.stat().st_size))
            stream.flush()
        file.unlink()
