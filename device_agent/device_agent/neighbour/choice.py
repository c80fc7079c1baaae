"""Which of several gateways a device goes through: pure, on clocks that it is given.

The first that is named is preferred. One counts as dead that has left questions unanswered for a while, longer where
its answers came late before; the device moves only to one that answers, and back when a preferred one has answered for
some time, since each move breaks the connection once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

DEAD_AFTER = 6.0
"""Seconds without an answer after which a gateway is dead, on a line that has not shown to be slower."""
MOST_PATIENCE = 30.0
BACK_AFTER = 30.0
"""Seconds that a preferred gateway has to answer before the device moves back to it."""


@dataclass(slots=True)
class Health:
    """What is known of one gateway. All moments are of a monotonic clock.

    Attributes:
        unanswered_since: When the first question was asked that has no answer yet; None if the last one was answered.
        answering_since: When it began to answer without a break; None if it does not.
        answer_time: How many seconds the last answer took.
        reason: Why its last answer was none.
    """

    unanswered_since: float | None = None
    answering_since: float | None = None
    answer_time: float = 0.0
    reason: str = ""

    def asked(self, now: float) -> None:
        """Take note of a question."""
        if self.unanswered_since is None:
            self.unanswered_since = now

    def answered(self, now: float, took: float) -> None:
        """Take note of a right answer."""
        self.unanswered_since, self.answer_time, self.reason = None, took, ""
        if self.answering_since is None:
            self.answering_since = now

    def failed(self, reason: str) -> None:
        """Take note of a wrong answer, or of a refusal: it counts as none, but tells why."""
        self.reason = reason

    def look(self, now: float) -> None:
        """Let what has waited too long count as dead."""
        if self.waits(now) >= min(max(DEAD_AFTER, 2 * self.answer_time), MOST_PATIENCE):
            self.answering_since = None

    def waits(self, now: float) -> float:
        """Give the seconds that a question has been unanswered."""
        return 0.0 if self.unanswered_since is None else now - self.unanswered_since


def choose(current: int, healths: Sequence[Health], now: float) -> int:
    """Give the place of the gateway to go through.

    Args:
        current: The place of the one that is gone through now.
        healths: What is known of each, in the order of preference.
        now: The monotonic clock.
    """
    for health in healths:
        health.look(now)
    answering = [place for place, health in enumerate(healths) if health.answering_since is not None]
    if current not in answering:
        # One that has answered with none of its questions open comes first.
        return min(answering, key=lambda place: (healths[place].unanswered_since is not None, place), default=current)
    steady = [
        place
        for place in answering
        if place < current
        and healths[place].unanswered_since is None
        and now - (healths[place].answering_since or now) >= BACK_AFTER
    ]
    return min(steady, default=current)
