"""Where one lab keeps its files.

A lab is a directory: the cloud's process and authority, the Pulumi engine's home and state, the network's description.
Everything is below that one directory, so several labs live side by side and removing a lab is removing its directory.
"""

import contextlib
import fcntl
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lab.errors import LabError

DEFAULT_NAME = "default"
NAME_VARIABLE = "PRIVATE_IOT_LAB"
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?")
_MARKER = "lab.json"
_FORMAT = 1


def state_home() -> Path:
    """Return ``${XDG_STATE_HOME:-~/.local/state}/private-iot`` (XDG base directory specification)."""
    return _xdg("XDG_STATE_HOME", ".local/state")


def cache_home() -> Path:
    """Return ``${XDG_CACHE_HOME:-~/.cache}/private-iot`` (XDG base directory specification)."""
    return _xdg("XDG_CACHE_HOME", ".cache")


def _xdg(variable: str, fallback: str) -> Path:
    value = os.environ.get(variable, "")
    # The specification has relative values ignored.
    base = Path(value) if Path(value).is_absolute() else Path.home() / fallback
    return base / "private-iot"


def write_file(path: Path, content: str, *, mode: int = 0o600) -> None:
    """Replace a file's content at once: a reader sees the old text or the new, never a part.

    Args:
        path: File to write; its directory exists.
        content: The whole text, written as UTF-8.
        mode: Permission bits of the new file.
    """
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).chmod(mode)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


@dataclass(frozen=True)
class Lab:
    """One lab and the places of its parts.

    Attributes:
        name: Lower-case letters, digits and hyphens, at most 32 of them.
        directory: Absolute path of the directory that holds everything of this lab.
    """

    name: str
    directory: Path

    @classmethod
    def named(cls, name: str | None = None) -> "Lab":
        """Return the lab of a name, whether or not it exists yet.

        Args:
            name: The lab's name; the environment variable PRIVATE_IOT_LAB by default, else ``default``.

        Raises:
            LabError: The name is not of the form that a directory and a network namespace can carry.
        """
        chosen = name or os.environ.get(NAME_VARIABLE) or DEFAULT_NAME
        if not _NAME.fullmatch(chosen):
            raise LabError(
                f"lab name {chosen!r}: use 1 to 32 lower-case letters, digits and inner hyphens, such as 'default'"
            )
        return cls(chosen, state_home() / "labs" / chosen)

    @property
    def cloud_directory(self) -> Path:
        """The cloud server's address, log and authority."""
        return self.directory / "cloud"

    @property
    def engine_directory(self) -> Path:
        """The Pulumi engine's home, plugins and state."""
        return self.directory / "engine"

    @property
    def path_directory(self) -> Path:
        """The network's description and the hosts' files."""
        return self.directory / "path"

    @property
    def exists(self) -> bool:
        """Whether the directory is there and is a lab's."""
        return self._marker() is not None

    def create(self) -> None:
        """Make the lab's directories, readable by their owner alone; nothing happens when they are there.

        Raises:
            LabError: The directory holds something that is not a lab.
        """
        if self.directory.exists() and any(self.directory.iterdir()) and not self.exists:
            raise LabError(f"{self.directory} is not empty and not a lab: move it away or choose another --lab NAME")
        for directory in (self.directory, self.cloud_directory, self.engine_directory, self.path_directory):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self.exists:
            write_file(self.directory / _MARKER, json.dumps({"lab": self.name, "format": _FORMAT}) + "\n")

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lab against a second `up` or `down`; the lock ends with the process that took it.

        Raises:
            LabError: Another process holds it, or the lab does not exist.
        """
        if not self.exists:
            raise LabError(f"lab {self.name!r} does not exist: start it with `python -m lab up`")
        with (self.directory / _MARKER).open() as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise LabError(
                    f"lab {self.name!r} is being changed by another process: wait for it, or take another --lab NAME"
                ) from None
            yield

    def remove(self) -> None:
        """Delete the lab's directory.

        Raises:
            LabError: The directory is not a lab's, so nothing was deleted.
        """
        marker = self._marker()
        if marker is None:
            raise LabError(f"{self.directory} has no {_MARKER} of a lab: it is left alone, delete it by hand")
        if marker.get("lab") != self.name:
            raise LabError(f"{self.directory} says that it is lab {marker.get('lab')!r}, not {self.name!r}: left alone")
        shutil.rmtree(self.directory)

    def _marker(self) -> dict[str, object] | None:
        try:
            marker = json.loads((self.directory / _MARKER).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return marker if isinstance(marker, dict) and "lab" in marker else None
