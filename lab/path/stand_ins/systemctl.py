"""``systemctl`` (systemctl(1)): the verbs that an installation and its checks use.

Most of them ask; only what is done with files imports what reads them.
"""

import getopt
import signal
import sys
from typing import Any

from lab.path.stand_ins.ask import SYSTEMD_SOCKET, AskError, ask

# Exit codes of systemctl(1), which follow the LSB for `status`.
_NOT_RUNNING, _NO_SUCH_UNIT = 3, 4
_LONG_OPTIONS = [
    *("now", "quiet", "value", "force", "no-pager", "no-block", "system", "no-ask-password", "full", "no-legend"),
    *("plain", "property=", "signal="),
]
_SHORT = {"--quiet": "-q", "--property": "-p", "--signal": "-s"}


def _show(names: list[str]) -> list[dict[str, str]]:
    result: list[dict[str, str]] = ask(SYSTEMD_SOCKET, {"command": "show", "units": names})["units"]
    return result


def _change(command: str, names: list[str]) -> None:
    ask(SYSTEMD_SOCKET, {"command": command, "units": names})


def _is(verb: str, names: list[str], *, quiet: bool) -> int:
    units = _show(names)
    states = [unit["UnitFileState" if verb == "is-enabled" else "ActiveState"] for unit in units]
    wanted = {"is-active": ("active",), "is-failed": ("failed",), "is-enabled": ("enabled", "static")}[verb]
    if not quiet:
        print("\n".join(states))
    any_match = any(state in wanted for state in states)
    return 0 if any_match else (_NOT_RUNNING if verb == "is-active" else 1)


def _print_properties(names: list[str], properties: list[str], *, value: bool) -> None:
    for unit in _show(names):
        for key in properties or unit:
            if key in unit:
                print(unit[key] if value else f"{key}={unit[key]}")


def _list() -> None:
    units: list[dict[str, Any]] = ask(SYSTEMD_SOCKET, {"command": "list"})["units"]
    for unit in units:
        print(f"{unit['Id']} {unit['LoadState']} {unit['ActiveState']} {unit['SubState']} {unit['Description']}")


def _run(verb: str, names: list[str], options: list[tuple[str, str]]) -> int:
    given = {name for name, _ in options}
    match verb:
        case "start" | "stop" | "restart" | "reload" | "daemon-reload" | "reset-failed":
            _change(verb, names)
        case "kill":
            name = {"-s": "TERM", **dict(options)}["-s"].upper().removeprefix("SIG")
            number = int(name) if name.isdigit() else signal.Signals[f"SIG{name}"]
            ask(SYSTEMD_SOCKET, {"command": "kill", "units": names, "signal": number})
        case "try-restart":
            _change("restart", [unit["Id"] for unit in _show(names) if unit["ActiveState"] == "active"])
        case "is-active" | "is-failed" | "is-enabled":
            return _is(verb, names, quiet="-q" in given)
        case "show":
            properties = [name for option, text in options if option == "-p" for name in text.split(",")]
            _print_properties(names, properties, value="--value" in given)
        case "is-system-running":
            print("running")
        case "list-units":
            _list()
        case "enable" | "disable" | "mask" | "unmask" | "cat" | "status" | "reload-or-restart":
            return _with_files(verb, names, now="--now" in given)
        case _:
            print(f"Unknown command verb {verb!r}: not known here", file=sys.stderr)
            return 1
    return 0


def _with_files(verb: str, names: list[str], *, now: bool) -> int:
    from lab.path.stand_ins import systemctl_files  # noqa: PLC0415  # the module's docstring

    if verb == "status":
        units = _show(names)
        systemctl_files.print_status(units)
        if any(unit["LoadState"] == "not-found" for unit in units):
            return _NO_SUCH_UNIT
        return 0 if all(unit["ActiveState"] == "active" for unit in units) else _NOT_RUNNING
    if verb == "reload-or-restart":
        for unit in _show(names):
            can_reload = unit["ActiveState"] == "active" and systemctl_files.can_reload(unit["Id"])
            _change("reload" if can_reload else "restart", [unit["Id"]])
        return 0
    code = systemctl_files.run(verb, names)
    if now and code == 0 and verb in ("enable", "disable"):
        _change("start" if verb == "enable" else "stop", names)
    return code


def main() -> int:
    try:
        options, words = getopt.gnu_getopt(sys.argv[1:], "qp:s:fl", _LONG_OPTIONS)
    except getopt.GetoptError as error:
        print(f"systemctl: {error}", file=sys.stderr)
        return 1
    verb, *names = words or ["list-units"]
    try:
        return _run(verb, names, [(_SHORT.get(name, name), value) for name, value in options])
    except AskError as error:
        print(f"Job for {' '.join(names)} failed ({verb}): {error}", file=sys.stderr)
        return _NO_SUCH_UNIT + 1 if "could not be found" in str(error) else 1
    except OSError as error:
        print(f"Failed to connect to bus: {error}", file=sys.stderr)
        return 1
