"""A clean copy of this checkout with a shell in it, to run the documents' command blocks against the lab's cloud."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from lab.engine import CHECKOUT, Engine
from tests.documented_commands import block

# `--yes` for a person who reads the plan and agrees; the other functions stand for other machines.
FUNCTIONS = """
set -euo pipefail
pulumi() {
  case "$1" in
    install) python "$BLOCK_COMMANDS" install ;;
    up | refresh | destroy) command pulumi "$@" --yes --skip-preview --non-interactive --color never ;;
    *) command pulumi "$@" --non-interactive --color never ;;
  esac
}
ssh() { echo "$*" >> "$DEVICES/said"; python "$BLOCK_COMMANDS" ssh "$@"; }
aws() { python "$BLOCK_COMMANDS" aws "$@"; }
"""
TIMEOUT = 500


def copy_checkout(directory: Path) -> None:
    """Copy what git tracks, as a clean clone has it."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=CHECKOUT, capture_output=True, check=True, timeout=60)
    for name in listed.stdout.decode().split("\0"):
        if name and (CHECKOUT / name).exists():
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(CHECKOUT / name, directory / name)


class Workplace:
    """A shell in a folder of the copy.

    Args:
        directory: An empty folder, for the copy and for the devices' roots.
        engine: Whose cloud and state it has.
        folder: Where the shell is, below the copy.
    """

    def __init__(self, directory: Path, engine: Engine, folder: str = ".") -> None:
        self.directory = directory / "checkout" / folder
        self.devices = directory / "devices"
        self.devices.mkdir()
        copy_checkout(directory / "checkout")
        own = {
            "BLOCK_COMMANDS": str(CHECKOUT / "tests" / "engine" / "block_commands.py"),
            "DEVICES": str(self.devices),
            "PATH": os.pathsep.join((str(Path(sys.executable).parent), str(engine.pulumi.parent), os.environ["PATH"])),
        }
        self.environment = {**engine.environment(), **own}

    @property
    def said(self) -> list[str]:
        """What `ssh` was asked, in order."""
        return (self.devices / "said").read_text().splitlines()

    def block(self, document: str, command: str) -> str:
        """Run the block of a document that has a command, as it stands there, and return what it printed."""
        return self.run(*block(document, command))

    def run(self, *lines: str) -> str:
        """Run lines in one shell that stops at the first failure, of a pipe too."""
        ended = subprocess.run(
            ["bash", "-c", FUNCTIONS + "\n".join(lines)],
            cwd=self.directory,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
        assert ended.returncode == 0, f"{lines}\n{ended.stdout}{ended.stderr}"
        return ended.stdout

    def resources(self, kind: str) -> dict[str, Any]:
        """Return the resources of a type in the state: name → id."""
        exported = json.loads(self.run("pulumi stack export"))
        found = exported["deployment"].get("resources", [])
        return {each["urn"].split("::")[-1]: each["id"] for each in found if each["type"] == kind}
