"""What `systemctl` does with files: those of units, their links, and what units print."""

import contextlib
import sys
from pathlib import Path

from lab.path.stand_ins import journal, unit_files
from lab.path.stand_ins.ask import AskError
from lab.path.stand_ins.unit_files import Unit, UnitError


def run(verb: str, names: list[str]) -> int:
    """Do what a verb does with the files of units.

    Args:
        verb: ``enable``, ``disable``, ``mask``, ``unmask`` or ``cat``.
        names: The units.

    Returns:
        The exit code.
    """
    try:
        for name in map(unit_files.full_name, names):
            match verb:
                case "enable":
                    _enable(name)
                case "disable":
                    _disable(name)
                case "cat":
                    _cat(name)
                case _:
                    _mask(name, masked=verb == "mask")
    except UnitError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def can_reload(name: str) -> bool:
    try:
        return bool(unit_files.load(name).all("ExecReload"))
    except UnitError as error:
        raise AskError(str(error)) from error


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


def _mask(name: str, *, masked: bool) -> None:
    link = unit_files.WANTS_DIRECTORY / name
    if link.is_symlink():
        link.unlink()
    if masked:
        link.symlink_to("/dev/null")


def _cat(name: str) -> None:
    shown = unit_files.load(name)
    for path in (shown.path, *shown.drop_ins):
        print(f"# {path}\n{path.read_text()}")


def print_status(units: list[dict[str, str]]) -> None:
    for unit in units:
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
