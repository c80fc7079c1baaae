"""What was published through AWS IoT's API goes to the broker, and what is retained comes back after its restart."""

import asyncio
import base64
import contextlib
import urllib.parse
from typing import Any

from lab.path.gateway import packets
from lab.path.live import LiveNetwork
from lab.path.parts import service_directory

_INTERVAL = 1.0
_TIMEOUT = 10.0
_CONNECT = packets.packet(
    packets.CONNECT, 0, packets.binary(b"MQTT") + bytes([packets.V311, 2]) + bytes(2) + packets.binary(b"aws-iot-api")
)


class Publications:
    """Carries publications from the cloud to the broker of a network."""

    def __init__(self, live: LiveNetwork) -> None:
        self._live = live
        self._number = 0
        self._broker: int | None = None

    async def watch(self) -> None:
        """Ask the cloud every second, for ever; what could not be carried is carried the next time."""
        while True:
            with contextlib.suppress(OSError, EOFError, TimeoutError, packets.MalformedPacketError):
                await self.poll()
            await asyncio.sleep(_INTERVAL)

    async def poll(self) -> None:
        """Carry what is new.

        Raises:
            OSError: The cloud or the broker does not answer.
            EOFError: The broker ended the connection.
            TimeoutError: The broker does not acknowledge.
        """
        broker = self._live.running.get("broker")
        if self._live.aws is None or broker is None or not broker.running:
            return
        if self._broker != broker.starts:
            # A broker that has just started retains nothing.
            self._number = 0
        query = urllib.parse.urlencode({"region": self._live.aws.region, "after": self._number})
        answer: dict[str, Any] = await asyncio.to_thread(self._live.aws.lab, f"iot-data/publications?{query}")
        if answer["publications"]:
            async with asyncio.timeout(_TIMEOUT):
                await _publish(answer["publications"])
        self._number, self._broker = answer["last"], broker.starts


async def _publish(publications: list[dict[str, Any]]) -> None:
    reader, writer = await asyncio.open_unix_connection(f"{service_directory('broker')}/mosquitto.sock")
    try:
        writer.write(_CONNECT)
        await _answer(reader, packets.CONNACK)
        for number, one in enumerate(publications, 1):
            identifier = (number % 65_535 or 65_535).to_bytes(2, "big")
            body = packets.binary(one["topic"].encode()) + identifier + base64.b64decode(one["payload"])
            writer.write(packets.packet(packets.PUBLISH, 2 | bool(one["retain"]), body))
            await _answer(reader, packets.PUBACK)
        writer.write(packets.packet(packets.DISCONNECT, 0, b""))
        await writer.drain()
    finally:
        writer.close()


async def _answer(reader: asyncio.StreamReader, kind: int) -> None:
    """Read one packet of four bytes, as CONNACK and PUBACK of MQTT 3.1.1 are."""
    data = await reader.readexactly(4)
    if data[0] >> 4 != kind:
        raise packets.MalformedPacketError(f"the broker answered with packet type {data[0] >> 4} instead of {kind}")
