"""The counts of a long run find what is wrong. Cannot prove that the run feeds them all that happened."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soak.accounting import WARM_UP, Arrival, Sample, count, memory

NUMBERS = st.lists(st.integers(0, 500), unique=True, min_size=1)


def arrivals(*numbers: int) -> list[Arrival]:
    return [Arrival(float(at), number) for at, number in enumerate(numbers)]


def test_a_lost_message_and_a_duplicate_are_found() -> None:
    found = count(range(5), arrivals(0, 1, 1, 2, 4, 1))
    assert (found.published, found.delivered, found.duplicates, found.lost) == (5, 4, 2, (3,))


def test_a_message_that_comes_after_a_later_one_is_out_of_order_and_a_late_copy_is_not() -> None:
    assert count(range(4), arrivals(0, 2, 1, 3)).out_of_order == 1
    assert count(range(4), arrivals(0, 1, 2, 3, 0, 1)).out_of_order == 0


def test_a_message_that_came_without_a_receipt_is_no_loss_and_no_delivery_of_what_was_published() -> None:
    found = count([0, 1], arrivals(0, 1, 2))
    assert (found.delivered, found.unreceipted, found.lost) == (2, 1, ())


def test_the_longest_gap_lies_between_two_arrivals() -> None:
    messages = count([0, 1, 2], [Arrival(1, 0), Arrival(1.5, 1), Arrival(10, 2)])
    assert (messages.longest_gap, messages.longest_gap_after) == (8.5, 0.5)
    assert count([0], [Arrival(1, 0)]).longest_gap == 0


@given(NUMBERS, st.data())
def test_whatever_is_left_out_is_lost_and_whatever_is_repeated_is_a_duplicate(
    numbers: list[int], data: st.DataObject
) -> None:
    lost = data.draw(st.sets(st.sampled_from(numbers)))
    came = [number for number in numbers if number not in lost]
    again = data.draw(st.lists(st.sampled_from(came))) if came else []
    found = count(numbers, arrivals(*came, *again))
    assert found.lost == tuple(sorted(lost))
    assert (found.delivered, found.duplicates) == (len(came), len(again))


def growing(pid: int, begin: int, end: int, size: int, by_second: float) -> list[Sample]:
    return [Sample(at, pid, int(size + by_second * (at - begin))) for at in range(begin, end)]


def test_a_slope_is_found_through_a_restart_that_begins_lower() -> None:
    samples = [*growing(1, 0, 400, 50_000_000, 1000), *growing(2, 400, 800, 30_000_000, 1000)]
    found = memory(samples)
    assert found is not None
    assert found.slope == pytest.approx(3.6)
    assert (found.start, found.processes, found.most) == (50.0, 2, 50.4)


def test_a_start_is_no_growth() -> None:
    first, second = (
        growing(1, 0, 300, 40_000_000, 0),
        growing(2, 300, 300 + int(WARM_UP), 10_000_000, 30_000_000 / WARM_UP),
    )
    found = memory([*first, *second, *growing(2, 300 + int(WARM_UP), 600, 40_000_000, 0)])
    assert found is not None
    assert found.slope == 0


def test_too_little_says_nothing_of_growth() -> None:
    found = memory(growing(1, 0, 30, 40_000_000, 5))
    assert found is not None
    assert found.slope is None
    assert memory([]) is None
