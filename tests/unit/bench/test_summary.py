"""The benchmark's arithmetic. Cannot prove that what is measured is what the tables say it is."""

import statistics
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.summary import cpu_used, growth, percentile, ratio, recovery

TIMES = st.lists(st.floats(0, 1e6, allow_nan=False), min_size=1, max_size=200)


def test_the_99th_percentile_of_a_hundred_is_the_99th() -> None:
    assert percentile(list(range(100, 0, -1)), 99) == 99


def test_the_99th_percentile_of_a_few_is_the_greatest() -> None:
    assert percentile([3.0, 1.0, 2.0], 99) == 3.0


@given(TIMES, st.floats(0.001, 100))
def test_a_percentile_is_a_value_that_enough_values_do_not_exceed(values: list[float], percent: float) -> None:
    found = percentile(values, percent)
    assert found in values
    assert sum(value <= found for value in values) >= len(values) * percent / 100 - 1e-9
    assert sum(value < found for value in values) < len(values) * percent / 100 + 1e-9


@given(TIMES.filter(lambda values: len(values) % 2 == 1))
def test_the_50th_percentile_of_an_odd_number_is_the_median(values: list[float]) -> None:
    assert percentile(values, 50) == statistics.median(values)


@pytest.mark.parametrize(("values", "percent"), [([], 50), ([1.0], 0), ([1.0], 100.1)])
def test_a_percentile_of_nothing_or_out_of_range_is_refused(values: list[float], percent: float) -> None:
    with pytest.raises(ValueError, match="needs at least one value"):
        percentile(values, percent)


def test_a_ratio_to_what_was_not_measured_is_none() -> None:
    assert [ratio(1, None), ratio(None, 1), ratio(1, 0), ratio(3, 2)] == [None, None, None, 1.5]


def test_a_recovery_counts_from_the_end_of_the_fault_to_the_first_arrival_after_it() -> None:
    arrivals = [(0, 9.0), (1, 10.5), (2, 20.0), (3, 20.1)]
    found = recovery(arrivals, fault_began=10.0, fault_ended=15.0, published=6, copies=7)
    assert found == {
        "seconds": 5.0,
        "silence": 9.5,
        "published": 6,
        "arrived": 4,
        "lost": 2,
        "twice": 3,
    }


def test_what_trickles_in_during_the_fault_is_no_recovery() -> None:
    found = recovery([(0, 9.0), (1, 12.0)], fault_began=10.0, fault_ended=15.0, published=9, copies=2)
    assert (found["seconds"], found["silence"], found["lost"]) == (None, None, 7)


def test_a_peer_that_never_delivered_has_lost_all() -> None:
    found = recovery([], fault_began=1.0, fault_ended=2.0, published=5, copies=0)
    assert (found["seconds"], found["arrived"], found["lost"], found["twice"]) == (None, 0, 5, 0)


def test_a_thread_that_has_ended_takes_nothing_from_the_processor_time_of_the_others() -> None:
    assert cpu_used({1: 100, 2: 5000}, {1: 130, 3: 7}) == 37


def test_growth_is_1_where_the_time_grows_as_the_devices_do() -> None:
    rows = [{"devices": 1, "s": 2.0}, {"devices": 10, "s": 20.0}, {"devices": 100, "s": 400.0}]
    assert growth(rows, "s") == [None, 1.0, 2.0]


def test_growth_from_a_run_that_was_stopped_is_none() -> None:
    rows: list[dict[str, Any]] = [{"devices": 1, "s": None}, {"devices": 10, "s": 20.0}, {"devices": 100, "s": None}]
    assert growth(rows, "s") == [None, None, None]
    assert growth([], "s") == []
