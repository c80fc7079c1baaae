"""The form of the results: what they were measured with, the JSON file, and the tables."""

import json
import os
import platform
import re
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from bench.environment import REQUIREMENTS
from lab.state import write_file

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        form: Turns a value that is there into text.
    """

    key: str
    title: str
    form: Callable[[Any], str] = str


def number(digits: int = 0, scale: float = 1.0) -> Callable[[Any], str]:
    """Return a form for numbers: so many digits after the point, over a scale, thousands apart."""
    return lambda value: f"{value / scale:,.{digits}f}"


def times(value: float) -> str:
    """Write a ratio."""
    return f"{value:.2f}x" if abs(value) < 10 else f"{value:.0f}x"


def table(columns: Sequence[Column], rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as a table that is plain to read and is Markdown as well.

    What was not measured is a dash, or the row's note on it.

    Args:
        columns: Its columns, left to right; the first one's text is aligned to the left.
        rows: Each with the columns' keys, and ``notes`` of key to text where there are some.
    """
    cells = [[column.title for column in columns]]
    for row in rows:
        notes = row.get("notes", {})
        values = [(column, row.get(column.key)) for column in columns]
        cells.append([notes.get(c.key, "-") if value is None else c.form(value) for c, value in values])
    widths = [max(len(line[position]) for line in cells) for position in range(len(columns))]

    def line(texts: Sequence[str]) -> str:
        aligned = [
            text.ljust(width) if position == 0 else text.rjust(width)
            for position, (text, width) in enumerate(zip(texts, widths, strict=True))
        ]
        return f"| {' | '.join(aligned)} |"

    rule = [("-" * width) if position == 0 else "-" * (width - 1) + ":" for position, width in enumerate(widths)]
    return "\n".join([line(cells[0]), f"| {' | '.join(rule)} |", *map(line, cells[1:])])


def machine() -> dict[str, Any]:
    """Return what a reader has to know of the machine, and nothing that names it."""
    pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return {
        "cpus": os.cpu_count(),
        "memory_bytes": pages * size,
        "architecture": platform.machine(),
        "kernel": platform.release().partition("-")[0],
        "load_before": round(os.getloadavg()[0], 2),
    }


def versions() -> dict[str, str | None]:
    """Return the versions of what was measured."""
    pinned = re.search(r"^paho-mqtt==([\w.]+)", REQUIREMENTS.read_text(), re.MULTILINE)
    return {
        "python": platform.python_version(),
        "pulumi": metadata.version("pulumi"),
        "awsiotsdk": metadata.version("awsiotsdk"),
        "awscrt": metadata.version("awscrt"),
        "paho-mqtt": pinned[1] if pinned else None,
        "openvpn": _said(["openvpn", "--version"], r"OpenVPN (\S+)"),
        "mosquitto": _said(["mosquitto", "-h"], r"mosquitto version (\S+)"),
    }


def heading(found: Mapping[str, Any]) -> str:
    """Return the line that stands above all tables: when, on what, with what."""
    hardware = found["machine"]
    used = ", ".join(f"{name} {version}" for name, version in found["versions"].items() if version)
    return (
        f"{found['at'][:10]}; {hardware['cpus']} cores ({hardware['architecture']}),"
        f" {hardware['memory_bytes'] / 2**30:.0f} GiB, load {hardware['load_before']:g} before the run; {used}"
    )


def _said(argv: list[str], pattern: str) -> str | None:
    environment = {**os.environ, "PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin"}
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=10, env=environment)
    except OSError:
        return None
    found = re.search(pattern, done.stdout + done.stderr)
    return found[1] if found else None


def write(path: Path, results: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, json.dumps(rounded(results), indent=2, ensure_ascii=False) + "\n", mode=0o644)


def rounded(value: Any) -> Any:
    """Return a value with every float in it at six significant digits."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, Mapping):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(item) for item in value]
    return value


def default_path() -> Path:
    """Return the file of a run that begins now, by UTC time."""
    return RESULTS / f"{time.strftime('%Y-%m-%dT%H-%M-%SZ', time.gmtime())}.json"
