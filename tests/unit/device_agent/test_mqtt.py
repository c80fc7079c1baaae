"""What the SDK's errors mean: told apart are an answer of AWS IoT and a path without one.

It cannot prove which errors AWS IoT's own front gives; the path tests meet those of the lab's.
"""

from __future__ import annotations

import pytest
from awscrt import mqtt5
from awscrt.exceptions import AwsCrtError
from device_agent._exceptions import ConnectionFailedError, RefusedError
from device_agent.mqtt import failure_of


def failure(name: str) -> ConnectionFailedError:
    error = AwsCrtError(code=0, name=name, message="")
    return failure_of("example-ats", mqtt5.LifecycleConnectFailureData(connack_packet=None, exception=error))


@pytest.mark.parametrize(
    "name", ["AWS_ERROR_MQTT_UNEXPECTED_HANGUP", "AWS_IO_TLS_ERROR_READ_FAILURE", "AWS_IO_TLS_ERROR_ALERT_RECEIVED"]
)
def test_a_certificate_that_is_not_active_is_a_refusal_however_tls_ends_it(name: str) -> None:
    found = failure(name)
    assert isinstance(found, RefusedError)
    assert not found.passing
    assert "certificate" in str(found)
    assert str(found).endswith(f"[{name}]")


@pytest.mark.parametrize(
    "name", ["AWS_IO_SOCKET_TIMEOUT", "AWS_ERROR_MQTT5_CONNACK_TIMEOUT", "AWS_IO_DNS_INVALID_NAME"]
)
def test_a_path_without_an_answer_is_no_refusal(name: str) -> None:
    assert not isinstance(failure(name), RefusedError)
