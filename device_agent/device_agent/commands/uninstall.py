"""`device-agent uninstall`: remove all that `install` made."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from device_agent._exceptions import UsageError
from device_agent.files import read_link, remove, reporting
from device_agent.installation import (
    AGENT_SERVICE,
    AGENT_UNIT,
    DIRECTORY,
    GUARD_UNIT,
    OPENVPN_DROP_IN,
    OPENVPN_FILE,
    OPENVPN_FILE_BEFORE,
    OPENVPN_SERVICE,
    RUNTIME_DIRECTORY,
    STATE_DIRECTORY,
    TRIAL_FILE,
    TUNNEL_RULE,
    USER,
)
from device_agent.service import is_active, is_enabled, systemctl
from device_agent.system import System

HELP = "remove everything that install made; messages that wait to be sent are kept"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.epilog = (
        "examples:\n"
        "  sudo device-agent uninstall\n"
        "  sudo device-agent uninstall --purge     the queue too\n"
        "\n"
        "The device's certificate stays valid: deactivate it with `pulumi up` after taking the device off the list.\n"
    )
    parser.add_argument("--purge", action="store_true", help=f"also remove the queue in {STATE_DIRECTORY}")
    parser.add_argument("--dry-run", action="store_true", help="show what would be removed")


def run(arguments: argparse.Namespace, system: System) -> int:
    """Run the command.

    Args:
        arguments: As `add_arguments` has them.
        system: The machine.

    Returns:
        0.

    Raises:
        DeviceAgentError: Something cannot be removed; what was removed before stays so, and a second run goes on.
    """
    if system.user_id() != 0:
        raise UsageError("uninstall needs root; run it with sudo")
    units = [unit for unit in (AGENT_SERVICE, OPENVPN_SERVICE) if is_active(system, unit) or is_enabled(system, unit)]
    files = _files(system, purge=arguments.purge)
    account = system.account(USER) is not None
    if not (units or files or account):
        print("nothing is installed; nothing changed")
        return 0
    verb = "would " if arguments.dry_run else ""
    for unit in units:
        print(f"{verb}stop and disable {unit}", flush=True)
        if not arguments.dry_run:
            systemctl(system, "disable", "--now", unit)
    for path in files:
        print(f"{verb}remove {path}", flush=True)
        if not arguments.dry_run:
            remove(system, path)
    if OPENVPN_FILE in files and system.path(OPENVPN_FILE_BEFORE).exists():
        print(f"{verb}put {OPENVPN_FILE} back as it was before the installation")
        if not arguments.dry_run:
            with reporting(f"{OPENVPN_FILE} cannot be put back"):
                system.path(OPENVPN_FILE_BEFORE).replace(system.path(OPENVPN_FILE))
    if not arguments.dry_run:
        systemctl(system, "daemon-reload")
        _keep_state(system)
    if account:
        print(f"{verb}remove the user {USER}")
        if not arguments.dry_run:
            system.run(["userdel", USER])
    return 0


def _files(system: System, *, purge: bool) -> list[str]:
    """List what is there to be removed. A profile that somebody put in place of ours is not ours."""
    drop_in_folder = str(Path(OPENVPN_DROP_IN).parent)
    candidates = [AGENT_UNIT, OPENVPN_DROP_IN, TUNNEL_RULE, TRIAL_FILE, GUARD_UNIT, RUNTIME_DIRECTORY]
    if purge:
        candidates.append(STATE_DIRECTORY)
    found = [path for path in candidates if os.path.lexists(system.path(path))]
    folder = system.path(drop_in_folder)
    if folder.is_dir() and {entry.name for entry in folder.iterdir()} <= {Path(OPENVPN_DROP_IN).name}:
        found.append(drop_in_folder)
    if "private-iot/" in (read_link(system, OPENVPN_FILE) or ""):
        found.append(OPENVPN_FILE)
    if os.path.lexists(system.path(DIRECTORY)):
        found.append(DIRECTORY)  # last: with it goes what the others lead to
    return found


def _keep_state(system: System) -> None:
    """Give a kept queue to root, so that no later user who gets the same number can read it."""
    state = system.path(STATE_DIRECTORY)
    if state.is_dir():
        root = system.account("root") or (0, 0)
        with reporting(f"{STATE_DIRECTORY} cannot be given to root"):
            for path in (*state.iterdir(), state):
                system.set_owner(path, *root)
        print(f"{STATE_DIRECTORY} is kept, with the messages that wait; --purge removes it")
