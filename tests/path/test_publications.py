"""What is published through AWS IoT's HTTPS API reaches devices over MQTT, and what is retained waits for them.

Cannot prove that AWS IoT delivers or retains as the lab does.
"""

from __future__ import annotations

import pytest

from lab.path import lifecycle
from tests.path.conftest import HandMadeLab
from tests.path.path_lab import wait_for

pytestmark = pytest.mark.path


def _first(lab: HandMadeLab, topic: str) -> str | None:
    """Return what a device that subscribes to a topic receives first."""
    received: list[str] = lab.pubsub("pi-1", topic=topic, count=1)["received"]
    return next(iter(received), None)


def test_a_retained_message_of_the_api_waits_for_the_device_that_it_is_for(path_lab: HandMadeLab) -> None:
    data, topic = path_lab.aws.client("iot-data"), f"{path_lab.topic_prefix}/pi-1/agent/certificates"
    data.publish(topic=topic, qos=1, retain=True, payload=b"an older one")
    data.publish(topic=topic, qos=1, retain=True, payload=b"delivered")

    try:
        with path_lab.tunnel("pi-1"):
            wait_for(lambda: _first(path_lab, topic) == "delivered", "the retained message")
            other = path_lab.pubsub("pi-1", topic=f"{path_lab.topic_prefix}/pi-2/agent/certificates", count=1)
            assert other["received"] == [], "it is another device's"
    finally:
        data.publish(topic=topic, qos=1, retain=True, payload=b"")


def test_a_broker_that_starts_again_gets_what_is_retained_though_nothing_new_is_published(
    path_lab: HandMadeLab,
) -> None:
    data, topic = path_lab.aws.client("iot-data"), f"{path_lab.topic_prefix}/pi-1/agent/certificates"
    data.publish(topic=topic, qos=1, retain=True, payload=b"kept")
    try:
        with path_lab.tunnel("pi-1"):
            wait_for(lambda: _first(path_lab, topic) == "kept", "the retained message")
            lifecycle.ask(path_lab.lab, {"command": "fault", "name": "broker-down", "seconds": 60})
            lifecycle.ask(path_lab.lab, {"command": "end-fault", "name": "broker-down"})
            wait_for(lambda: _first(path_lab, topic) == "kept", "the retained message after the restart", 25)
    finally:
        data.publish(topic=topic, qos=1, retain=True, payload=b"")
