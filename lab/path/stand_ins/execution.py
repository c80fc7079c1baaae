"""How a unit's programs run: environment, user, directories (systemd.exec(5))."""

import os
import pwd
import shutil
from collections.abc import Mapping
from pathlib import Path

from lab.path import processes
from lab.path.stand_ins import address_filter, unit_files
from lab.path.stand_ins.journal import unit_log
from lab.path.stand_ins.unit_files import Unit, UnitError

NOTIFY_SOCKET = "/run/systemd/notify"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_DIRECTORIES = {
    "RuntimeDirectory": "/run",
    "StateDirectory": "/var/lib",
    "CacheDirectory": "/var/cache",
    "LogsDirectory": "/var/log",
    "ConfigurationDirectory": "/etc",
}


def environment(unit: Unit, extra: Mapping[str, str]) -> dict[str, str]:
    """Return the whole environment of a unit's programs."""
    result = {"PATH": _PATH, "LANG": "C.UTF-8", **extra, "INVOCATION_ID": os.urandom(16).hex()}
    for line in unit.words("Environment"):
        key, _, value = line.partition("=")
        result[key] = value
    for file in unit.all("EnvironmentFile"):
        path = Path(file.removeprefix("-"))
        if path.is_file() or not file.startswith("-"):
            result |= _assignments(path.read_text(encoding="utf-8"))
    for key, base in _DIRECTORIES.items():
        if names := unit.words(key):
            result[f"{key.removesuffix('Directory').upper()}_DIRECTORY"] = ":".join(f"{base}/{name}" for name in names)
    if unit.get("Type").startswith("notify") or unit.get("WatchdogSec"):
        result["NOTIFY_SOCKET"] = NOTIFY_SOCKET
    if 0 < unit.seconds("WatchdogSec", 0) < float("inf"):
        result["WATCHDOG_USEC"] = str(int(unit.seconds("WatchdogSec", 0) * 1e6))
    return result


def _assignments(text: str) -> dict[str, str]:
    found = {}
    for line in map(str.strip, text.splitlines()):
        if "=" in line and not line.startswith(("#", ";")):
            key, _, value = line.partition("=")
            found[key] = value.strip("\"'")
    return found


def spawn(unit: Unit, line: str, variables: Mapping[str, str]) -> processes.Process:
    """Start the program of an ``Exec…=`` line; what it prints goes to the unit's file.

    Args:
        variables: From `environment`.

    Raises:
        UnitError: Its folder does not exist.
        OSError: It cannot be started.
        LookupError: Its user does not exist.
    """
    words, _ = unit_files.command(unit, line, variables)
    if not Path(words[0]).is_absolute():
        words[0] = shutil.which(words[0], path=variables["PATH"]) or words[0]
    directory = unit.get("WorkingDirectory", "/")
    if not Path(directory.removeprefix("-")).is_dir() and not directory.startswith("-"):
        raise UnitError(f"{unit.name}: WorkingDirectory={directory} does not exist")
    as_user, variables = _as_user(unit), dict(variables)
    if as_user and (library := variables.pop("LD_PRELOAD", None)):
        # libfaketime (0.9.10) ends a program whose shared memory another user has made under the same process number,
        # as setpriv would.
        words = ["/usr/bin/env", f"LD_PRELOAD={library}", *words]
    with unit_log(unit.name).open("ab") as output:
        return processes.start(
            [*address_filter.confine(unit), *as_user, *words],
            environment=variables,
            directory=directory.removeprefix("-"),
            output=output,
        )


def make_directories(unit: Unit) -> None:
    """Make ``RuntimeDirectory=`` and its siblings."""
    user = unit.get("User") or "root"
    for key, base in _DIRECTORIES.items():
        for name in unit.words(key):
            path = Path(base) / name
            path.mkdir(parents=True, exist_ok=True)
            path.chmod(int(unit.get(f"{key}Mode", "0755"), 8))
            if key != "ConfigurationDirectory" and user != "root" and many_users():
                shutil.chown(path, user, unit.get("Group") or None)


def remove_runtime_directory(unit: Unit, *, stopped: bool) -> None:
    """Remove ``RuntimeDirectory=`` unless it is preserved.

    Args:
        stopped: Whether it was stopped for good, not to be restarted.
    """
    preserve = unit.get("RuntimeDirectoryPreserve", "no")
    if preserve == "no" or (preserve == "restart" and stopped):
        for name in unit.words("RuntimeDirectory"):
            shutil.rmtree(f"/run/{name}", ignore_errors=True)


def many_users() -> bool:
    """Whether this user namespace has users beside root."""
    return int(Path("/proc/self/uid_map").read_text(encoding="ascii").split()[2]) > 1


def _as_user(unit: Unit) -> list[str]:
    user, group = unit.get("User"), unit.get("Group")
    if user in ("", "root") or not many_users():
        return []
    own_group = pwd.getpwnam(user).pw_gid
    groups = unit.words("SupplementaryGroups")
    words = ["setpriv", f"--reuid={user}", f"--regid={group or own_group}"]
    return [*words, f"--groups={','.join(groups)}" if groups else "--init-groups", "--"]
