"""The queue's file: an SQLite database in WAL mode with `synchronous=FULL`, used by one thread.

A committed transaction survives power loss (https://www.sqlite.org/pragma.html#pragma_synchronous: in WAL mode only
FULL, not NORMAL, is durable). A put writes the message's page and nothing else: the counters, the next sequence number
and the clock's reading are saved only when they do not follow from what was saved last and the messages in the file.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

from device_agent._exceptions import DeviceAgentError
from device_agent.daemon.age_clock import AgeClock, Reading
from device_agent.daemon.database import COLUMNS, RECEIVED, SCHEMA, VERSION, connect, prepare, sync_folder, translate
from device_agent.daemon.set_aside import CarryOver, set_aside
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
        self._next = 1
        self._must_save = True
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
            if isinstance(error, sqlite3.Error):
                raise translate(error, self.path) from error
            if isinstance(error, LookupError | ValueError | TypeError):
                raise QueueDamagedError(f"its state is not readable: {error}") from error
            raise
        self._must_save = True
        return connection

    def _load(self, connection: sqlite3.Connection) -> None:
        state = dict(connection.execute("SELECT name, value FROM state"))
        self.queue_id = str(state["queue_id"])
        totals = _count(connection)
        totals.counters = {name: int(state.get(name, 0)) for name in COUNTERS}
        newest = connection.execute(
            "SELECT sequence, accepted_at, elapsed FROM messages ORDER BY sequence DESC LIMIT 1"
        ).fetchone()
        # What was put since the state was saved is counted by its sequence numbers, what was sent by what has gone.
        saved_next = int(state.get("next_sequence", 1))
        self._next = max(saved_next, newest[0] + 1 if newest else 1)
        totals.counters["accepted"] += self._next - saved_next
        saved = json.loads(state.get("saved", "{}"))
        if saved.get("next") == saved_next:
            totals.counters["sent"] = totals.counters["accepted"] - totals.depth - saved["neither"]
        self.totals = totals
        if "clock" in state:
            elapsed, boot_id, monotonic, wall = json.loads(state["clock"])
            synchronised = saved.get("elapsed") == elapsed and saved["synchronised"]
            if newest and (since := newest[2] - elapsed) > 0:
                elapsed, monotonic, wall = elapsed + since, monotonic + since, newest[1]
            self.clock.restore(Reading(elapsed, boot_id, monotonic, wall, synchronised))

    def recover_from_damage(self, why: str) -> None:
        """Set the open file aside, begin a new one, and carry over what can be read.

        Args:
            why: What is wrong with it, for the log.

        Raises:
            QueueStorageError: No new file can be made.
        """
        counters, following = self.totals.counters, self._next
        set_aside(self.path, why)
        # Closed only now: closing the last connection deletes the WAL by its old name, which is gone.
        self.connection.close()
        self.connection = self._open(check=False)
        self.totals.counters, self._next = counters, following
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
        if self._next == 1:
            # Not known from memory: the file was found damaged when it was opened.
            self.totals.counters = {name: int(state.get(name, 0)) for name in COUNTERS}
            self._next = int(state.get("next_sequence", 1))
        self.totals.counters["set_aside"] += 1

    def _count(self) -> None:
        self.totals = replace(_count(self.connection), counters=self.totals.counters)
        newest = self.connection.execute("SELECT max(sequence) FROM messages").fetchone()[0]
        self._next = max(self._next, (newest or 0) + 1)
        self._must_save = True

    def close(self) -> None:
        """Close the file, with its state saved: the release before, were it installed again, counts on by that."""
        if self._unsaved:
            self._must_save = True
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
        before = self.totals.copy(), self._next
        try:
            self.connection.execute("BEGIN IMMEDIATE")
            yield
            synchronised, unsaved = self.clock.synchronised(), True
            if self._must_save or synchronised != self._saved_synchronised or not self._next_is_known():
                self._save()
                self._saved_next, unsaved = self._next, False
            self.connection.execute("COMMIT")
            self._unsaved = unsaved
            self._must_save, self._saved_synchronised = False, synchronised
        except BaseException as error:
            self.totals, self._next = before
            self._must_save = True
            with suppress(sqlite3.Error):
                if self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")
            if isinstance(error, sqlite3.Error):
                raise translate(error, self.path) from error
            raise

    def _next_is_known(self) -> bool:
        if self._saved_next == self._next:
            return True
        found = self.connection.execute("SELECT 1 FROM messages WHERE sequence = ?", (self._next - 1,))
        return found.fetchone() is not None

    def _save(self) -> None:
        reading, counters = self.clock.reading(), self.totals.counters
        saved = {
            "next": self._next,
            "neither": counters["accepted"] - counters["sent"] - self.totals.depth,
            "elapsed": reading.elapsed,
            "synchronised": reading.synchronised,
        }
        # The agent of the release before reads and writes all but "saved", which it leaves as it is.
        clock = [reading.elapsed, reading.boot_id, reading.monotonic, reading.wall]
        values = {"next_sequence": self._next, "clock": json.dumps(clock), "saved": json.dumps(saved)}
        self.connection.executemany("INSERT OR REPLACE INTO state VALUES (?, ?)", [*counters.items(), *values.items()])

    def put(self, drafts: Sequence[Draft], now: float) -> Stored:
        """Add messages at the end, making room if the limits ask for it; after one that is refused, none.

        Args:
            drafts: The messages.
            now: The wall clock, in seconds since 1970.
        """
        first = self._next
        size = sum(draft.size for draft in drafts)
        if self.totals.size + size <= self.limits.max_bytes:
            self._insert(drafts, size, now)
            return Stored(first, len(drafts))
        for count, draft in enumerate(drafts):
            try:
                self._make_room(draft)
            except QueueFullError as error:
                return Stored(first, count, error)
            self._insert([draft], draft.size, now)
        return Stored(first, len(drafts))

    def _insert(self, drafts: Sequence[Draft], size: int, now: float) -> None:
        elapsed = self.clock.elapsed()
        self.connection.executemany(
            "INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0)",
            [
                (sequence, d.id, d.topic, d.payload, int(d.retain), d.content_type, now, elapsed, d.size)
                for sequence, d in enumerate(drafts, self._next)
            ],
        )
        self._next += len(drafts)
        self.totals.depth += len(drafts)
        self.totals.size += size
        self.totals.counters["accepted"] += len(drafts)

    def _make_room(self, draft: Draft) -> None:
        excess = self.totals.size + draft.size - self.limits.max_bytes
        if excess <= 0:
            return
        if self.limits.when_full == "refuse" or draft.size > self.limits.max_bytes:
            raise QueueFullError(
                f"the queue is full: {self.totals.depth} messages of {self.totals.size} bytes, the limit is"
                f" {self.limits.max_bytes} bytes; the message was not accepted"
            )
        last = freed = count = 0
        for sequence, size in self.connection.execute("SELECT sequence, size FROM messages ORDER BY sequence"):
            last, freed, count = sequence, freed + size, count + 1
            if freed >= excess:
                break
        self._drop("messages", last, count, freed)
        self.totals.counters["dropped_by_size"] += count

    def count(self, counter: str, number: int) -> None:
        """Count what happened, inside a transaction."""
        self.totals.counters[counter] += number
        self._must_save = True

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
            self._drop(table, old[-1][0], len(old), sum(row[1] for row in old))
        return len(old)

    def _drop(self, table: str, last: int, count: int, size: int) -> None:
        self.connection.execute(f"DELETE FROM {table} WHERE sequence <= ?", (last,))  # noqa: S608 - constant
        self._must_save = True
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
        taken = sum(self._take(first, last) for first, last in _ranges(sequences))
        self.totals.counters["sent"] += taken
        return taken

    def record_try(self, sequence: int) -> int:
        """Count that a message was refused or suspected.

        Returns:
            How many were there: 1 or 0.
        """
        return self.connection.execute("UPDATE messages SET tries = tries + 1 WHERE sequence = ?", (sequence,)).rowcount

    def move_to_dead_letters(self, sequence: int, reason: str, now: float) -> int:
        """Give a message up; the oldest dead letters give way if there is no room.

        Args:
            sequence: Its number.
            reason: Why it was given up.
            now: The wall clock, in seconds since 1970.

        Returns:
            How many were there: 1 or 0.
        """
        row = self.connection.execute(
            f"SELECT {COLUMNS} FROM messages WHERE sequence = ?",  # noqa: S608 - constant
            (sequence,),
        ).fetchone()
        if row is None:
            return 0
        self._take(sequence, sequence)
        self._must_save = True
        self.connection.execute(
            "INSERT INTO dead_letters VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ? + 1, ?, ?)", (*row, reason, now)
        )
        self.totals.counters["refused"] += 1
        self.totals.dead_letters += 1
        self.totals.dead_letter_size += int(row[8])
        while self.totals.dead_letters > 1 and self.totals.dead_letter_size > self.limits.max_bytes // 8:
            oldest, size = self.connection.execute(
                "SELECT sequence, size FROM dead_letters ORDER BY sequence LIMIT 1"
            ).fetchone()
            _log.warning("dead letter %d gave way to newer ones", oldest)
            self._drop("dead_letters", oldest, 1, size)
            self.totals.counters["dead_letters_dropped"] += 1
        return 1

    def requeue_dead_letters(self) -> int:
        """Put all dead letters back at the end of the queue, with new sequence numbers and their old ids.

        Returns:
            How many.
        """
        rows = self.connection.execute(f"SELECT {COLUMNS} FROM dead_letters ORDER BY sequence").fetchall()  # noqa: S608 - constant
        elapsed = self.clock.elapsed()
        self.connection.executemany(
            "INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0)",
            [(number, *row[1:7], elapsed, row[8]) for number, row in enumerate(rows, self._next)],
        )
        self.connection.execute("DELETE FROM dead_letters")
        self._next += len(rows)
        self._must_save = True
        self.totals.depth += len(rows)
        self.totals.size += self.totals.dead_letter_size
        self.totals.dead_letters = self.totals.dead_letter_size = 0
        return len(rows)

    def _take(self, first: int, last: int) -> int:
        sizes = self.connection.execute(
            "DELETE FROM messages WHERE sequence BETWEEN ? AND ? RETURNING size", (first, last)
        ).fetchall()
        self.totals.depth -= len(sizes)
        self.totals.size -= sum(size for (size,) in sizes)
        return len(sizes)


def _count(connection: sqlite3.Connection) -> Totals:
    """Count what the file holds; the counters are left at zero."""
    numbers: list[int] = []
    for table in ("messages", "dead_letters", "received"):
        numbers += map(int, connection.execute(f"SELECT count(*), total(size) FROM {table}").fetchone())  # noqa: S608 - constants
    depth, size, dead_letters, dead_letter_size, received, received_size = numbers
    return Totals(
        depth=depth,
        size=size,
        dead_letters=dead_letters,
        dead_letter_size=dead_letter_size,
        received=received,
        received_size=received_size,
    )


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
