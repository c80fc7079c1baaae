"""`device-agent fetch`: take this device's bundle from a stack's outputs, and install it."""

from __future__ import annotations

import argparse
import re
import shutil
import sys
from pathlib import Path

from device_agent._exceptions import DeviceAgentError, UsageError
from device_agent.commands.install import install
from device_agent.files import WantedFile, remove, write_file
from device_agent.install.restart_unit import services_locked
from device_agent.install.units import fetch_timer, fetch_unit
from device_agent.installation import FETCH_ENVIRONMENT, FETCH_TIMER, FETCH_UNIT, own_name
from device_agent.service import systemctl
from device_agent.system import Completed, System

HELP = "take this device's bundle from a stack's outputs with the Pulumi CLI, and install it"
_PULUMI_TIMEOUT = 300.0
"""Seconds for `pulumi stack output`, which a backend far away and a Pi take their time for."""
_SYSTEMD_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Where systemd looks for programs (systemd.exec(5), "Environment Variables in Spawned Processes")."""
_STACK = re.compile(r"[A-Za-z0-9._/-]{1,300}")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.epilog = (
        "examples:\n"
        "  sudo device-agent fetch --stack organization/private-iot/dev\n"
        "  sudo device-agent fetch --stack organization/private-iot/dev --timer     and once a day from now on\n"
        "\n"
        "The Pulumi CLI has to be there and logged in to the state's backend as root. A device that made its keys\n"
        "itself needs no secret of the stack. What the CLI needs from the environment (PULUMI_ACCESS_TOKEN, AWS's\n"
        f"variables) the timer's service reads from {FETCH_ENVIRONMENT}.\n"
    )
    parser.add_argument(
        "--stack", metavar="NAME", required=True, help="the stack's whole name: ORGANIZATION/PROJECT/STACK"
    )
    parser.add_argument("--device", metavar="NAME", help="the device's name (the installed one, or the host's name)")
    parser.add_argument(
        "--timer", action=argparse.BooleanOptionalAction, default=None, help="do so once a day, or no longer"
    )
    parser.set_defaults(dry_run=False, verify=None, json=False, gateway=None)


def run(arguments: argparse.Namespace, system: System) -> int:
    """Run the command.

    Raises:
        DeviceAgentError: The outputs cannot be read, or the bundle was not installed.
    """
    if system.user_id() != 0:
        raise UsageError("fetch needs root, since it installs; run it with sudo")
    if not _STACK.fullmatch(arguments.stack) or arguments.stack.startswith("-"):
        raise UsageError(f"--stack is {arguments.stack!a}; a stack's name has letters, digits, '.', '_', '-' and '/'")
    arguments.device = arguments.device or own_name(system)
    code = install(arguments, system, _bundle(system, arguments.stack, arguments.device))
    if arguments.timer is not None:
        with services_locked(system) as locked:
            _set_timer(locked, arguments.stack, arguments.device, wanted=arguments.timer)
    return code


def _bundle(system: System, stack: str, device: str) -> bytes:
    """Ask for what is no secret first: a device with keys of its own needs no more."""
    done = _pulumi(system, "deviceBundles", stack)
    if done.returncode == 0 and f'"{device}"' in done.stdout:
        return done.stdout.encode("utf-8")
    done = _pulumi(system, "devices", stack, "--show-secrets")
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise DeviceAgentError(
            f"`pulumi stack output` failed: {said[-1] if said else f'exit code {done.returncode}'}; is root logged in"
            " to the state's backend (`sudo pulumi whoami`)?"
        )
    return done.stdout.encode("utf-8")


def _pulumi(system: System, output: str, stack: str, *more: str) -> Completed:
    words = ["pulumi", "stack", "output", output, "--stack", stack, "--json", "--non-interactive", *more]
    done = system.run(words, timeout=_PULUMI_TIMEOUT)
    if done.returncode == 127:
        raise UsageError("there is no Pulumi CLI on root's PATH; https://www.pulumi.com/docs/install")
    return done


def _path() -> str:
    """Return a PATH for the timer's service that has the CLI which this command has found."""
    folder = str(Path(shutil.which("pulumi") or "/").parent)
    plain = re.fullmatch(r"/[A-Za-z0-9._/-]+", folder) and folder not in _SYSTEMD_PATH.split(":")
    return f"{folder}:{_SYSTEMD_PATH}" if plain else ""


def _set_timer(system: System, stack: str, device: str, *, wanted: bool) -> None:
    name = FETCH_TIMER.rpartition("/")[2]
    if wanted:
        texts = {
            FETCH_UNIT: fetch_unit(python=sys.executable, stack=stack, device=device, path=_path()),
            FETCH_TIMER: fetch_timer(),
        }
        for path, text in texts.items():
            write_file(system, path, WantedFile(content=text.encode("ascii")))
        systemctl(system, "daemon-reload")
        systemctl(system, "enable", "--now", name)
        print(f"{name} fetches once a day")
    elif system.path(FETCH_TIMER).exists():
        systemctl(system, "disable", "--now", name)
        for path in (FETCH_TIMER, FETCH_UNIT):
            remove(system, path)
        systemctl(system, "daemon-reload")
        print(f"{name} is removed")
