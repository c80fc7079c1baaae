"""What a message is, how much of them the queue keeps, and what AWS IoT would not take."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

from device_agent._exceptions import DeviceAgentError
from device_agent.topics import check_topic

OVERHEAD = 64
"""Bytes that a message counts for besides its payload, topic and id."""
MAX_PAYLOAD = 128 * 1024
"""Bytes: AWS IoT's limit for a payload (https://docs.aws.amazon.com/general/latest/gr/iot-core.html)."""
MAX_ID = 64
COUNTERS = (
    "accepted",
    "sent",
    "refused",
    "dropped_by_size",
    "dropped_by_age",
    "dead_letters_dropped",
    "set_aside",
    "received_dropped",
)


class MessageError(DeviceAgentError):
    """A payload or id that AWS IoT would not take; nothing was queued."""


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


# Not frozen: making a frozen one takes three times as long, and each message is made twice.
@dataclass(slots=True, kw_only=True)
class Draft:
    """A message to be queued; never changed once made.

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
        return len(self.payload) + len(self.topic.encode()) + len(self.id) + OVERHEAD


@dataclass(slots=True, kw_only=True)
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
        received: Messages that came in for persistent subscriptions and wait for a local program.
        received_size: Their bytes.
        counters: Those of `COUNTERS`.
    """

    depth: int = 0
    size: int = 0
    dead_letters: int = 0
    dead_letter_size: int = 0
    received: int = 0
    received_size: int = 0
    counters: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTERS, 0))

    def copy(self) -> Totals:
        """Give an independent copy."""
        return dataclasses.replace(self, counters=dict(self.counters))


def check_draft(draft: Draft) -> None:
    """Refuse a message that AWS IoT would not take.

    Raises:
        TopicError: Its topic is outside AWS IoT's limits.
        MessageError: Its payload, id or content type is, or it is to be retained on a topic of AWS IoT's own
            (https://docs.aws.amazon.com/iot/latest/developerguide/mqtt.html, "MQTT retained messages").
    """
    check_topic(draft.topic)
    if draft.retain and draft.topic.startswith("$"):
        raise MessageError(f"{draft.topic!r} is to be retained; AWS IoT retains nothing on topics that begin with $")
    check_payload(draft.payload)
    check_label("id", draft.id)
    if draft.content_type is not None:
        check_label("contentType", draft.content_type)


def check_payload(payload: bytes) -> None:
    """Refuse a payload over AWS IoT's limit.

    Raises:
        MessageError: It is.
    """
    if len(payload) > MAX_PAYLOAD:
        raise MessageError(f"the payload has {len(payload)} bytes; AWS IoT takes {MAX_PAYLOAD}")


def check_label(name: str, text: str) -> None:
    """Refuse an id or content type that is not short printable ASCII.

    Raises:
        MessageError: It is not.
    """
    if not 0 < len(text) <= MAX_ID or not text.isascii() or not text.isprintable():
        raise MessageError(
            f"the {name} {text[:40]!r} is not printable ASCII of 1 to {MAX_ID} characters; leave it out for none"
        )
