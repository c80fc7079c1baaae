"""The queue with its writer: kills at any moment, full disks, damage, and two agents at once.

A killed process is real here; lost power is not: only the drive can say whether it keeps what it confirmed to fsync.
"""

from __future__ import annotations

import errno
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from device_agent._exceptions import DeviceAgentError
from device_agent.daemon import received
from device_agent.daemon.age_clock import AgeClock
from device_agent.daemon.database import PAGE_SIZE, SCHEMA, connect
from device_agent.daemon.queue import EXPIRE_EVERY, REMOVE_AT_ONCE, Queue
from device_agent.daemon.queue_file import QueueFile
from device_agent.daemon.set_aside import CarryOver
from device_agent.messages import Draft, Limits, QueueFullError, QueueStorageError

from tests.unit.device_agent_daemon.machine import Machine, make_machine, put, put_all, removed, settle

FILES = Path(__file__).parent / "files"


def error_of(queue: Queue) -> str | None:
    """Read the queue's error anew: another thread changes it, which a type checker cannot know."""
    return queue.error


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return make_machine(tmp_path / "root")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "state").mkdir()
    return tmp_path / "state/queue.sqlite3"


@pytest.fixture
def queue(machine: Machine, path: Path) -> Iterator[Queue]:
    opened = Queue(machine, path)
    yield opened
    opened.close()


def test_messages_come_back_in_order_and_leave_when_removed(queue: Queue) -> None:
    sequences = [put(queue, payload=str(number).encode()) for number in range(5)]
    assert [message.payload for message in queue.read(0, 10)] == [b"0", b"1", b"2", b"3", b"4"]
    removed(queue, sequences[1])
    assert [message.payload for message in queue.read(0, 10)] == [b"0", b"2", b"3", b"4"]
    settle(queue)
    assert (queue.totals().depth, queue.totals().counters["sent"]) == (4, 1)


def test_what_is_leaving_is_skipped_even_when_it_fills_the_whole_read(queue: Queue) -> None:
    sequences = [put(queue, payload=str(number).encode()) for number in range(6)]
    for sequence in sequences[:4]:
        removed(queue, sequence)
    assert [message.payload for message in queue.read(0, 2)] == [b"4", b"5"]
    assert queue.read(sequences[-1], 2) == []


def test_a_message_keeps_all_its_fields(queue: Queue, machine: Machine) -> None:
    put(queue, topic="pi-1/ü", payload=bytes(range(256)), id="i-1", retain=True, content_type="application/json")
    (message,) = queue.read(0, 1)
    assert (message.topic, message.payload, message.id) == ("pi-1/ü", bytes(range(256)), "i-1")
    assert (message.retain, message.content_type, message.tries) == (True, "application/json", 0)
    assert (message.sequence, message.accepted_at) == (1, machine.now())


def test_many_puts_at_once_share_transactions(queue: Queue) -> None:
    done = threading.Semaphore(0)
    for number in range(2000):
        queue.put([Draft(topic="t", payload=b"x", id=str(number))], lambda _answer: done.release())
    for _ in range(2000):
        assert done.acquire(timeout=20)
    assert queue.totals().depth == 2000
    assert [message.id for message in queue.read(0, 3000)] == [str(number) for number in range(2000)]


def test_a_second_agent_on_the_same_queue_is_refused(queue: Queue, machine: Machine, path: Path) -> None:
    with pytest.raises(DeviceAgentError, match=r"another agent has the queue in .*; stop it with"):
        Queue(machine, path)


