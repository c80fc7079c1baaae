"""Fleet provisioning's topics at the gateway: asked, answered to the one that asked, and known from then on.

Cannot prove that AWS IoT answers with QoS 0.
"""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from lab.path.gateway import packets
from lab.path.gateway.authorization import ALLOWED, Verdict
from lab.path.gateway.packets import V5, V311
from lab.path.gateway.provisioning import answer, is_request
from lab.path.gateway.table import Table, parse

CREATE = b"$aws/certificates/create-from-csr/json"
REGISTER = b"$aws/provisioning-templates/fleet/provision/json"


@dataclass
class Stream:
    written: list[bytes] = field(default_factory=list)

    def write(self, data: bytes) -> None:
        self.written.append(bytes(data))


@dataclass
class Allowing:
    verdict: Callable[[str, bytes], Verdict] = lambda _kind, _topic: ALLOWED


@dataclass
class Device:
    stream: Stream = field(default_factory=Stream)
    authorization: Allowing = field(default_factory=Allowing)
    level: int = V5
    closed: bool = False
    exact_filters: set[bytes] = field(default_factory=lambda: {CREATE + b"/+", REGISTER + b"/accepted"})

    def told(self) -> tuple[str, Any] | None:
        """The topic and payload of the one publish that the device got."""
        if not self.stream.written:
            return None
        [data] = self.stream.written
        at = packets.frame(data, 0)
        assert at is not None
        publish = packets.read_publish(data, at, self.level)
        return publish.topic.decode(), json.loads(data[publish.payload : at.end])


@dataclass
class Front:
    table: Table


def empty_table() -> Table:
    return parse(
        {
            "endpoint": "a-ats.iot.ap-northeast-1.amazonaws.com",
            "region": "ap-northeast-1",
            "accountId": "123456789012",
            "server": {"certificateFile": "c", "privateKeyFile": "k"},
            "deviceRootsFile": "r",
            "listeners": [],
            "certificates": {},
            "policies": {},
        }
    )


def ask(folder: Path, device: Device, topic: bytes, payload: bytes, result: Any) -> tuple[Table, list[Any]]:
    """Publish to a topic while the cloud answers with a result, or is not there where that is None."""
    front, asked = Front(empty_table()), []
    path = folder / "cloud.sock"

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(json.loads(await reader.readline()))
        writer.write(json.dumps(result).encode() + b"\n")
        writer.close()

    async def run() -> None:
        server = await asyncio.start_unix_server(converse, path) if result is not None else None
        await answer(front, cast("Any", device), topic, payload, path)
        if server is not None:
            server.close()

    asyncio.run(run())
    return front.table, asked


def accepted(**payload: Any) -> dict[str, Any]:
    return {"accepted": True, "payload": payload, "known": {}}


@pytest.mark.parametrize("level", [V311, V5])
def test_an_answer_goes_to_the_device_that_asked(tmp_path: Path, level: int) -> None:
    device = Device(level=level)
    _, asked = ask(tmp_path, device, CREATE, b'{"certificateSigningRequest": "r"}', accepted(certificateId="c"))
    assert asked == [{"template": None, "payload": {"certificateSigningRequest": "r"}}]
    assert device.told() == (f"{CREATE.decode()}/accepted", {"certificateId": "c"})


def test_what_was_provisioned_is_known_from_then_on(tmp_path: Path) -> None:
    device = Device()
    known = {
        "certificates": {"aa": {"status": "ACTIVE", "policies": ["p"], "things": ["pi-1"], "certificatePem": "PEM"}},
        "things": {"pi-1": {"thingTypeName": None, "attributes": {"serialNumber": "1"}}},
        "policies": {"p": {"Version": "2012-10-17", "Statement": []}},
    }
    table, asked = ask(tmp_path, device, REGISTER, b"{}", {**accepted(thingName="pi-1"), "known": known})
    assert asked == [{"template": "fleet", "payload": {}}]
    assert table.certificates["aa"].things == ("pi-1",)
    assert table.things["pi-1"].attributes == {"serialNumber": "1"}
    assert device.told() == (f"{REGISTER.decode()}/accepted", {"thingName": "pi-1"})


def test_a_device_hears_only_what_it_has_subscribed_to_and_may_receive(tmp_path: Path) -> None:
    rejected = {"accepted": False, "payload": {"statusCode": 400}, "known": {}}
    device = Device()
    ask(tmp_path, device, REGISTER, b"{}", rejected)
    assert device.told() is None, "it has not subscribed to rejected"
    denied = Device(authorization=Allowing(lambda _kind, _topic: Verdict(0x87, "no", "iot:Receive")))
    ask(tmp_path, denied, CREATE, b"{}", rejected)
    assert denied.told() is None


def test_without_a_cloud_it_is_told_that_the_service_is_not_available(tmp_path: Path) -> None:
    device = Device()
    ask(tmp_path, device, CREATE, b"{}", None)
    told = device.told()
    assert told is not None
    assert (told[0], told[1]["statusCode"]) == (f"{CREATE.decode()}/rejected", 503)


def test_a_payload_that_is_none_is_rejected_without_asking(tmp_path: Path) -> None:
    device = Device()
    _, asked = ask(tmp_path, device, CREATE, b"[]", accepted())
    assert asked == []
    told = device.told()
    assert told is not None
    assert told[1]["errorCode"] == "InvalidPayload"


@pytest.mark.parametrize(
    ("topic", "expected"),
    [
        (CREATE, True),
        (REGISTER, True),
        (CREATE + b"/accepted", False),
        (b"$aws/provisioning-templates/no name/provision/json", False),
        (b"$aws/certificates/create/json", False),
        (b"plant/pi-1/telemetry", False),
    ],
)
def test_only_the_request_topics_ask(topic: bytes, expected: bool) -> None:
    assert is_request(topic) is expected
