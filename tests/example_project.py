"""examples/import_components as somebody has copied it, with nothing of this project beside it."""

import shutil
import sys
from pathlib import Path

from lab.engine import CHECKOUT


def copy_example(directory: Path) -> Path:
    """Copies the example to ``directory``, with the tests' own environment where its Pulumi.yaml demands one."""
    source = CHECKOUT / "examples" / "import_components"
    shutil.copytree(source, directory, ignore=shutil.ignore_patterns("test_*", "__pycache__", ".venv"))
    (directory / ".venv").symlink_to(sys.prefix)
    return directory
