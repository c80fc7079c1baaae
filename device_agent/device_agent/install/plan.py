"""What `install` does, as a list of steps that can be shown, done and undone.

A step is there only if something has to change, so that an empty plan means that nothing does.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Network

from device_agent._exceptions import DeviceAgentError
from device_agent.files import WantedFile, folder_matches, read_link, remove, reporting, temporary_of
from device_agent.hop import NEIGHBOUR_SERVICE, Hop, TunnelHop, hop_of
from device_agent.install import apparmor, steps
from device_agent.install.bundle import Bundle
from device_agent.install.openvpn_profile import RESOLVER_SCRIPT, Profile, parse_profile
from device_agent.install.slots import (
    CURRENT,
    SLOTS,
    current_slot,
    other_slot,
    profile_link,
    remove_slot,
    slot_files,
    slot_folder,
    slot_holds,
    stale_slots,
    wanted_links,
)
from device_agent.install.steps import Step
from device_agent.install.undo import undone_on_error
from device_agent.install.units import agent_unit, neighbour_unit, openvpn_drop_in, renewal_unit, unit_rule
from device_agent.installation import (
    AGENT_SERVICE,
    AGENT_UNIT,
    DIRECTORY,
    NEIGHBOUR_TRIAL_SERVICE,
    NEIGHBOUR_TRIAL_UNIT,
    NEIGHBOUR_UNIT,
    OPENVPN_DROP_IN,
    OPENVPN_FILE,
    OPENVPN_SERVICE,
    PROFILE_DIRECTORY,
    RENEWAL_UNIT,
    RESTART_UNIT,
    STATE_DIRECTORY,
    TRIAL_FILE,
    TRIAL_SERVICE,
    TUNNEL_RULE,
    USER,
    Installation,
)
from device_agent.neighbour import keeper
from device_agent.service import RESOLVED_SERVICE, is_active, is_enabled, resolved_is_deaf, systemctl
from device_agent.system import System

_HOMES = ("/home/", "/root/", "/run/user/")
_FOLDERS = (
    (DIRECTORY, 0o755, None),
    (SLOTS, 0o755, None),
    (PROFILE_DIRECTORY, 0o700, None),
    (STATE_DIRECTORY, 0o700, USER),
)


@dataclass(frozen=True, slots=True)
class Plan:
    """What an installation does.

    Attributes:
        steps: Done in order, and all undone if one fails.
        cleanup: Done when the new state counts; a failure leaves something for the next installation to clear away.
    """

    steps: list[Step]
    cleanup: list[Step]

    @property
    def texts(self) -> list[str]:
        """What is done, as commands."""
        return [step.text for step in (*self.steps, *self.cleanup)]


def make_plan(system: System, bundle: Bundle, *, verify: bool | None, python: str) -> Plan:
    """Compare the machine with what the bundle calls for.

    Args:
        system: The machine.
        bundle: The bundle.
        verify: Whether to try the bundle before it counts; None means: if it replaces another.
        python: The interpreter that the service will run.
    """
    slot, hop = current_slot(system), hop_of(bundle.gateways)
    units = _units(system, bundle.vpc_cidr, hop, bundle.profile, python)
    wanted = wanted_links(tunnel=bundle.profile is not None)
    found = _leftovers(system, [*units, *wanted, CURRENT, TRIAL_FILE, RESTART_UNIT]) + _machine(system, hop)
    promoted = slot is None or not slot_holds(system, slot, bundle)
    fresh = other_slot(slot)
    if promoted:
        tried = slot is not None if verify is None else verify
        found += _replacement(system, slot_files(bundle, fresh), fresh, hop if tried else None)
    else:
        found += _repairs(system, str(slot), slot_files(bundle, str(slot)), bundle)
    changed = _changed(system, units)
    found += _writes(system, units, changed)
    links = [(path, target) for path, target in wanted.items() if read_link(system, path) != target]
    found += [_link(system, path, target) for path, target in links]
    if promoted:
        text = f"promote slots/{fresh}: let {CURRENT} lead to it"
        found.append(Step(text, partial(steps.promote, system, fresh)))
    found += _former_hop(system, hop)
    found += _services(system, hop, changed, promoted=promoted or bool(links))
    return Plan(found, [_removal(system, slot, "")] if promoted and slot is not None else [])


def make_upgrade(system: System, *, python: str) -> Plan:
    """Compare what an earlier release of the agent installed with what this one would, and leave the bundle as it is.

    Args:
        system: The machine.
        python: The interpreter that the service will run.

    Raises:
        InstallationError: Nothing is installed, or it cannot be read.
        ProfileError: The installed profile holds what this release refuses.
    """
    installation = Installation.load(system)
    profile, hop = None, installation.hop
    if not installation.gateways:
        with reporting(f"{OPENVPN_FILE} cannot be read"):
            text = system.path(OPENVPN_FILE).read_text("ascii", "replace")
        profile = parse_profile(text, OPENVPN_FILE)
    units = _units(system, installation.vpc_cidr, hop, profile, python)
    changed = _changed(system, units)
    found = _leftovers(system, list(units)) + _machine(system, hop) + _writes(system, units, changed)
    return Plan(found + _services(system, hop, changed, promoted=False), [])


def make_ready(system: System) -> Plan:
    """Plan what a slot needs before anything is installed: the user, the folders, and no leftovers."""
    return Plan(
        _leftovers(system, [*wanted_links(), CURRENT, TRIAL_FILE, RESTART_UNIT]) + _machine(system, TunnelHop()), []
    )


def apply_plan(plan: Plan, tell: Callable[[str], None]) -> None:
    """Do a plan, all of it or nothing.

    Args:
        plan: The plan.
        tell: Called with what each step does before it is done.

    Raises:
        DeviceAgentError: A step failed, and everything is as it was.
    """
    with undone_on_error() as undo:
        for step in plan.steps:
            tell(step.text)
            step.do(undo)
    # From here on the new state counts: nothing that fails may take anything of it away.
    with ExitStack() as nothing:
        for step in plan.cleanup:
            tell(step.text)
            try:
                step.do(nothing)
            except DeviceAgentError as error:
                print(f"warning: {error}; the next installation tries it again", file=sys.stderr)


def _leftovers(system: System, paths: list[str]) -> list[Step]:
    """Clear away what an installation left that was cut off by lost power or a kill."""
    found = []
    for file, unit in ((TRIAL_FILE, TRIAL_SERVICE), (NEIGHBOUR_TRIAL_UNIT, NEIGHBOUR_TRIAL_SERVICE)):
        if os.path.lexists(system.path(file)):
            found.append(Step("end the trial that was cut off", partial(_end_trial, system, file, unit)))
    found += [_removal(system, slot, ", which an installation that was cut off left") for slot in stale_slots(system)]
    return found + [
        Step(f"remove {path}, which was cut off", partial(_remove, system, path))
        for path in map(temporary_of, paths)
        if os.path.lexists(system.path(path))
    ]


def _removal(system: System, slot: str, why: str) -> Step:
    return Step(f"remove {slot_folder(slot)}{why}", lambda _undo: remove_slot(system, slot))


def _end_trial(system: System, file: str, unit: str, _undo: ExitStack) -> None:
    systemctl(system, "stop", unit)
    remove(system, file)


def _remove(system: System, path: str, _undo: ExitStack) -> None:
    remove(system, path)


def _machine(system: System, hop: Hop) -> list[Step]:
    found, tunnel = [], not hop.gateways
    if tunnel and resolved_is_deaf(system):
        found.append(Step(f"start {RESOLVED_SERVICE} anew, which does not answer on the bus", partial(_wake, system)))
    if tunnel and apparmor.script_is_refused(system):
        text = f"let OpenVPN run {RESOLVER_SCRIPT}, by a rule in {apparmor.LOCAL_RULES}"
        found.append(Step(text, partial(apparmor.let_script_run, system)))
    if system.account(USER) is None:
        found.append(Step(f"create the user {USER}", partial(steps.create_account, system)))
    for path, mode, owner in _FOLDERS:
        if (tunnel or path != PROFILE_DIRECTORY) and not folder_matches(system, path, mode=mode, owner=owner):
            found.append(Step(f"make {path}", partial(steps.make, system, path, mode, owner)))
    if steps.foreign_files(system, STATE_DIRECTORY, USER):
        give = partial(steps.give_all, system, STATE_DIRECTORY, USER)
        found.append(Step(f"give what is in {STATE_DIRECTORY} to {USER}", give))
    return found


def _wake(system: System, _undo: ExitStack) -> None:
    systemctl(system, "restart", RESOLVED_SERVICE)
    if resolved_is_deaf(system):
        raise DeviceAgentError(
            f"{RESOLVED_SERVICE} does not answer on the bus (`resolvectl status`); reboot the device"
        )


def _replacement(system: System, files: dict[str, WantedFile], slot: str, tried: Hop | None) -> list[Step]:
    folder = slot_folder(slot)
    found = [Step(f"write the bundle into {folder}", partial(steps.fill_slot, system, slot, files))]
    if tried is not None:
        text = f"try {folder}: its {tried.kind}, then an echo over it"
        found.append(Step(text, partial(steps.try_out, system, slot)))
    return found


def _repairs(system: System, slot: str, files: dict[str, WantedFile], bundle: Bundle) -> list[Step]:
    """Set right modes, owners and places; a slot of an earlier release holds the profile itself."""
    found = [
        Step(f"write {path} with its mode and owner", partial(steps.write, system, path, wanted))
        for path, wanted in files.items()
        if not wanted.matches(system, path)
    ]
    path, target = profile_link(slot)
    if bundle.profile is None or read_link(system, path) == target:
        return found
    return [*found, _link(system, path, target)]


def _former_hop(system: System, hop: Hop) -> list[Step]:
    """Take away what keeps another hop than the device's: a tunnel that a gateway replaces, or the reverse."""
    kept = hop.service
    units = [unit for unit in (OPENVPN_SERVICE, NEIGHBOUR_SERVICE) if unit != kept and is_enabled(system, unit)]
    ours = "private-iot/" in (read_link(system, OPENVPN_FILE) or "")
    tunnel = [OPENVPN_DROP_IN, RENEWAL_UNIT, TUNNEL_RULE, *([OPENVPN_FILE] if ours else [])]
    files = [path for path in (tunnel if hop.gateways else [NEIGHBOUR_UNIT]) if os.path.lexists(system.path(path))]
    if not files:
        # A unit of that name that is somebody else's.
        return []
    found = [Step(f"stop and disable {unit}", partial(steps.retire, system, unit)) for unit in units]
    if not hop.gateways:
        found.append(Step("take back the gateway's route and name", lambda _undo: keeper.undo(system)))
    found += [Step(f"remove {path}", partial(steps.withdraw, system, path)) for path in files]
    return [*found, Step("reload systemd", lambda _undo: systemctl(system, "daemon-reload"))]


