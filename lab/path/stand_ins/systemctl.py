"""``systemctl`` (systemctl(1)): the verbs that an installation and its checks use."""

import argparse
import contextlib
import signal
import sys
from pathlib import Path
from typing import Any

from lab.path.stand_ins import journal, unit_files
from lab.path.stand_ins.ask import SYSTEMD_SOCKET, AskError, ask
from lab.path.stand_ins.unit_files import Unit, UnitError

# Exit codes of systemctl(1), which follow the LSB for `status`.
_NOT_RUNNING, _NO_SUCH_UNIT = 3, 4
_VERBS = (
    *(
        "start",
        "stop",
        "restart",
        "kill",
        "try-restart",
        "reload",
        "reload-or-restart",
        "daemon-reload",
        "reset-failed",
    ),
    *(
        "enable",
        "disable",
        "is-active",
        "is-enabled",
        "is-failed",
        "show",
        "status",
        "cat",
        "list-units",
        "mask",
        "unmask",
    ),
    *("is-system-running",),
)


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="systemctl", description=__doc__)
    parser.add_argument("--now", action="store_true")
    parser.add_argument("-q", "--quiet", action="store_true")
    parser.add_argument("-p", "--property", action="append", default=[])
    parser.add_argument("--value", action="store_true")
    parser.add_argument("-s", "--signal", default="TERM")
    parser.add_argument("-f", "--force", action="store_true")
    for flag in ("--no-pager", "--no-block", "--system", "--no-ask-password", "-l", "--full", "--no-legend", "--plain"):
        parser.add_argument(flag, action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("verb", choices=_VERBS)
    parser.add_argument("units", nargs="*")
    return parser.parse_intermixed_args(argv)


def _show(names: list[str]) -> list[dict[str, str]]:
    result: list[dict[str, str]] = ask(SYSTEMD_SOCKET, {"command": "show", "units": names})["units"]
    return result


def _links(unit: Unit) -> list[Path]:
    base = unit_files.WANTS_DIRECTORY
    links = [base / f"{target}.wants" / unit.name for target in unit.words("WantedBy", "Install")]
    links += [base / f"{target}.requires" / unit.name for target in unit.words("RequiredBy", "Install")]
    return links + [base / alias for alias in unit.words("Alias", "Install")]


def _enable(name: str) -> None:
    unit = unit_files.load(name)
    links = _links(unit)
    if not links:
        print(f"The unit files have no installation config: {name}", file=sys.stderr)
    for link in links:
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.is_symlink():
            link.symlink_to(unit.path)
            print(f"Created symlink {link} → {unit.path}.", file=sys.stderr)


def _disable(name: str) -> None:
    for link in sorted(unit_files.WANTS_DIRECTORY.rglob(name)):
        if link.is_symlink():
            link.unlink()
            print(f"Removed {link}.", file=sys.stderr)
            # systemd takes the folder along once it is empty (src/shared/install.c, remove_marked_symlinks).
            with contextlib.suppress(OSError):
                link.parent.rmdir()


def _change(command: str, names: list[str]) -> None:
    ask(SYSTEMD_SOCKET, {"command": command, "units": names})


def _status(names: list[str]) -> int:
    worst = 0
    for unit in _show(names):
        print(f"{'●' if unit['ActiveState'] == 'active' else '○'} {unit['Id']} - {unit['Description']}")
        print(f"     Loaded: {unit['LoadState']} ({unit['FragmentPath']}; {unit['UnitFileState']})")
        print(f"     Active: {unit['ActiveState']} ({unit['SubState']})")
        if unit["MainPID"] != "0":
            print(f"   Main PID: {unit['MainPID']}")
        if unit["StatusText"]:
            print(f'     Status: "{unit["StatusText"]}"')
        log = journal.unit_log(unit["Id"])
        if log.is_file():
            print("\n" + "\n".join(log.read_text(errors="replace").splitlines()[-10:]))
        if unit["LoadState"] == "not-found":
            worst = max(worst, _NO_SUCH_UNIT)
        elif unit["ActiveState"] != "active":
            worst = max(worst, _NOT_RUNNING)
    return worst


def _query(arguments: argparse.Namespace, names: list[str]) -> int:
    units = _show(names)
    match arguments.verb:
        case "is-active" | "is-failed":
            wanted = "active" if arguments.verb == "is-active" else "failed"
            if not arguments.quiet:
                print("\n".join(unit["ActiveState"] for unit in units))
            any_match = any(unit["ActiveState"] == wanted for unit in units)
            return 0 if any_match else (_NOT_RUNNING if wanted == "active" else 1)
        case "is-enabled":
            states = [unit["UnitFileState"] for unit in units]
            if not arguments.quiet:
                print("\n".join(states))
            return 0 if any(state in ("enabled", "static") for state in states) else 1
        case _:
            wanted_names = [name for item in arguments.property for name in item.split(",")]
            for unit in units:
                for key in wanted_names or unit:
                    if key in unit:
                        print(unit[key] if arguments.value else f"{key}={unit[key]}")
            return 0


def _run(arguments: argparse.Namespace) -> int:
    names = [unit_files.full_name(name) for name in arguments.units]
    match arguments.verb:
        case "start" | "stop" | "restart" | "reload" | "daemon-reload" | "reset-failed":
            _change(arguments.verb, names)
        case "kill":
            name = arguments.signal.upper().removeprefix("SIG")
            number = int(name) if name.isdigit() else signal.Signals[f"SIG{name}"]
            ask(SYSTEMD_SOCKET, {"command": "kill", "units": names, "signal": number})
        case "try-restart":
            _change("restart", [unit["Id"] for unit in _show(names) if unit["ActiveState"] == "active"])
        case "reload-or-restart":
            for unit in _show(names):
                can_reload = unit["ActiveState"] == "active" and unit_files.load(unit["Id"]).all("ExecReload")
                _change("reload" if can_reload else "restart", [unit["Id"]])
        case "enable":
            for name in names:
                _enable(name)
            if arguments.now:
                _change("start", names)
        case "disable":
            for name in names:
                _disable(name)
            if arguments.now:
                _change("stop", names)
        case "mask" | "unmask":
            for name in names:
                link = unit_files.WANTS_DIRECTORY / name
                if link.is_symlink():
                    link.unlink()
                if arguments.verb == "mask":
                    link.symlink_to("/dev/null")
        case "status":
            return _status(names)
        case "cat":
            for name in names:
                shown = unit_files.load(name)
                for path in (shown.path, *shown.drop_ins):
                    print(f"# {path}\n{path.read_text()}")
        case "is-system-running":
            print("running")
        case "list-units":
            units: list[dict[str, Any]] = ask(SYSTEMD_SOCKET, {"command": "list"})["units"]
            for unit in units:
                print(
                    f"{unit['Id']} {unit['LoadState']} {unit['ActiveState']} {unit['SubState']} {unit['Description']}"
                )
        case _:
            return _query(arguments, names)
    return 0


def main(argv: list[str] | None = None) -> int:
    arguments = _arguments(argv)
    try:
        return _run(arguments)
    except UnitError as error:
        print(error, file=sys.stderr)
        return 1
    except AskError as error:
        verb = arguments.verb
        print(f"Job for {' '.join(arguments.units)} failed ({verb}): {error}", file=sys.stderr)
        return _NO_SUCH_UNIT + 1 if "could not be found" in str(error) else 1
    except OSError as error:
        print(f"Failed to connect to bus: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
