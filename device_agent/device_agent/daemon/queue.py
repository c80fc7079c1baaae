"""The durable queue: one writer thread that commits in groups, and reads for the one thread that delivers.

Whatever waits when the writer gets to it goes into one transaction, so that a lone message is durable after one fsync
and a thousand at once take few more. A put is answered only after the commit. What the disk refuses is refused to the
publisher; a *removal* that it refuses is owed: kept out of `read`, and tried again until the disk takes it.
"""

from __future__ import annotations

import fcntl
import logging
import os
import sqlite3
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue

from device_agent._exceptions import DeviceAgentError
from device_agent.daemon.age_clock import AgeClock
from device_agent.daemon.database import connect, read_messages, translate
from device_agent.daemon.queue_file import QueueFile
from device_agent.messages import Draft, Limits, Message, QueueDamagedError, QueueFullError, QueueStorageError, Totals
from device_agent.system import System

GROUP = 512
"""The most changes in one transaction."""
RETRY = 1.0
"""Seconds between tries to make the disk take what is owed."""
EXPIRE_EVERY = 60.0
"""Seconds between looks for what is too old."""
BOOT_ID_FILE = "/proc/sys/kernel/random/boot_id"

Answer = Callable[[int | DeviceAgentError], None]
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Change:
    apply: Callable[[QueueFile], int]
    answer: Answer | None = None
    sequence: int | None = None
    """A message that leaves the queue by this change."""


