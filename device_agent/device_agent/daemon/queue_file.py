"""The queue's file: an SQLite database in WAL mode with `synchronous=FULL`, used by one thread.

A committed transaction survives power loss (https://www.sqlite.org/pragma.html#pragma_synchronous: in WAL mode only
FULL, not NORMAL, is durable). A put writes the message's page and nothing else: the counters, the next sequence number
and the clock's reading are saved only when they do not follow from what was saved last and the messages in the file.
"""

from __future__ import annotations

import logging
import sqlite3
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple

from device_agent._exceptions import DeviceAgentError
from device_agent.daemon.age_clock import AgeClock
from device_agent.daemon.database import RECEIVED, SCHEMA, VERSION, connect, prepare, translate
from device_agent.daemon.saved_state import count_rows, load_state, save_state
from device_agent.daemon.set_aside import CarryOver, set_aside
from device_agent.files import sync_folder
from device_agent.messages import COUNTERS, Draft, Limits, QueueDamagedError, QueueFullError, QueueStorageError, Totals

EXPIRE_AT_ONCE = 1000
"""The most messages that are dropped for their age in one transaction."""
_log = logging.getLogger(__name__)


class Stored(NamedTuple):
    """What became of messages that were handed over together.

    Attributes:
        first: The sequence number of the first; the others follow without a gap.
        durable: How many are, from the first on.
        error: Why the one after these, and all after it, are not; None if all are.
    """

    first: int
    durable: int
    error: DeviceAgentError | None = None


