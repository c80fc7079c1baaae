"""`device-agent uninstall`: remove all that `install` made."""

from __future__ import annotations

import argparse
import os
from contextlib import nullcontext
from pathlib import Path

from device_agent._exceptions import UsageError
from device_agent.files import ROOT, owner_of, read_link, remove, reporting
from device_agent.hop import NEIGHBOUR_SERVICE
from device_agent.install import apparmor
from device_agent.install.restart_unit import lockable, services_locked
from device_agent.installation import (
    AGENT_SERVICE,
    AGENT_UNIT,
    DEVICE_KEYS_DIRECTORY,
    DIRECTORY,
    FETCH_ENVIRONMENT,
    FETCH_TIMER,
    FETCH_UNIT,
    GATEWAY_DNS_SERVICE,
    GATEWAY_DNS_UNIT,
    GATEWAY_SERVICE,
    GATEWAY_UNIT,
    NEIGHBOUR_UNIT,
    OPENVPN_DROP_IN,
    OPENVPN_FILE,
    OPENVPN_FILE_BEFORE,
    OPENVPN_SERVICE,
    PROFILE_DIRECTORY,
    RENEWAL_UNIT,
    RESTART_UNIT,
    RUNTIME_DIRECTORY,
    SETTINGS_FILE,
    STATE_DIRECTORY,
    TRIAL_FILE,
    TUNNEL_RULE,
    USER,
)
from device_agent.local_broker.mosquitto import DROP_IN as MOSQUITTO_DROP_IN
from device_agent.local_broker.mosquitto import SERVICE as MOSQUITTO_SERVICE
from device_agent.neighbour import keeper
from device_agent.service import is_active, is_enabled, systemctl
from device_agent.system import System

