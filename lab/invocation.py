"""How the user can type a command of the lab, where they are now."""

import shutil
import sys
from pathlib import Path

from lab.state import DEFAULT_NAME, Lab


def typed(lab: Lab, command: str, *words: str) -> str:
    """Return a command line that works when it is copied.

    Args:
        lab: The lab; it is named unless it is the default.
        command: Such as ``exec``.
        words: What follows, as it is typed.

    Returns:
        Such as ``.venv/bin/python -m lab exec --lab two -- true``.
    """
    name = () if lab.name == DEFAULT_NAME else ("--lab", lab.name)
    return " ".join((_python(), "-m", "lab", command, *name, *words))


def _python() -> str:
    """Return this interpreter's name: short where the shell finds it, relative where it is below."""
    found = shutil.which("python")
    if found is not None and Path(found).absolute() == Path(sys.executable).absolute():
        return "python"
    executable = Path(sys.executable)
    return str(executable.relative_to(Path.cwd()) if executable.is_relative_to(Path.cwd()) else executable)