def _link(system: System, path: str, target: str) -> Step:
    return Step(f"let {path} lead to {target}", partial(steps.link, system, path, target))


def _units(
    system: System, vpc_cidr: IPv4Network, hop: Hop, profile: Profile | None, python: str
) -> dict[str, WantedFile]:
    texts = {AGENT_UNIT: agent_unit(python=python, vpc_cidr=vpc_cidr, home=python.startswith(_HOMES), hop=hop)}
    if profile is None:
        texts[NEIGHBOUR_UNIT] = neighbour_unit(python=python, gateways=hop.gateways)
    else:
        texts[OPENVPN_DROP_IN] = openvpn_drop_in(profile.directives)
        texts[RENEWAL_UNIT] = renewal_unit(python=python, vpc_cidr=vpc_cidr)
        if system.path(TUNNEL_RULE).parent.is_dir():
            texts[TUNNEL_RULE] = unit_rule()
    return {path: WantedFile(content=text.encode("ascii")) for path, text in texts.items()}


def _changed(system: System, units: dict[str, WantedFile]) -> set[str]:
    return {path for path, wanted in units.items() if not wanted.matches(system, path)}


def _writes(system: System, units: dict[str, WantedFile], changed: set[str]) -> list[Step]:
    return [Step(f"write {path}", partial(steps.write, system, path, units[path])) for path in sorted(changed)]


def _services(system: System, hop: Hop, changed: set[str], *, promoted: bool) -> list[Step]:
    found = []
    services = ((hop.service, hop.unit_file), (AGENT_SERVICE, AGENT_UNIT))
    disabled = [unit for unit, _ in services if not is_enabled(system, unit)]
    # Each reload takes a slow device ten seconds, and `enable` ends with one.
    if disabled:
        found.append(Step(f"enable {' '.join(disabled)}", partial(steps.enable, system, disabled)))
    elif changed & {AGENT_UNIT, OPENVPN_DROP_IN, RENEWAL_UNIT, NEIGHBOUR_UNIT}:
        found.append(Step("reload systemd", lambda _undo: systemctl(system, "daemon-reload")))
    for unit, file in services:
        if promoted or file in changed or not is_active(system, unit):
            found.append(Step(f"start {unit} anew", partial(steps.start, system, unit)))
    return found
