"""Between the agent's messages and MQTT 5's packets: what is sent, and what an answer means for it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from datetime import UTC, datetime
from typing import Any

from awscrt import mqtt5

from device_agent.daemon.delivery import Accepted, Lost, Outcome, Refused
from device_agent.installation import Installation
from device_agent.messages import Message
from device_agent.mqtt import explain_error, explain_reason

_NO_FAULT_OF_A_MESSAGE = {0x89, 0x8B, 0x8D, 0x8E, 0x98, 0x9C, 0x9D, 0x9F}
"""DISCONNECT reasons (MQTT 5, 3.14.2.1) that no publish causes: busy, shutting down, keep-alive, taken over,
administrative, moved, connection rate."""
_QUOTA_EXCEEDED = 0x97
_HANG_UPS = {"AWS_ERROR_MQTT_UNEXPECTED_HANGUP", "AWS_IO_SOCKET_CLOSED", "AWS_ERROR_MQTT_CONNECTION_CLOSED"}
_LOST = {
    "AWS_ERROR_MQTT5_OPERATION_FAILED_DUE_TO_OFFLINE_QUEUE_POLICY",
    "AWS_ERROR_MQTT5_CLIENT_TERMINATED",
    "AWS_ERROR_MQTT5_USER_REQUESTED_STOP",
    "AWS_ERROR_MQTT_CONNECTION_CLOSED",
    "AWS_ERROR_MQTT_CONNECTION_DESTROYED",
    "AWS_ERROR_MQTT_CANCELLED_FOR_CLEAN_SESSION",
    "AWS_ERROR_MQTT_TIMEOUT",
}


def publish_packet(message: Message, queue_id: str) -> mqtt5.PublishPacket:
    """Write a queued message as a packet, with what receivers need to recognise duplicates and gaps.

    Args:
        message: The message.
        queue_id: The name of the queue's file, in which sequence numbers are counted.

    Returns:
        The packet, with the user properties `message-id`, `sequence` and `queue-id`.
    """
    return mqtt5.PublishPacket(
        topic=message.topic,
        payload=message.payload,
        qos=mqtt5.QoS.AT_LEAST_ONCE,
        retain=message.retain,
        content_type=message.content_type,
        user_properties=[
            mqtt5.UserProperty("message-id", message.id),
            mqtt5.UserProperty("sequence", str(message.sequence)),
            mqtt5.UserProperty("queue-id", queue_id),
        ],
    )


def outcome_of(future: Future[mqtt5.PublishCompletionData]) -> Outcome:
    """Tell what became of a publish. A completed future alone is no acceptance: PUBACK may carry an error.

    Args:
        future: The SDK's, completed.

    Returns:
        The outcome.
    """
    error = future.exception()
    if error is None:
        puback = future.result().puback
        # The SDK gives None for a code that it does not know.
        code = 0x80 if puback.reason_code is None else int(puback.reason_code)
        if code < 0x80:
            return Accepted()
        return Refused(explain_reason(code, puback.reason_string), quota=code == _QUOTA_EXCEEDED)
    name = getattr(error, "name", "")
    if name in _LOST:
        return Lost(explain_error(error))
    return Refused(explain_error(error))


def explain_disconnection(data: mqtt5.LifecycleDisconnectData) -> tuple[bool, str]:
    """Tell why a connection ended.

    Args:
        data: What the SDK says.

    Returns:
        Whether the service hung up for a reason that a message may have given, and the reason.
    """
    packet = data.disconnect_packet
    if packet is not None:
        code = int(packet.reason_code)
        return code not in _NO_FAULT_OF_A_MESSAGE, explain_reason(code, packet.reason_string)
    return getattr(data.exception, "name", "") in _HANG_UPS, explain_error(data.exception)


class StatusMessage:
    """The message on PREFIX/status that says whether the device is there; the last will is one of them.

    AWS IoT refuses a connection whose will the policy does not allow (iot:RetainPublish, iot:Publish), and may hang up
    on the message itself. Then less is asked for: not retained, no will, at last no message at all. What only passes,
    such as a service that is busy, changes nothing, and a connection that works begins anew with all.
    """

    MOST, UNRETAINED, NO_WILL, NOTHING = range(4)

    def __init__(self, now: float = 0.0) -> None:
        self._level = self.MOST
        self._begin_anew = False
        self._not_before = now
        self.more: Callable[[], Mapping[str, Any]] = dict
        """What "online" says besides."""

    def refused(self) -> None:
        """Take note that CONNECT was refused for want of a right (0x87); after the least, all is asked for again."""
        self._level = self._level + 1 if self._level < self.NO_WILL else self.MOST

    def hung_up(self, now: float) -> None:
        """Take note that AWS IoT hung up on the message itself: for an hour this step is not tried again."""
        self._level = min(self._level + 1, self.NOTHING)
        self._not_before = now + 3600

    def accepted(self, now: float) -> None:
        """Take note that a connection works; the next one may ask for all again, this one goes on as it began."""
        self._begin_anew = now >= self._not_before

    @property
    def published(self) -> bool:
        """Whether a message is sent at all."""
        return self._level < self.NOTHING

    def last_will(self, installation: Installation, now: float) -> mqtt5.PublishPacket | None:
        """Begin a connection: give what AWS IoT publishes if it is lost; None for no will.

        Args:
            installation: The device's identity.
            now: The wall clock: `since` tells a will that comes late from the present connection's "online".
        """
        if self._begin_anew:
            self._level, self._begin_anew = self.MOST, False
        if self._level >= self.NO_WILL:
            return None
        return self._packet(
            installation, {"status": "offline", "reason": "the connection was lost", "since": _iso(now)}
        )

    def packet(
        self, installation: Installation, status: str, now: float, *, reason: str | None = None
    ) -> mqtt5.PublishPacket:
        """Write a status message.

        Args:
            installation: The device's identity.
            status: `online` or `offline`.
            now: The wall clock, in seconds since 1970.
            reason: Why, if there is a reason.
        """
        document: dict[str, Any] = {"status": status, "at": _iso(now)}
        if status == "online":
            document |= self.more()
        return self._packet(installation, document if reason is None else {**document, "reason": reason})

    def _packet(self, installation: Installation, document: dict[str, Any]) -> mqtt5.PublishPacket:
        return mqtt5.PublishPacket(
            topic=f"{installation.topic_prefix}/status",
            payload=json.dumps({**document, "clientId": installation.client_id}).encode(),
            qos=mqtt5.QoS.AT_LEAST_ONCE,
            retain=self._level == self.MOST,
        )


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
