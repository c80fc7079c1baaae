"""Processes of a process that is number 1 of its namespace: it hears of its own children and of every orphan."""

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

_children: dict[int, "Process"] = {}


class Process:
    """A program that was started.

    Attributes:
        exited: Becomes the status: an exit code, or the negative number of the signal that ended it. Whoever awaits it
            uses `wait`, since a task that is cancelled takes along the future that it awaits.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.exited: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    @property
    def running(self) -> bool:
        return not self.exited.done()

    def send(self, number: int) -> None:
        """Send a signal; nothing happens when the process has ended."""
        if self.running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    async def wait(self) -> int:
        """Wait for its end and return its status."""
        return await asyncio.shield(self.exited)

    async def stop(self, *, number: int = signal.SIGTERM, timeout: float = 5) -> None:
        """End it: with a signal first, with SIGKILL once `timeout` seconds are over."""
        # A stopped process acts on nothing but SIGKILL until it continues.
        self.send(number)
        self.send(signal.SIGCONT)
        try:
            await asyncio.wait_for(self.wait(), timeout)
        except TimeoutError:
            self.send(signal.SIGKILL)
            await self.wait()


def start(
    argv: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    directory: str = "/",
    output: IO[bytes] | int = subprocess.DEVNULL,
) -> Process:
    """Start a program in a session of its own.

    Args:
        environment: Its whole environment; this process's own by default.
        output: Where its standard output and error go.

    Raises:
        OSError: It cannot be started.
    """
    child = subprocess.Popen(
        argv,
        env=None if environment is None else dict(environment),
        cwd=directory,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    # `reap` collects it, so that Popen must not wait for it when it is garbage.
    child.returncode = 0
    process = Process(child.pid)
    _children[child.pid] = process
    return process


def reap() -> None:
    """Collect every child that has ended, orphans among them; to be called on SIGCHLD, in the loop's own thread."""
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            process = _children.pop(pid, None)
            if process is not None and process.running:
                process.exited.set_result(os.waitstatus_to_exitcode(status))


def handle_children() -> None:
    """Collect children from now on, in the running loop."""
    asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, reap)


def memory(pids: Sequence[int]) -> int:
    """Return the bytes that some processes hold for themselves (proportional set size, proc(5))."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
    return total
