"""From the queue to AWS IoT: in order, many in flight, removed only when AWS IoT has accepted.

What ends badly is told apart:

- *accepted* (PUBACK below 0x80): the message leaves the queue.
- *refused* (PUBACK of 0x80 or more, or a packet that cannot be sent at all): the message steps aside, is tried again
  a bounded number of times, and goes to the dead letters. The rest goes on.
- *over the quota* (PUBACK 0x97): no fault of the message either. Sending pauses, and goes on at the pace that AWS IoT
  allows a connection, from that message on.
- *lost* (the connection ended, no PUBACK in time): no fault of the message. All that was in flight is sent again, in
  order.
- *poison*: some services answer a publish that they do not like by hanging up, and would do so for ever. After a
  hang-up with messages in flight these are sent one at a time, each on a connection that has answered something before.
  One that is alone in flight when the service hangs up again, and nothing else that the agent has asked for is without
  an answer, is suspected, and treated as refused.

How much is in flight follows the line: as many bytes as it has lately carried within `QUEUED_FOR` seconds. More would
only wait in the queues on the way, and everything after it, answers and pings, would be late.
"""

from __future__ import annotations

import heapq
import logging
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from device_agent.daemon.loop import Loop, Timer
from device_agent.daemon.queue import Queue
from device_agent.messages import Message
from device_agent.system import System

