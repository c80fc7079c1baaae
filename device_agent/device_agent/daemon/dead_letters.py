"""Messages that were given up, kept in the queue's file: an eighth of its size at most."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from device_agent.daemon.database import COLUMNS

if TYPE_CHECKING:
    from device_agent.daemon.queue_file import QueueFile

_log = logging.getLogger(__name__)


def give_up(file: QueueFile, sequence: int, reason: str, now: float) -> int:
    """Move a queued message to the dead letters; the oldest of these give way if there is no room.

    Args:
        file: The queue's file, inside a transaction.
        sequence: The message's number.
        reason: Why it is given up.
        now: The wall clock, in seconds since 1970.

    Returns:
        How many were there: 1 or 0.
    """
    row = file.connection.execute(
        f"SELECT {COLUMNS} FROM messages WHERE sequence = ?",  # noqa: S608 - constant
        (sequence,),
    ).fetchone()
    if row is None:
        return 0
    file.take(sequence, sequence)
    file.connection.execute(
        "INSERT INTO dead_letters VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ? + 1, ?, ?)", (*row, reason, now)
    )
    file.count("refused", 1)
    file.totals.dead_letters += 1
    file.totals.dead_letter_size += int(row[8])
    while file.totals.dead_letters > 1 and file.totals.dead_letter_size > file.limits.max_bytes // 8:
        oldest, size = file.connection.execute(
            "SELECT sequence, size FROM dead_letters ORDER BY sequence LIMIT 1"
        ).fetchone()
        _log.warning("dead letter %d gave way to newer ones", oldest)
        file.drop("dead_letters", oldest, 1, size)
        file.count("dead_letters_dropped", 1)
    return 1


def requeue(file: QueueFile) -> int:
    """Put all dead letters back at the end of the queue, with new sequence numbers and their old ids; gives how many.

    Args:
        file: The queue's file, inside a transaction.
    """
    rows = file.connection.execute(f"SELECT {COLUMNS} FROM dead_letters ORDER BY sequence").fetchall()  # noqa: S608 - constant
    elapsed = file.clock.elapsed()
    moved = [(number, *row[1:7], elapsed, row[8]) for number, row in enumerate(rows, file.next_sequence)]
    file.append(moved, file.totals.dead_letter_size)
    file.connection.execute("DELETE FROM dead_letters")
    file.totals.dead_letters = file.totals.dead_letter_size = 0
    file.must_save = True
    return len(rows)