def test_a_queue_of_a_newer_agent_is_refused_and_left_alone(machine: Machine, path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version=99")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(DeviceAgentError, match="has version 99, made by a newer agent"):
        Queue(machine, path)
    assert path.read_bytes() == before


def test_what_is_too_old_is_dropped_and_counted_though_the_wall_clock_stands_in_1970(
    machine: Machine, path: Path
) -> None:
    machine.clocks["wall"] = 5.0
    queue = Queue(machine, path, Limits(max_age=3600))
    try:
        put(queue, id="old")
        machine.clocks["wall"] = 1_800_000_000.0
        machine.clocks["monotonic"] += EXPIRE_EVERY
        put(queue, id="new")
        settle(queue)
        assert queue.totals().depth == 2, "a jump of the wall clock made a message old"
        machine.clocks["monotonic"] += 3600
        settle(queue)
        assert [message.id for message in queue.read(0, 9)] == []
        assert queue.totals().counters["dropped_by_age"] == 2
    finally:
        queue.close()


def test_a_full_queue_that_refuses_says_its_limit_and_takes_the_rest_of_the_group(machine: Machine, path: Path) -> None:
    queue = Queue(machine, path, Limits(max_bytes=1024 * 1024, when_full="refuse"))
    try:
        for _ in range(7):
            put(queue, payload=b"x" * 131_072)
        with pytest.raises(QueueFullError, match=r"the queue is full: 7 messages .* the limit is 1048576 bytes"):
            put(queue, payload=b"x" * 131_072)
        put(queue, payload=b"small")
        assert queue.totals().depth == 8
    finally:
        queue.close()


# What is written to the disk


def written() -> int:
    """Bytes that this process has made the kernel write (proc(5), write_bytes)."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("write_bytes")).split()[1])


def test_a_lone_message_writes_8_kb_at_most_with_its_removal(queue: Queue) -> None:
    """One at a time, each delivered before the next one comes, as a sensor's are."""
    assert queue._file is not None
    connection = queue._file.connection
    for _ in range(10):
        removed(queue, put(queue, payload=b"x" * 256, id="i" * 36))
    before, frames = written(), connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()[1]
    for _ in range(100):
        removed(queue, put(queue, payload=b"x" * 256, id="i" * 36))
    # Of the memory that some machines have for /tmp nothing is written: there the log's pages tell.
    assert written() - before <= 100 * 8_000
    frames = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()[1] - frames
    assert 0 < frames <= 200, "more than two pages of the log"
    assert connection.execute("PRAGMA page_size").fetchone()[0] == 1024


def test_without_messages_nothing_is_written_from_the_start_on(machine: Machine, path: Path) -> None:
    Queue(machine, path).close()
    queue = Queue(machine, path)
    statements: list[str] = []
    try:
        assert queue._file is not None
        queue._file.connection.set_trace_callback(statements.append)
        for _minute in range(5):
            machine.pass_time(EXPIRE_EVERY)
            queue._commit_if_due([])
    finally:
        queue.close()
    assert statements, "the writer did not look for what is too old"
    assert not [text for text in statements if not text.startswith("SELECT")]


def test_a_removal_is_written_within_a_minute_and_at_once_with_others(queue: Queue, machine: Machine) -> None:
    put_all(queue, [Draft(topic="t", payload=b"x", id=str(number)) for number in range(150)])
    messages = queue.read(0, 150)
    queue.remove(messages[0])
    assert (queue.totals().depth, queue.totals().counters["sent"]) == (149, 1)
    assert queue._removals, "a lone removal has a transaction of its own"
    for message in messages[1:REMOVE_AT_ONCE]:
        queue.remove(message)
    settle(queue)
    assert not queue._removals
    assert (queue.totals().depth, queue.totals().counters["sent"]) == (50, 100)


def test_looking_for_what_is_too_old_reads_the_oldest_alone(machine: Machine, path: Path) -> None:
    filled(machine, path, 3000)
    file = QueueFile(path, Limits(max_age=3600), AgeClock(machine.now, machine.monotonic, "boot-1"))
    pages = int(file.connection.execute("PRAGMA page_count").fetchone()[0])
    plans = []
    for table in ("messages", "dead_letters"):
        plan = file.connection.execute(
            f"EXPLAIN QUERY PLAN SELECT sequence, size, elapsed FROM {table} ORDER BY sequence LIMIT 1000"  # noqa: S608
        )
        plans += [row[3] for row in plan]
    assert pages > 1000
    assert plans == ["SCAN messages", "SCAN dead_letters"], "another order than the table's own would read it whole"
    with file.transaction():
        assert file.expire() == 0
    machine.pass_time(7200)
    dropped: list[int] = []
    while not dropped or dropped[-1]:
        with file.transaction():
            dropped.append(file.expire())
    assert dropped == [1000, 1000, 1000, 0]
    file.close()


# A file of the release before


def test_a_file_of_the_release_before_opens_and_gives_all_it_holds(machine: Machine, path: Path) -> None:
    """`queue-of-the-release-before.sqlite3` was written by that release's agent, which was then killed."""
    for suffix in ("", "-wal"):
        shutil.copy(f"{FILES / 'queue-of-the-release-before.sqlite3'}{suffix}", f"{path}{suffix}")
    queue = Queue(machine, path)
    try:
        assert [(item.sequence, item.id, item.tries) for item in queue.read(0, 99)] == [
            (number, f"id-{number}", 1 if number == 4 else 0) for number in (2, 4, 5, 6)
        ]
        totals = queue.totals()
        counters = totals.counters
        assert (totals.dead_letters, counters["accepted"], counters["sent"], counters["refused"]) == (1, 6, 1, 1)
        assert put(queue, id="new") == 7
        removed(queue, 2)
        put(queue)
    finally:
        queue.close()
    again = Queue(machine, path)
    assert [item.id for item in again.read(0, 99)] == ["id-4", "id-5", "id-6", "new", "an-id"]
    assert again.totals().counters["sent"] == 2
    again.close()


def test_an_empty_file_of_the_release_before_gets_small_pages(machine: Machine, path: Path) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    for statement in SCHEMA.split(";\n"):
        connection.execute(statement)
    connection.execute("INSERT INTO state VALUES ('queue_id', 'q1')")
    connection.execute("PRAGMA user_version=1")
    connection.close()
    queue = Queue(machine, path)
    put(queue)
    queue.close()
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA page_size").fetchone()[0] == PAGE_SIZE
    assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    connection.close()


# A process that is killed

_WRITER = """
import sys, threading
from pathlib import Path
from device_agent.messages import Draft
from device_agent.daemon.queue import Queue
from device_agent.system import System

queue = Queue(System(), Path(sys.argv[1]))
lock = threading.Lock()
def put(number):
    def answer(result):
        with lock:
            sys.stdout.write(f"{number}\\n")
            sys.stdout.flush()
    queue.put([Draft(topic="t", payload=b"p" * (number % 3000), id=str(number))], answer)
number = int(sys.argv[2])
while True:
    number += 1
    put(number)
    if number % 7 == 0:
        for message in queue.read(0, 1):
            with lock:
                sys.stdout.write(f"-{message.id}\\n")
                sys.stdout.flush()
            queue.remove(message)
    if queue._changes.qsize() > 50:
        threading.Event().wait(0.001)
"""


def test_every_acknowledged_message_is_there_after_kill_9_at_random_moments(machine: Machine, path: Path) -> None:
    chance = random.Random(7)  # noqa: S311 - not for secrets
    acknowledged: set[int] = set()
    removed: set[int] = set()
    for round_ in range(8):
        process = subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(path), str(round_ * 1_000_000)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(chance.randint(1, 400))]
        process.send_signal(signal.SIGKILL)
        # What was written before the kill is still in the pipe.
        for line in [*lines, *process.stdout.read().splitlines(keepends=True)]:
            if not line.endswith("\n"):
                continue
            (removed if line.startswith("-") else acknowledged).add(abs(int(line)))
        process.stdout.close()
        process.wait(20)
        queue = Queue(machine, path)
        kept = [int(message.id) for message in queue.read(0, 1_000_000)]
        counters = queue.totals().counters
        queue.close()
        assert kept == sorted(kept), "the order changed"
        assert len(kept) == len(set(kept)), "a message is there twice"
        assert acknowledged - removed <= set(kept), "an acknowledged message is gone"
        assert counters["set_aside"] == 0
        assert len(kept) == counters["accepted"] - counters["sent"]