class QueueFile:
    """The open file. Changes happen inside `transaction()`; all of its methods belong to one thread.

    Attributes:
        connection: The database; what changes it stands inside `transaction()`.
        queue_id: The file's random name, in which sequence numbers are counted.
        next_sequence: The number of the next message.
        must_save: Whether the state does not follow from what was saved last, and goes into this transaction.
        incomplete: Whether a full disk kept something from being carried over from a damaged file.
    """

    def __init__(self, path: Path, limits: Limits, clock: AgeClock, *, check: bool = True) -> None:
        """Open the file, make it, or set a damaged one aside and begin anew.

        Args:
            path: Where it is; its folder must exist.
            limits: How much it may hold.
            clock: The clock of ages, which is carried on from the file.
            check: Whether to read the whole file through for damage.

        Raises:
            QueueStorageError: The file cannot be opened or made.
            DeviceAgentError: A newer version of the agent made it.
        """
        self.path = path
        self.limits = limits
        self.clock = clock
        self.totals = Totals()
        self.queue_id = ""
        self.incomplete = False
        self.next_sequence = 1
        self.must_save = True
        self._saved_synchronised = False
        self._saved_next = 0
        self._unsaved = False
        try:
            self.connection = self._open(check=check)
        except QueueDamagedError as error:
            set_aside(path, str(error))
            self.connection = self._open(check=False)
        self.carry_over()

    # Opening, and what to do about damage

    def _open(self, *, check: bool) -> sqlite3.Connection:
        connection = None
        try:
            connection = connect(self.path)
            found = connection.execute("PRAGMA user_version").fetchone()[0]
            if found > VERSION:
                raise DeviceAgentError(
                    f"{self.path} has version {found}, made by a newer agent than this one, which knows {VERSION};"
                    " install the newer agent again"
                )
            if check and (verdict := connection.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
                raise QueueDamagedError(verdict)
            if found == 0:
                prepare(connection, empty=True)
                connection.execute("BEGIN IMMEDIATE")
                for statement in (SCHEMA + RECEIVED).split(";\n"):
                    connection.execute(statement)
                connection.execute("INSERT INTO state VALUES ('queue_id', ?)", (uuid.uuid4().hex[:12],))
                connection.execute(f"PRAGMA user_version={VERSION}")
                connection.execute("COMMIT")
                sync_folder(self.path.parent)
                self._load(connection)
            else:
                for statement in RECEIVED.split(";\n"):
                    connection.execute(statement)
                self._load(connection)
                prepare(connection, empty=not (self.totals.depth or self.totals.dead_letters or self.totals.received))
        except BaseException as error:
            if connection is not None:
                connection.close()
            if isinstance(error, sqlite3.Error | OSError):
                raise translate(error, self.path) from error
            if isinstance(error, LookupError | ValueError | TypeError):
                raise QueueDamagedError(f"its state is not readable: {error}") from error
            raise
        self.must_save = True
        return connection

    def _load(self, connection: sqlite3.Connection) -> None:
        state = load_state(connection)
        self.queue_id, self.totals, self.next_sequence = state.queue_id, state.totals, state.next_sequence
        if state.reading is not None:
            self.clock.restore(state.reading)

    def recover_from_damage(self, why: str) -> None:
        """Set the open file aside, begin a new one, and carry over what can be read.

        Args:
            why: What is wrong with it, for the log.

        Raises:
            QueueStorageError: No new file can be made.
        """
        counters, following = self.totals.counters, self.next_sequence
        set_aside(self.path, why)
        # Closed only now: closing the last connection deletes the WAL by its old name, which is gone.
        self.connection.close()
        self.connection = self._open(check=False)
        self.totals.counters, self.next_sequence = counters, following
        self.carry_over()

    def carry_over(self) -> bool:
        """Copy what can be read from files that were set aside. A message may come over that was sent: a duplicate.

        Returns:
            Whether anything was copied; what a full disk did not take is left for the next call.
        """
        copied, self.incomplete = 0, False
        for pending in CarryOver.pending(self.path):
            try:
                more = True
                while more:
                    with self.transaction():
                        self._begin_carry_over(pending)
                        more = pending.copy_some(self.connection, self.clock.elapsed())
                        self._count()
                pending.finish()
            except QueueStorageError as error:
                _log.warning("what %s holds is carried over later: %s", pending.file.name, error)
                self.incomplete = True
                return copied + pending.copied > 0
            finally:
                pending.close()
            copied += pending.copied
        return copied > 0

    def _begin_carry_over(self, pending: CarryOver) -> None:
        state = pending.state(self.connection)
        if state is None:
            return
        if self.next_sequence == 1:
            # Not known from memory: the file was found damaged when it was opened.
            self.totals.counters = {name: int(state.get(name, 0)) for name in COUNTERS}
            self.next_sequence = int(state.get("next_sequence", 1))
        self.totals.counters["set_aside"] += 1

    def _count(self) -> None:
        self.totals = replace(count_rows(self.connection), counters=self.totals.counters)
        newest = self.connection.execute("SELECT max(sequence) FROM messages").fetchone()[0]
        self.next_sequence = max(self.next_sequence, (newest or 0) + 1)
        self.must_save = True

    def close(self) -> None:
        """Close the file, with its state saved: the release before, were it installed again, counts on by that."""
        if self._unsaved:
            self.must_save = True
            with suppress(QueueStorageError, QueueDamagedError, sqlite3.Error), self.transaction():
                pass
        self.connection.close()

    # Changing

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make all changes inside durable together, or none of them.

        Raises:
            QueueStorageError: The disk did not take them.
            QueueDamagedError: The file is damaged.
        """
        before = self.totals.copy(), self.next_sequence
        try:
            self.connection.execute("BEGIN IMMEDIATE")
            yield
            synchronised, unsaved = self.clock.synchronised(), True
            if self.must_save or synchronised != self._saved_synchronised or not self._next_is_known():
                save_state(self.connection, self.totals, self.next_sequence, self.clock.reading())
                self._saved_next, unsaved = self.next_sequence, False
            self.connection.execute("COMMIT")
            self._unsaved = unsaved
            self.must_save, self._saved_synchronised = False, synchronised
        except BaseException as error:
            self.totals, self.next_sequence = before
            self.must_save = True
            with suppress(sqlite3.Error):
                if self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")
            if isinstance(error, sqlite3.Error):
                raise translate(error, self.path) from error
            raise

    def _next_is_known(self) -> bool:
        if self._saved_next == self.next_sequence:
            return True
        found = self.connection.execute("SELECT 1 FROM messages WHERE sequence = ?", (self.next_sequence - 1,))
        return found.fetchone() is not None

    def put(self, drafts: Sequence[Draft], now: float, *, make_room: bool = True) -> Stored:
        """Add messages at the end, making room if the limits ask for it; after one that is refused, none.

        Args:
            drafts: The messages.
            now: The wall clock, in seconds since 1970.
            make_room: False refuses what is over the limit whatever the limits say: the publisher can wait.
        """
        first = self.next_sequence
        size = sum(draft.size for draft in drafts)
        if self.totals.size + size <= self.limits.max_bytes:
            self._insert(drafts, size, now)
            return Stored(first, len(drafts))
        for count, draft in enumerate(drafts):
            try:
                self._make_room(draft, allowed=make_room)
            except QueueFullError as error:
                return Stored(first, count, error)
            self._insert([draft], draft.size, now)
        return Stored(first, len(drafts))

    def _insert(self, drafts: Sequence[Draft], size: int, now: float) -> None:
        elapsed = self.clock.elapsed()
        self.append(
            [
                (sequence, d.id, d.topic, d.payload, int(d.retain), d.content_type, now, elapsed, d.size)
                for sequence, d in enumerate(drafts, self.next_sequence)
            ],
            size,
        )
        self.totals.counters["accepted"] += len(drafts)

    def append(self, rows: Sequence[tuple[Any, ...]], size: int) -> None:
        """Add rows of `messages` but for `tries`, numbered from `next_sequence` on, with so many bytes in all."""
        self.connection.executemany("INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0)", rows)
        self.next_sequence += len(rows)
        self.totals.depth += len(rows)
        self.totals.size += size

    def _make_room(self, draft: Draft, *, allowed: bool) -> None:
        excess = self.totals.size + draft.size - self.limits.max_bytes
        if excess <= 0:
            return
        if not allowed or self.limits.when_full == "refuse" or draft.size > self.limits.max_bytes:
            raise QueueFullError(
                f"the queue is full: {self.totals.depth} messages of {self.totals.size} bytes, the limit is"
                f" {self.limits.max_bytes} bytes; the message was not accepted"
            )
        last = freed = count = 0
        for sequence, size in self.connection.execute("SELECT sequence, size FROM messages ORDER BY sequence"):
            last, freed, count = sequence, freed + size, count + 1
            if freed >= excess:
                break
        self.drop("messages", last, count, freed)
        self.totals.counters["dropped_by_size"] += count

    def count(self, counter: str, number: int) -> None:
        """Count what happened, inside a transaction."""
        self.totals.counters[counter] += number
        self.must_save = True

    def oldest_age(self) -> float:
        """Give the age of the oldest queued message or dead letter, in seconds; nothing is written. 0 without any."""
        heads = "SELECT min(elapsed) FROM (SELECT elapsed FROM (SELECT elapsed FROM messages ORDER BY sequence LIMIT 1)"
        heads += " UNION SELECT elapsed FROM (SELECT elapsed FROM dead_letters ORDER BY sequence LIMIT 1))"
        found = self.connection.execute(heads).fetchone()[0]
        return 0.0 if found is None else self.clock.elapsed() - float(found)

    def expire(self) -> int:
        """Drop what has waited for longer than the limit, queued messages and dead letters alike.

        They became older in the order in which they are queued, so that only the oldest are looked at.

        Returns:
            How many queued messages; there may be more to drop if these are `EXPIRE_AT_ONCE`.
        """
        limit = self.clock.elapsed() - self.limits.max_age
        dropped = self._expire("messages", limit)
        self.totals.counters["dropped_by_age"] += dropped
        self.totals.counters["dead_letters_dropped"] += self._expire("dead_letters", limit)
        return dropped

    def _expire(self, table: str, limit: float) -> int:
        rows = self.connection.execute(
            f"SELECT sequence, size, elapsed FROM {table} ORDER BY sequence LIMIT {EXPIRE_AT_ONCE}"  # noqa: S608 - constants
        )
        old = list(takewhile(lambda row: row[2] <= limit, rows))
        if old:
            self.drop(table, old[-1][0], len(old), sum(row[1] for row in old))
        return len(old)

    def drop(self, table: str, last: int, count: int, size: int) -> None:
        """Drop the oldest rows of `messages` or `dead_letters`: up to a sequence number, so many, of so many bytes."""
        self.connection.execute(f"DELETE FROM {table} WHERE sequence <= ?", (last,))  # noqa: S608 - constant
        self.must_save = True
        if table == "messages":
            self.totals.depth -= count
            self.totals.size -= size
        else:
            self.totals.dead_letters -= count
            self.totals.dead_letter_size -= size

    def remove(self, sequences: Sequence[int]) -> int:
        """Take delivered messages out. One that was dropped meanwhile is passed over.

        Returns:
            How many were there.
        """
        taken = sum(self.take(first, last) for first, last in _ranges(sequences))
        self.totals.counters["sent"] += taken
        return taken

    def record_try(self, sequence: int) -> int:
        """Count that a message was refused or suspected.

        Returns:
            How many were there: 1 or 0.
        """
        return self.connection.execute("UPDATE messages SET tries = tries + 1 WHERE sequence = ?", (sequence,)).rowcount

    def take(self, first: int, last: int) -> int:
        """Take out all from one sequence number to another; gives how many were there."""
        sizes = self.connection.execute(
            "DELETE FROM messages WHERE sequence BETWEEN ? AND ? RETURNING size", (first, last)
        ).fetchall()
        self.totals.depth -= len(sizes)
        self.totals.size -= sum(size for (size,) in sizes)
        return len(sizes)


def _ranges(sequences: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Join numbers that follow each other."""
    first = last = None
    for sequence in sorted(sequences):
        if first is None or last is None:
            first = last = sequence
        elif sequence <= last + 1:
            last = sequence
        else:
            yield first, last
            first = last = sequence
    if first is not None and last is not None:
        yield first, last
