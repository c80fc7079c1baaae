"""The counters, the next sequence number and the clock's reading, as the queue's file keeps them.

They are not saved with each message: most of them follow from what was saved last and the messages in the file.
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass

from device_agent.daemon.age_clock import Reading
from device_agent.messages import COUNTERS, Totals


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What is known when a file is opened.

    Attributes:
        queue_id: The file's random name.
        totals: What it holds and has done.
        next_sequence: The number of the next message.
        reading: The newest reading of the clock of ages; None in a new file.
    """

    queue_id: str
    totals: Totals
    next_sequence: int
    reading: Reading | None


def load_state(connection: sqlite3.Connection) -> State:
    """Read what was saved, and what follows from the messages put since.

    Raises:
        LookupError, ValueError or TypeError: It is not readable.
    """
    found = dict(connection.execute("SELECT name, value FROM state"))
    totals = count_rows(connection)
    totals.counters = {name: int(found.get(name, 0)) for name in COUNTERS}
    newest = connection.execute(
        "SELECT sequence, accepted_at, elapsed FROM messages ORDER BY sequence DESC LIMIT 1"
    ).fetchone()
    # What was put since is counted by its sequence numbers, what was sent by what has gone.
    saved_next = int(found.get("next_sequence", 1))
    next_sequence = max(saved_next, newest[0] + 1 if newest else 1)
    totals.counters["accepted"] += next_sequence - saved_next
    saved = json.loads(found.get("saved", "{}"))
    if saved.get("next") == saved_next:
        totals.counters["sent"] = totals.counters["accepted"] - totals.depth - saved["neither"]
    reading = None
    if "clock" in found:
        elapsed, boot_id, monotonic, wall = json.loads(found["clock"])
        synchronised = saved.get("elapsed") == elapsed and saved["synchronised"]
        if newest and (since := newest[2] - elapsed) > 0:
            elapsed, monotonic, wall = elapsed + since, monotonic + since, newest[1]
        reading = Reading(elapsed, boot_id, monotonic, wall, synchronised)
    return State(queue_id=str(found["queue_id"]), totals=totals, next_sequence=next_sequence, reading=reading)


def save_state(connection: sqlite3.Connection, totals: Totals, next_sequence: int, reading: Reading) -> None:
    """Save it, inside a transaction."""
    counters = totals.counters
    saved = {
        "next": next_sequence,
        "neither": counters["accepted"] - counters["sent"] - totals.depth,
        "elapsed": reading.elapsed,
        "synchronised": reading.synchronised,
    }
    # The agent of the release before reads and writes all but "saved", which it leaves as it is.
    clock = [reading.elapsed, reading.boot_id, reading.monotonic, reading.wall]
    values = {"next_sequence": next_sequence, "clock": json.dumps(clock), "saved": json.dumps(saved)}
    connection.executemany("INSERT OR REPLACE INTO state VALUES (?, ?)", [*counters.items(), *values.items()])


def count_rows(connection: sqlite3.Connection) -> Totals:
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
