"""The faults of a long run, drawn from a seed. Cannot prove that the lab can make each of them; the path tests do."""

import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lab.path import faults, site_faults
from soak.lines import LIMITS, LINE_FAULTS, End, commands, undo
from soak.schedule import (
    APART,
    DEVICE_FAULTS,
    NAMES,
    OUTLIVED,
    SHORTEST_RUN,
    SITE_NAMES,
    longest_fault,
    quiet_end,
    schedule,
)

SEEDS = st.integers(0, 2**32 - 1)
SECONDS = st.floats(SHORTEST_RUN, 7200)
DEVICES = st.integers(1, 8)


@given(SEEDS, SECONDS, DEVICES)
def test_the_same_seed_draws_the_same_faults(seed: int, seconds: float, devices: int) -> None:
    assert schedule(seed, seconds, devices) == schedule(seed, seconds, devices)


@given(SEEDS, SECONDS)
@example(10177313, 120.0)  # the times, rounded down to tenths, lay closer together than what they came from
def test_a_sites_faults_befall_its_gateway_one_after_the_other(seed: int, seconds: float) -> None:
    drawn = schedule(seed, seconds, 3, site=True)
    assert {fault.name for fault in drawn} <= set(SITE_NAMES)
    befallen = [fault for fault in drawn if fault.name in site_faults.NAMES]
    assert all(after.start >= before.end + APART for before, after in itertools.pairwise(befallen))


def test_a_long_run_of_a_site_has_every_fault_of_a_site_and_another_has_none() -> None:
    site = {fault.name for fault in schedule(1, 3600, 3, site=True)}
    assert site == set(SITE_NAMES)
    assert not {fault.name for fault in schedule(1, 3600, 3)} & set(site_faults.NAMES)


@given(SEEDS, SECONDS, DEVICES)
def test_every_fault_is_known_and_lies_within_the_run_with_a_quiet_end(seed: int, seconds: float, devices: int) -> None:
    drawn = schedule(seed, seconds, devices)
    assert [fault.start for fault in drawn] == sorted(fault.start for fault in drawn)
    for fault in drawn:
        assert fault.name in NAMES
        assert 0 < fault.start <= fault.end <= seconds - quiet_end(seconds)
        if fault.name in DEVICE_FAULTS:
            assert fault.device in range(devices)
            assert fault.duration == 0
        else:
            assert fault.name in {**faults.NAMES, **LINE_FAULTS}
            least, most = LIMITS.get(fault.name, (0, 0))
            assert least - 0.1 <= fault.value <= most + 0.1
            assert fault.device is None
            assert 0 < fault.duration <= longest_fault(seconds)


@given(SEEDS, SECONDS)
def test_no_fault_begins_while_one_of_its_kind_may_be_under_way(seed: int, seconds: float) -> None:
    free_from: dict[str, float] = {}
    for fault in schedule(seed, seconds):
        assert fault.start >= free_from.get(fault.name, 0)
        free_from[fault.name] = fault.end + APART


@given(SEEDS)
def test_ten_minutes_have_room_for_nearly_every_kind(seed: int) -> None:
    drawn = schedule(seed, 600)
    assert len(drawn) >= 9
    assert len({fault.name for fault in drawn}) >= 8


@pytest.mark.parametrize("seconds", [SHORTEST_RUN, 40.0])
def test_even_a_short_run_has_a_fault(seconds: float) -> None:
    assert all(schedule(seed, seconds) for seed in range(500))


def test_some_faults_overlap_and_others_do_not() -> None:
    overlaps = [
        later.start < earlier.end for seed in range(20) for earlier, later in itertools.pairwise(schedule(seed, 600))
    ]
    assert any(overlaps)
    assert not all(overlaps)


def test_another_seed_draws_other_faults() -> None:
    assert len({tuple(schedule(seed, 600)) for seed in range(50)}) == 50


def test_the_faults_that_a_connection_outlives_are_faults_of_the_lab() -> None:
    assert set(faults.NAMES) >= OUTLIVED


@pytest.mark.parametrize("name", LINE_FAULTS)
def test_a_line_is_shaped_and_let_be_at_the_same_place(name: str) -> None:
    end = End("pi-1", "wlan0")
    (shape,) = commands(name, LIMITS[name][0], end)
    if name == "line-slow":
        assert shape[4:] == ["wlan0", "root", "tbf", "rate", "32kbit", "burst", "2000", "limit", "32000"]
        assert undo(name, end) == ["tc", "qdisc", "delete", "dev", "wlan0", "root"]
    else:
        assert {"line-lossy": "numgen random mod 1000 < 10 drop", "line-small": "udp length > 1260 drop"}[
            name
        ] in shape[1]
        assert undo(name, end)[-1] in shape[1]
