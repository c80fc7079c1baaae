"""`device-agent request`: make the device's keys where they stay, and print its certificate requests."""

from __future__ import annotations

import argparse
import json
import sys

from device_agent._exceptions import UsageError
from device_agent.install.device_keys import make_request
from device_agent.installation import DEVICE_KEYS_DIRECTORY, own_name
from device_agent.system import System

HELP = "make this device's keys, which stay on it, and print its certificate requests"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.epilog = (
        "examples:\n"
        "  ssh pi sudo device-agent request > requests/pi-1.json\n"
        "  pulumi up\n"
        "  pulumi stack output deviceBundles --json | ssh pi sudo device-agent install - --device pi-1\n"
        "\n"
        f"The keys are in {DEVICE_KEYS_DIRECTORY}, for root alone. They are never printed and never replaced: a\n"
        "second request is for the same keys. What is printed is no secret.\n"
    )
    parser.add_argument("--name", help="the device's name in the stack (the installed one, or the host's name)")


def run(arguments: argparse.Namespace, system: System) -> int:
    """Run the command.

    Raises:
        DeviceAgentError: The name cannot be used, or the keys cannot be made.
    """
    if system.user_id() != 0:
        raise UsageError("request needs root, since the keys are root's; run it with sudo")
    made = make_request(system, arguments.name or own_name(system))
    print(json.dumps(made, indent=2))
    if sys.stdout.isatty():
        print(f"save this as requests/{made['name']}.json beside the stack's program", file=sys.stderr)
    return 0
