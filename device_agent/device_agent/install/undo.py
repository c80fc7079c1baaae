"""Taking back what an installation has changed, when a step fails or the command is told to end."""

from __future__ import annotations

import signal
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from device_agent._exceptions import DeviceAgentError
from device_agent.files import WantedFile, read_link, remove, reporting, write_file, write_link
from device_agent.system import System

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def undone_on_error() -> Iterator[ExitStack]:
    """Collect what takes back each change, and do it, last first, if the block does not end well.

    All of it is tried, whatever fails, and a second Ctrl-C waits until it is done; the programs that are run for it do
    not get that signal either.

    Raises:
        DeviceAgentError: Something could not be taken back; says what, after what went wrong first.
    """
    with ExitStack() as undo:
        try:
            yield undo
        except BaseException as error:
            with signals_ignored():
                try:
                    undo.close()
                except DeviceAgentError as second:
                    raise DeviceAgentError(
                        f"{error or type(error).__name__}; and not all could be put back ({second}): run it again"
                    ) from error
            raise
        undo.pop_all()


@contextmanager
def signals_ignored() -> Iterator[None]:
    """Let nothing interrupt the block, nor the programs that it runs."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def remember(system: System, path: str, undo: ExitStack) -> None:
    """Note how a file or link comes back: with its content, mode and owner of now, or away."""
    found = system.path(path)
    link = read_link(system, path)
    if link is not None:
        undo.callback(write_link, system, path, link)
    elif found.exists():
        status = found.stat()
        old = WantedFile(content=found.read_bytes(), mode=stat.S_IMODE(status.st_mode))
        undo.callback(_put_back, system, path, old, (status.st_uid, status.st_gid))
    else:
        undo.callback(remove, system, path)


def _put_back(system: System, path: str, old: WantedFile, owner: tuple[int, int]) -> None:
    write_file(system, path, old)
    with reporting(f"{path} cannot be given back to its owner"):
        system.set_owner(system.path(path), *owner)
