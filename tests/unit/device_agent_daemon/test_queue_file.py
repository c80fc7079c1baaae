"""The queue's file against a model of lists, through crashes, clocks and limits.

It cannot prove that a given SD card keeps what it has confirmed.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from device_agent.daemon import dead_letters
from device_agent.daemon.age_clock import AgeClock
from device_agent.daemon.database import connect, read_messages
from device_agent.daemon.queue_file import QueueFile
from device_agent.messages import COUNTERS, Draft, Limits, QueueFullError
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

MAX_BYTES = 1024 * 1024
MAX_AGE = 1000.0


@dataclass
class Row:
    sequence: int
    id: str
    payload: bytes
    size: int
    elapsed: float
    tries: int = 0


class AbandonedError(Exception):
    """Stands for a process that ends in the middle of a transaction."""


class QueueFileModel(RuleBasedStateMachine):
    """The same operations on the file and on plain lists; after each, both hold the same."""

    @initialize(when_full=st.sampled_from(["drop-oldest", "refuse"]))
    def begin(self, when_full: str) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.limits = Limits(max_bytes=MAX_BYTES, max_age=MAX_AGE, when_full=when_full)
        self.monotonic = 10.0
        self.elapsed = 0.0
        self.next = 1
        self.rows: list[Row] = []
        self.dead: list[Row] = []
        self.counters = dict.fromkeys(COUNTERS, 0)
        self.file = self.open()

    def open(self) -> QueueFile:
        clock = AgeClock(lambda: 0.0, lambda: self.monotonic, "boot")
        return QueueFile(self.folder / "queue.sqlite3", self.limits, clock)

    @rule(size=st.sampled_from([0, 1, 1000, 100_000, 131_072]), times=st.integers(1, 6))
    def put(self, size: int, times: int) -> None:
        for _ in range(times):
            draft = Draft(topic="pi-1/t", payload=bytes([self.next % 256]) * size, id=f"id-{self.next}")
            excess = sum(row.size for row in self.rows) + draft.size - MAX_BYTES
            if excess > 0 and self.limits.when_full == "refuse":
                with self.file.transaction():
                    stored = self.file.put([draft], 0.0)
                assert isinstance(stored.error, QueueFullError)
                assert stored.durable == 0
                continue
            with self.file.transaction():
                assert self.file.put([draft], 0.0) == (self.next, 1, None)
            while excess > 0:
                excess -= self.rows.pop(0).size
                self.counters["dropped_by_size"] += 1
            self.rows.append(Row(self.next, draft.id, draft.payload, draft.size, self.elapsed))
            self.counters["accepted"] += 1
            self.next += 1

    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        sequence = data.draw(st.integers(1, self.next + 1))
        with self.file.transaction():
            found = self.file.remove([sequence])
        kept = [row for row in self.rows if row.sequence != sequence]
        assert found == len(self.rows) - len(kept)
        self.counters["sent"] += found
        self.rows = kept

    @rule(data=st.data())
    def record_try(self, data: st.DataObject) -> None:
        sequence = data.draw(st.integers(1, self.next))
        with self.file.transaction():
            self.file.record_try(sequence)
        for row in self.rows:
            row.tries += row.sequence == sequence

    @rule(data=st.data())
    def move_to_dead_letters(self, data: st.DataObject) -> None:
        sequence = data.draw(st.integers(1, self.next))
        with self.file.transaction():
            dead_letters.give_up(self.file, sequence, "refused", 0.0)
        moved = [row for row in self.rows if row.sequence == sequence]
        self.rows = [row for row in self.rows if row.sequence != sequence]
        self.dead = sorted(self.dead + moved, key=lambda row: row.sequence)
        self.counters["refused"] += len(moved)
        while moved and len(self.dead) > 1 and sum(row.size for row in self.dead) > MAX_BYTES // 8:
            self.dead.pop(0)
            self.counters["dead_letters_dropped"] += 1

    @rule()
    def requeue_dead_letters(self) -> None:
        with self.file.transaction():
            assert dead_letters.requeue(self.file) == len(self.dead)
        for row in self.dead:
            self.rows.append(Row(self.next, row.id, row.payload, row.size, self.elapsed))
            self.next += 1
        self.dead = []

    @rule(seconds=st.sampled_from([1.0, 400.0, 1500.0]))
    def expire_after(self, seconds: float) -> None:
        self.monotonic += seconds
        self.elapsed += seconds
        with self.file.transaction():
            self.file.expire()
        for rows, counter in ((self.rows, "dropped_by_age"), (self.dead, "dead_letters_dropped")):
            fresh = [row for row in rows if row.elapsed > self.elapsed - MAX_AGE]
            self.counters[counter] += len(rows) - len(fresh)
            rows[:] = fresh

    @rule()
    def abandon_a_transaction(self) -> None:
        try:
            with self.file.transaction():
                self.file.put([Draft(topic="pi-1/t", payload=b"never", id="never")], 0.0)
                self.file.expire()
                raise AbandonedError
        except AbandonedError:
            pass

    @rule()
    def end_without_closing_and_open_a_copy(self) -> None:
        """The bytes on disk, as a killed process leaves them, hold all that was committed."""
        copy = Path(tempfile.mkdtemp())
        for suffix in ("", "-wal"):
            source = Path(f"{self.folder / 'queue.sqlite3'}{suffix}")
            if source.exists():
                shutil.copy(source, copy)
        self.file.close()
        shutil.rmtree(self.folder)
        self.folder = copy
        self.file = self.open()

    @invariant()
    def the_file_holds_what_the_model_holds(self) -> None:
        if not hasattr(self, "file"):
            return
        connection = connect(self.file.path)
        try:
            found = read_messages(connection, 0, 10_000)
            dead = [row[0] for row in connection.execute("SELECT sequence FROM dead_letters ORDER BY sequence")]
        finally:
            connection.close()
        assert [(m.sequence, m.id, m.payload, m.tries) for m in found] == [
            (row.sequence, row.id, row.payload, row.tries) for row in self.rows
        ]
        assert dead == [row.sequence for row in self.dead]
        totals = self.file.totals
        assert totals.counters == self.counters
        assert (totals.depth, totals.size) == (len(self.rows), sum(row.size for row in self.rows))
        assert (totals.dead_letters, totals.dead_letter_size) == (len(self.dead), sum(row.size for row in self.dead))

    def teardown(self) -> None:
        if hasattr(self, "file"):
            self.file.close()
            shutil.rmtree(self.folder)


TestQueueFileModel = QueueFileModel.TestCase
TestQueueFileModel.settings = settings(
    max_examples=int(os.environ.get("QUEUE_MODEL_EXAMPLES", "25")), stateful_step_count=30, deadline=None
)
