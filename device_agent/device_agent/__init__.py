"""The device's half of the private path to AWS IoT Core."""

from device_agent.client import (
    AgentNotRunningError,
    Publisher,
    PublishRefusedError,
    Receipt,
    ReceivedMessage,
    publish,
    subscribe,
    unsubscribe,
)

__all__ = [
    "AgentNotRunningError",
    "PublishRefusedError",
    "Publisher",
    "Receipt",
    "ReceivedMessage",
    "publish",
    "subscribe",
    "unsubscribe",
]
