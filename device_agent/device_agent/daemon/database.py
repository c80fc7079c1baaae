"""The queue's SQLite schema, and what SQLite's errors mean for the queue."""

from __future__ import annotations

import os
import sqlite3
from contextlib import suppress
from pathlib import Path

from device_agent.messages import Message, QueueDamagedError, QueueStorageError

VERSION = 1
"""The schema's version, kept as `PRAGMA user_version`."""
SCHEMA = """
CREATE TABLE messages (
    sequence INTEGER PRIMARY KEY, id TEXT NOT NULL, topic TEXT NOT NULL, payload BLOB NOT NULL, retain INTEGER NOT NULL,
    content_type TEXT, accepted_at REAL NOT NULL, elapsed REAL NOT NULL, size INTEGER NOT NULL, tries INTEGER NOT NULL
) STRICT;
CREATE TABLE dead_letters (
    sequence INTEGER PRIMARY KEY, id TEXT NOT NULL, topic TEXT NOT NULL, payload BLOB NOT NULL, retain INTEGER NOT NULL,
    content_type TEXT, accepted_at REAL NOT NULL, elapsed REAL NOT NULL, size INTEGER NOT NULL, tries INTEGER NOT NULL,
    reason TEXT NOT NULL, buried_at REAL NOT NULL
) STRICT;
CREATE TABLE state (name TEXT PRIMARY KEY, value ANY NOT NULL) STRICT, WITHOUT ROWID;
"""
COLUMNS = "sequence, id, topic, payload, retain, content_type, accepted_at, elapsed, size, tries"
_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def connect(path: Path) -> sqlite3.Connection:
    """Open a database in autocommit mode, for any one thread at a time."""
    return sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)


def read_messages(connection: sqlite3.Connection, after: int, limit: int) -> list[Message]:
    """Read queued messages in order.

    Args:
        connection: Any connection to the file.
        after: The sequence number before the first one wanted.
        limit: The most to read.

    Returns:
        The messages.
    """
    rows = connection.execute(
        f"SELECT {COLUMNS} FROM messages WHERE sequence > ? ORDER BY sequence LIMIT ?",  # noqa: S608 - constant
        (after, limit),
    )
    return [
        Message(
            sequence=row[0],
            id=row[1],
            topic=row[2],
            payload=row[3],
            retain=bool(row[4]),
            content_type=row[5],
            accepted_at=row[6],
            tries=row[9],
        )
        for row in rows
    ]


def translate(error: sqlite3.Error, path: Path) -> Exception:
    """Turn SQLite's error into damage, a refusal of the disk, or itself if it is neither.

    Args:
        error: What was raised.
        path: The file.

    Returns:
        The exception to raise.
    """
    code = getattr(error, "sqlite_errorcode", None)
    if code is not None and code & 0xFF in _DAMAGE:
        return QueueDamagedError(str(error))
    if isinstance(error, sqlite3.OperationalError):
        return QueueStorageError(
            f"{path} cannot be written: {error}; the message was not accepted; check `df {path.parent}` and whether the"
            " file system is read-only",
            full=code is not None and code & 0xFF == sqlite3.SQLITE_FULL,
        )
    return error


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with suppress(OSError):  # A read-only file system has nothing to make durable.
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
