"""What a message is, how much of them the queue keeps, and what AWS IoT would not take."""

from __future__ import annotations

from dataclasses import dataclass, field

from device_agent._exceptions import DeviceAgentError

OVERHEAD = 64
"""Bytes that a message counts for besides its payload, topic and id."""
MAX_PAYLOAD = 128 * 1024
"""Bytes: AWS IoT's limit for a payload (https://docs.aws.amazon.com/general/latest/gr/iot-core.html)."""
MAX_TOPIC = 256
"""Bytes of UTF-8, the same page's limit."""
MAX_TOPIC_SLASHES = 7
"""The same page's limit; the first three levels of `$aws/rules/RULE/` do not count."""
MAX_ID = 64
COUNTERS = ("accepted", "sent", "refused", "dropped_by_size", "dropped_by_age", "dead_letters_dropped", "set_aside")


class MessageError(DeviceAgentError):
    """A topic, payload or id that AWS IoT would not take; nothing was queued."""


class QueueStorageError(DeviceAgentError):
    """The disk did not take a change: it is full, read-only or failing. What was accepted before is kept.

    Attributes:
        full: Whether it is full.
    """

    def __init__(self, message: str, *, full: bool = False) -> None:
        super().__init__(message)
        self.full = full


class QueueDamagedError(Exception):
    """The file is no longer a sound database."""


class QueueFullError(DeviceAgentError):
    """The queue holds as much as it may, and is set to refuse rather than to drop its oldest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much the queue keeps.

    Attributes:
        max_bytes: The size of all queued messages (payload, topic, id and 64 bytes each). The dead letters may take an
            eighth of it besides.
        max_age: Seconds that a message waits before it is dropped, counted as elapsed time (see `age_clock`).
        when_full: `drop-oldest` makes room for what is new; `refuse` keeps what is old.
    """

    max_bytes: int = 256 * 1024 * 1024
    max_age: float = 30 * 24 * 3600
    when_full: str = "drop-oldest"

    def __post_init__(self) -> None:
        if self.max_bytes < 1024 * 1024:
            raise DeviceAgentError(f"max_bytes is {self.max_bytes}; the least is 1048576 (1 MiB)")
        if not self.max_age > 0:
            raise DeviceAgentError(f"max_age is {self.max_age:g} s; it must be over 0")
        if self.when_full not in {"drop-oldest", "refuse"}:
            raise DeviceAgentError(f"when_full is {self.when_full!r}; it is drop-oldest or refuse")


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A message to be queued.

    Attributes:
        topic: The whole MQTT topic.
        payload: The bytes to send.
        id: What receivers recognise a duplicate by.
        retain: Whether AWS IoT keeps it for later subscribers.
        content_type: MQTT 5's description of the payload, or None.
    """

    topic: str
    payload: bytes
    id: str
    retain: bool = False
    content_type: str | None = None

    @property
    def size(self) -> int:
        """Bytes that the message counts for."""
        return len(self.payload) + len(self.topic.encode()) + len(self.id.encode()) + OVERHEAD


@dataclass(frozen=True, slots=True, kw_only=True)
class Message(Draft):
    """A queued message.

    Attributes:
        sequence: Its place in the queue, counted from 1 and never used twice in one queue.
        accepted_at: The wall clock at its acceptance, in seconds since 1970; wrong if the clock was.
        tries: How often it was refused, or suspected of having ended the connection.
    """

    sequence: int
    accepted_at: float
    tries: int


@dataclass(slots=True)
class Totals:
    """What the queue holds and has done since its file was made.

    Attributes:
        depth: Messages that wait.
        size: Their bytes.
        dead_letters: Refused messages that are kept.
        dead_letter_size: Their bytes.
        counters: accepted, sent, refused, dropped_by_size, dropped_by_age, dead_letters_dropped, set_aside.
    """

    depth: int = 0
    size: int = 0
    dead_letters: int = 0
    dead_letter_size: int = 0
    counters: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTERS, 0))

    def copy(self) -> Totals:
        """Give an independent copy."""
        return Totals(self.depth, self.size, self.dead_letters, self.dead_letter_size, dict(self.counters))


def complete_topic(topic: str, prefix: str, *, absolute: bool = False) -> str:
    """Put a topic under the device's prefix, where the device's IoT policy allows it.

    Args:
        topic: A topic or topic filter. One that already begins with the prefix, or with `$`, is taken as it is.
        prefix: The device's topic prefix, without a slash at its end.
        absolute: Whether to take the topic as it is in any case.

    Returns:
        The whole topic.
    """
    if absolute or topic == prefix or topic.startswith((f"{prefix}/", "$")):
        return topic
    return f"{prefix}/{topic}"


def check_topic(topic: str) -> None:
    """Refuse a topic that AWS IoT would not take.

    Args:
        topic: The whole topic to publish to.

    Raises:
        MessageError: It is empty, too long or too deep, or holds a wildcard or a control character.
    """
    size = len(topic.encode("utf-8", "surrogatepass"))
    levels = topic.split("/")
    if topic.startswith("$aws/rules/"):
        levels = levels[3:]
    if not topic:
        raise MessageError("the topic is empty")
    if size > MAX_TOPIC:
        raise MessageError(f"the topic {topic[:40]!r}… has {size} bytes; AWS IoT takes {MAX_TOPIC}")
    if len(levels) - 1 > MAX_TOPIC_SLASHES:
        raise MessageError(f"the topic {topic!r} has {len(levels) - 1} slashes; AWS IoT takes {MAX_TOPIC_SLASHES}")
    if "+" in topic or "#" in topic:
        raise MessageError(f"the topic {topic!r} holds a wildcard; + and # are for subscriptions only")
    if any(not character.isprintable() for character in topic):
        raise MessageError(f"the topic {topic!r} holds a character that cannot be printed")


def check_draft(draft: Draft) -> None:
    """Refuse a message that AWS IoT would not take.

    Args:
        draft: The message.

    Raises:
        MessageError: Its topic, payload or id is outside AWS IoT's limits.
    """
    check_topic(draft.topic)
    if len(draft.payload) > MAX_PAYLOAD:
        raise MessageError(f"the payload has {len(draft.payload)} bytes; AWS IoT takes {MAX_PAYLOAD}")
    for name, text in (("id", draft.id), ("contentType", draft.content_type or "")):
        if len(text) > MAX_ID or not text.isascii() or not text.isprintable():
            raise MessageError(f"the {name} {text[:40]!r} is not printable ASCII of at most {MAX_ID} characters")
    if not draft.id:
        raise MessageError("the id is empty; leave it out to have one made")
