"""The loop's turns: each does what was there when it began, so that nobody who keeps it busy starves the others."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from device_agent.daemon.loop import Loop
from hypothesis import given
from hypothesis import strategies as st

from .machine import Machine, make_machine


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return make_machine(tmp_path)


@pytest.fixture
def loop(machine: Machine) -> Iterator[Loop]:
    made = Loop(machine)
    yield made
    made.close()


def test_a_turn_makes_the_calls_that_were_there_and_leaves_what_they_hand_over_to_the_next(loop: Loop) -> None:
    made: list[int] = []

    def call() -> None:
        made.append(len(made))
        loop.hand_over(call)

    for turn in (1, 2, 3):
        loop.hand_over(call)
        # Without a bound the first turn would never end.
        loop.turn(0)
        assert len(made) == turn * (turn + 1) // 2


def test_timers_and_other_sockets_have_their_turn_while_calls_keep_coming(loop: Loop, machine: Machine) -> None:
    done: list[str] = []

    def call() -> None:
        loop.hand_over(call)

    loop.hand_over(call)
    loop.call_later(1.0, lambda: done.append("timer"))
    loop.turn(0)
    assert done == []
    machine.pass_time(1.0)
    loop.turn(0)
    assert done == ["timer"]


def test_a_timer_that_is_due_again_at_once_lets_the_turn_end(loop: Loop) -> None:
    made: list[int] = []

    def again() -> None:
        made.append(1)
        assert len(made) < 1000, "the turn does not end"
        loop.call_later(0.0, again)

    loop.call_later(0.0, again)
    loop.turn(0)
    loop.turn(0)
    assert len(made) == 2


@given(st.lists(st.booleans(), max_size=50))
def test_whatever_another_thread_hands_over_is_called_once_and_in_order(turns: list[bool]) -> None:
    machine = Machine(Path("/nowhere"))
    loop = Loop(machine)
    called: list[int] = []
    try:
        for number, turn in enumerate(turns):
            thread = threading.Thread(target=loop.hand_over, args=(lambda number=number: called.append(number),))
            thread.start()
            thread.join()
            if turn:
                loop.turn(0)
        loop.turn(0)
        loop.turn(0)
        assert called == list(range(len(turns)))
    finally:
        loop.close()
