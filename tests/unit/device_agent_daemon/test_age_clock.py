"""The age of messages under wrong and jumping clocks. It cannot prove what a given Pi's clock does at boot."""

from __future__ import annotations

import ctypes
import struct
from typing import Any

import pytest
from device_agent.daemon.age_clock import AgeClock, Reading
from device_agent.system import System
from hypothesis import given
from hypothesis import strategies as st

WALL = 1_800_000_000.0


def clock(wall: float = WALL, monotonic: float = 50.0, boot_id: str = "b", *, synchronised: bool = True) -> AgeClock:
    return AgeClock(lambda: wall, lambda: monotonic, boot_id, lambda: synchronised)


def test_a_restart_in_the_same_boot_counts_the_monotonic_clock_and_no_jump_of_the_wall_clock() -> None:
    restarted = clock(wall=WALL + 1e9, monotonic=80.0, boot_id="a")
    restarted.restore(Reading(100.0, "a", 50.0, 0.0, True))
    assert restarted.elapsed() == pytest.approx(130.0)


def test_a_reboot_counts_the_wall_clock_when_the_kernel_called_both_readings_synchronised() -> None:
    rebooted = clock(wall=WALL + 3600, monotonic=10.0)
    rebooted.restore(Reading(100.0, "a", 9999.0, WALL, True))
    assert rebooted.elapsed() == pytest.approx(3700.0)


@pytest.mark.parametrize(("then", "now"), [(False, True), (True, False), (False, False)])
def test_a_reboot_with_a_clock_that_is_not_synchronised_counts_only_the_time_since_boot(then: bool, now: bool) -> None:
    rebooted = clock(wall=WALL + 3600, monotonic=10.0, synchronised=now)
    rebooted.restore(Reading(100.0, "a", 9999.0, WALL, then))
    assert rebooted.elapsed() == pytest.approx(110.0)


def test_a_clock_that_was_turned_back_counts_only_the_time_since_boot() -> None:
    rebooted = clock(wall=WALL - 3600, monotonic=10.0)
    rebooted.restore(Reading(100.0, "a", 9999.0, WALL, True))
    assert rebooted.elapsed() == pytest.approx(110.0)


def test_months_in_a_drawer_do_not_age_what_was_queued_offline_by_a_saved_clock() -> None:
    """fake-hwclock puts the wall clock back to where it was when the device was switched off."""
    offline = clock(wall=WALL, monotonic=20.0, boot_id="offline", synchronised=False)
    offline.restore(Reading(0.0, "before", 9999.0, WALL - 60, True))
    rebooted = clock(wall=WALL + 270 * 86_400, monotonic=30.0, boot_id="with NTP")
    rebooted.restore(offline.reading())
    assert rebooted.elapsed() - offline.elapsed() == pytest.approx(30.0)


def test_the_kernel_says_whether_its_clock_is_synchronised() -> None:
    """Read once more by hand: `status` comes after five longs, the first of them padded (adjtimex(2))."""
    found = ctypes.create_string_buffer(512)
    assert ctypes.CDLL(None).adjtimex(found) != -1
    (status,) = struct.unpack_from("i", found.raw, 5 * ctypes.sizeof(ctypes.c_long))
    assert System().clock_synchronised() is not bool(status & 0x0040)


@pytest.mark.parametrize(("answer", "status", "trusted"), [(0, 0x2001, True), (5, 0x0040, False), (-1, 0, False)])
def test_only_a_kernel_that_calls_its_clock_synchronised_is_believed(
    monkeypatch: pytest.MonkeyPatch, answer: int, status: int, trusted: bool
) -> None:
    def adjtimex(pointer: Any) -> int:
        pointer._obj.status = status
        return answer

    monkeypatch.setattr("device_agent.system._adjtimex", adjtimex)
    assert System().clock_synchronised() is trusted


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
