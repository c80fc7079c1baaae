"""`python -m private_iot.deliver`: what it reads, publishes and says. boto3's client is checked against AWS's model.

Cannot prove that AWS IoT keeps the message; the lab's path shows that a device gets it.
"""

import io
import json
from typing import Any

import boto3
import pytest
from botocore.stub import ANY, Stubber
from private_iot import deliver

PEM = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
PAYLOAD = json.dumps({"version": 1, "vpnCertificatePem": PEM}, separators=(",", ":")).encode()
TOPIC = "private-iot/pi-1/agent/certificates"
ENDPOINT = "a1b2c3-ats.iot.eu-central-1.amazonaws.com"


def outputs(**changes: Any) -> dict[str, Any]:
    entry = {"topicPrefix": "private-iot/pi-1", "certificatePem": PEM}
    return {"iotEndpoint": ENDPOINT, "vpnCertificates": {"pi-1": entry}, "devices": "[secret]", **changes}


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    client = boto3.client("iot-data", region_name="eu-central-1", endpoint_url="http://127.0.0.1:9")
    with Stubber(client) as stubber:
        yield stubber
        stubber.assert_no_pending_responses()


def run(stub: Any, text: str, *arguments: str) -> int:
    return deliver.main(arguments, stdin=io.StringIO(text), connect=lambda _endpoint, _profile: stub.client)


def _retained(stub: Any, payload: bytes | None) -> None:
    if payload is None:
        stub.add_client_error("get_retained_message", "ResourceNotFoundException", expected_params={"topic": TOPIC})
    else:
        stub.add_response("get_retained_message", {"topic": TOPIC, "payload": payload}, {"topic": TOPIC})


@pytest.mark.parametrize("before", [None, b"an older one"])
def test_a_certificate_that_the_topic_does_not_retain_is_published(
    stub: Any, before: bytes | None, capsys: pytest.CaptureFixture[str]
) -> None:
    _retained(stub, before)
    stub.add_response("publish", {}, {"topic": TOPIC, "qos": 1, "retain": True, "payload": PAYLOAD})
    assert run(stub, json.dumps(outputs())) == 0
    assert capsys.readouterr().out == f"pi-1: published ({TOPIC})\n"


def test_a_certificate_that_the_topic_retains_is_left_alone(stub: Any, capsys: pytest.CaptureFixture[str]) -> None:
    _retained(stub, PAYLOAD)
    assert run(stub, json.dumps(outputs())) == 0
    assert capsys.readouterr().out == f"pi-1: unchanged ({TOPIC})\n"


def test_a_dry_run_publishes_nothing(stub: Any, capsys: pytest.CaptureFixture[str]) -> None:
    _retained(stub, None)
    assert run(stub, json.dumps(outputs()), "--dry-run") == 0
    assert capsys.readouterr().out == f"pi-1: would be published ({TOPIC})\n"


def test_one_device_that_is_refused_does_not_keep_the_others_from_theirs(
    stub: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    both = outputs()["vpnCertificates"] | {"pi-2": {"topicPrefix": "private-iot/pi-2", "certificatePem": PEM}}
    stub.add_client_error("get_retained_message", "UnauthorizedException", "not allowed")
    stub.add_client_error("get_retained_message", "ResourceNotFoundException")
    stub.add_response("publish", {}, {"topic": ANY, "qos": 1, "retain": True, "payload": ANY})
    assert run(stub, json.dumps(outputs(vpnCertificates=both))) == 1
    said = capsys.readouterr()
    assert "pi-2: published" in said.out
    assert said.err.startswith(f"pi-1: not delivered to {TOPIC}: ")
    assert "not allowed" in said.err


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no JSON"),
        ("[" * 50_000, "no JSON"),
        ("[]", "no JSON object"),
        ("{}", "lacks iotEndpoint or vpnCertificates"),
        (json.dumps(outputs(vpnCertificates="[secret]")), "lacks iotEndpoint or vpnCertificates"),
        (json.dumps(outputs(vpnCertificates={"pi-1": {}})), "no topicPrefix or no certificatePem"),
        (
            json.dumps(outputs(vpnCertificates={"pi-1": {"topicPrefix": "p", "certificatePem": "-----BEGIN PRIVATE"}})),
            "no topicPrefix or no certificatePem",
        ),
    ],
)
def test_other_input_is_refused_in_one_line(
    stub: Any, text: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(stub, text) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert says in said.err


def test_the_account_s_endpoint_is_asked_in_its_own_region(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    client = deliver.iot_data(ENDPOINT, None)
    assert client.meta.endpoint_url == f"https://{ENDPOINT}"
    assert client.meta.region_name == "eu-central-1"


def test_the_lab_s_endpoint_takes_the_place_of_aws_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:4566")
    assert deliver.iot_data(ENDPOINT, None).meta.endpoint_url == "http://127.0.0.1:4566"
