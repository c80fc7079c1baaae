"""systemd's unit files: where they are, how drop-ins change them, what specifiers mean (systemd.unit(5))."""

import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

DIRECTORIES = (
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
)
WANTS_DIRECTORY = Path(DIRECTORIES[0])


class UnitError(Exception):
    """A unit is missing or says something that cannot be run."""


@dataclass
class Unit:
    """A unit with its drop-ins applied.

    Attributes:
        name: Full name, such as ``openvpn-client@clientvpn.service``.
        path: The main file.
        drop_ins: The drop-ins, in the order in which they apply.
        sections: Section to key to values, in order; an empty assignment has emptied the list before it.
    """

    name: str
    path: Path
    drop_ins: list[Path] = field(default_factory=list)
    sections: dict[str, dict[str, list[str]]] = field(default_factory=dict)

    @property
    def instance(self) -> str:
        """What stands between ``@`` and the suffix; empty where the unit is no instance."""
        stem = self.name.rpartition(".")[0]
        return stem.partition("@")[2]

    @property
    def prefix(self) -> str:
        """What stands before ``@``."""
        return self.name.rpartition(".")[0].partition("@")[0]

    def all(self, key: str, section: str = "Service") -> list[str]:
        """Return every value of a key, specifiers resolved."""
        return [self.expand(value) for value in self.sections.get(section, {}).get(key, [])]

    def get(self, key: str, default: str = "", section: str = "Service") -> str:
        """Return the last value of a key, specifiers resolved."""
        values = self.all(key, section)
        return values[-1] if values else default

    def words(self, key: str, section: str = "Service") -> list[str]:
        return [word for value in self.all(key, section) for word in shlex.split(value)]

    def flag(self, key: str, *, default: bool = False) -> bool:
        """Return a boolean (systemd.syntax(7))."""
        value = self.get(key).lower()
        return value in ("1", "yes", "true", "on") if value else default

    def seconds(self, key: str, default: float, section: str = "Service") -> float:
        """Return a time span in seconds; ``infinity`` is a very long time."""
        value = self.get(key, section=section)
        return parse_time(value) if value else default

    def expand(self, text: str) -> str:
        """Resolve specifiers."""
        values = {
            "i": self.instance,
            "I": unescape(self.instance),
            "n": self.name,
            "N": self.name.rpartition(".")[0],
            "p": self.prefix,
            "P": unescape(self.prefix),
            "j": self.prefix.rpartition("-")[2],
            "t": "/run",
            "S": "/var/lib",
            "C": "/var/cache",
            "L": "/var/log",
            "E": "/etc",
            "h": "/root",
            "u": "root",
            "U": "0",
            "H": os.uname().nodename,
            "%": "%",
        }

        def value(match: re.Match[str]) -> str:
            if match[1] not in values:
                raise UnitError(f"{self.name}: specifier %{match[1]} is not known here")
            return values[match[1]]

        return re.sub(r"%(.)", value, text)


def unescape(text: str) -> str:
    r"""Undo `systemd-escape`: ``-`` is ``/``, ``\xNN`` is a byte."""
    return re.sub(r"\\x([0-9a-f]{2})", lambda match: chr(int(match[1], 16)), text.replace("-", "/"))


_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1, "sec": 1, "second": 1, "seconds": 1, "m": 60, "min": 60, "minute": 60}
_UNITS |= {
    "minutes": 60,
    "h": 3600,
    "hr": 3600,
    "hour": 3600,
    "hours": 3600,
    "d": 86400,
    "day": 86400,
    "days": 86400,
    "": 1,
}


def parse_time(text: str) -> float:
    """Return the seconds of a time span such as ``90``, ``1min 30s`` or ``infinity`` (systemd.time(7)).

    Raises:
        UnitError: It is none.
    """
    if text.strip() == "infinity":
        return float("inf")
    parts = re.findall(r"([0-9.]+)\s*([a-z]*)", text)
    if not parts or any(unit not in _UNITS for _, unit in parts):
        raise UnitError(f"{text!r} is no time span")
    return float(sum(float(number) * _UNITS[unit] for number, unit in parts))


