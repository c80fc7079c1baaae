"""Fleet provisioning's topics: what a device asks there is handed on to the cloud and answered to the one that asked.

Source: AWS IoT developer guide, "Device provisioning MQTT API": the topics, their answers, and that the results come
"through the same MQTT connection used to publish the API request". The answers have QoS 0, which no page says.
"""

import asyncio
import json
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any, Protocol

from lab.path.gateway import packets
from lab.path.gateway.authorization import ALLOWED, Authorization
from lab.path.gateway.packets import V5
from lab.path.gateway.table import Table, with_provisioned
from lab.path.gateway.tls_stream import TlsStream

_TOPIC = re.compile(
    rb"\$aws/certificates/create-from-csr/json|\$aws/provisioning-templates/([0-9A-Za-z_-]{1,36})/provision/json"
)
_TIMEOUT = 20.0
"""Seconds that the cloud has to answer."""


class Asker(Protocol):
    """The device's connection that asked."""

    stream: TlsStream
    authorization: Authorization
    level: int
    closed: bool
    exact_filters: set[bytes]


class Front(Protocol):
    """The gateway, whose table follows what was provisioned."""

    table: Table


def is_request(topic: bytes) -> bool:
    """Whether a publish to this topic asks fleet provisioning for something."""
    return _TOPIC.fullmatch(topic) is not None


async def answer(front: Front, device: Asker, topic: bytes, payload: bytes, cloud: Path | None) -> None:
    """Ask the cloud, and tell the device what it said.

    Args:
        cloud: The unix socket where the cloud's answers come from: one line of JSON each way. Without one the service
            is not available.
    """
    try:
        result = await _ask(topic, payload, cloud)
    except (OSError, TimeoutError, ValueError) as error:
        problem = {"statusCode": 503, "errorCode": "ServiceUnavailable", "errorMessage": str(error)}
        result = {"accepted": False, "payload": problem, "known": {}}
    if result["known"]:
        front.table = with_provisioned(front.table, result["known"])
    to = topic + (b"/accepted" if result["accepted"] else b"/rejected")
    if device.closed or not _subscribed(to, device.exact_filters):
        return
    if device.authorization.verdict("receive", to) is ALLOWED:
        body = packets.binary(to) + (b"\0" if device.level == V5 else b"") + json.dumps(result["payload"]).encode()
        device.stream.write(packets.packet(packets.PUBLISH, 0, body))


async def _ask(topic: bytes, payload: bytes, cloud: Path | None) -> dict[str, Any]:
    found = _TOPIC.fullmatch(topic)
    if found is None or cloud is None:
        raise OSError("fleet provisioning is not available")
    try:
        asked = json.loads(payload)
    except ValueError:
        asked = None
    if not isinstance(asked, dict):
        problem = {"statusCode": 400, "errorCode": "InvalidPayload", "errorMessage": "The payload is no JSON object."}
        return {"accepted": False, "payload": problem, "known": {}}
    template = found[1].decode() if found[1] else None
    async with asyncio.timeout(_TIMEOUT):
        reader, writer = await asyncio.open_unix_connection(cloud, limit=1 << 20)
        try:
            writer.write(json.dumps({"template": template, "payload": asked}).encode() + b"\n")
            await writer.drain()
            line = await reader.readline()
        finally:
            writer.close()
    result: dict[str, Any] = json.loads(line)
    return result


def _subscribed(topic: bytes, filters: Collection[bytes]) -> bool:
    return topic in filters or any(_matches(one.split(b"/"), topic.split(b"/")) for one in filters)


def _matches(wanted: list[bytes], levels: list[bytes]) -> bool:
    """Whether a topic filter takes a topic (MQTT 5.0, section 4.7.1)."""
    for number, level in enumerate(wanted):
        if level == b"#":
            return True
        if number >= len(levels) or level not in (b"+", levels[number]):
            return False
    return len(wanted) == len(levels)
