"""AppArmor's profile of OpenVPN, as Ubuntu has it from 25.04 on: it may read /etc/openvpn, and run no resolver script.

OpenVPN ends where its `up` script may not run. Such a profile includes a file for rules of the machine's own
(apparmor.d(5), "local"); it gets the one rule that is missing.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from device_agent._exceptions import DeviceAgentError
from device_agent.files import WantedFile, make_folder, remove, reporting, write_file
from device_agent.install.openvpn_profile import RESOLVER_SCRIPT
from device_agent.install.undo import remember
from device_agent.system import System

PROFILE = "/etc/apparmor.d/openvpn"
LOCAL_RULES = "/etc/apparmor.d/local/openvpn"
OWN_LINES = f"""\
# Written by `device-agent install`; `device-agent uninstall` removes this and the next line.
{RESOLVER_SCRIPT} PUx,
"""
"""By its own profile or by none, with a clean environment (`PUx`), as a script runs that is started by hand."""
_LOAD = ["apparmor_parser", "--replace", PROFILE]
_ENABLED = "/sys/module/apparmor/parameters/enabled"


def script_is_refused(system: System) -> bool:
    """Tell whether there is a profile of OpenVPN that does not name the resolver's script."""
    return system.path(PROFILE).exists() and not any(
        RESOLVER_SCRIPT in line for path in (PROFILE, LOCAL_RULES) for line in _rules(_read(system, path))
    )


def let_script_run(system: System, undo: ExitStack) -> None:
    """Write the rule behind those that are there, and load the profile anew.

    Raises:
        DeviceAgentError: It cannot be written, or the profile cannot be loaded.
    """
    folder = str(Path(LOCAL_RULES).parent)
    if not system.path(folder).exists():
        undo.callback(remove, system, folder)
        make_folder(system, folder)
    undo.callback(system.run, _LOAD)
    remember(system, LOCAL_RULES, undo)
    before = _read(system, LOCAL_RULES)
    _write(system, f"{before}\n{OWN_LINES}" if before and not before.endswith("\n") else f"{before}{OWN_LINES}")
    _load(system)


def has_own_lines(system: System) -> bool:
    """Tell whether the rule is there as this program wrote it."""
    return OWN_LINES in _read(system, LOCAL_RULES)


def remove_own_lines(system: System) -> None:
    """Take the rule back; the file goes if there is nothing else in it.

    Raises:
        DeviceAgentError: It cannot be written, or the profile cannot be loaded.
    """
    rest = _read(system, LOCAL_RULES).replace(OWN_LINES, "")
    if rest:
        _write(system, rest)
    else:
        remove(system, LOCAL_RULES)
    _load(system)


def _rules(text: str) -> list[str]:
    return [line for line in text.splitlines() if not line.lstrip().startswith("#")]


def _read(system: System, path: str) -> str:
    try:
        return system.path(path).read_text("utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, ValueError) as error:
        raise DeviceAgentError(f"{path} cannot be read: {error}") from error


def _write(system: System, text: str) -> None:
    with reporting(f"{LOCAL_RULES} cannot be written"):
        write_file(system, LOCAL_RULES, WantedFile(content=text.encode("utf-8")))


def _load(system: System) -> None:
    """Load the profile where the kernel goes by AppArmor; the next boot does it elsewhere, and after `remove`."""
    try:
        enabled = system.path(_ENABLED).read_text("ascii").strip() == "Y"
    except OSError:
        enabled = False
    if not enabled or not system.path(PROFILE).exists():
        return
    done = system.run(_LOAD)
    if done.returncode:
        words = (done.stderr or done.stdout).strip().splitlines()
        raise DeviceAgentError(f"`{' '.join(_LOAD)}` failed: {words[-1] if words else f'exit code {done.returncode}'}")