def full_name(name: str) -> str:
    return name if re.search(r"\.(service|target|socket|timer|path|mount)$", name) else f"{name}.service"


def template(name: str) -> str | None:
    """Return the template that an instance comes from, or None."""
    stem, _, suffix = name.rpartition(".")
    prefix, at, instance = stem.partition("@")
    return f"{prefix}@.{suffix}" if at and instance else None


def load(name: str, *, root: Path = Path("/")) -> Unit:
    """Read a unit with its drop-ins.

    Args:
        name: Full name.
        root: Where the file system begins.

    Raises:
        UnitError: There is none, or it cannot be parsed.
    """
    names = [name, *([generic] if (generic := template(name)) else [])]
    directories = [root / directory.lstrip("/") for directory in DIRECTORIES]
    path = next((d / n for n in names for d in directories if (d / n).is_file()), None)
    if path is None:
        raise UnitError(f"Unit {name} could not be found.")
    unit = Unit(name, path)
    # Of two drop-ins with the same file name the directory that comes first counts, then they apply by file name.
    drop_ins: dict[str, Path] = {}
    for directory in directories:
        for candidate in names:
            for file in sorted((directory / f"{candidate}.d").glob("*.conf")):
                drop_ins.setdefault(file.name, file)
    unit.drop_ins = [drop_ins[file] for file in sorted(drop_ins)]
    for file in (path, *unit.drop_ins):
        _merge(unit.sections, file)
    return unit


def _merge(sections: dict[str, dict[str, list[str]]], path: Path) -> None:
    section: dict[str, list[str]] | None = None
    text = re.sub(r"\\\n", " ", path.read_text(encoding="utf-8"))
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.strip()
        if not line or line[0] in "#;":
            continue
        if line.startswith("[") and line.endswith("]"):
            section = sections.setdefault(line[1:-1], {})
            continue
        key, equals, value = line.partition("=")
        if not equals or section is None:
            raise UnitError(f"{path}:{number}: {line!r} is no assignment")
        values = section.setdefault(key.strip(), [])
        if value.strip():
            values.append(value.strip())
        else:
            values.clear()


def enabled_state(name: str) -> str:
    """Return what ``systemctl is-enabled`` prints."""
    if (WANTS_DIRECTORY / name).resolve() == Path("/dev/null"):
        return "masked"
    if any(WANTS_DIRECTORY.glob(f"*.wants/{name}")) or any(WANTS_DIRECTORY.glob(f"*.requires/{name}")):
        return "enabled"
    try:
        unit = load(name)
    except UnitError:
        return "not-found"
    return "disabled" if "Install" in unit.sections else "static"


def command(unit: Unit, line: str, environment: Mapping[str, str]) -> tuple[list[str], bool]:
    """Return the words of an ``Exec…=`` line, and whether its failure is ignored (systemd.service(5), "Command lines").

    Args:
        unit: Where it stands, for errors.
        environment: For ``$NAME`` and ``${NAME}``.
    """
    prefixes = re.match(r"[-@:+!]*", line)
    marks = prefixes[0] if prefixes else ""
    words = shlex.split(line[len(marks) :])
    if not words:
        raise UnitError(f"{unit.name}: empty command")
    if ":" not in marks:
        expanded: list[str] = []
        for word in words:
            if re.fullmatch(r"\$\w+", word):
                expanded += environment.get(word[1:], "").split()
            else:
                expanded.append(re.sub(r"\$\{(\w+)\}", lambda match: environment.get(match[1], ""), word))
        words = expanded
    if "@" in marks:
        raise UnitError(f"{unit.name}: the prefix @ of {line!r} is not supported here")
    return words, "-" in marks
