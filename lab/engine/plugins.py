"""The `aws` and `tls` plugins of a lab: its stand-ins or, on request, the vendor's."""

import importlib.metadata
import os
import shutil
import subprocess
from enum import StrEnum
from pathlib import Path

from lab.errors import LabError
from lab.report import Report
from lab.state import cache_home, write_file

# The vendor's plugin for AWS is some hundred megabytes.
_DOWNLOAD_TIMEOUT = 900.0
_CHOICE = "source"


class PluginSource(StrEnum):
    """Which plugins a lab uses."""

    VENDOR = "vendor"
    STANDIN = "standin"


def provide_plugins(
    pulumi: Path, home: Path, source: PluginSource, report: Report, *, environment: dict[str, str]
) -> None:
    """Put the plugins into a plugin home.

    The vendor's plugins are downloaded once, into the cache, and linked; the stand-ins are written into the home.

    Args:
        home: The ``PULUMI_HOME`` to fill.
        source: Whose plugins.

    Raises:
        LabError: The vendor's plugins were asked for and cannot be downloaded.
    """
    plugins = home / "plugins"
    if source is PluginSource.VENDOR:
        _download(pulumi, report, environment)
    home.mkdir(parents=True, exist_ok=True)
    if plugins.is_symlink():
        plugins.unlink()
    elif plugins.exists():
        shutil.rmtree(plugins)
    if source is PluginSource.VENDOR:
        plugins.symlink_to(_vendor_home() / "plugins", target_is_directory=True)
    else:
        from lab import providers  # noqa: PLC0415  # imports gRPC, which the other commands do not wait for

        providers.install(home)
    write_file(home / _CHOICE, source.value + "\n")


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


def _download(pulumi: Path, report: Report, environment: dict[str, str]) -> None:
    """Download what the cache lacks, the small plugin first: it tells whether the site can be reached."""
    home = _vendor_home()
    home.mkdir(parents=True, exist_ok=True)
    own = {**environment, "PULUMI_HOME": str(home)}
    for name, version in sorted(_wanted(), key=lambda item: item[0] != "tls"):
        if (home / "plugins" / f"resource-{name}-v{version}" / f"pulumi-resource-{name}").exists():
            continue
        with report.step(f"looking for the vendor's {name} plugin {version}"):
            problem = _install(pulumi, name, version, own)
        if problem is not None:
            raise LabError(
                f"the vendor's {name} plugin {version} cannot be downloaded: {problem}; without `--plugins vendor` "
                "the lab takes its stand-ins, which need no download"
            )


def _install(pulumi: Path, name: str, version: str, environment: dict[str, str]) -> str | None:
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
        _, errors = process.communicate(timeout=_DOWNLOAD_TIMEOUT)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        process.communicate()
        return f"no answer within {_DOWNLOAD_TIMEOUT:.0f} s"
    if process.returncode == 0:
        return None
    lines = [line.strip().removeprefix("error: ") for line in errors.splitlines() if line.strip()]
    return lines[-1][:300] if lines else f"`pulumi plugin install` ended with {process.returncode}"
