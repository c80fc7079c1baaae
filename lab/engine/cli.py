"""Finds the Pulumi CLI, or builds the pinned one from its source.

The CLI is in no package registry, but its source is a Go module. The modules below ``tools/`` pin it and carry the
checksum of every dependency; Go refuses a download that differs. The Python language host is a module of its own, last
released as v3.79.0, and the two scripts beside it are files of the SDK's module, copied from Go's module cache.
"""

import contextlib
import fcntl
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from lab.errors import LabError
from lab.report import Report
from lab.state import cache_home

CLI_VERSION = "v3.259.0"
LEAST_VERSION = (3, 200, 0)
GO_VERSION = "1.26"
# Where https://go.dev/doc/install puts it; not every shell has it on PATH.
GO_DIRECTORY = "/usr/local/go/bin"

_TOOLS = Path(__file__).resolve().parents[2] / "tools"
_SDK = "github.com/pulumi/pulumi/sdk/v3"
_VERSION_VARIABLE = f"{_SDK}/go/common/version.Version"
_LANGUAGE_HOST = ("pulumi-language-python", "pulumi-language-python-exec")
# Where the SDK's module keeps the scripts that the language host and dynamic providers start.
_SCRIPTS = ("python/cmd/pulumi-language-python-exec", "python/dist/pulumi-resource-pulumi-python")
_EXECUTABLES = ("pulumi", *_LANGUAGE_HOST, "pulumi-resource-pulumi-python")
_BUILD_TIMEOUT = 3600.0


def find_or_build(report: Report) -> Path:
    """Return the ``pulumi`` to use: PATH's if it is recent enough, else the pinned one, built when first needed.

    Args:
        report: Where progress goes; the first build takes minutes, later calls none.

    Returns:
        Absolute path of the executable. The Python language host is beside it or on PATH.

    Raises:
        LabError: Go is missing or the build failed.
    """
    found = find_on_path()
    if found is not None:
        return found
    home = cache_home() / f"pulumi-{CLI_VERSION}"
    if not _complete(home):
        home.parent.mkdir(parents=True, exist_ok=True)
        with _only_builder(home, report):
            # Another process may have built it while this one waited.
            if not _complete(home):
                _build(home, report)
    return home / "bin" / "pulumi"


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


def _build(home: Path, report: Report) -> None:
    go = shutil.which("go") or shutil.which("go", path=GO_DIRECTORY)
    if go is None:
        raise LabError(
            f"neither `pulumi` (3.{LEAST_VERSION[1]} or newer, with its Python language host) nor `go` is on PATH: "
            f"install Pulumi, or Go {GO_VERSION} or newer (https://go.dev/dl) to build it from source"
        )
    # The user's GOPROXY, GOMODCACHE and toolchain settings hold; what would change the build does not.
    environment = {**os.environ, "GOFLAGS": "", "GOWORK": "off", "CGO_ENABLED": "0"}
    with tempfile.TemporaryDirectory(dir=home.parent, prefix=f".{home.name}.") as temporary:
        binaries = Path(temporary) / "pulumi" / "bin"
        binaries.mkdir(parents=True)
        with report.step(f"building the Pulumi CLI {CLI_VERSION} from source (some minutes, only this once)"):
            _go_build(
                go,
                "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi",
                binaries / "pulumi",
                module=_TOOLS / "pulumi-cli",
                flags=f"-s -w -X {_VERSION_VARIABLE}={CLI_VERSION}",
                environment=environment,
                report=report,
            )
        with report.step("building its Python language host"):
            _go_build(
                go,
                f"{_SDK}/python/cmd/pulumi-language-python",
                binaries / "pulumi-language-python",
                module=_TOOLS / "pulumi-language-python",
                flags="-s -w",
                environment=environment,
                report=report,
            )
        sources = _module_directory(go, environment)
        for script in _SCRIPTS:
            target = binaries / Path(script).name
            shutil.copyfile(sources / script, target)
            target.chmod(0o755)
        if _version(binaries / "pulumi") is None:
            raise LabError(f"the Pulumi CLI built in {binaries} does not say its version: the build is unusable")
        if home.exists():
            shutil.rmtree(home)
        binaries.parent.rename(home)


def _go_build(
    go: str, package: str, output: Path, *, module: Path, flags: str, environment: Mapping[str, str], report: Report
) -> None:
    arguments = ["-mod=readonly", "-trimpath", "-buildvcs=false", "-ldflags", flags, "-o", str(output), package]
    listed = _go([go, "list", "-mod=readonly", "-deps", package], module, environment)
    total = len(listed.splitlines())
    process = subprocess.Popen(
        [go, "build", "-v", *arguments],
        cwd=module,
        env=environment,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    said = 0
    tail: list[str] = []
    with process:
        # `go build` leaves standard output empty and writes one line a compiled package to standard error.
        for count, line in enumerate(process.stderr or (), 1):
            tail = [*tail[-20:], line.rstrip()]
            if count * 10 // total > said:
                said = count * 10 // total
                report.say(f"  {count} of {total} packages compiled")
    if process.returncode != 0:
        raise LabError(f"`go build {package}` in {module} failed:\n" + "\n".join(tail))


def _module_directory(go: str, environment: Mapping[str, str]) -> Path:
    listed = _go([go, "list", "-mod=readonly", "-m", "-json", _SDK], _TOOLS / "pulumi-cli", environment)
    return Path(json.loads(listed)["Dir"])


def _go(command: list[str], module: Path, environment: Mapping[str, str]) -> str:
    completed = subprocess.run(
        command, cwd=module, env=environment, capture_output=True, text=True, timeout=_BUILD_TIMEOUT, check=False
    )
    if completed.returncode != 0:
        raise LabError(f"`{' '.join(command)}` in {module} failed:\n{completed.stderr.strip()[-2000:]}")
    return completed.stdout
