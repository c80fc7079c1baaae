"""Delivery through a connection that the tests play, with time moved by hand.

It cannot prove what AWS IoT answers; the path tier asks a gateway that is built after AWS's pages.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from device_agent.daemon.delivery import (
    LEAST_IN_FLIGHT,
    PACKET_OVERHEAD,
    QUOTA_PAUSE,
    Accepted,
    Delivery,
    DeliveryOptions,
    LineRate,
    Lost,
    Outcome,
    Refused,
)
from device_agent.daemon.loop import Loop
from device_agent.daemon.queue import Queue
from device_agent.messages import Message
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.device_agent_daemon.machine import Machine, advance, make_machine, put, settle


class Service:
    """The far end: keeps what is sent until the test says what becomes of it."""

    def __init__(self, delivery: Delivery) -> None:
        self.delivery = delivery
        self.sent: list[Message] = []
        self.open: dict[str, Callable[[Outcome], None]] = {}

    def connect(self, receive_maximum: int = 100, *, proven: bool = True) -> None:
        self.delivery.connected(self._send, receive_maximum)
        if proven:
            self.delivery.proven()

    def _send(self, message: Message, done: Callable[[Outcome], None]) -> None:
        self.sent.append(message)
        self.open[message.id] = done

    def answer(self, id: str, outcome: Outcome | None = None) -> None:  # noqa: A002 - the field's name
        self.open.pop(id)(outcome or Accepted())

    def answer_all(self) -> None:
        while self.open:
            self.answer(next(iter(self.open)))

    def hang_up(self) -> None:
        lost = list(self.open.values())
        self.open.clear()
        for done in lost:
            done(Lost("the connection ended"))
        self.delivery.disconnected(hung_up=True)

    @property
    def ids(self) -> list[str]:
        return [message.id for message in self.sent]


class Bench:
    """A queue, a delivery and a service."""

    def __init__(self, root: Path, options: DeliveryOptions) -> None:
        self.machine: Machine = make_machine(root)
        self.loop = Loop(self.machine)
        (root / "state").mkdir()
        self.queue = Queue(self.machine, root / "state/queue.sqlite3")
        self.delivery = Delivery(self.machine, self.loop, self.queue, options)
        self.service = Service(self.delivery)

    def put(self, *ids: str) -> None:
        for id_ in ids:
            put(self.queue, id=id_)
        self.delivery.pump()

    def waiting(self) -> list[str]:
        settle(self.queue)
        return [message.id for message in self.queue.read(0, 1000)]

    def counters(self) -> dict[str, int]:
        settle(self.queue)
        return self.queue.totals().counters

    def close(self) -> None:
        self.queue.close()
        self.loop.close()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    built = Bench(tmp_path, DeliveryOptions(in_flight=50, max_tries=3, first_delay=1.0, max_waiting=5))
    yield built
    built.close()


def test_nothing_is_sent_without_a_connection(bench: Bench) -> None:
    bench.put("a")
    assert bench.service.ids == []
    assert bench.waiting() == ["a"]


def test_messages_go_in_order_as_many_as_the_service_allows(bench: Bench) -> None:
    bench.put(*"abcde")
    bench.service.connect(receive_maximum=3)
    assert bench.service.ids == ["a", "b", "c"]
    bench.service.answer("b")
    assert bench.service.ids == ["a", "b", "c", "d"]
    assert bench.waiting() == ["a", "c", "d", "e"]


def test_a_message_stays_until_it_is_accepted(bench: Bench) -> None:
    bench.service.connect()
    bench.put("a")
    assert bench.waiting() == ["a"]
    bench.service.answer("a")
    assert bench.waiting() == []
    assert bench.counters()["sent"] == 1


def test_after_a_lost_connection_all_that_was_in_flight_goes_again_in_order(bench: Bench) -> None:
    bench.service.connect()
    bench.put(*"abcd")
    bench.service.answer("b")
    bench.delivery.disconnected(hung_up=False)
    bench.service.sent.clear()
    bench.service.connect()
    assert bench.service.ids == ["a", "c", "d"]
    assert all(message.tries == 0 for message in bench.service.sent), "a lost connection was held against a message"


def test_an_acceptance_that_comes_after_the_connection_was_given_up_counts(bench: Bench) -> None:
    bench.service.connect()
    bench.put("a")
    late = bench.service.open.pop("a")
    bench.delivery.disconnected(hung_up=False)
    late(Accepted())
    bench.service.connect()
    assert bench.service.ids == ["a"]
    assert bench.waiting() == []


def test_what_is_in_flight_is_bounded_by_the_rate_of_the_line(bench: Bench) -> None:
    """A line of 4,000 bytes a second: with 64 kB waiting, no more is under way than it carries in a few seconds."""
    for number in range(64):
        put(bench.queue, id=f"m{number}", payload=bytes(1000))
    bench.service.connect(receive_maximum=100)
    most = LEAST_IN_FLIGHT
    assert 10 <= len(bench.service.open) <= most / 1000
    for _answer in range(50):
        bench.machine.pass_time((1000 + PACKET_OVERHEAD) / 4000)
        bench.service.answer(next(iter(bench.service.open)))
        assert len(bench.service.open) <= most / 1000


def test_a_fast_line_soon_has_all_in_flight_that_is_allowed(bench: Bench) -> None:
    for number in range(200):
        put(bench.queue, id=f"m{number}", payload=bytes(1000))
    bench.service.connect(receive_maximum=50)
    for _answer in range(30):
        bench.machine.pass_time(0.001)
        bench.service.answer(next(iter(bench.service.open)))
    assert len(bench.service.open) == 50


def test_a_message_of_any_size_is_sent_on_any_line(bench: Bench) -> None:
    for name in ("a", "b"):
        put(bench.queue, id=name, payload=bytes(128 * 1024 - 1))
    bench.service.connect()
    assert bench.service.ids == ["a"]
    bench.machine.pass_time(40)
    bench.service.answer("a")
    assert bench.service.ids == ["a", "b"]


@given(
    rate=st.floats(1_000, 10_000_000),
    delay=st.floats(0, 2),
    sizes=st.lists(st.integers(300, 130_000), min_size=20, max_size=60),
)
def test_the_measured_rate_is_never_over_that_of_the_line(rate: float, delay: float, sizes: list[int]) -> None:
    """The line carries one message after the other; the quota lets it be used, and no more than that waits."""
    line, now, free, open_ = LineRate(), 0.0, 0.0, deque[tuple[float, tuple[int, float], int]]()
    waiting, in_flight = deque(sizes), 0
    while waiting or open_:
        while waiting and in_flight < line.in_flight_quota:
            size = waiting.popleft()
            mark = line.sent(now, idle=not open_)
            free = max(free, now) + size / rate
            open_.append((free + delay, mark, size))
            in_flight += size
        now, mark, size = open_.popleft()
        in_flight -= size
        line.acknowledged(mark, size, now)
        assert line.per_second <= max(rate * 1.01, 0) or line.per_second * 1e-3 <= max(sizes)


def test_a_refused_message_steps_aside_is_tried_again_and_then_goes_to_the_dead_letters(bench: Bench) -> None:
    bench.service.connect()
    bench.put("bad", "good")
    bench.service.answer("bad", Refused("not authorized"))
    bench.service.answer("good")
    assert bench.waiting() == ["bad"]
    for delay in (1.25, 6.25):
        advance(bench.machine, bench.loop, delay)
        bench.service.answer("bad", Refused("not authorized"))
    assert bench.service.ids == ["bad", "good", "bad", "bad"]
    assert bench.waiting() == []
    assert (bench.counters()["refused"], bench.counters()["sent"]) == (1, 1)
    assert bench.delivery.last_refusal == "pi-1/test: not authorized"


def test_a_refused_message_is_not_tried_before_its_time(bench: Bench) -> None:
    bench.service.connect()
    bench.put("bad")
    bench.service.answer("bad", Refused("no"))
    advance(bench.machine, bench.loop, 0.7)
    assert bench.service.ids == ["bad"]


def test_tries_are_counted_over_a_restart(bench: Bench, tmp_path: Path) -> None:
    bench.service.connect()
    bench.put("bad")
    bench.service.answer("bad", Refused("no"))
    settle(bench.queue)
    assert [message.tries for message in bench.queue.read(0, 9)] == [1]


def test_a_message_on_its_second_try_survives_a_lost_connection(bench: Bench) -> None:
    bench.service.connect()
    bench.put("bad")
    bench.service.answer("bad", Refused("no"))
    advance(bench.machine, bench.loop, 1.25)
    bench.delivery.disconnected(hung_up=False)
    bench.service.connect()
    assert bench.service.ids == ["bad", "bad", "bad"]
    bench.service.answer("bad")
    assert bench.waiting() == []


def test_more_refusals_than_may_wait_go_to_the_dead_letters_at_once(bench: Bench) -> None:
    bench.service.connect()
    ids = [f"bad-{number}" for number in range(8)]
    bench.put(*ids)
    for id_ in ids:
        bench.service.answer(id_, Refused("no"))
    assert bench.counters()["refused"] == 3
    assert bench.waiting() == ids[:5]


def test_after_a_hang_up_what_was_in_flight_goes_one_at_a_time(bench: Bench) -> None:
    bench.service.connect()
    bench.put(*"abc")
    bench.service.hang_up()
    bench.put("later")
    bench.service.sent.clear()
    bench.service.connect(proven=False)
    assert bench.service.ids == [], "sent before the connection had proven itself"
    bench.delivery.proven()
    assert bench.service.ids == ["a"]
    bench.service.answer("a")
    assert bench.service.ids == ["a", "b"]
    bench.service.answer("b")
    bench.service.answer("c")
    assert bench.service.ids == ["a", "b", "c", "later"]


def test_the_message_that_is_alone_when_the_service_hangs_up_is_given_up_and_the_others_arrive(bench: Bench) -> None:
    bench.service.connect()
    bench.put("a", "poison", "b")
    for _ in range(20):
        while bench.service.open and "poison" not in bench.service.open:
            bench.service.answer(next(iter(bench.service.open)))
        if "poison" in bench.service.open:
            bench.service.hang_up()
            bench.service.connect()
        else:
            advance(bench.machine, bench.loop, 7)
    assert bench.waiting() == []
    assert (bench.counters()["sent"], bench.counters()["refused"]) == (2, 1)
    assert bench.service.ids.count("poison") == 4, "once among others, three times alone"


def test_a_service_that_hangs_up_on_everything_buries_nothing(bench: Bench) -> None:
    bench.service.connect()
    bench.put(*"abc")
    for _ in range(20):
        bench.service.hang_up()
        advance(bench.machine, bench.loop, 10)
        bench.service.connect(proven=False)
    assert bench.waiting() == ["a", "b", "c"]
    assert bench.counters()["refused"] == 0


def test_a_path_that_dies_again_and_again_buries_nothing(bench: Bench) -> None:
    bench.service.connect()
    bench.put("a")
    for _ in range(20):
        bench.delivery.disconnected(hung_up=False)
        bench.service.connect()
    assert bench.counters()["refused"] == 0
    assert bench.service.sent[-1].tries == 0


def test_a_suspect_is_sent_only_when_nothing_else_is_in_flight(bench: Bench) -> None:
    bench.service.connect()
    bench.put("poison")
    bench.service.hang_up()
    bench.service.connect()
    bench.service.hang_up()
    bench.service.connect()
    bench.put(*"abc")
    advance(bench.machine, bench.loop, 1.25)
    bench.put("d")
    assert "poison" not in bench.service.open
    assert "d" not in bench.service.open, "a suspect never gets its turn"
    for id_ in "abc":
        bench.service.answer(id_)
    assert list(bench.service.open) == ["poison"]
    bench.service.answer("poison")
    assert list(bench.service.open) == ["d"]


def test_a_refusal_for_coming_too_fast_slows_down_and_is_held_against_no_message(bench: Bench) -> None:
    bench.service.connect()
    bench.put(*"abc")
    bench.service.answer("a")
    bench.service.answer("b", Refused("quota", quota=True))
    bench.service.answer("c", Refused("quota", quota=True))
    bench.service.sent.clear()
    bench.put("d")
    assert bench.service.ids == []
    advance(bench.machine, bench.loop, QUOTA_PAUSE + 0.05)
    bench.service.answer_all()
    advance(bench.machine, bench.loop, 0.1)
    bench.service.answer_all()
    assert bench.service.ids == ["b", "c", "d"]
    assert bench.counters()["refused"] == 0
    assert bench.waiting() == []


def test_after_such_a_refusal_no_more_than_the_quota_is_sent_in_a_second(bench: Bench) -> None:
    bench.service.connect()
    bench.put("first")
    bench.service.answer("first", Refused("quota", quota=True))
    for number in range(300):
        put(bench.queue, id=f"m-{number}")
    advance(bench.machine, bench.loop, QUOTA_PAUSE)
    bench.service.answer_all()
    bench.service.sent.clear()
    for _ in range(100):
        advance(bench.machine, bench.loop, 0.01)
        bench.service.answer_all()
    assert 80 <= len(bench.service.sent) <= 100


def test_a_message_that_was_dropped_while_it_waited_for_its_next_try_is_forgotten(bench: Bench) -> None:
    bench.service.connect()
    bench.put("bad")
    bench.service.answer("bad", Refused("no"))
    (message,) = bench.queue.read(0, 1)
    bench.queue.remove(message)
    settle(bench.queue)
    advance(bench.machine, bench.loop, 2)
    assert bench.service.ids == ["bad"]


def test_the_age_of_the_oldest_message_in_flight_is_known(bench: Bench) -> None:
    assert bench.delivery.oldest() == 0
    bench.service.connect()
    bench.put("a")
    bench.machine.pass_time(3)
    bench.put("b")
    assert bench.delivery.oldest() == pytest.approx(3)
    bench.service.answer("a")
    assert bench.delivery.oldest() == pytest.approx(0)
