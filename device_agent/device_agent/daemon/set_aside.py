"""Damaged queue files: set aside under a name of their own, and what can be read of them copied into the new file.

`queue.sqlite3.carrying-N` is one that is still being copied, so that neither a full disk nor a restart ends that;
`queue.sqlite3.damaged-N` is one that is done with. The newest few are kept for whoever wants to look.
"""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from device_agent.daemon.database import connect, translate
from device_agent.files import sync_folder

KEPT = 3
"""Damaged files that are kept; each may be as large as the queue."""
AT_ONCE = 100
"""Messages that are copied in one transaction."""
# The first column of each is its key, in the order of which it is copied.
_TABLES = {"messages": "sequence", "dead_letters": "sequence", "subscriptions": "filter", "received": "number"}
_AGED = ("messages", "dead_letters")
# The disk, not damage: worth another try.
_TRY_AGAIN = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_BUSY}
# The database last: while it is there, a restart finds it damaged and sets it aside again.
_SUFFIXES = ("-wal", "-shm", "")
_log = logging.getLogger(__name__)


def set_aside(path: Path, why: str) -> None:
    """Rename a damaged file and its log; `CarryOver.pending` finds it.

    Raises:
        QueueStorageError: The disk does not let it be renamed, such as a card that is read-only since it fails.
    """
    names = {_number(file) for kind in ("carrying", "damaged") for file in path.parent.glob(f"{path.name}.{kind}-*")}
    aside = path.with_name(f"{path.name}.carrying-{max(names, default=0) + 1}")
    with _storage_errors(path):
        _rename(path, aside)
        sync_folder(path.parent)
    _log.error("%s is damaged (%s); it was set aside as %s", path, why, aside.name)


class CarryOver:
    """A file that was set aside and is not copied to its end."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.copied = 0
        self._key = f"carried-{_number(file)}"
        self._source: sqlite3.Connection | None = None

    @classmethod
    def pending(cls, path: Path) -> list[CarryOver]:
        """Find the files that are not copied to their end, oldest first.

        Args:
            path: The queue's file.
        """
        found = [file for file in path.parent.glob(f"{path.name}.carrying-*") if file.name[-1].isdigit()]
        return [cls(file) for file in sorted(found, key=_number)]

    def state(self, target: sqlite3.Connection) -> dict[str, int | str] | None:
        """Read the file's state; None if that was done before.

        Raises:
            sqlite3.Error: The disk does not let it be read now.
        """
        if target.execute("SELECT 1 FROM state WHERE name = ?", (self._key,)).fetchone():
            return None
        return {str(name): value for name, value in self._read("SELECT name, value FROM state")}

    def copy_some(self, target: sqlite3.Connection, elapsed: float) -> bool:
        """Copy the next messages inside a transaction of the target, which also keeps how far it is.

        Args:
            target: The queue's new database.
            elapsed: The age clock's time, from which their age counts anew.

        Returns:
            Whether there is more.

        Raises:
            sqlite3.Error: The disk does not take them now.
        """
        found = target.execute("SELECT value FROM state WHERE name = ?", (self._key,)).fetchone()
        names = list(_TABLES)
        table, after = json.loads(found[0]) if found else (names[0], 0)
        key = _TABLES[table]
        rows = self._read(f"SELECT * FROM {table} WHERE {key} > ? ORDER BY {key} LIMIT {AT_ONCE}", after)  # noqa: S608 - constants
        for row in rows:
            target.execute(
                f"INSERT OR IGNORE INTO {table} VALUES ({', '.join('?' * len(row))})",  # noqa: S608 - constants
                (*row[:7], elapsed, *row[8:]) if table in _AGED else row,
            )
        self.copied += len(rows)
        more = True
        if len(rows) == AT_ONCE:
            after = rows[-1][0]
        elif table != names[-1]:
            table, after = names[names.index(table) + 1], 0
        else:
            more, after = False, rows[-1][0] if rows else after
        target.execute("INSERT OR REPLACE INTO state VALUES (?, ?)", (self._key, json.dumps([table, after])))
        return more

    def finish(self) -> None:
        """Rename the file, and remove the oldest beyond those that are kept.

        Raises:
            QueueStorageError: The disk does not take that now; what was copied is not copied again.
        """
        self.close()
        with _storage_errors(self.file):
            name = self.file.name.replace(".carrying-", ".damaged-")
            _rename(self.file, self.file.with_name(name))
            _log.error("%d messages were carried over from %s", self.copied, self.file.name)
            pattern = name.rpartition("-")[0]
            done = [file for file in self.file.parent.glob(f"{pattern}-*") if file.name[-1].isdigit()]
            for file in sorted(done, key=_number)[:-KEPT]:
                _log.warning("%s was removed; the newest %d damaged files are kept", file.name, KEPT)
                for suffix in _SUFFIXES:
                    Path(f"{file}{suffix}").unlink(missing_ok=True)
            sync_folder(self.file.parent)

    def close(self) -> None:
        """Close the file until the next try."""
        if self._source is not None:
            self._source.close()
            self._source = None

    def _read(self, query: str, *values: int | str) -> list[tuple[Any, ...]]:
        rows = []
        try:
            if self._source is None:
                self._source = connect(self.file)
            for row in self._source.execute(query, values):
                rows.append(row)
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in _TRY_AGAIN:
                raise
        return rows


@contextmanager
def _storage_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise translate(error, path) from error


def _rename(path: Path, target: Path) -> None:
    for suffix in _SUFFIXES:
        with suppress(FileNotFoundError):
            Path(f"{path}{suffix}").rename(f"{target}{suffix}")


def _number(file: Path) -> int:
    digits = file.name.removesuffix("-wal").removesuffix("-shm").rpartition("-")[2]
    return int(digits) if digits.isdigit() else 0
