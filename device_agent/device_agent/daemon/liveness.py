"""When a connection counts as dead: told from the kernel's TCP, by the line's own round trip. Pure.

Anything that comes is life, be it a mere acknowledgement of some bytes of a long message (MQTT 5, section 3.1.2.10,
asks no more of a client than packets). So a message may take as long as its line needs, and a silent line is found
within seconds.
"""

from __future__ import annotations

from collections.abc import Sequence

from device_agent.tcp import TcpConnection

SILENCE = 3.0
"""Seconds without any segment after which a connection that owes one is dead, on a line whose round trip is short."""
ROUND_TRIPS = 4.0
"""The same in round trips, where these are long: behind a full queue they take seconds, and TCP repeats what was
lost."""
LONGEST_SILENCE = 60.0
ANSWER_WITHIN = 10.0
"""Seconds for MQTT's answer to a request once TCP has delivered it."""


class Liveness:
    """Watches one connection.

    Attributes:
        heard_at: When something last came, on the monotonic clock.
        round_trip: Seconds that the kernel last measured from sending to acknowledgement, queues on the way included.
    """

    def __init__(self, now: float) -> None:
        self.heard_at = now
        self.round_trip = 0.0
        self._owed_since: float | None = None
        self._delivered_at = -float("inf")
        self._seen: tuple[int, int] | None = None

    def look(
        self, connections: Sequence[TcpConnection], now: float, *, asked_at: float | None, pinged_at: float | None
    ) -> str | None:
        """Judge by what the kernel says.

        Args:
            connections: The connection, if the kernel shows it.
            now: The monotonic clock.
            asked_at: Since when requests are without an answer: when the oldest was made or, if later, the last answer
                came; None if there is none.
            pinged_at: When a ping was sent that is without an answer; AWS IoT answers it at once. None if there is
            none.

        Returns:
            Why the connection is dead, or None.
        """
        seen = (sum(item.segments_in for item in connections), sum(item.bytes_acked for item in connections))
        if self._seen is not None and seen != self._seen:
            self.heard_at = now
        self._seen = seen
        self.round_trip = max((item.round_trip for item in connections), default=0.0)
        allowed = min(max(SILENCE, ROUND_TRIPS * self.round_trip), LONGEST_SILENCE)
        if any(item.waiting for item in connections):
            self._delivered_at = now
            if self._owed_since is None:
                self._owed_since = now
            silent = now - max(self.heard_at, self._owed_since)
            return f"the path is dead: nothing has come for {silent:.0f} s" if silent > allowed else None
        self._owed_since = None
        if pinged_at is not None and now - max(pinged_at, self._delivered_at, self.heard_at) > allowed:
            return "the path is dead: no answer to a ping"
        if asked_at is not None and now - max(asked_at, self._delivered_at) > max(ANSWER_WITHIN, allowed):
            return f"AWS IoT does not answer within {ANSWER_WITHIN:g} s"
        return None
