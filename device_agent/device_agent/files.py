"""Writing files so that a power cut, a full disk or a crash leaves the old one or the new one, never half of one."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from device_agent._exceptions import DeviceAgentError
from device_agent.system import System

ROOT = (0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedFile:
    """A file as it should be.

    Attributes:
        content: Its bytes; kept out of the representation, since they may be a key.
        mode: Its permission bits.
        owner: The name of the account that owns it, or None for root.
    """

    content: bytes
    mode: int = 0o644
    owner: str | None = None

    def __repr__(self) -> str:
        return f"WantedFile(mode={self.mode:04o}, owner={self.owner})"

    def matches(self, system: System, path: str) -> bool:
        """Tell whether a file is there with this content, mode and owner. A link is not."""
        found = system.path(path)
        try:
            status = found.lstat()
            return (
                stat.S_ISREG(status.st_mode)
                and stat.S_IMODE(status.st_mode) == self.mode
                and (status.st_uid, status.st_gid) == owner_of(system, self.owner)
                and found.read_bytes() == self.content
            )
        except FileNotFoundError:
            return False


def owner_of(system: System, name: str | None) -> tuple[int, int] | None:
    """Give an account's user and group numbers, None if there is no such account, and root's for None.

    Root's also where there are no other users: in an ordinary user's container the service runs as root.
    """
    if name is None or not system.has_other_users():
        return system.account("root") or ROOT
    return system.account(name)


@contextmanager
def reporting(what: str) -> Iterator[None]:
    """Turn an operating system's error into one line: what could not be done, and why.

    Args:
        what: What is being done, such as `/etc/x cannot be written`.

    Raises:
        DeviceAgentError: The operating system refused.
    """
    try:
        yield
    except OSError as error:
        raise DeviceAgentError(f"{what}: {error.strerror or error}") from error


def temporary_of(path: str) -> str:
    """Give the name under which a file is written before it takes its place.

    It is the same each time, so that what a killed command left is overwritten by the next one.
    """
    folder, _, name = path.rpartition("/")
    return f"{folder}/.{name}.new"


def write_file(system: System, path: str, wanted: WantedFile) -> None:
    """Write a file: temporary file of mode 0600 beside it, fsync, rename, fsync of the folder.

    Raises:
        DeviceAgentError: It cannot be written; the old file is untouched.
    """
    target = system.path(path)
    temporary = system.path(temporary_of(path))
    with reporting(f"{path} cannot be written"):
        try:
            temporary.unlink(missing_ok=True)
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(wanted.content)
                stream.flush()
                _give(system, temporary, wanted.owner)
                os.fchmod(descriptor, wanted.mode)
                os.fsync(descriptor)
            temporary.replace(target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync_folder(target.parent)


def write_link(system: System, path: str, target: str) -> None:
    """Point a symbolic link somewhere, atomically.

    Raises:
        DeviceAgentError: It cannot be written; the old link is untouched.
    """
    link = system.path(path)
    temporary = system.path(temporary_of(path))
    with reporting(f"{path} cannot be written"):
        try:
            temporary.unlink(missing_ok=True)
            temporary.symlink_to(target)
            temporary.replace(link)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync_folder(link.parent)


def read_link(system: System, path: str) -> str | None:
    """Give what a symbolic link holds, or None if there is no link at that path."""
    try:
        return str(system.path(path).readlink())
    except OSError:
        return None


def make_folder(system: System, path: str, *, mode: int = 0o755, owner: str | None = None) -> None:
    """Make a folder, or set an existing one's mode and owner.

    Raises:
        DeviceAgentError: It cannot be made.
    """
    folder = system.path(path)
    with reporting(f"{path} cannot be made"):
        folder.mkdir(mode=mode, exist_ok=True)
        folder.chmod(mode)
        _give(system, folder, owner)
        sync_folder(folder.parent)


def folder_matches(system: System, path: str, *, mode: int = 0o755, owner: str | None = None) -> bool:
    """Tell whether a folder is there with this mode and owner."""
    try:
        status = system.path(path).lstat()
    except FileNotFoundError:
        return False
    return (
        stat.S_ISDIR(status.st_mode)
        and stat.S_IMODE(status.st_mode) == mode
        and (status.st_uid, status.st_gid) == owner_of(system, owner)
    )


def remove(system: System, path: str) -> None:
    """Remove a file, link or folder with all that is in it; harmless if there is none.

    Raises:
        DeviceAgentError: It cannot be removed.
    """
    target = system.path(path)
    with reporting(f"{path} cannot be removed"), contextlib.suppress(FileNotFoundError):
        if target.is_dir() and not target.is_symlink():
            shutil.rmtree(target)
        else:
            target.unlink()
        sync_folder(target.parent)


def _give(system: System, path: Path, owner: str | None) -> None:
    numbers = owner_of(system, owner)
    if numbers is None:
        raise DeviceAgentError(f"there is no user {owner}")
    status = path.lstat()
    if (status.st_uid, status.st_gid) != numbers:
        system.set_owner(path, *numbers)


def sync_folder(folder: Path) -> None:
    """Make a folder's entries durable (fsync(2))."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
