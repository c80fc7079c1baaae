"""The durable queue: one writer thread that commits in groups, and reads for the one thread that delivers.

Whatever waits when the writer gets to it goes into one transaction, so that a lone message is durable after one fsync
and a thousand at once take few more. A put is answered only after the commit. A *removal* needs no commit of its
own: it goes with the next put, or with others, or within a minute; until then the message is kept out of `read`, and a
crash sends it once more. What the disk refuses is refused to the publisher; a removal is tried again until it is taken.
"""

from __future__ import annotations

import fcntl
import logging
import os
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue

from device_agent._exceptions import DeviceAgentError
from device_agent.daemon import dead_letters, received
from device_agent.daemon.age_clock import AgeClock
from device_agent.daemon.database import connect, read_messages, translate
from device_agent.daemon.queue_file import EXPIRE_AT_ONCE, QueueFile, Stored
from device_agent.daemon.received import Received
from device_agent.messages import Draft, Limits, Message, QueueDamagedError, QueueStorageError, Totals
from device_agent.system import System

GROUP = 512
"""The most changes in one transaction."""
REMOVE_AT_ONCE = 100
"""Removals that wait for no put: as many as AWS IoT lets be in flight, so that a crash sends at most twice as many
again as without the wait, and what a disk that is slower than the line had not taken yet."""
MAX_REMOVALS = 10_000
"""Removals that the disk has not taken, beyond which nothing more is read: they are kept in memory."""
RETRY = 1.0
"""Seconds between tries to make the disk take what is owed."""
EXPIRE_EVERY = 60.0
"""Seconds between looks for what is too old, and the longest that a removal waits for a put."""
BOOT_ID_FILE = "/proc/sys/kernel/random/boot_id"

Answer = Callable[[Stored], None]
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Change:
    apply: Callable[[QueueFile], Stored]
    answer: Answer | None = None
    sequence: int | None = None
    """A message that leaves the queue by this change."""
    adds: bool = False


