"""The queue's SQLite schema, how its file is opened, and what SQLite's errors mean for the queue."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from pathlib import Path

from device_agent.messages import Message, QueueDamagedError, QueueStorageError

VERSION = 1
"""The schema's version, kept as `PRAGMA user_version`."""
PAGE_SIZE = 1024
"""Bytes. A commit appends whole pages to the log, and a message of 256 bytes changes one: with pages of 4096 bytes it
writes 8.2 kB to the card, with these 5.1 kB (docs/performance.md)."""
CHECKPOINT = 4000
"""Pages of the log after which SQLite moves them into the database: 4 MB, as with pages of the usual size."""
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
RECEIVED = """
CREATE TABLE IF NOT EXISTS subscriptions (filter TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS received (
    number INTEGER PRIMARY KEY AUTOINCREMENT, filter TEXT NOT NULL, topic TEXT NOT NULL, payload BLOB NOT NULL,
    properties TEXT NOT NULL, size INTEGER NOT NULL
) STRICT;
"""
"""What came later; the release before opens a file that has them, and leaves them as they are."""
COLUMNS = "sequence, id, topic, payload, retain, content_type, accepted_at, elapsed, size, tries"
_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def connect(path: Path) -> sqlite3.Connection:
    """Open a database in autocommit mode, for any one thread at a time."""
    return sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)


def prepare(connection: sqlite3.Connection, *, empty: bool) -> None:
    """Set how the database is written; one that holds nothing gets the present page size."""
    if empty and connection.execute("PRAGMA page_size").fetchone()[0] != PAGE_SIZE:
        # Only VACUUM changes it, and not of a database in WAL mode (https://www.sqlite.org/pragma.html#pragma_page_size).
        # While somebody else reads the file, or on a full disk, it stays as it is.
        with suppress(sqlite3.OperationalError):
            connection.execute("PRAGMA journal_mode=DELETE")
            connection.execute(f"PRAGMA page_size={PAGE_SIZE}")
            connection.execute("VACUUM")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT}")


def read_messages(connection: sqlite3.Connection, after: int, limit: int) -> list[Message]:
    """Read queued messages in order.

    Args:
        connection: Any connection to the file.
        after: The sequence number before the first one wanted.
        limit: The most to read.
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


def translate(error: sqlite3.Error | OSError, path: Path) -> Exception:
    """Turn an error of SQLite or the system into damage, a refusal of the disk, or itself if it is neither."""
    code = getattr(error, "sqlite_errorcode", None)
    if isinstance(error, sqlite3.IntegrityError) or (code is not None and code & 0xFF in _DAMAGE):
        # Nothing that the queue writes breaks a constraint of a sound file.
        return QueueDamagedError(str(error))
    if isinstance(error, sqlite3.OperationalError | OSError):
        return QueueStorageError(
            f"{path} cannot be written: {error}; the message was not accepted; check `df {path.parent}` and whether the"
            " file system is read-only",
            full=code is not None and code & 0xFF == sqlite3.SQLITE_FULL,
        )
    return error