class Queue:
    """The queue of one device. Changes may be asked for from any thread; `read` belongs to one."""

    def __init__(
        self,
        system: System,
        path: Path,
        limits: Limits | None = None,
        *,
        on_added: Callable[[], None] = lambda: None,
    ) -> None:
        """Open the queue and start its writer. A disk that refuses is tried again later: puts are refused until then.

        Args:
            system: The clocks, and the boot's name.
            path: The file; its folder must exist.
            limits: How much it may hold.
            on_added: Called on the writer's thread after messages were added. It must not block.

        Raises:
            DeviceAgentError: Another process has the queue, or a newer version made it.
        """
        self.error: str | None = None
        self._system = system
        self._path = path
        self._limits = limits or Limits()
        self._on_added = on_added
        self._clock = AgeClock(system.now, system.monotonic, _boot_id(system))
        self._changes: SimpleQueue[_Change | None] = SimpleQueue()
        self._owed: list[_Change] = []
        self._leaving: set[int] = set()
        self._totals = Totals()
        self._busy_since: float | None = None
        self._damage: str | None = None
        self._file: QueueFile | None = None
        self._reader: sqlite3.Connection | None = None
        self._folder = _lock(path.parent)
        try:
            self._open_file(check=True)
        except QueueStorageError as error:
            self._fail(error)
        except BaseException:
            os.close(self._folder)
            raise
        self._thread = threading.Thread(target=self._run, name="queue-writer")
        self._thread.start()

    # For any thread

    def put(self, draft: Draft, answer: Answer) -> None:
        """Ask for a message to be queued.

        Args:
            draft: The message, already checked.
            answer: Called on the writer's thread, with the sequence number once the message is durable, or with the
                reason that it was not accepted. It must not block.
        """
        self._changes.put(_Change(lambda file: file.put(draft, self._system.now()), answer))

    def remove(self, sequence: int) -> None:
        """Take a message out that was delivered.

        Args:
            sequence: Its number.
        """
        self._leave(sequence, lambda file: file.remove(sequence))

    def bury(self, sequence: int, reason: str) -> None:
        """Move a message to the dead letters.

        Args:
            sequence: Its number.
            reason: Why it was given up.
        """
        self._leave(sequence, lambda file: file.bury(sequence, reason, self._system.now()))

    def record_try(self, sequence: int) -> None:
        """Count that a message was refused, or suspected of having ended the connection.

        Args:
            sequence: Its number.
        """
        self._changes.put(_Change(lambda file: file.record_try(sequence)))

    def revive(self, answer: Answer) -> None:
        """Put all dead letters back at the end of the queue.

        Args:
            answer: Called on the writer's thread with their number, or with the reason that it was not done.
        """
        self._changes.put(_Change(lambda file: file.revive(), answer))

    def totals(self) -> Totals:
        """Give what the queue holds and has done, as of the last commit."""
        return self._totals

    @property
    def queue_id(self) -> str:
        """The random name of the queue's file, in which sequence numbers are counted; empty if it never opened."""
        return self._file.queue_id if self._file else ""

    def stalled_for(self) -> float:
        """Give the seconds that the writer has been at its present work; endless if it died."""
        if not self._thread.is_alive():
            return float("inf")
        since = self._busy_since
        return 0.0 if since is None else self._system.monotonic() - since

    def close(self) -> None:
        """Make durable what was asked for, and stop."""
        self._changes.put(None)
        self._thread.join()
        if self._reader is not None:
            self._reader.close()
        os.close(self._folder)

    # For the thread that delivers

    def read(self, after: int, limit: int) -> list[Message]:
        """Read queued messages in order, without those that are leaving.

        Args:
            after: The sequence number before the first one wanted.
            limit: The most to look at; there may be more when fewer are returned, unless none is.

        Returns:
            The messages; none also while the file cannot be read.
        """
        try:
            while True:
                if self._reader is None:
                    self._reader = connect(self._path)
                found = read_messages(self._reader, after, limit)
                wanted = [message for message in found if message.sequence not in self._leaving]
                if wanted or not found:
                    return wanted
                after = found[-1].sequence
        except sqlite3.Error as error:
            if self._reader is not None:
                self._reader.close()
                self._reader = None
            translated = translate(error, self._path)
            if isinstance(translated, QueueDamagedError):
                self._damage = str(error)
                self._changes.put(_Change(lambda _file: 0))
            return []

    # The writer's thread

    def _leave(self, sequence: int, apply: Callable[[QueueFile], int]) -> None:
        self._leaving.add(sequence)
        self._changes.put(_Change(apply, None, sequence))

    def _run(self) -> None:
        expire_at = self._system.monotonic() + EXPIRE_EVERY
        more = True
        while more:
            batch, more = self._collect(EXPIRE_EVERY if self.error is None else RETRY)
            self._busy_since = self._system.monotonic()
            if self._busy_since >= expire_at:
                expire_at = self._busy_since + EXPIRE_EVERY
                batch.append(_Change(lambda file: file.expire()))
            if batch or self.error is not None:
                self._commit(batch)
            self._busy_since = None
        if self._file is not None:
            with suppress(sqlite3.Error):
                self._file.close()

    def _collect(self, timeout: float) -> tuple[list[_Change], bool]:
        batch: list[_Change] = []
        try:
            change = self._changes.get(timeout=timeout)
            while change is not None:
                batch.append(change)
                if len(batch) == GROUP:
                    return batch, True
                change = self._changes.get_nowait()
        except Empty:
            return batch, True
        return batch, False

    def _commit(self, batch: list[_Change]) -> None:
        changes = [*self._owed, *batch]
        self._owed = []
        try:
            answers = self._apply(changes)
        except QueueStorageError as error:
            self._fail(error)
            self._owed = [change for change in changes if change.answer is None]
            for change in changes:
                if change.answer is not None:
                    change.answer(error)
            return
        if self.error is not None:
            _log.info("%s can be written again", self._path)
            self.error = None
        added = False
        for change, answer in answers:
            if change.sequence is not None:
                self._leaving.discard(change.sequence)
            if change.answer is not None:
                added = True
                change.answer(answer)
        if added:
            self._on_added()

    def _apply(self, changes: list[_Change]) -> list[tuple[_Change, int | DeviceAgentError]]:
        for attempt in (1, 2):
            try:
                file = self._file or self._open_file(check=False)
                if self._damage is not None:
                    raise QueueDamagedError(self._damage)
                answers: list[tuple[_Change, int | DeviceAgentError]] = []
                with file.transaction():
                    for change in changes:
                        try:
                            answers.append((change, change.apply(file)))
                        except QueueFullError as error:
                            answers.append((change, error))
                self._totals = file.totals.copy()
                return answers
            except QueueDamagedError as error:
                if attempt == 2 or self._file is None:
                    raise QueueStorageError(
                        f"{self._path} is damaged again at once: {error}; check the disk"
                    ) from error
                self._file.recover_from_damage(str(error))
                self._damage = None
        raise AssertionError("unreachable")

    def _open_file(self, *, check: bool) -> QueueFile:
        self._file = QueueFile(self._path, self._limits, self._clock, check=check)
        self._totals = self._file.totals.copy()
        return self._file

    def _fail(self, error: QueueStorageError) -> None:
        if self.error != str(error):
            _log.error("%s", error)
        self.error = str(error)
        if self._file is not None and not error.full:
            # The file system may be another one when it comes back: open the file anew.
            with suppress(sqlite3.Error):
                self._file.close()
            self._file = None


def _boot_id(system: System) -> str:
    try:
        return system.path(BOOT_ID_FILE).read_text("ascii").strip()
    except OSError:
        return ""


def _lock(folder: Path) -> int:
    """Lock the folder itself: that leaves no file behind, and works where nothing can be written."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise DeviceAgentError(f"{folder} cannot be opened: {error.strerror}; install the agent again") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise DeviceAgentError(
            f"another agent has the queue in {folder}; stop it with `systemctl stop private-iot-agent`"
        ) from None
    return descriptor
