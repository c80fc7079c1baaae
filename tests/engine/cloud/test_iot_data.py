"""AWS IoT's data plane over HTTPS in the lab's cloud: publishing and retained messages.

Last compared with AWS: never.
"""

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

pytestmark = pytest.mark.engine
TOPIC = "private-iot/pi-1/agent/certificates"


def test_a_retained_message_is_kept_as_it_was_published(client: Callable[..., Any]) -> None:
    data = client("iot-data")
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        data.get_retained_message(topic="nothing")
    data.publish(topic=TOPIC, qos=1, retain=True, payload=b"\x00one")
    data.publish(topic=TOPIC, qos=1, retain=True, payload=b"\xfftwo")
    data.publish(topic=TOPIC, qos=0, payload=b"passing")
    kept = data.get_retained_message(topic=TOPIC)
    assert (kept["topic"], kept["payload"], kept["qos"]) == (TOPIC, b"\xfftwo", 1)
    listed = data.list_retained_messages()["retainedTopics"]
    assert (TOPIC, 4) in [(one["topic"], one["payloadSize"]) for one in listed]


def test_an_empty_retained_message_takes_the_one_before_away(client: Callable[..., Any]) -> None:
    data = client("iot-data")
    data.publish(topic="gone", qos=1, retain=True, payload=b"one")
    data.publish(topic="gone", qos=1, retain=True, payload=b"")
    assert "gone" not in [one["topic"] for one in data.list_retained_messages()["retainedTopics"]]


def test_a_message_of_more_than_128_kib_is_refused(client: Callable[..., Any]) -> None:
    data = client("iot-data")
    data.publish(topic=TOPIC, qos=1, retain=True, payload=b"x" * 128 * 1024)
    with pytest.raises(ClientError, match="InvalidRequestException"):
        data.publish(topic=TOPIC, qos=1, retain=True, payload=b"x" * (128 * 1024 + 1))
