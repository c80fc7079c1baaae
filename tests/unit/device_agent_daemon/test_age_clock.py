"""The age of messages under wrong and jumping clocks. It cannot prove what a given Pi's clock does at boot."""

from __future__ import annotations

import pytest
from device_agent.daemon.age_clock import AgeClock, Reading
from hypothesis import given
from hypothesis import strategies as st

WALL = 1_800_000_000.0


def clock(wall: float = WALL, monotonic: float = 50.0, boot_id: str = "b") -> AgeClock:
    return AgeClock(lambda: wall, lambda: monotonic, boot_id)


def test_a_restart_in_the_same_boot_counts_the_monotonic_clock_and_no_jump_of_the_wall_clock() -> None:
    restarted = clock(wall=WALL + 1e9, monotonic=80.0, boot_id="a")
    restarted.restore(Reading(100.0, "a", 50.0, 0.0))
    assert restarted.elapsed() == pytest.approx(130.0)


def test_a_reboot_counts_the_wall_clock_when_both_readings_are_plausible() -> None:
    rebooted = clock(wall=WALL + 3600, monotonic=10.0)
    rebooted.restore(Reading(100.0, "a", 9999.0, WALL))
    assert rebooted.elapsed() == pytest.approx(3700.0)


@pytest.mark.parametrize(
    ("then", "now"), [(0.0, WALL), (WALL, 100.0), (WALL + 3600, WALL), (WALL, 5e9), (100.0, 200.0)]
)
def test_a_reboot_with_an_unset_or_turned_back_clock_counts_only_the_time_since_boot(then: float, now: float) -> None:
    rebooted = clock(wall=now, monotonic=10.0)
    rebooted.restore(Reading(100.0, "a", 9999.0, then))
    assert rebooted.elapsed() == pytest.approx(110.0)


def test_a_jump_of_the_wall_clock_while_running_changes_nothing() -> None:
    times = {"wall": 0.0, "monotonic": 5.0}
    running = AgeClock(lambda: times["wall"], lambda: times["monotonic"], "a")
    times.update(wall=WALL, monotonic=6.0)
    assert running.elapsed() == pytest.approx(1.0)


@given(
    st.lists(
        st.tuples(st.floats(0, 1e5), st.booleans(), st.floats(-1e10, 1e10)),
        max_size=20,
    )
)
def test_elapsed_time_never_goes_back(steps: list[tuple[float, bool, float]]) -> None:
    times = {"wall": WALL, "monotonic": 10.0}
    boot = 0
    current = AgeClock(lambda: times["wall"], lambda: times["monotonic"], "0")
    for seconds, reboot, wall in steps:
        before = current.reading()
        if reboot:
            boot += 1
            times.update(monotonic=seconds, wall=wall)
        else:
            times["monotonic"] += seconds
        current = AgeClock(lambda: times["wall"], lambda: times["monotonic"], str(boot))
        current.restore(before)
        assert current.elapsed() >= before.elapsed - 1e-3
