"""What local programs listen to, over whatever connection there is, and which filter AWS IoT hangs up on. Pure."""

from __future__ import annotations

from collections.abc import Callable


class Subscriptions:
    """Topic filters, each with how many want it.

    Some services answer a filter that they do not like by hanging up, and would do so after every reconnect. After a
    hang-up with filters unanswered these are asked for one at a time; one that alone was without an answer when AWS IoT
    hung up again is refused to those who want it, and not asked for until someone wants it anew.
    """

    def __init__(self, on_subscribed: Callable[[str, str | None], None]) -> None:
        """Begin without any.

        Args:
            on_subscribed: Called with a filter and None, or the reason that AWS IoT refused it.
        """
        self._on_subscribed = on_subscribed
        self._wanted: dict[str, int] = {}
        self._refused: set[str] = set()
        self.unanswered: dict[str, None] = {}

    def add(self, topic_filter: str) -> bool:
        """Want a filter; tells whether it has to be asked for."""
        self._wanted[topic_filter] = self._wanted.get(topic_filter, 0) + 1
        new = self._wanted[topic_filter] == 1 or topic_filter in self._refused
        self._refused.discard(topic_filter)
        return new

    def remove(self, topic_filter: str) -> bool:
        """Take back one `add`; tells whether it has to be unsubscribed."""
        self._wanted[topic_filter] -= 1
        if self._wanted[topic_filter]:
            return False
        del self._wanted[topic_filter]
        self._refused.discard(topic_filter)
        return True

    def to_ask(self) -> list[str]:
        """List what a new connection has to ask for."""
        return [item for item in self._wanted if item not in self._refused]

    def asked(self, topic_filter: str) -> None:
        """Take note that SUBSCRIBE was sent."""
        self.unanswered[topic_filter] = None

    def answered(self, topic_filter: str, refusal: str | None) -> None:
        """Take note of SUBACK."""
        self.unanswered.pop(topic_filter, None)
        self._on_subscribed(topic_filter, refusal)

    def disconnected(self, *, blame: bool) -> None:
        """Take note of the connection's end; `blame` if AWS IoT hung up and nothing but one filter was unanswered."""
        unanswered, self.unanswered = self.unanswered, {}
        if blame:
            for topic_filter in unanswered:
                self._refused.add(topic_filter)
                self._on_subscribed(topic_filter, "AWS IoT hung up whenever this filter was asked for")
