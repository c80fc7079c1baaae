"""When a connection counts as dead: any line, however slow, is left alone while it carries something."""

from __future__ import annotations

from device_agent.daemon.liveness import ANSWER_WITHIN, LONGEST_SILENCE, SILENCE, Liveness
from device_agent.tcp import TcpConnection
from hypothesis import given
from hypothesis import strategies as st


@given(
    st.lists(st.tuples(st.floats(0.1, 2.9), st.integers(0, 1_000_000)), min_size=1, max_size=50),
    st.one_of(st.none(), st.just(0.0)),
)
def test_a_line_that_carries_something_now_and_then_is_alive(
    steps: list[tuple[float, int]], pinged_at: float | None
) -> None:
    liveness, now = Liveness(0.0), 0.0
    for segments, (wait, waiting) in enumerate(steps):
        now += wait
        tcp = [TcpConnection("10.0.1.5", segments_in=segments, waiting=waiting + 1)]
        assert liveness.look(tcp, now, asked_at=0.0, pinged_at=pinged_at) is None
        assert liveness.heard_at == (now if segments else 0.0)


@given(st.floats(0, 30), st.integers(1, 1_000_000))
def test_a_line_that_owes_a_segment_is_dead_after_four_of_its_round_trips(round_trip: float, waiting: int) -> None:
    liveness = Liveness(0.0)
    tcp = [TcpConnection("10.0.1.5", waiting=waiting, round_trip=round_trip)]
    allowed = min(max(SILENCE, 4 * round_trip), LONGEST_SILENCE)
    assert liveness.look(tcp, 100.0, asked_at=100.0, pinged_at=None) is None
    assert liveness.look(tcp, 99.9 + allowed, asked_at=100.0, pinged_at=None) is None
    dead = liveness.look(tcp, 100.1 + allowed, asked_at=100.0, pinged_at=None)
    assert dead is not None
    assert dead.startswith("the path is dead")


def test_an_answer_is_due_only_once_the_line_has_delivered_the_question() -> None:
    liveness = Liveness(0.0)
    for second in range(40):
        tcp = [TcpConnection("10.0.1.5", segments_in=second, waiting=1)]
        assert liveness.look(tcp, float(second), asked_at=0.0, pinged_at=None) is None
    idle = [TcpConnection("10.0.1.5", segments_in=39)]
    assert liveness.look(idle, 39 + ANSWER_WITHIN, asked_at=0.0, pinged_at=None) is None
    assert (
        liveness.look(idle, 40 + ANSWER_WITHIN, asked_at=0.0, pinged_at=None) == "AWS IoT does not answer within 10 s"
    )


def test_a_request_after_hours_of_silence_has_its_whole_time() -> None:
    liveness = Liveness(0.0)
    idle = [TcpConnection("10.0.1.5")]
    assert liveness.look(idle, 7200.5, asked_at=7200.0, pinged_at=7200.0) is None
    assert liveness.look(idle, 7200.1 + SILENCE, asked_at=7200.0, pinged_at=7200.0) is not None
