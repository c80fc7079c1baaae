"""Builds the pinned Pulumi CLI from its source.

The CLI is in no package registry, but its source is a Go module. The modules below ``tools/`` pin it and carry the
checksum of every dependency; Go refuses a download that differs. The Python language host is a module of its own, last
released as v3.79.0, and the two scripts beside it are files of the SDK's module, copied from Go's module cache.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from lab.engine import go
from lab.engine.release import VERSION
from lab.errors import LabError
from lab.report import Report

_TOOLS = Path(__file__).resolve().parents[2] / "tools"
_SDK = "github.com/pulumi/pulumi/sdk/v3"
_VERSION_VARIABLE = f"{_SDK}/go/common/version.Version"
# Where the SDK's module keeps the scripts that the language host and dynamic providers start.
_SCRIPTS = ("python/cmd/pulumi-language-python-exec", "python/dist/pulumi-resource-pulumi-python")
_BUILD_TIMEOUT = 3600.0


def build(directory: Path, report: Report) -> None:
    """Put the executables into a directory.

    Raises:
        LabError: Go cannot be had or the build failed.
    """
    executable = go.find_or_install(report)
    environment = _environment()
    with report.step(f"building the Pulumi CLI {VERSION} from source (some minutes, only this once)"):
        _go_build(
            executable,
            "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi",
            directory / "pulumi",
            module=_TOOLS / "pulumi-cli",
            flags=f"-s -w -X {_VERSION_VARIABLE}={VERSION}",
            environment=environment,
            report=report,
        )
    with report.step("building its Python language host"):
        _go_build(
            executable,
            f"{_SDK}/python/cmd/pulumi-language-python",
            directory / "pulumi-language-python",
            module=_TOOLS / "pulumi-language-python",
            flags="-s -w",
            environment=environment,
            report=report,
        )
    sources = _module_directory(executable, environment)
    for script in _SCRIPTS:
        target = directory / Path(script).name
        shutil.copyfile(sources / script, target)
        target.chmod(0o755)


def build_languages(directory: Path, report: Report) -> None:
    """Put language hosts beside Python's into a directory: YAML's own, and TypeScript's and Go's for `gen-sdk` alone.

    Raises:
        LabError: Go cannot be had or the build failed.
    """
    executable = go.find_or_install(report)
    environment = _environment()
    with report.step("building the language hosts of YAML, TypeScript and Go (a minute, only this once)"):
        for package, names in (
            ("github.com/pulumi/pulumi-yaml/cmd/pulumi-language-yaml", ("yaml",)),
            ("./pulumi-language-sdk", ("nodejs", "go")),
        ):
            first, *others = (directory / f"pulumi-language-{name}" for name in names)
            _go_build(
                executable,
                package,
                first,
                module=_TOOLS / "pulumi-cli",
                flags="-s -w",
                environment=environment,
                report=report,
            )
            for other in others:
                shutil.copy2(first, other)


def _environment() -> dict[str, str]:
    # The user's GOPROXY, GOMODCACHE and toolchain settings hold; what would change the build does not.
    return {**os.environ, "GOFLAGS": "", "GOWORK": "off", "GOROOT": "", "CGO_ENABLED": "0"}


def _go_build(
    executable: str,
    package: str,
    output: Path,
    *,
    module: Path,
    flags: str,
    environment: Mapping[str, str],
    report: Report,
) -> None:
    arguments = ["-mod=readonly", "-trimpath", "-buildvcs=false", "-ldflags", flags, "-o", str(output), package]
    listed = _go([executable, "list", "-mod=readonly", "-deps", package], module, environment)
    total = len(listed.splitlines())
    process = subprocess.Popen(
        [executable, "build", "-v", *arguments],
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


def _module_directory(executable: str, environment: Mapping[str, str]) -> Path:
    listed = _go([executable, "list", "-mod=readonly", "-m", "-json", _SDK], _TOOLS / "pulumi-cli", environment)
    return Path(json.loads(listed)["Dir"])


def _go(command: list[str], module: Path, environment: Mapping[str, str]) -> str:
    completed = subprocess.run(
        command, cwd=module, env=environment, capture_output=True, text=True, timeout=_BUILD_TIMEOUT, check=False
    )
    if completed.returncode != 0:
        raise LabError(f"`{' '.join(command)}` in {module} failed:\n{completed.stderr.strip()[-2000:]}")
    return completed.stdout
