"""The queue's file: an SQLite database in WAL mode with `synchronous=FULL`, used by one thread.

A committed transaction survives power loss (https://www.sqlite.org/pragma.html#pragma_synchronous: in WAL mode only
FULL, not NORMAL, is durable). Counters and the next sequence number share one small table, so that a put writes two
pages.
A damaged file is set aside under a name of its own and never deleted; what can still be read of it is carried over.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import astuple
from pathlib import Path

from device_agent._exceptions import DeviceAgentError
from device_agent.daemon.age_clock import AgeClock, Reading
from device_agent.daemon.database import COLUMNS, SCHEMA, VERSION, connect, sync_folder, translate
from device_agent.messages import (
    COUNTERS,
    Draft,
    Limits,
    QueueDamagedError,
    QueueFullError,
    Totals,
)

_log = logging.getLogger(__name__)


class QueueFile:
    """The open file. Changes happen inside `transaction()`; all of its methods belong to one thread."""

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
        self._next = 1
        self._connection = self._open(check=check)

    # Opening, and what to do about damage

    def _open(self, *, check: bool) -> sqlite3.Connection:
        try:
            return self._try_open(check=check)
        except QueueDamagedError as error:
            aside = self._set_aside(str(error))
        self._connection = self._try_open(check=False)
        self._carry_over(aside)
        return self._connection

    def _try_open(self, *, check: bool) -> sqlite3.Connection:
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
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("BEGIN IMMEDIATE")
            if found == 0:
                for statement in SCHEMA.split(";\n"):
                    connection.execute(statement)
                connection.execute("INSERT INTO state VALUES ('queue_id', ?)", (uuid.uuid4().hex[:12],))
                connection.execute(f"PRAGMA user_version={VERSION}")
            self._load(connection)
            connection.execute("COMMIT")
        except BaseException as error:
            if connection is not None:
                connection.close()
            if isinstance(error, sqlite3.Error):
                raise translate(error, self.path) from error
            if isinstance(error, LookupError | ValueError):
                raise QueueDamagedError(f"its state is not readable: {error}") from error
            raise
        sync_folder(self.path.parent)
        return connection

    def _load(self, connection: sqlite3.Connection) -> None:
        state = dict(connection.execute("SELECT name, value FROM state"))
        totals = Totals()
        totals.depth, totals.size = connection.execute("SELECT count(*), total(size) FROM messages").fetchone()
        totals.dead_letters, totals.dead_letter_size = connection.execute(
            "SELECT count(*), total(size) FROM dead_letters"
        ).fetchone()
        totals.size, totals.dead_letter_size = int(totals.size), int(totals.dead_letter_size)
        totals.counters = {name: int(state.get(name, 0)) for name in COUNTERS}
        self.totals = totals
        self.queue_id = str(state["queue_id"])
        self._next = int(state.get("next_sequence", 1))
        if "clock" in state:
            elapsed, boot_id, monotonic, wall = json.loads(state["clock"])
            self.clock.restore(Reading(elapsed, boot_id, monotonic, wall))

    def _set_aside(self, why: str) -> Path:
        number = 1
        while (aside := self.path.with_name(f"{self.path.name}.damaged-{number}")).exists():
            number += 1
        for suffix in ("", "-wal", "-shm"):
            with suppress(FileNotFoundError):
                Path(f"{self.path}{suffix}").rename(f"{aside}{suffix}")
        sync_folder(self.path.parent)
        _log.error("%s is damaged (%s); it was set aside as %s", self.path, why, aside.name)
        return aside

    def _carry_over(self, aside: Path) -> None:
        """Copy what can be read from a damaged file. A message may come over that was sent already: a duplicate."""
        state: dict[str, int | str] = {}
        carried = dict.fromkeys(("messages", "dead_letters"), 0)
        with suppress(sqlite3.Error), closing(connect(aside)) as source, self.transaction():
            with suppress(sqlite3.Error):
                state = dict(source.execute("SELECT name, value FROM state"))
            for table in carried:
                with suppress(sqlite3.Error):
                    for row in source.execute(f"SELECT * FROM {table} ORDER BY sequence"):  # noqa: S608 - constant
                        places = ", ".join("?" * len(row))
                        self._connection.execute(
                            f"INSERT OR IGNORE INTO {table} VALUES ({places})",  # noqa: S608 - constants
                            (*row[:7], self.clock.elapsed(), *row[8:]),
                        )
                        self._next = max(self._next, int(row[0]) + 1)
                        carried[table] += 1
            if "queue_id" in state:
                self._connection.execute("UPDATE state SET value = ? WHERE name = 'queue_id'", (state["queue_id"],))
            for name in COUNTERS:
                self.totals.counters[name] = int(state.get(name, 0))
            self.totals.counters["set_aside"] += 1
            self._next = max(self._next, int(state.get("next_sequence", 1)))
        self._load(self._connection)
        _log.error("%d messages and %d dead letters were carried over from %s", *carried.values(), aside.name)

    def recover_from_damage(self, why: str) -> None:
        """Set the open file aside, begin a new one, and carry over what can be read.

        Args:
            why: What is wrong with it, for the log.

        Raises:
            QueueStorageError: No new file can be made.
        """
        aside = self._set_aside(why)
        # Closed only now: closing the last connection deletes the WAL by its old name, which is gone.
        self._connection.close()
        self._connection = self._try_open(check=False)
        self._carry_over(aside)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

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
            self._connection.execute("BEGIN IMMEDIATE")
            yield
            self._connection.executemany("INSERT OR REPLACE INTO state VALUES (?, ?)", self._changed_state(before[0]))
            self._connection.execute("COMMIT")
        except BaseException as error:
            self.totals, self._next = before
            with suppress(sqlite3.Error):
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
            if isinstance(error, sqlite3.Error):
                raise translate(error, self.path) from error
            raise

    def _changed_state(self, before: Totals) -> list[tuple[str, int | str]]:
        changed: list[tuple[str, int | str]] = [
            (name, value) for name, value in self.totals.counters.items() if value != before.counters[name]
        ]
        return [*changed, ("next_sequence", self._next), ("clock", json.dumps(astuple(self.clock.reading())))]

    def put(self, draft: Draft, now: float) -> int:
        """Add a message at the end, making room if the limits ask for it.

        Args:
            draft: The message.
            now: The wall clock, in seconds since 1970.

        Returns:
            Its sequence number.

        Raises:
            QueueFullError: There is no room, and the limits say to refuse.
        """
        self._make_room(draft)
        sequence = self._next
        self._connection.execute(
            "INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0)",
            (
                sequence,
                draft.id,
                draft.topic,
                draft.payload,
                int(draft.retain),
                draft.content_type,
                now,
                self.clock.elapsed(),
                draft.size,
            ),
        )
        self._next += 1
        self.totals.depth += 1
        self.totals.size += draft.size
        self.totals.counters["accepted"] += 1
        return sequence

    def _make_room(self, draft: Draft) -> None:
        excess = self.totals.size + draft.size - self.limits.max_bytes
        if excess <= 0:
            return
        if self.limits.when_full == "refuse" or draft.size > self.limits.max_bytes:
            raise QueueFullError(
                f"the queue is full: {self.totals.depth} messages of {self.totals.size} bytes, the limit is"
                f" {self.limits.max_bytes} bytes; the message was not accepted"
            )
        last = freed = 0
        for sequence, size in self._connection.execute("SELECT sequence, size FROM messages ORDER BY sequence"):
            last, freed = sequence, freed + size
            if freed >= excess:
                break
        self._delete_through("sequence", last, "dropped_by_size")

    def expire(self) -> int:
        """Drop what has waited for longer than the limit, queued messages and dead letters alike.

        Returns:
            How many queued messages.
        """
        limit = self.clock.elapsed() - self.limits.max_age
        dropped = self._delete_through("elapsed", limit, "dropped_by_age")
        count, size = self._connection.execute(
            "SELECT count(*), total(size) FROM dead_letters WHERE elapsed <= ?", (limit,)
        ).fetchone()
        self._connection.execute("DELETE FROM dead_letters WHERE elapsed <= ?", (limit,))
        self._forget_dead_letters(count, int(size))
        return dropped

    def _delete_through(self, column: str, last: float, counter: str) -> int:
        count, size = self._connection.execute(
            f"SELECT count(*), total(size) FROM messages WHERE {column} <= ?",  # noqa: S608 - a constant name
            (last,),
        ).fetchone()
        self._connection.execute(f"DELETE FROM messages WHERE {column} <= ?", (last,))  # noqa: S608 - a constant name
        self.totals.depth -= count
        self.totals.size -= int(size)
        self.totals.counters[counter] += count
        return int(count)

    def remove(self, sequence: int) -> int:
        """Take a delivered message out. One that was dropped meanwhile is passed over.

        Args:
            sequence: Its number.

        Returns:
            How many were there: 1 or 0.
        """
        taken = self._take(sequence)
        self.totals.counters["sent"] += taken
        return taken

    def record_try(self, sequence: int) -> int:
        """Count that a message was refused or suspected.

        Args:
            sequence: Its number.

        Returns:
            How many were there: 1 or 0.
        """
        return self._connection.execute(
            "UPDATE messages SET tries = tries + 1 WHERE sequence = ?", (sequence,)
        ).rowcount

    def bury(self, sequence: int, reason: str, now: float) -> int:
        """Move a message to the dead letters, the oldest of which give way if there is no room.

        Args:
            sequence: Its number.
            reason: Why it was given up.
            now: The wall clock, in seconds since 1970.

        Returns:
            How many were there: 1 or 0.
        """
        row = self._connection.execute(
            f"SELECT {COLUMNS} FROM messages WHERE sequence = ?",  # noqa: S608 - constant
            (sequence,),
        ).fetchone()
        if row is None:
            return 0
        self._take(sequence)
        self._connection.execute(
            "INSERT INTO dead_letters VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ? + 1, ?, ?)", (*row, reason, now)
        )
        self.totals.counters["refused"] += 1
        self.totals.dead_letters += 1
        self.totals.dead_letter_size += int(row[8])
        while self.totals.dead_letters > 1 and self.totals.dead_letter_size > self.limits.max_bytes // 8:
            oldest, size = self._connection.execute(
                "DELETE FROM dead_letters WHERE sequence = (SELECT min(sequence) FROM dead_letters)"
                " RETURNING sequence, size"
            ).fetchone()
            _log.warning("dead letter %d gave way to newer ones", oldest)
            self._forget_dead_letters(1, size)
        return 1

    def revive(self) -> int:
        """Put all dead letters back at the end of the queue, with new sequence numbers and their old ids.

        Returns:
            How many.
        """
        rows = self._connection.execute(f"SELECT {COLUMNS} FROM dead_letters ORDER BY sequence").fetchall()  # noqa: S608 - constant
        for row in rows:
            self._connection.execute(
                "INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0)",
                (self._next, *row[1:7], self.clock.elapsed(), row[8]),
            )
            self._next += 1
        self._connection.execute("DELETE FROM dead_letters")
        self.totals.depth += len(rows)
        self.totals.size += self.totals.dead_letter_size
        self.totals.dead_letters = self.totals.dead_letter_size = 0
        return len(rows)

    def _take(self, sequence: int) -> int:
        row = self._connection.execute("DELETE FROM messages WHERE sequence = ? RETURNING size", (sequence,)).fetchone()
        if row is None:
            return 0
        self.totals.depth -= 1
        self.totals.size -= int(row[0])
        return 1

    def _forget_dead_letters(self, count: int, size: int) -> None:
        self.totals.dead_letters -= count
        self.totals.dead_letter_size -= size
        self.totals.counters["dead_letters_dropped"] += count
