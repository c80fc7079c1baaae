"""What `install` does, as a list of steps that can be shown, done and undone.

A step is there only if something has to change, so that an empty plan means that nothing does.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from device_agent._exceptions import DeviceAgentError, UsageError
from device_agent.files import (
    WantedFile,
    folder_matches,
    make_folder,
    read_link,
    remove,
    reporting,
    write_file,
    write_link,
)
from device_agent.install.bundle import Bundle
from device_agent.install.openvpn_profile import RESOLVER_SCRIPT
from device_agent.install.slots import (
    CURRENT,
    SLOTS,
    current_slot,
    other_slot,
    slot_files,
    slot_folder,
    slot_holds,
    wanted_links,
)
from device_agent.install.units import agent_unit, openvpn_drop_in, tunnel_rule
from device_agent.installation import (
    AGENT_SERVICE,
    AGENT_UNIT,
    DIRECTORY,
    OPENVPN_DROP_IN,
    OPENVPN_FILE,
    OPENVPN_FILE_BEFORE,
    OPENVPN_SERVICE,
    STATE_DIRECTORY,
    TRIAL_FILE,
    TRIAL_SERVICE,
    TUNNEL_RULE,
    USER,
)
from device_agent.service import is_active, is_enabled, systemctl
from device_agent.system import System

_PACKAGES = "`sudo apt install openvpn openvpn-systemd-resolved`"
_HOMES = ("/home/", "/root/", "/run/user/")


@dataclass(frozen=True, slots=True)
class Step:
    """One change.

    Attributes:
        text: What it does, as a command: `write /etc/…`.
        do: Does it, and notes on the stack how it is undone.
    """

    text: str
    do: Callable[[ExitStack], None]


def check_machine(system: System, bundle: Bundle, python: str) -> None:
    """Refuse a machine that lacks what the installation needs.

    Args:
        system: The machine.
        bundle: The bundle, for what its profile calls.
        python: The interpreter that the service will run.

    Raises:
        UsageError: Something is missing; the message gives the remedy.
    """
    if system.run(["systemctl", "is-enabled", OPENVPN_SERVICE]).returncode == 127:
        raise UsageError("there is no systemctl; the services need a system that runs systemd")
    if not system.path("/usr/sbin/openvpn").exists() or not system.path(OPENVPN_FILE).parent.is_dir():
        raise UsageError(f"OpenVPN is not installed; {_PACKAGES}")
    if bundle.profile.runs_resolver_script and not os.access(system.path(RESOLVER_SCRIPT), os.X_OK):
        raise UsageError(f"{RESOLVER_SCRIPT} is missing or not executable; {_PACKAGES}")
    for place in (Path(python), Path(python).resolve(), Path(__file__)):
        closed = system.closed_folder(place) if system.has_other_users() else None
        if closed:
            raise UsageError(
                f"the agent is installed under {closed}, which the service's user {USER} may not enter; install it for"
                " all users: `sudo pipx install --global ./device_agent`"
            )


def make_plan(system: System, bundle: Bundle, *, verify: bool | None, python: str) -> list[Step]:
    """Compare the machine with what the bundle calls for.

    Args:
        system: The machine.
        bundle: The bundle.
        verify: Whether to try the bundle before it counts; None means: if it replaces another.
        python: The interpreter that the service will run.

    Returns:
        The steps, in order; none if all is in place.
    """
    files = slot_files(bundle)
    slot = current_slot(system)
    steps = _leftovers(system, slot)
    if system.account(USER) is None:
        steps.append(Step(f"create the user {USER}", partial(_create_account, system)))
    for path, mode, owner in ((DIRECTORY, 0o755, None), (SLOTS, 0o755, None), (STATE_DIRECTORY, 0o700, USER)):
        if not folder_matches(system, path, mode=mode, owner=owner):
            steps.append(Step(f"make {path}", partial(_make_folder, system, path, mode, owner)))
    promoted = slot is None or not slot_holds(system, slot, files)
    if promoted:
        steps += _replacement(system, files, slot, verify=slot is not None if verify is None else verify)
    else:
        steps += _repairs(system, slot_folder(str(slot)), files)
    units = {
        AGENT_UNIT: WantedFile(
            content=agent_unit(python=python, vpc_cidr=bundle.vpc_cidr, home=python.startswith(_HOMES)).encode("ascii")
        ),
        OPENVPN_DROP_IN: WantedFile(content=openvpn_drop_in(bundle.profile.directives).encode("ascii")),
    }
    if system.path(TUNNEL_RULE).parent.is_dir():
        units[TUNNEL_RULE] = WantedFile(content=tunnel_rule().encode("ascii"))
    changed = {path for path, wanted in units.items() if not wanted.matches(system, path)}
    steps += [Step(f"write {path}", partial(_write_unit, system, path, units[path])) for path in sorted(changed)]
    links = [(path, target) for path, target in wanted_links(files).items() if not _link_matches(system, path, target)]
    steps += [Step(_link_text(path, target), partial(_link, system, path, target)) for path, target in links if target]
    if promoted:
        target = f"slots/{other_slot(slot)}"
        steps.append(Step(f"promote {target}: let {CURRENT} lead to it", partial(_promote, system, target)))
    steps += [
        Step(_link_text(path, target), partial(_link, system, path, target)) for path, target in links if not target
    ]
    steps += _services(system, changed, promoted=promoted or bool(links))
    if promoted and slot is not None:
        steps.append(Step(f"remove {slot_folder(slot)}", partial(_drop, system, slot_folder(slot))))
    return steps


def _leftovers(system: System, slot: str | None) -> list[Step]:
    """Clear away what an installation left that was cut off by lost power or a kill."""
    steps = []
    if read_link(system, TRIAL_FILE) is not None:
        steps.append(Step("end the trial that was cut off", partial(_end_trial, system)))
    stale = slot_folder(other_slot(slot))
    if system.path(stale).exists():
        steps.append(
            Step(f"remove {stale}, which an installation that was cut off left", partial(_drop, system, stale))
        )
    return steps


def _end_trial(system: System, _undo: ExitStack) -> None:
    systemctl(system, "stop", TRIAL_SERVICE)
    remove(system, TRIAL_FILE)


def _drop(system: System, path: str, _undo: ExitStack) -> None:
    remove(system, path)


def _replacement(system: System, files: dict[str, WantedFile], slot: str | None, *, verify: bool) -> list[Step]:
    fresh = other_slot(slot)
    steps = [Step(f"write the bundle into {slot_folder(fresh)}", partial(_fill, system, fresh, files))]
    if verify:
        steps.append(Step(f"try {slot_folder(fresh)}: its tunnel, then an echo over it", partial(_try, system, fresh)))
    return steps


def _repairs(system: System, folder: str, files: dict[str, WantedFile]) -> list[Step]:
    return [
        Step(
            f"set the mode and owner of {folder}/{name}", partial(_write_unit, system, f"{folder}/{name}", files[name])
        )
        for name in files
        if not files[name].matches(system, f"{folder}/{name}")
    ]


def _services(system: System, changed: set[str], *, promoted: bool) -> list[Step]:
    steps = []
    if changed & {AGENT_UNIT, OPENVPN_DROP_IN}:
        steps.append(Step("reload systemd", lambda _undo: systemctl(system, "daemon-reload")))
    for unit, file in ((OPENVPN_SERVICE, OPENVPN_DROP_IN), (AGENT_SERVICE, AGENT_UNIT)):
        if not is_enabled(system, unit):
            steps.append(Step(f"enable {unit}", partial(_enable, system, unit)))
        if promoted or file in changed or not is_active(system, unit):
            steps.append(Step(f"start {unit} anew", partial(_start, system, unit)))
    return steps


def _create_account(system: System, undo: ExitStack) -> None:
    options = ["--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin"]
    done = system.run(["useradd", *options, "--home-dir", STATE_DIRECTORY, USER])
    if done.returncode:
        raise DeviceAgentError(f"the user {USER} cannot be created: {' '.join(done.stderr.split())}")
    undo.callback(system.run, ["userdel", USER])


def _make_folder(system: System, path: str, mode: int, owner: str | None, undo: ExitStack) -> None:
    if not system.path(path).exists():
        undo.callback(remove, system, path)
    make_folder(system, path, mode=mode, owner=owner)


def _fill(system: System, slot: str, files: dict[str, WantedFile], undo: ExitStack) -> None:
    folder = slot_folder(slot)
    undo.callback(remove, system, folder)
    make_folder(system, folder)
    for name, wanted in files.items():
        write_file(system, f"{folder}/{name}", wanted)


def _try(system: System, slot: str, undo: ExitStack) -> None:
    from device_agent.install.trial import stop_services, try_slot  # noqa: PLC0415 - brings the SDK, 100 ms and 20 MB

    stop_services(system, undo)
    try:
        try_slot(system, slot)
    except DeviceAgentError as error:
        raise DeviceAgentError(f"the new bundle did not pass its trial and was not installed: {error}") from error


def _write_unit(system: System, path: str, wanted: WantedFile, undo: ExitStack) -> None:
    folder = str(Path(path).parent)
    if not system.path(folder).exists():
        undo.callback(remove, system, folder)
        make_folder(system, folder)
    undo.callback(system.run, ["systemctl", "daemon-reload"])
    _note_old(system, path, undo)
    write_file(system, path, wanted)


def _link(system: System, path: str, target: str | None, undo: ExitStack) -> None:
    _note_old(system, path, undo)
    if target is None:
        remove(system, path)
        return
    kept = OPENVPN_FILE_BEFORE
    found = system.path(path)
    if path == OPENVPN_FILE and found.is_file() and not found.is_symlink() and not system.path(kept).exists():
        with reporting(f"{kept} cannot be written"):
            os.link(found, system.path(kept))
        undo.callback(remove, system, kept)
    write_link(system, path, target)


def _note_old(system: System, path: str, undo: ExitStack) -> None:
    """Note how a file or link comes back: with its old content, or away."""
    found = system.path(path)
    link = read_link(system, path)
    if link is not None:
        undo.callback(write_link, system, path, link)
    elif found.exists():
        status = found.stat()
        old = WantedFile(content=found.read_bytes(), mode=stat.S_IMODE(status.st_mode))
        undo.callback(_put_back, system, path, old, (status.st_uid, status.st_gid))
    else:
        undo.callback(remove, system, path)


def _put_back(system: System, path: str, old: WantedFile, owner: tuple[int, int]) -> None:
    write_file(system, path, old)
    system.set_owner(system.path(path), *owner)


def _promote(system: System, target: str, undo: ExitStack) -> None:
    for unit in (OPENVPN_SERVICE, AGENT_SERVICE):
        if is_active(system, unit):
            undo.callback(system.run, ["systemctl", "restart", unit], timeout=120)
    _note_old(system, CURRENT, undo)
    write_link(system, CURRENT, target)


def _enable(system: System, unit: str, undo: ExitStack) -> None:
    undo.callback(system.run, ["systemctl", "disable", unit])
    systemctl(system, "enable", unit)


def _start(system: System, unit: str, undo: ExitStack) -> None:
    if not is_active(system, unit):
        undo.callback(system.run, ["systemctl", "stop", unit], timeout=120)
    systemctl(system, "restart", unit)


def _link_matches(system: System, path: str, target: str | None) -> bool:
    found = system.path(path)
    return read_link(system, path) == target and (target is not None or not found.exists())


def _link_text(path: str, target: str | None) -> str:
    return f"let {path} lead to {target}" if target else f"remove {path}"