HELP = "remove everything that install made; messages that wait to be sent are kept"
_KEPT = (SETTINGS_FILE, FETCH_ENVIRONMENT, DEVICE_KEYS_DIRECTORY)
"""What neither install nor the agent has made: the user's settings, and the keys that `request` made."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.epilog = (
        "examples:\n"
        "  sudo device-agent uninstall\n"
        "  sudo device-agent uninstall --purge     the queue, the settings and the device's own keys too\n"
        "\n"
        "The device's certificate stays valid: deactivate it with `pulumi up` after taking the device off the list.\n"
    )
    parser.add_argument(
        "--purge",
        action="store_true",
        help=f"also remove the queue in {STATE_DIRECTORY}, the device's own keys and {SETTINGS_FILE}",
    )
    parser.add_argument("--dry-run", action="store_true", help="show what would be removed")


def run(arguments: argparse.Namespace, system: System) -> int:
    """Run the command.

    Raises:
        DeviceAgentError: Something cannot be removed; what was removed before stays so, and a second run goes on.
    """
    if system.user_id() != 0:
        raise UsageError("uninstall needs root; run it with sudo")
    locks = lockable(system) is not None and not arguments.dry_run
    with services_locked(system) if locks else nullcontext(system) as locked:
        return _uninstall(arguments, locked)


def _uninstall(arguments: argparse.Namespace, system: System) -> int:
    units = [
        unit
        for unit in (Path(FETCH_TIMER).name, GATEWAY_DNS_SERVICE, GATEWAY_SERVICE, AGENT_SERVICE, *_hops(system))
        if is_active(system, unit) or is_enabled(system, unit)
    ]
    files = _files(system, purge=arguments.purge)
    rule = apparmor.has_own_lines(system)
    account = system.account(USER) is not None
    group = system.run(["getent", "group", USER]).returncode == 0
    if not (units or files or rule or account or group):
        print("nothing is installed; nothing changed")
        return 0
    real = not arguments.dry_run
    verb = "" if real else "would "
    for unit in units:
        print(f"{verb}stop and disable {unit}", flush=True)
        if real:
            systemctl(system, "disable", "--now", unit)
    if NEIGHBOUR_UNIT in files:
        print(f"{verb}take back the gateway's route and name", flush=True)
        if real:
            keeper.undo(system)
    for path in files:
        print(f"{verb}remove {path}", flush=True)
        if real:
            remove(system, path)
    if OPENVPN_FILE in files and system.path(OPENVPN_FILE_BEFORE).exists():
        print(f"{verb}put {OPENVPN_FILE} back as it was before the installation")
        if real:
            with reporting(f"{OPENVPN_FILE} cannot be put back"):
                system.path(OPENVPN_FILE_BEFORE).replace(system.path(OPENVPN_FILE))
    if rule:
        print(f"{verb}take the rule for OpenVPN out of {apparmor.LOCAL_RULES}")
        if real:
            apparmor.remove_own_lines(system)
    if MOSQUITTO_DROP_IN in files and is_active(system, MOSQUITTO_SERVICE):
        print(f"{verb}start {MOSQUITTO_SERVICE} anew", flush=True)
        if real:
            systemctl(system, "restart", MOSQUITTO_SERVICE)
    if real:
        systemctl(system, "daemon-reload")
        _keep(system)
    if account or group:
        print(f"{verb}remove the user {USER} and its group")
        if real:
            system.run(["userdel", USER])
            # userdel leaves a group that others are in.
            if system.run(["getent", "group", USER]).returncode == 0:
                system.run(["groupdel", USER])
    return 0


def _hops(system: System) -> list[str]:
    """List the hops' services; OpenVPN's is no business of ours on a device that was installed without a tunnel."""
    own = not system.path(NEIGHBOUR_UNIT).exists()
    return [NEIGHBOUR_SERVICE, *([OPENVPN_SERVICE] if own else [])]


def _files(system: System, *, purge: bool) -> list[str]:
    """List what is there to be removed. A profile that somebody put in place of ours is not ours."""
    folder = system.path(DIRECTORY)
    ours = sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []
    kept = [] if purge else [path for path in _KEPT if os.path.lexists(system.path(path))]
    candidates = [
        AGENT_UNIT,
        NEIGHBOUR_UNIT,
        RENEWAL_UNIT,
        FETCH_TIMER,
        FETCH_UNIT,
        GATEWAY_DNS_UNIT,
        GATEWAY_UNIT,
        MOSQUITTO_DROP_IN,
        OPENVPN_DROP_IN,
        TUNNEL_RULE,
        TRIAL_FILE,
        RESTART_UNIT,
        RUNTIME_DIRECTORY,
    ]
    if purge:
        candidates.append(STATE_DIRECTORY)
    found = [path for path in candidates if os.path.lexists(system.path(path))]
    drop_in_folder = Path(OPENVPN_DROP_IN).parent
    present = system.path(str(drop_in_folder))
    if present.is_dir() and {entry.name for entry in present.iterdir()} <= {Path(OPENVPN_DROP_IN).name}:
        found.append(str(drop_in_folder))
    if "private-iot/" in (read_link(system, OPENVPN_FILE) or ""):
        found.append(OPENVPN_FILE)
    # Last what the others lead to.
    found += [f"{DIRECTORY}/{name}" for name in ours if f"{DIRECTORY}/{name}" not in kept] if kept else []
    found += [
        path for path in (PROFILE_DIRECTORY, *([] if kept else [DIRECTORY])) if os.path.lexists(system.path(path))
    ]
    return found


def _keep(system: System) -> None:
    """Give a kept queue to root, so that no later user who gets the same number can read it."""
    state = system.path(STATE_DIRECTORY)
    if state.is_dir():
        root = owner_of(system, None) or ROOT
        with reporting(f"{STATE_DIRECTORY} cannot be given to root"):
            for found in (*state.rglob("*"), state):
                system.set_owner(found, *root)
        print(f"{STATE_DIRECTORY} is kept, with the messages that wait; --purge removes it")
    for path in _KEPT:
        if os.path.lexists(system.path(path)):
            print(f"{path} is kept; --purge removes it")