READ = 100
"""Messages read from the queue at a time."""
QUOTA = 95.0
"""Messages a second after AWS IoT has refused one for coming too fast: just under its 100 publishes a second and
connection (https://docs.aws.amazon.com/general/latest/gr/iot-core.html)."""
QUOTA_PAUSE = 1.0
"""Seconds without sending after such a refusal: the quota counts by the second."""
QUEUED_FOR = 2.0
"""Seconds that what is in flight may take on the line, at the rate at which PUBACKs come."""
LEAST_IN_FLIGHT = 16 * 1024
MOST_IN_FLIGHT = 4 * 1024 * 1024
"""Bytes in flight: allowed on any line, since its rate is not known at first; and the most, since all are in memory.
One message is always allowed, whatever its size."""
PACKET_OVERHEAD = 256
"""Bytes that a message's properties, MQTT, TLS and the tunnel add, roughly."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Accepted:
    """AWS IoT has the message."""


@dataclass(frozen=True, slots=True)
class Refused:
    """AWS IoT does not take the message.

    Attributes:
        reason: Why, in one line.
        quota: Whether it only came too fast.
    """

    reason: str
    quota: bool = False


@dataclass(frozen=True, slots=True)
class Lost:
    """Nobody knows whether AWS IoT has the message: the connection has ended, or is about to.

    Attributes:
        reason: Why, in one line.
    """

    reason: str


Outcome = Accepted | Refused | Lost


class Send(Protocol):
    """Sends one message; the outcome is given on the loop's thread."""

    def __call__(self, message: Message, done: Callable[[Outcome], None], /) -> None:
        """Send `message`, and call `done` once with what became of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryOptions:
    """How messages are sent.

    Attributes:
        in_flight: The most messages without PUBACK; AWS IoT's Receive Maximum may lower it.
        max_tries: Refusals after which a message goes to the dead letters.
        first_delay: Seconds before a refused message is tried again; five times as long each time after.
        max_waiting: Refused messages that may wait for another try; beyond it they go to the dead letters at once.
    """

    in_flight: int = 500
    max_tries: int = 5
    first_delay: float = 1.0
    max_waiting: int = 1000


class LineRate:
    """The bytes a second that a line carries, measured by PUBACKs.

    As BBR does by ACKs (draft-ietf-ccwg-bbr, section 4.1): a sample is what was acknowledged between a message's
    departure and its PUBACK, over that time: messages that wait behind each other do not make the line look slow, and a
    pause in publishing does not count.
    """

    def __init__(self) -> None:
        self._delivered = 0
        self._at = 0.0
        self.per_second = 0.0

    def sent(self, now: float, *, idle: bool) -> tuple[int, float]:
        """Give what `acknowledged` needs of a message that departs; `idle` if nothing is in flight."""
        if idle:
            self._at = now
        return self._delivered, self._at

    def acknowledged(self, mark: tuple[int, float], size: int, now: float) -> None:
        """Take note of a PUBACK for a message of `size` bytes."""
        self._delivered += size
        self._at = now
        delivered, at = mark
        sample = (self._delivered - delivered) / max(now - at, 1e-3)
        self.per_second += (sample - self.per_second) / (8 if self.per_second else 1)

    @property
    def in_flight_quota(self) -> float:
        """The bytes that may be in flight."""
        return min(max(self.per_second * QUEUED_FOR, LEAST_IN_FLIGHT), MOST_IN_FLIGHT)


@dataclass(slots=True)
class _Departed:
    message: Message
    at: float
    mark: tuple[int, float]
    size: int


class Delivery:
    """Empties the queue through whatever connection there is. All calls on the loop's thread."""

    def __init__(
        self,
        system: System,
        loop: Loop,
        queue: Queue,
        options: DeliveryOptions | None = None,
    ) -> None:
        """Begin without a connection."""
        self._system = system
        self._loop = loop
        self._queue = queue
        self._options = options or DeliveryOptions()
        self._send: Send | None = None
        self._connection = 0
        self._window = 0
        self._proven = False
        self._rate = LineRate()
        self._in_flight: dict[int, _Departed] = {}
        self._in_flight_size = 0
        self._buffer: deque[Message] = deque()
        self._cursor = 0
        self._careful_until = 0
        self._suspects: set[int] = set()
        self._alone = False
        self._paced = False
        self._not_before = -float("inf")
        self._resume: Timer | None = None
        self._waiting: dict[int, int] = {}
        self._due: list[tuple[float, int]] = []
        self._timer: Timer | None = None
        self.last_refusal: str | None = None

    @property
    def in_flight(self) -> int:
        """How many messages wait for PUBACK."""
        return len(self._in_flight)

    def oldest(self) -> float:
        """Give the seconds that the oldest message in flight has waited for PUBACK; 0 if none is."""
        if not self._in_flight:
            return 0.0
        return self._system.monotonic() - next(iter(self._in_flight.values())).at

    def connected(self, send: Send, receive_maximum: int) -> None:
        """Begin to send over a new connection.

        Args:
            send: Sends over it.
            receive_maximum: How many messages without PUBACK the service allows.
        """
        self._connection += 1
        self._send = send
        self._window = max(1, min(self._options.in_flight, receive_maximum))
        self._proven = False
        self._paced = False
        self._not_before = -float("inf")
        # The next line may be another: a wireless network, a modem.
        self._rate = LineRate()
        self._restart()
        self.pump()

    def proven(self) -> None:
        """Take note that the service has answered a publish over this connection."""
        self._proven = True
        self.pump()

    def disconnected(self, *, hung_up: bool) -> None:
        """Stop sending; all that was in flight will be sent again.

        Args:
            hung_up: Whether the service hung up, and may have done so for a publish: not if the path or this agent
                ended the connection, or another request was without an answer.
        """
        if self._send is None:
            return
        self._send = None
        if hung_up and self._in_flight:
            first = next(iter(self._in_flight))
            if len(self._in_flight) == 1 and self._proven and (self._alone or first <= self._careful_until):
                message = self._in_flight.pop(first).message
                self._suspects.add(first)
                self._set_aside(message, "AWS IoT hung up whenever this message was sent")
            else:
                self._careful_until = max(self._careful_until, *self._in_flight)
                _log.warning(
                    "AWS IoT hung up with %d messages in flight; they are sent one at a time", len(self._in_flight)
                )
        self._restart()

    def read_again(self) -> None:
        """Begin at the queue's head again: messages with earlier sequence numbers have come back."""
        self._buffer.clear()
        self._cursor = 0
        self.pump()

    def pump(self) -> None:
        """Send what may be sent now. Called whenever there may be more to send."""
        while (
            self._send is not None
            and not self._alone
            and len(self._in_flight) < self._window
            and self._in_flight_size < self._rate.in_flight_quota
            and self._in_time()
        ):
            message = self._next()
            if message is None:
                return
            self._dispatch(self._send, message)

    def _in_time(self) -> bool:
        wait = self._not_before - self._system.monotonic()
        if wait <= 0:
            return True
        if self._resume is None:
            self._resume = self._loop.call_later(wait, self._go_on)
        return False

    def _go_on(self) -> None:
        self._resume = None
        self.pump()

    # Which message is next

    def _restart(self) -> None:
        for sequence in self._waiting.keys() & self._in_flight.keys():
            heapq.heappush(self._due, (self._system.monotonic(), sequence))
        self._in_flight.clear()
        self._in_flight_size = 0
        self._buffer.clear()
        self._cursor = 0
        self._alone = False

    def _next(self) -> Message | None:
        while self._due and self._due[0][0] <= self._system.monotonic():
            sequence = self._due[0][1]
            suspect = sequence in self._suspects
            if suspect and not self._may_go_alone():
                return None
            heapq.heappop(self._due)
            found = self._queue.read(sequence - 1, 1)
            if found and found[0].sequence == sequence:
                self._alone = suspect
                return found[0]
            # It was dropped meanwhile, for its age or to make room.
            self._waiting.pop(sequence, None)
            self._suspects.discard(sequence)
        while True:
            if not self._buffer:
                self._buffer.extend(self._queue.read(self._cursor, READ))
                if not self._buffer:
                    return None
            message = self._buffer[0]
            careful = message.sequence <= self._careful_until
            if careful and not self._may_go_alone():
                return None
            self._buffer.popleft()
            self._cursor = message.sequence
            if message.sequence not in self._waiting and message.sequence not in self._in_flight:
                self._alone = careful
                return message

    def _may_go_alone(self) -> bool:
        return self._proven and not self._in_flight

    # Sending, and what became of it

    def _dispatch(self, send: Send, message: Message) -> None:
        now, size = self._system.monotonic(), message.size + PACKET_OVERHEAD
        mark = self._rate.sent(now, idle=not self._in_flight)
        self._in_flight[message.sequence] = _Departed(message, now, mark, size)
        self._in_flight_size += size
        if self._paced:
            self._not_before = max(self._not_before, now - 0.1) + 1 / QUOTA
        connection = self._connection
        send(message, lambda outcome: self._answered(connection, message, outcome))

    def _answered(self, connection: int, message: Message, outcome: Outcome) -> None:
        sequence = message.sequence
        present = connection == self._connection and self._send is not None
        if isinstance(outcome, Accepted):
            # True whatever became of the connection meanwhile.
            self._queue.remove(message)
            self._waiting.pop(sequence, None)
            self._suspects.discard(sequence)
        if not present:
            return
        if isinstance(outcome, Lost):
            return
        departed = self._in_flight.pop(sequence, None)
        if departed is not None:
            self._in_flight_size -= departed.size
            self._rate.acknowledged(departed.mark, departed.size, self._system.monotonic())
        self._alone = False
        self._proven = True
        if isinstance(outcome, Refused) and outcome.quota:
            self._slow_down(message)
        elif isinstance(outcome, Refused):
            self._set_aside(message, outcome.reason)
        self.pump()

    def _slow_down(self, message: Message) -> None:
        if not self._paced:
            _log.warning("AWS IoT's quota is reached; going on with %g messages a second", QUOTA)
        self._paced = True
        self._not_before = self._system.monotonic() + QUOTA_PAUSE
        if message.sequence in self._waiting:
            heapq.heappush(self._due, (self._not_before, message.sequence))
        else:
            self._cursor = min(self._cursor, message.sequence - 1)
            self._buffer.clear()

    def _set_aside(self, message: Message, reason: str) -> None:
        sequence = message.sequence
        tries = max(message.tries, self._waiting.get(sequence, 0)) + 1
        self.last_refusal = f"{message.topic}: {reason}"
        if tries >= self._options.max_tries or len(self._waiting) >= self._options.max_waiting:
            _log.error("message %d to %s goes to the dead letters: %s", sequence, message.topic, reason)
            self._waiting.pop(sequence, None)
            self._suspects.discard(sequence)
            self._queue.move_to_dead_letters(sequence, reason)
            return
        _log.warning(
            "message %d to %s was refused (%d of %d tries): %s",
            sequence,
            message.topic,
            tries,
            self._options.max_tries,
            reason,
        )
        self._queue.record_try(sequence)
        self._waiting[sequence] = tries
        delay = self._options.first_delay * 5 ** (tries - 1) * random.uniform(0.75, 1.25)  # noqa: S311 - no secret
        heapq.heappush(self._due, (self._system.monotonic() + delay, sequence))
        self._set_timer()

    def _set_timer(self) -> None:
        """Wake up when the next refused message is due; what is overdue goes with the next `pump` that can send it."""
        if self._timer is not None:
            self._timer.cancel()
        now = self._system.monotonic()
        upcoming = min((when for when, _sequence in self._due if when > now), default=None)
        self._timer = None if upcoming is None else self._loop.call_later(upcoming - now, self._retry)

    def _retry(self) -> None:
        self.pump()
        self._set_timer()