# A disk that refuses


def limit_pages(queue: Queue, pages: int) -> None:
    """Make the database unable to grow, as a full disk does; SQLite then answers SQLITE_FULL."""
    assert queue._file is not None
    queue._file.connection.execute(f"PRAGMA max_page_count={pages}")


def test_a_full_disk_refuses_puts_keeps_what_it_has_and_recovers(queue: Queue) -> None:
    first = put(queue, payload=b"a" * 1000, id="kept")
    limit_pages(queue, 1)
    with pytest.raises(QueueStorageError, match="database or disk is full; the message was not accepted; check `df"):
        put(queue, payload=b"b" * 100_000, id="refused")
    assert error_of(queue) is not None
    assert [message.id for message in queue.read(0, 9)] == ["kept"]
    removed(queue, first)
    settle(queue)
    assert queue.read(0, 9) == [], "a delivered message would be sent again"
    limit_pages(queue, 1_000_000)
    put(queue, payload=b"c" * 100_000, id="taken")
    assert error_of(queue) is None
    assert [message.id for message in queue.read(0, 9)] == ["taken"]
    assert queue.totals().counters["sent"] == 1


def test_reading_pauses_when_the_disk_takes_no_removals_for_long(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("device_agent.daemon.queue.MAX_REMOVALS", 3)
    put_all(queue, [Draft(topic="t", payload=b"x", id=str(number)) for number in range(10)])
    limit_pages(queue, 1)
    with pytest.raises(QueueStorageError):
        put(queue, payload=b"b" * 100_000)
    for message in queue.read(0, 4):
        queue.remove(message)
    assert queue.read(0, 9) == [], "what is delivered is kept in memory without a bound"
    limit_pages(queue, 1_000_000)
    put(queue)
    assert [message.id for message in queue.read(0, 2)] == ["4", "5"]


def test_a_removal_that_the_disk_refuses_is_owed_and_done_later(queue: Queue, path: Path) -> None:
    sequence = put(queue)
    blocker = connect(path)
    assert queue._file is not None
    queue._file.connection.execute("PRAGMA busy_timeout=1")
    blocker.execute("BEGIN IMMEDIATE")
    removed(queue, sequence)
    settle(queue)
    assert error_of(queue) is not None
    assert queue.read(0, 9) == []
    blocker.execute("ROLLBACK")
    blocker.close()
    put(queue, id="next")
    assert error_of(queue) is None
    assert (queue.totals().depth, queue.totals().counters["sent"]) == (1, 1)


# A damaged file


def filled(machine: Machine, path: Path, count: int = 200) -> None:
    queue = Queue(machine, path)
    done = threading.Semaphore(0)
    for number in range(count):
        draft = Draft(topic="t", payload=str(number).encode() * 500, id=str(number))
        queue.put([draft], lambda _answer: done.release())
    for _ in range(count):
        assert done.acquire(timeout=20)
    queue.close()


def test_a_file_of_noise_is_set_aside_never_deleted_and_the_queue_works_on(machine: Machine, path: Path) -> None:
    noise = os.urandom(8192)
    path.write_bytes(noise)
    queue = Queue(machine, path)
    try:
        assert path.with_name("queue.sqlite3.damaged-1").read_bytes() == noise
        assert put(queue) == 1
        assert queue.totals().counters["set_aside"] == 1
    finally:
        queue.close()


def test_a_second_damaged_file_gets_a_name_of_its_own(machine: Machine, path: Path) -> None:
    for number in (1, 2):
        path.write_bytes(b"noise" * 1000)
        Queue(machine, path).close()
        assert path.with_name(f"queue.sqlite3.damaged-{number}").exists()


def test_only_the_newest_damaged_files_are_kept(machine: Machine, path: Path) -> None:
    for _ in range(6):
        path.write_bytes(b"noise" * 1000)
        Queue(machine, path).close()
    assert sorted(file.name for file in path.parent.glob("*damaged*")) == [
        f"queue.sqlite3.damaged-{number}" for number in (4, 5, 6)
    ]


def damage(queue: Queue, path: Path) -> None:
    """Overwrite the open database but for its first half."""
    assert queue._file is not None
    queue._file.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2 // 4096 * 4096)
        file.write(b"\xff" * (path.stat().st_size // 3))
    queue._file.connection.execute("PRAGMA shrink_memory")


def test_after_damage_the_reader_sees_what_the_writer_adds_and_not_what_it_removed(
    machine: Machine, path: Path
) -> None:
    filled(machine, path)
    queue = Queue(machine, path)
    try:
        assert [message.id for message in queue.read(0, 2)] == ["0", "1"]
        damage(queue, path)
        queue._damage = "found by the writer"
        put(queue, id="after the damage")
        assert queue.read(0, 1000)[-1].id == "after the damage", "the reader stays on the old file"
        removed(queue, 1)
        put(queue, id="and a removal")
        assert [message.id for message in queue.read(0, 1)] == ["1"]
        assert len(queue.read(0, 1000)) == queue.totals().depth
    finally:
        queue.close()


def test_what_a_full_disk_kept_from_being_carried_over_is_tried_again(
    machine: Machine, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(machine, path, 400)
    queue = Queue(machine, path)
    restored = threading.Event()
    queue._on_restored = restored.set
    room = [200]
    opened = QueueFile._open

    def small(self: QueueFile, *, check: bool) -> sqlite3.Connection:
        connection = opened(self, check=check)
        connection.execute(f"PRAGMA max_page_count={room[0]}")
        return connection

    monkeypatch.setattr(QueueFile, "_open", small)
    monkeypatch.setattr("device_agent.daemon.queue.RETRY", 0.05)
    try:
        queue._damage = "found by the writer"
        assert put(queue, id="while the disk is full") == 401
        first = len(queue.read(0, 1000))
        assert 1 < first < 401, "all was carried over, or nothing"
        assert list(path.parent.glob("queue.sqlite3.carrying-1"))
        limit_pages(queue, 1_000_000)
        assert restored.wait(20), "it is not tried again"
        settle(queue)
        assert [message.id for message in queue.read(0, 1000)] == [
            *(str(number) for number in range(400)),
            "while the disk is full",
        ]
        assert queue.totals().depth == 401
        assert queue.totals().counters["set_aside"] == 1
        assert [file.name for file in path.parent.glob("*.carrying-*")] == []
        assert path.with_name("queue.sqlite3.damaged-1").exists()
    finally:
        queue.close()


def test_a_damaged_file_on_a_card_that_became_read_only_refuses_puts_until_it_can_be_set_aside(
    machine: Machine, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    renamed = Path.rename

    def refuse(_self: Path, _target: str) -> Path:
        raise OSError(errno.EROFS, "Read-only file system")

    queue = Queue(machine, path)
    try:
        put(queue, id="before")
        monkeypatch.setattr(Path, "rename", refuse)
        queue._damage = "found by the reader"
        with pytest.raises(QueueStorageError, match=r"cannot be written: .*Read-only file system"):
            put(queue, id="refused")
        assert queue.stalled_for() < float("inf"), "the writer has died"
        monkeypatch.setattr(Path, "rename", renamed)
        put(queue, id="after")
        assert [message.id for message in queue.read(0, 10)] == ["before", "after"]
    finally:
        queue.close()


def test_the_agent_starts_on_a_damaged_file_that_cannot_be_set_aside(
    machine: Machine, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_bytes(b"no database at all" * 500)

    def refuse(_self: Path, _target: str) -> Path:
        raise OSError(errno.EROFS, "Read-only file system")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", refuse)
        queue = Queue(machine, path)
        assert "Read-only file system" in str(error_of(queue))
    try:
        put(queue, id="after")
        assert path.with_name("queue.sqlite3.damaged-1").exists()
    finally:
        queue.close()


def test_persistent_subscriptions_and_what_came_in_for_them_survive_damage(machine: Machine, path: Path) -> None:
    queue = Queue(machine, path)
    try:
        queue.change(lambda file: received.subscribe(file, "commands/#"))
        queue.change(lambda file: received.keep(file, ["commands/#"], "commands/now", b"go", {"k": "v"}))
        settle(queue)
        queue._damage = "found by the writer"
        put(queue)
        assert queue.persistent_filters() == ["commands/#"]
        (kept,) = queue.read_received("commands/#", 0, 9)
        assert (kept.payload, kept.properties) == (b"go", {"k": "v"})
        assert (queue.totals().received, queue.totals().counters["set_aside"]) == (1, 1)
    finally:
        queue.close()


def test_a_restart_goes_on_with_carrying_over(machine: Machine, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(machine, path, 400)
    path.rename(path.with_name("queue.sqlite3.carrying-1"))
    full = [True]
    copy_some = CarryOver.copy_some

    def refuse(self: CarryOver, target: sqlite3.Connection, elapsed: float) -> bool:
        if full[0] and self.copied:
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorcode = sqlite3.SQLITE_FULL
            raise error
        return copy_some(self, target, elapsed)

    monkeypatch.setattr(CarryOver, "copy_some", refuse)
    first = Queue(machine, path)
    assert first.totals().depth == 100
    first.close()
    full[0] = False
    second = Queue(machine, path)
    try:
        assert [message.id for message in second.read(0, 1000)] == [str(number) for number in range(400)]
        assert put(second) == 401
    finally:
        second.close()


def test_what_can_be_read_of_a_damaged_file_is_carried_over_in_order(machine: Machine, path: Path) -> None:
    filled(machine, path)
    content = bytearray(path.read_bytes())
    middle = len(content) * 3 // 4 // 4096 * 4096
    content[middle : middle + 4096] = b"\xff" * 4096
    path.write_bytes(content)
    queue = Queue(machine, path)
    try:
        kept = [int(message.id) for message in queue.read(0, 1000)]
        assert len(kept) > 20
        assert kept == sorted(kept)
        assert put(queue, id="next") == 201, "a sequence number was used twice"
        assert queue.totals().depth == len(kept) + 1
        assert path.with_name("queue.sqlite3.damaged-1").exists()
    finally:
        queue.close()


def test_a_file_that_is_damaged_while_it_is_open_is_set_aside_and_the_put_still_accepted(
    machine: Machine, path: Path
) -> None:
    filled(machine, path)
    queue = Queue(machine, path)
    try:
        assert queue._file is not None
        queue._file.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        with path.open("r+b") as file:
            file.seek(4096)
            file.write(b"\xff" * (path.stat().st_size - 4096))
        queue._file.connection.execute("PRAGMA shrink_memory")
        put(queue, id="after the damage")
        assert path.with_name("queue.sqlite3.damaged-1").exists()
        assert queue.read(0, 1000)[-1].id == "after the damage"
        assert queue.totals().counters["set_aside"] == 1
    finally:
        queue.close()
