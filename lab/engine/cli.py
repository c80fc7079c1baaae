"""Finds the Pulumi CLI, or puts the pinned one into the cache: the vendor's release, or one built from its source."""

import contextlib
import fcntl
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from lab.engine import release, source
from lab.errors import LabError
from lab.report import Report
from lab.state import cache_home

LEAST_VERSION = (3, 200, 0)

_LANGUAGE_HOST = ("pulumi-language-python", "pulumi-language-python-exec")
_LANGUAGES = ("pulumi-language-yaml", "pulumi-language-nodejs", "pulumi-language-go")
_EXECUTABLES = ("pulumi", *_LANGUAGE_HOST, "pulumi-resource-pulumi-python")


def find_or_build(report: Report, *, site: str = release.SITE) -> Path:
    """Return the ``pulumi`` to use: PATH's if it is recent enough, else the pinned one of the cache.

    Args:
        report: Where progress goes; the first download takes seconds, the first build minutes, later calls nothing.
        site: Where the vendor's releases are.

    Returns:
        Absolute path of the executable. The Python language host is beside it or on PATH.

    Raises:
        LabError: The release cannot be had, and neither can Go, or the build failed.
    """
    found = find_on_path()
    if found is not None:
        return found
    home = cache_home() / f"pulumi-{release.VERSION}"
    if not _complete(home):
        home.parent.mkdir(parents=True, exist_ok=True)
        with _only_builder(home, report):
            # Another process may have built it while this one waited.
            if not _complete(home):
                _install(home, report, site)
    return home / "bin" / "pulumi"


def find_or_build_languages(pulumi: Path, report: Report) -> Path:
    """Return the directory of the language hosts of YAML, TypeScript and Go: beside the CLI, or built.

    Those that are built for TypeScript and Go generate SDKs and run no program.

    Args:
        pulumi: From `find_or_build`.
        report: Where progress goes; the first build takes a minute or more.

    Raises:
        LabError: Go cannot be had or the build failed.
    """
    if all((pulumi.parent / name).exists() for name in _LANGUAGES):
        return pulumi.parent
    home = cache_home() / f"pulumi-languages-{release.VERSION}"
    home.parent.mkdir(parents=True, exist_ok=True)
    with _only_builder(home, report):
        if not all((home / name).exists() for name in _LANGUAGES):
            with tempfile.TemporaryDirectory(dir=home.parent, prefix=f".{home.name}.") as temporary:
                made = Path(temporary) / home.name
                made.mkdir()
                source.build_languages(made, report)
                if home.exists():
                    shutil.rmtree(home)
                made.rename(home)
    return home


def find_on_path() -> Path | None:
    """Return the ``pulumi`` on PATH if it is recent enough and has its Python language host, else ``None``."""
    found = shutil.which("pulumi")
    if found is None:
        return None
    executable = Path(found).absolute()
    search = os.pathsep.join((str(executable.parent), os.environ.get("PATH", "")))
    if any(shutil.which(name, path=search) is None for name in _LANGUAGE_HOST):
        return None
    version = _version(executable)
    return executable if version is not None and version >= LEAST_VERSION else None


def _version(executable: Path) -> tuple[int, int, int] | None:
    with tempfile.TemporaryDirectory(prefix="private-iot-") as home:
        environment = {**os.environ, "PULUMI_HOME": home, "PULUMI_SKIP_UPDATE_CHECK": "1"}
        try:
            completed = subprocess.run(
                [executable, "version"], env=environment, capture_output=True, text=True, timeout=60, check=False
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
    match = re.match(r"v?(\d+)\.(\d+)\.(\d+)", completed.stdout.strip())
    return (int(match[1]), int(match[2]), int(match[3])) if match else None


def _complete(home: Path) -> bool:
    return all(os.access(home / "bin" / name, os.X_OK) for name in _EXECUTABLES)


@contextlib.contextmanager
def _only_builder(home: Path, report: Report) -> Iterator[None]:
    with home.with_name(f"{home.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report.say("another process is building the Pulumi CLI: waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _install(home: Path, report: Report, site: str) -> None:
    with tempfile.TemporaryDirectory(dir=home.parent, prefix=f".{home.name}.") as temporary:
        made = Path(temporary) / "released"
        (made / "bin").mkdir(parents=True)
        if not release.fetch(made / "bin", report, site=site) or not _usable(made):
            made = Path(temporary) / "built"
            (made / "bin").mkdir(parents=True)
            source.build(made / "bin", report)
        if not _usable(made):
            raise LabError(f"the Pulumi CLI built in {made} is incomplete or does not say its version: unusable")
        if home.exists():
            shutil.rmtree(home)
        made.rename(home)


def _usable(home: Path) -> bool:
    return _complete(home) and _version(home / "bin" / "pulumi") is not None
