"""The programs of the data plane: started, watched, told of new files, and held down by a fault."""

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

from lab.path import processes
from lab.path.network import enter
from lab.path.parts import File, Service

_RESTART_DELAY = 1.0
_READY_TIMEOUT = 20.0
_POLL = 0.01
ROOT = Path(__file__).resolve().parents[2]


class ServiceError(Exception):
    """A program of the data plane did not come up; the message ends with what it said."""


class Running:
    """A service that is kept running.

    Attributes:
        environment: Further variables of its program, from the next start on.
    """

    def __init__(self, service: Service, log: Path) -> None:
        self.service = service
        self.log = log
        self.environment: dict[str, str] = {}
        self.process: processes.Process | None = None
        self.started = 0.0
        self.starts = 0
        self.held = False
        self._stopping = False
        self._keeper: asyncio.Task[None] | None = None

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.running

    async def start(self) -> None:
        """Write the files, start the program and wait until it serves.

        Raises:
            ServiceError: It ended or did not serve in time.
        """
        self._stopping = False
        self._spawn()
        await self._wait_until_ready()
        self._keeper = asyncio.create_task(self._keep())

    def _spawn(self) -> None:
        for file in self.service.files:
            write(file)
        if self.service.ready:
            Path(self.service.ready).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            Path(self.service.ready).unlink(missing_ok=True)
        environment = {
            "PATH": f"{Path(sys.executable).parent}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "PYTHONPATH": str(ROOT),
            "LANG": "C.UTF-8",
            **self.environment,
        }
        with self.log.open("ab") as output:
            self.process = processes.start(
                [*enter(self.service.host), *self.service.argv], environment=environment, output=output
            )
        self.started = time.time()
        self.starts += 1

    async def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + _READY_TIMEOUT
        while not self._ready():
            if not self.running:
                raise ServiceError(f"{self.service.name} ended at once: {self._tail()}")
            if time.monotonic() > deadline:
                raise ServiceError(f"{self.service.name} did not serve within {_READY_TIMEOUT:.0f} s: {self._tail()}")
            await asyncio.sleep(_POLL)

    def _ready(self) -> bool:
        if self.service.ready:
            return Path(self.service.ready).exists()
        assert self.process is not None  # noqa: S101 (started just before)
        # A resolver has no file to wait for: its socket on port 53 (0035) is in its network's table.
        try:
            return ":0035 " in Path(f"/proc/{self.process.pid}/net/udp").read_text()
        except OSError:
            return False

    def _tail(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()[-5:]
        return " / ".join(lines) or "it printed nothing"

    async def _keep(self) -> None:
        while not self._stopping:
            assert self.process is not None  # noqa: S101 (started before)
            await self.process.wait()
            await asyncio.sleep(_RESTART_DELAY)
            while self.held and not self._stopping:
                await asyncio.sleep(0.1)
            if not self._stopping:
                self._spawn()

    async def stop(self, *, number: int = signal.SIGTERM) -> None:
        self._stopping = True
        if self._keeper:
            self._keeper.cancel()
        if self.process:
            await self.process.stop(number=number)

    async def hold(self, *, number: int = signal.SIGKILL) -> None:
        """End it and keep it down until `release`."""
        self.held = True
        if self.process:
            await self.process.stop(number=number)

    async def release(self) -> None:
        """Start it again after `hold`; what does not start is held down as before.

        Raises:
            ServiceError: It ended or did not serve in time.
        """
        if self.held:
            if self._keeper:
                self._keeper.cancel()
            try:
                await self.start()
            except ServiceError:
                await self.hold()
                raise
            self.held = False

    async def change(self, service: Service) -> str | None:
        """Take up a new description with the least disturbance.

        Returns:
            What was done, or None where nothing differs.
        """
        before = {file.path: file for file in self.service.files}
        changed = [file for file in service.files if before.get(file.path) != file]
        same_program = (service.host, service.argv, service.ready) == (
            self.service.host,
            self.service.argv,
            self.service.ready,
        )
        if same_program and not changed and len(before) == len(service.files):
            return None
        gone = set(before) - {file.path for file in service.files}
        removed_restart = any(before[path].reload == "restart" for path in gone)
        self.service = service
        if same_program and not removed_restart and all(file.reload == "hangup" for file in changed):
            for file in changed:
                write(file)
            if self.process:
                self.process.send(signal.SIGHUP)
            # What is gone goes last: the program may still read it until it has heard.
            return "read again"
        if self.held:
            return "changed while held down"
        await self.stop()
        await self.start()
        return "restarted"


def write(file: File) -> None:
    """Write a service's file, whole or not at all, for the sandbox's user alone."""
    path = Path(file.path)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(file.content)
    temporary.replace(path)
