"""What is published through AWS IoT's HTTPS API reaches devices over MQTT, and what is retained waits for them.

Cannot prove that AWS IoT delivers or retains as the lab does.
"""

from __future__ import annotations

import pytest

from tests.path.conftest import HandMadeLab
from tests.path.path_lab import wait_for

pytestmark = pytest.mark.path


def test_a_retained_message_of_the_api_waits_for_the_device_that_it_is_for(path_lab: HandMadeLab) -> None:
    data, topic = path_lab.aws.client("iot-data"), f"{path_lab.topic_prefix}/pi-1/agent/certificates"
    data.publish(topic=topic, qos=1, retain=True, payload=b"an older one")
    data.publish(topic=topic, qos=1, retain=True, payload=b"delivered")

    def first() -> bool:
        received = path_lab.pubsub("pi-1", topic=topic, count=1)["received"]
        return bool(received) and received[0] == "delivered"

    try:
        with path_lab.tunnel("pi-1"):
            wait_for(first, "the retained message")
            other = path_lab.pubsub("pi-1", topic=f"{path_lab.topic_prefix}/pi-2/agent/certificates", count=1)
            assert other["received"] == [], "it is another device's"
    finally:
        data.publish(topic=topic, qos=1, retain=True, payload=b"")
