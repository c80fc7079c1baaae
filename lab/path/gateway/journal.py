"""What happened: counters and the latest events for ``status``, and one JSON line on standard error for each event.

Messages are counted and remembered, not written. Nothing here ever holds a payload, a password or a key.
"""

import json
import sys
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from datetime import UTC, datetime

LATEST = 50
"""How many events, and how many messages, are remembered."""


def timestamp(epoch: float | None = None) -> str:
    """A time in ISO 8601, UTC, to the millisecond; now without an argument."""
    moment = datetime.now(UTC) if epoch is None else datetime.fromtimestamp(epoch, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass
class Counters:
    """Counts since the gateway's start.

    Attributes:
        messages_in: publishes taken from devices.
        messages_out: publishes passed to devices.
        accepted: connections that got a CONNACK of success.
        refused_handshakes: TLS handshakes that failed, and certificates not registered or not ACTIVE.
        denied: denials by policy action (``iot:Connect``, ``iot:Publish``, …).
        last_denial: the reason of the last denial by action.
    """

    messages_in: int = 0
    messages_out: int = 0
    accepted: int = 0
    refused_handshakes: int = 0
    denied: Counter[str] = field(default_factory=Counter)
    last_denial: dict[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, object]:
        """The counters as the control socket shows them."""
        return {
            "messagesIn": self.messages_in,
            "messagesOut": self.messages_out,
            "accepted": self.accepted,
            "refusedHandshakes": self.refused_handshakes,
            "denied": {
                action: {"count": n, "lastReason": self.last_denial[action]} for action, n in self.denied.items()
            },
        }


class Journal:
    """Writes events, counts, and remembers the latest."""

    def __init__(self) -> None:
        self.counters = Counters()
        self._events: deque[dict[str, object]] = deque(maxlen=LATEST)
        self._messages: deque[tuple[float, str, str | None, bytes, int]] = deque(maxlen=LATEST)

    def write(self, event: str, **details: object) -> None:
        """Write one line; members that are None are left out."""
        line = {
            "time": timestamp(),
            "event": event,
            **{key: value for key, value in details.items() if value is not None},
        }
        self._events.append(line)
        print(json.dumps(line), file=sys.stderr, flush=True)

    def message_in(self, client_id: str | None, topic: bytes, size: int) -> None:
        """Count a publish that was taken from a device; ``size`` is its payload's, in bytes."""
        self.counters.messages_in += 1
        self._messages.append((time.time(), "in", client_id, topic, size))

    def message_out(self, client_id: str | None, topic: bytes, size: int) -> None:
        """Count a publish that was passed to a device; ``size`` is its payload's, in bytes."""
        self.counters.messages_out += 1
        self._messages.append((time.time(), "out", client_id, topic, size))

    def latest(self) -> dict[str, list[dict[str, object]]]:
        """The latest ``events`` (the lines that were written) and ``messages``, oldest first."""
        return {
            "events": list(self._events),
            "messages": [
                {
                    "time": timestamp(at),
                    "direction": direction,
                    "clientId": client_id,
                    "topic": topic.decode(errors="replace"),
                    "bytes": size,
                }
                for at, direction, client_id, topic, size in self._messages
            ],
        }

    def denied(self, action: str, reason: str, **details: object) -> None:
        """Count a denial and write it down."""
        self.counters.denied[action] += 1
        self.counters.last_denial[action] = reason
        self.write("denied", action=action, reason=reason, **details)
