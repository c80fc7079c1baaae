"""The steps of an installation: each changes one thing and notes how that is undone."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from device_agent._exceptions import DeviceAgentError
from device_agent.files import (
    WantedFile,
    make_folder,
    owner_of,
    remove,
    reporting,
    write_file,
    write_link,
)
from device_agent.hop import NEIGHBOUR_SERVICE
from device_agent.install.slots import CURRENT, profile_file, profile_link, remove_slot, slot_folder
from device_agent.install.undo import remember
from device_agent.installation import (
    AGENT_SERVICE,
    OPENVPN_FILE,
    OPENVPN_FILE_BEFORE,
    OPENVPN_SERVICE,
    STATE_DIRECTORY,
    USER,
)
from device_agent.service import SYSTEMCTL_TIMEOUT, is_active, systemctl
from device_agent.system import System


@dataclass(frozen=True, slots=True)
class Step:
    """One change.

    Attributes:
        text: What it does, as a command: `write /etc/…`.
        do: Does it, and notes on the stack how it is undone.
    """

    text: str
    do: Callable[[ExitStack], None]


def create_account(system: System, undo: ExitStack) -> None:
    """Create the agent's user, into a group of its name that may be there already, with members."""
    options = ["--system", "--no-create-home", "--shell", "/usr/sbin/nologin", "--home-dir", STATE_DIRECTORY]
    group = ["--gid", USER] if system.run(["getent", "group", USER]).returncode == 0 else ["--user-group"]
    undo.callback(system.run, ["userdel", USER])
    done = system.run(["useradd", *options, *group, USER])
    if done.returncode:
        raise DeviceAgentError(f"the user {USER} cannot be created: {' '.join(done.stderr.split())}")


def make(system: System, path: str, mode: int, owner: str | None, undo: ExitStack) -> None:
    """Make a folder, or set its mode and owner."""
    if not system.path(path).exists():
        undo.callback(remove, system, path)
    make_folder(system, path, mode=mode, owner=owner)


def foreign_files(system: System, folder: str, owner: str) -> list[Path]:
    """List what is in a folder, and does not belong to an account."""
    numbers = owner_of(system, owner)
    found = sorted(system.path(folder).rglob("*"))
    return [path for path in found if (path.lstat().st_uid, path.lstat().st_gid) != numbers]


def give_all(system: System, folder: str, owner: str, undo: ExitStack) -> None:
    """Give all that is in a folder to an account: a queue that was kept from an earlier installation."""
    numbers = owner_of(system, owner)
    if numbers is None:
        raise DeviceAgentError(f"there is no user {owner}")
    with reporting(f"{folder} cannot be given to {owner}"):
        for path in foreign_files(system, folder, owner):
            before = path.lstat()
            undo.callback(system.set_owner, path, before.st_uid, before.st_gid)
            system.set_owner(path, *numbers)


def fill_slot(system: System, slot: str, files: dict[str, WantedFile], undo: ExitStack) -> None:
    """Write a bundle into a slot that does not count."""
    undo.callback(remove_slot, system, slot)
    make_folder(system, slot_folder(slot))
    for path, wanted in files.items():
        write_file(system, path, wanted)
    if profile_file(slot) in files:
        write_link(system, *profile_link(slot))


def try_out(system: System, slot: str, undo: ExitStack) -> None:
    """Stop the services and send an echo over the slot's own hop."""
    from device_agent.install.trial import stop_services, try_slot  # noqa: PLC0415 - brings the SDK, 100 ms and 20 MB

    stop_services(system, undo)
    try:
        try_slot(system, slot)
    except DeviceAgentError as error:
        raise DeviceAgentError(f"the new bundle did not pass its trial and was not installed: {error}") from error


def write(system: System, path: str, wanted: WantedFile, undo: ExitStack) -> None:
    """Write a file, and its folder if there is none."""
    folder = str(Path(path).parent)
    if not system.path(folder).exists():
        undo.callback(remove, system, folder)
        make_folder(system, folder)
    undo.callback(system.run, ["systemctl", "daemon-reload"])
    remember(system, path, undo)
    write_file(system, path, wanted)


def link(system: System, path: str, target: str, undo: ExitStack) -> None:
    """Let a path lead to a target; a profile that somebody made by hand is kept beside it."""
    found, kept = system.path(path), OPENVPN_FILE_BEFORE
    remember(system, path, undo)
    if path == OPENVPN_FILE and found.is_file() and not found.is_symlink() and not system.path(kept).exists():
        undo.callback(remove, system, kept)
        with reporting(f"{kept} cannot be written"):
            os.link(found, system.path(kept))
    write_link(system, path, target)


def promote(system: System, slot: str, undo: ExitStack) -> None:
    """Let a slot count, by one rename."""
    for unit in (AGENT_SERVICE, OPENVPN_SERVICE, NEIGHBOUR_SERVICE):
        if is_active(system, unit):
            undo.callback(system.run, ["systemctl", "restart", unit], timeout=SYSTEMCTL_TIMEOUT)
    remember(system, CURRENT, undo)
    write_link(system, CURRENT, f"slots/{slot}")


def enable(system: System, units: Sequence[str], undo: ExitStack) -> None:
    """Let services start at boot; systemd reads all its units anew with it."""
    undo.callback(system.run, ["systemctl", "disable", *units])
    systemctl(system, "enable", *units)


def start(system: System, unit: str, undo: ExitStack) -> None:
    """Start a service, anew if it runs."""
    if not is_active(system, unit):
        undo.callback(system.run, ["systemctl", "stop", unit], timeout=SYSTEMCTL_TIMEOUT)
    systemctl(system, "restart", unit)


def retire(system: System, unit: str, undo: ExitStack) -> None:
    """Stop a service for good."""
    if is_active(system, unit):
        undo.callback(system.run, ["systemctl", "restart", unit], timeout=SYSTEMCTL_TIMEOUT)
    undo.callback(system.run, ["systemctl", "enable", unit])
    systemctl(system, "disable", "--now", unit)


def withdraw(system: System, path: str, undo: ExitStack) -> None:
    """Remove a file that the service of another hop needed."""
    undo.callback(system.run, ["systemctl", "daemon-reload"])
    remember(system, path, undo)
    remove(system, path)
