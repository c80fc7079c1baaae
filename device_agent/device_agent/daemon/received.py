"""What came in for persistent subscriptions, kept in the queue's file until a local program has taken it."""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from device_agent.messages import OVERHEAD

if TYPE_CHECKING:
    from device_agent.daemon.queue_file import QueueFile

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A message that was kept.

    Attributes:
        number: Its number, never used twice in one file.
        topic: Its topic.
        payload: Its payload.
        properties: Its user properties.
    """

    number: int
    topic: str
    payload: bytes
    properties: dict[str, str]


def subscribe(file: QueueFile, topic_filter: str) -> int:
    """Keep from now on what comes in for a filter."""
    file.connection.execute("INSERT OR IGNORE INTO subscriptions VALUES (?)", (topic_filter,))
    return 1


def unsubscribe(file: QueueFile, topic_filter: str) -> int:
    """Keep nothing more for a filter, and drop what was kept; gives how many."""
    file.connection.execute("DELETE FROM subscriptions WHERE filter = ?", (topic_filter,))
    return _drop(file, "filter = ?", topic_filter)


def keep(file: QueueFile, filters: Sequence[str], topic: str, payload: bytes, properties: dict[str, str]) -> int:
    """Keep a message, once for each filter; the oldest give way beyond an eighth of the queue's size."""
    text = json.dumps(properties)
    size = len(payload) + len(topic.encode()) + len(text) + OVERHEAD
    for topic_filter in filters:
        file.connection.execute(
            "INSERT INTO received (filter, topic, payload, properties, size) VALUES (?, ?, ?, ?, ?)",
            (topic_filter, topic, payload, text, size),
        )
        file.totals.received += 1
        file.totals.received_size += size
    while file.totals.received > 1 and file.totals.received_size > file.limits.max_bytes // 8:
        (oldest,) = file.connection.execute("SELECT min(number) FROM received").fetchone()
        _log.warning("message %d that nobody took gave way to newer ones", oldest)
        file.count("received_dropped", _drop(file, "number = ?", oldest))
    return len(filters)


def take(file: QueueFile, number: int) -> int:
    """Remove a message that a program has taken; gives how many were there: 1 or 0."""
    return _drop(file, "number = ?", number)


def filters(connection: sqlite3.Connection) -> list[str]:
    """List the persistent subscriptions."""
    return [topic_filter for (topic_filter,) in connection.execute("SELECT filter FROM subscriptions ORDER BY filter")]


def read(connection: sqlite3.Connection, topic_filter: str, after: int, limit: int) -> list[Received]:
    """Read what was kept for a filter, in order, after a number."""
    rows = connection.execute(
        "SELECT number, topic, payload, properties FROM received WHERE filter = ? AND number > ?"
        " ORDER BY number LIMIT ?",
        (topic_filter, after, limit),
    )
    return [
        Received(number=number, topic=topic, payload=payload, properties=json.loads(properties))
        for number, topic, payload, properties in rows
    ]


def _drop(file: QueueFile, condition: str, value: str | int) -> int:
    sizes = file.connection.execute(
        f"DELETE FROM received WHERE {condition} RETURNING size",  # noqa: S608 - a constant of this module
        (value,),
    ).fetchall()
    file.totals.received -= len(sizes)
    file.totals.received_size -= sum(size for (size,) in sizes)
    return len(sizes)
