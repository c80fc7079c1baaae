"""The `aws` and `tls` plugins of a lab: the vendor's where they can be had, else the lab's stand-ins."""

import importlib.metadata
import os
import shutil
import subprocess
import time
from enum import StrEnum
from pathlib import Path

from lab.errors import LabError
from lab.report import Report
from lab.state import cache_home, write_file

# The vendor's plugin for AWS is some hundred megabytes; a site that cannot be reached often hangs instead of refusing.
_DOWNLOAD_TIMEOUT = 900.0
_PROBE_TIMEOUT = 20.0
# After a failed download `auto` takes the stand-ins for a day without trying again.
_RETRY_AFTER = 86_400.0
_FAILED = "unreachable"
_CHOICE = "source"


class PluginSource(StrEnum):
    """Which plugins a lab uses."""

    VENDOR = "vendor"
    STANDIN = "standin"
    AUTO = "auto"


def provide_plugins(
    pulumi: Path, home: Path, source: PluginSource, report: Report, *, environment: dict[str, str]
) -> PluginSource:
    """Put the plugins into a plugin home.

    The vendor's plugins are downloaded once, into the cache, and linked; the stand-ins are written into the home.

    Args:
        home: The ``PULUMI_HOME`` to fill.
        source: ``VENDOR`` fails where the vendor's site cannot be reached, ``AUTO`` falls back to the stand-ins.

    Returns:
        ``VENDOR`` or ``STANDIN``, whichever the home now has.

    Raises:
        LabError: The vendor's plugins were asked for and cannot be downloaded.
    """
    plugins = home / "plugins"
    chosen = PluginSource.STANDIN
    if source is not PluginSource.STANDIN:
        problem = _download(pulumi, report, environment, patient=source is PluginSource.VENDOR)
        if problem is None:
            chosen = PluginSource.VENDOR
        elif source is PluginSource.VENDOR:
            raise LabError(
                f"the vendor's plugins cannot be downloaded: {problem}; `--plugins standin` needs no download"
            )
    home.mkdir(parents=True, exist_ok=True)
    if plugins.is_symlink():
        plugins.unlink()
    elif plugins.exists():
        shutil.rmtree(plugins)
    if chosen is PluginSource.VENDOR:
        plugins.symlink_to(_vendor_home() / "plugins", target_is_directory=True)
    else:
        from lab import providers  # noqa: PLC0415  # imports gRPC, which the other commands do not wait for

        providers.install(home)
    write_file(home / _CHOICE, chosen.value + "\n")
    return chosen


def source_of(home: Path) -> PluginSource | None:
    """Return which plugins a plugin home has, ``None`` before it has any."""
    try:
        return PluginSource((home / _CHOICE).read_text(encoding="utf-8").strip())
    except OSError:
        return None


def _vendor_home() -> Path:
    return cache_home() / "vendor-plugins"


def _wanted() -> list[tuple[str, str]]:
    return [(name, importlib.metadata.version(f"pulumi-{name}")) for name in ("aws", "tls")]


def _download(pulumi: Path, report: Report, environment: dict[str, str], *, patient: bool) -> str | None:
    """Download what is missing; return why that failed, or ``None``."""
    home = _vendor_home()
    missing = [
        (name, version)
        for name, version in _wanted()
        if not (home / "plugins" / f"resource-{name}-v{version}" / f"pulumi-resource-{name}").exists()
    ]
    if not missing:
        return None
    failed = home / _FAILED
    if not patient and failed.exists() and time.time() - failed.stat().st_mtime < _RETRY_AFTER:
        return f"an earlier attempt failed ({failed.read_text(encoding='utf-8').strip()})"
    home.mkdir(parents=True, exist_ok=True)
    own = {**environment, "PULUMI_HOME": str(home)}
    # The small plugin tells within seconds whether the site can be reached; the large one then gets its time.
    for name, version in sorted(missing, key=lambda item: item[0] != "tls"):
        timeout = _PROBE_TIMEOUT if name == "tls" and not patient else _DOWNLOAD_TIMEOUT
        problem = None
        with report.step(f"looking for the vendor's {name} plugin {version}"):
            problem = _install(pulumi, name, version, own, timeout)
        if problem is not None:
            write_file(failed, problem + "\n")
            report.say(f"  not to be had: {problem}")
            return problem
    failed.unlink(missing_ok=True)
    return None


def _install(pulumi: Path, name: str, version: str, environment: dict[str, str], timeout: float) -> str | None:
    command = [
        str(pulumi),
        "plugin",
        "install",
        "resource",
        name,
        f"v{version}",
        "--non-interactive",
        "--color",
        "never",
    ]
    # The CLI tries again for minutes when a site is unreachable: cut it short, with everything that it started.
    process = subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        _, errors = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        process.communicate()
        return f"no answer within {timeout:.0f} s"
    if process.returncode == 0:
        return None
    lines = [line.strip().removeprefix("error: ") for line in errors.splitlines() if line.strip()]
    return lines[-1][:300] if lines else f"`pulumi plugin install` ended with {process.returncode}"