class Queue:
    """The queue of one device. Changes may be asked for from any thread; `read` and `remove` belong to one."""

    def __init__(
        self,
        system: System,
        path: Path,
        limits: Limits | None = None,
        *,
        on_added: Callable[[], None] = lambda: None,
        on_restored: Callable[[], None] = lambda: None,
    ) -> None:
        """Open the queue and start its writer. A disk that refuses is tried again later: puts are refused until then.

        Args:
            system: The clocks, and the boot's name.
            path: The file; its folder must exist.
            limits: How much it may hold.
            on_added: Called on the writer's thread after messages were added. It must not block.
            on_restored: Likewise, after messages with earlier sequence numbers were: they have to be read again.

        Raises:
            DeviceAgentError: Another process has the queue, or a newer version made it.
        """
        self.error: str | None = None
        self._system = system
        self._path = path
        self._limits = limits or Limits()
        self._on_added = on_added
        self._on_restored = on_restored
        self._clock = AgeClock(system.now, system.monotonic, _boot_id(system), system.clock_synchronised)
        self._changes: SimpleQueue[_Change | None] = SimpleQueue()
        self._owed: list[_Change] = []
        # What leaves: asked for and removed by the thread that delivers, gone once the writer has committed it.
        self._leaving: set[int] = set()
        self._removals: deque[tuple[int, int]] = deque()
        self._gone: deque[int] = deque()
        self._asked = self._asked_size = 0
        self._snapshot = (Totals(), 0, 0)
        self._busy_since: float | None = None
        self._expire_at = system.monotonic() + EXPIRE_EVERY
        self._damage: str | None = None
        self._file: QueueFile | None = None
        self._generation = 0
        self._reader: tuple[int, sqlite3.Connection] | None = None
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

    def put(self, drafts: Sequence[Draft], answer: Answer, *, make_room: bool = True) -> None:
        """Ask for messages to be queued, in one transaction.

        Args:
            drafts: The messages, already checked.
            answer: Called on the writer's thread once it is known which of them are durable. It must not block.
            make_room: False has a full queue refuse them, whatever `when_full` says: the publisher can wait.
        """
        now = self._system.now
        self._changes.put(_Change(lambda file: file.put(drafts, now(), make_room=make_room), answer, adds=True))

    def move_to_dead_letters(self, sequence: int, reason: str) -> None:
        """Give a message up.

        Args:
            sequence: Its number.
            reason: Why it was given up.
        """
        self._leaving.add(sequence)
        self.change(lambda file: dead_letters.give_up(file, sequence, reason, self._system.now()), sequence=sequence)

    def change(
        self, apply: Callable[[QueueFile], int], answer: Answer | None = None, *, sequence: int | None = None
    ) -> None:
        """Ask for another change of the file.

        Args:
            apply: Makes it, on the writer's thread, and gives how many things it concerned.
            answer: Called on the writer's thread with that, or with the reason that it was not done. One that nobody
                waits for is tried again until the disk takes it.
            sequence: A message that leaves the queue by it.
        """
        self._changes.put(_Change(lambda file: Stored(0, apply(file)), answer, sequence))

    def record_try(self, sequence: int) -> None:
        """Count that a message was refused, or suspected of having ended the connection."""
        self.change(lambda file: file.record_try(sequence))

    def requeue_dead_letters(self, answer: Answer) -> None:
        """Put all dead letters back at the end of the queue.

        Args:
            answer: Called on the writer's thread with their number, or with the reason that it was not done.
        """
        self._changes.put(_Change(lambda file: Stored(0, dead_letters.requeue(file)), answer, adds=True))

    def totals(self) -> Totals:
        """Give what the queue holds and has done: as of the last commit, less what leaves."""
        totals, removed, removed_size = self._snapshot
        count, totals = self._asked - removed, totals.copy()
        totals.depth = max(0, totals.depth - count)
        totals.size = max(0, totals.size - self._asked_size + removed_size)
        totals.counters["sent"] += count
        return totals

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
        self._close_reader()
        os.close(self._folder)

    # For the thread that delivers

    def remove(self, message: Message) -> None:
        """Take a message out that was delivered."""
        self._leaving.add(message.sequence)
        self._asked += 1
        self._asked_size += message.size
        self._removals.append((message.sequence, message.size))
        if len(self._removals) % REMOVE_AT_ONCE == 0:
            self.change(lambda _file: 0)

    def read(self, after: int, limit: int) -> list[Message]:
        """Read queued messages in order, without those that are leaving.

        Args:
            after: The sequence number before the first one wanted.
            limit: The most to look at; there may be more when fewer are returned, unless none is.

        Returns:
            The messages; none also while the file cannot be read or written.
        """
        # In this order: what is gone by now is not in the file that is read below.
        while self._gone:
            self._leaving.discard(self._gone.popleft())
        if len(self._leaving) > MAX_REMOVALS:
            return []
        try:
            while True:
                found = read_messages(self._reading(), after, limit)
                wanted = [message for message in found if message.sequence not in self._leaving]
                if wanted or not found:
                    return wanted
                after = found[-1].sequence
        except sqlite3.Error as error:
            self._reading_failed(error)
            return []

    def read_received(self, topic_filter: str, after: int, limit: int) -> list[Received]:
        """Read what was kept for a persistent subscription, see `received.read`; nothing while that cannot be done."""
        try:
            return received.read(self._reading(), topic_filter, after, limit)
        except sqlite3.Error as error:
            self._reading_failed(error)
            return []

    def persistent_filters(self) -> list[str]:
        """List the persistent subscriptions; none while the file cannot be read."""
        try:
            return received.filters(self._reading())
        except sqlite3.Error as error:
            self._reading_failed(error)
            return []

    def _reading_failed(self, error: sqlite3.Error) -> None:
        self._close_reader()
        if isinstance(translate(error, self._path), QueueDamagedError):
            self._damage = str(error)
            self.change(lambda _file: 0)

    def _reading(self) -> sqlite3.Connection:
        if self._reader is None or self._reader[0] != self._generation:
            self._close_reader()
            self._reader = (self._generation, connect(self._path))
        return self._reader[1]

    def _close_reader(self) -> None:
        if self._reader is not None:
            self._reader[1].close()
            self._reader = None

    # The writer's thread

    def _run(self) -> None:
        more = True
        while more:
            incomplete = self._file is not None and self._file.incomplete
            batch, more = self._collect(RETRY if self.error is not None or incomplete else EXPIRE_EVERY)
            self._busy_since = self._system.monotonic()
            self._commit_if_due(batch)
            if incomplete and self.error is None and self._file is not None and self._carry_over(self._file):
                self._on_restored()
            self._busy_since = None
        if self._file is not None:
            with suppress(sqlite3.Error):
                self._file.close()

    def _commit_if_due(self, batch: list[_Change]) -> None:
        if self._system.monotonic() >= self._expire_at:
            self._expire_at = self._system.monotonic() + EXPIRE_EVERY
            while self._is_old() and self._expire() == EXPIRE_AT_ONCE:
                pass
        if batch or self._removals or self.error is not None:
            self._commit(batch)

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

    def _is_old(self) -> bool:
        try:
            return self._file is not None and self._file.oldest_age() >= self._limits.max_age
        except sqlite3.Error:
            return False  # Whoever reads next finds out what is wrong.

    def _expire(self) -> int:
        dropped: list[int] = []

        def expire(file: QueueFile) -> Stored:
            dropped.append(file.expire())
            return Stored(0, dropped[-1])

        self._commit([_Change(expire)])
        return dropped[-1] if dropped and self.error is None else 0

    def _carry_over(self, file: QueueFile) -> bool:
        try:
            copied = file.carry_over()
        except (sqlite3.Error, QueueDamagedError) as error:
            self._damage = str(error)
            return False
        self._note(file)
        return copied

    def _commit(self, batch: list[_Change]) -> None:
        changes = [*self._owed, *batch]
        self._owed = []
        removals = [self._removals[place] for place in range(len(self._removals))]
        try:
            answers = self._apply(changes, removals)
        except QueueStorageError as error:
            self._fail(error)
            self._owed = [change for change in changes if change.answer is None]
            for change in changes:
                if change.answer is not None:
                    change.answer(Stored(0, 0, error))
            return
        if self.error is not None:
            _log.info("%s can be written again", self._path)
            self.error = None
        for sequence, _size in removals:
            self._removals.popleft()
            self._gone.append(sequence)
        for change, answer in answers:
            if change.sequence is not None:
                self._gone.append(change.sequence)
            if change.answer is not None:
                change.answer(answer)
        if any(change.adds for change in changes):
            self._on_added()

    def _apply(self, changes: list[_Change], removals: list[tuple[int, int]]) -> list[tuple[_Change, Stored]]:
        for attempt in (1, 2):
            try:
                file = self._file or self._open_file(check=False)
                if self._damage is not None:
                    raise QueueDamagedError(self._damage)
                with file.transaction():
                    # First: their place is free for what comes.
                    file.remove([sequence for sequence, _size in removals])
                    answers = [(change, change.apply(file)) for change in changes]
                self._note(file, removals)
                return answers
            except QueueDamagedError as error:
                if attempt == 2 or self._file is None:
                    raise QueueStorageError(
                        f"{self._path} is damaged again at once: {error}; check the disk"
                    ) from error
                try:
                    self._file.recover_from_damage(str(error))
                except BaseException:
                    self._file = None
                    raise
                finally:
                    self._generation += 1
                self._damage = None
        raise AssertionError("unreachable")

    def _note(self, file: QueueFile, removals: Sequence[tuple[int, int]] = ()) -> None:
        _totals, count, size = self._snapshot
        removed = sum(size for _sequence, size in removals)
        # In one assignment: another thread reads it.
        self._snapshot = (file.totals.copy(), count + len(removals), size + removed)

    def _open_file(self, *, check: bool) -> QueueFile:
        self._file = QueueFile(self._path, self._limits, self._clock, check=check)
        self._generation += 1
        self._note(self._file)
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
