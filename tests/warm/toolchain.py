"""Pulumi, a lab's plugins and a lab's cloud, with their Python processes started warm."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lab.cloud import server
from lab.engine import Engine
from lab.path import lifecycle
from tests.path.path_lab import wait_for

START_TIMEOUT = 120.0
"""Seconds that a cloud's server may take to answer; a tenth of one is usual, a busy machine needs more."""
DYNAMIC = "pulumi-resource-pulumi-python"


@dataclass(frozen=True)
class WarmEngine(Engine):
    """Pulumi whose language host starts Python warm.

    Attributes:
        python: What starts one.
    """

    python: Path = Path()

    def settings(self) -> dict[str, str | None]:
        # Copies of the state take a fourth of what writing it takes.
        quick = {"PULUMI_DIY_BACKEND_DISABLE_CHECKPOINT_BACKUPS": "true"}
        return {**super().settings(), "PULUMI_PYTHON_CMD": str(self.python), **quick}


def warm_cli(pulumi: Path, python: Path, directory: Path) -> Path:
    """Put the CLI and its hosts into a directory, where dynamic providers start warm; return the CLI there."""
    for file in pulumi.parent.glob("pulumi*"):
        try:
            os.link(file.resolve(), directory / file.name)
        except OSError:
            shutil.copy2(file, directory / file.name)
    _write_script(directory / DYNAMIC, f'exec {python} -m pulumi.dynamic "$@"')
    return directory / pulumi.name


def warm_plugins(home: Path, python: Path) -> None:
    """Let the stand-ins of a plugin home start warm; the vendor's plugins stay."""
    for script in home.glob("plugins/resource-*/pulumi-resource-*"):
        if " -m lab.providers " in script.read_text(errors="replace"):
            # Like the script that it replaces, it has the checkout's modules, not those of the environment.
            name = script.name.removeprefix("pulumi-resource-")
            _write_script(script, f'unset PYTHONPATH\nexec {python} -m lab.providers {name} "$@"')


def _write_script(file: Path, text: str) -> None:
    file.unlink(missing_ok=True)
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)


@contextlib.contextmanager
def warm_cloud(directory: Path, python: Path) -> Iterator[server.CloudServer]:
    """Run a cloud's server that started warm."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    shutil.copytree(python.with_name("authority"), directory / "authority", dirs_exist_ok=True)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "MOTO_"))}
    environment |= {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    environment.pop("PYTHONPATH", None)
    command = [str(python), "-m", "lab.cloud", "--directory", str(directory)]
    with (directory / server.LOG_FILE).open("ab") as log:
        starter = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    with starter:
        try:
            yield wait_for(lambda: server.running(directory), "the cloud's server", START_TIMEOUT)
            server.stop(directory)
        finally:
            # With its starter it ends, in whatever state.
            starter.kill()


@contextlib.contextmanager
def warm_network(python: Path) -> Iterator[None]:
    """Have the sandbox of a network that is brought up meanwhile start warm."""
    cold, lifecycle.PYTHON = lifecycle.PYTHON, str(python)
    try:
        yield
    finally:
        lifecycle.PYTHON = cold
