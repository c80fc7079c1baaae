"""What was published through AWS IoT's API goes to the broker, and what is retained comes back after its restart."""

import asyncio
import base64
from typing import Any

from lab.path import held
from lab.path.gateway import packets
from lab.path.live import LiveNetwork
from lab.path.parts import service_directory
from lab.path.read import Aws

_RETRY = 1.0
_TIMEOUT = 10.0
_CONNECT = packets.packet(
    packets.CONNECT, 0, packets.binary(b"MQTT") + bytes([packets.V311, 2]) + bytes(2) + packets.binary(b"aws-iot-api")
)


class Publications:
    def __init__(self, live: LiveNetwork) -> None:
        self._live = live
        self._number = 0
        # Which start of the broker has what came up to that number.
        self._broker: int | None = None

    async def watch(self) -> None:
        """Wait at the cloud for what is new, for ever; what could not be carried is carried the next time."""
        while True:
            aws, broker = self._live.aws, self._live.running.get("broker")
            if aws is None or broker is None or broker.process is None or not broker.running:
                await asyncio.sleep(_RETRY)
                continue
            carrying = asyncio.create_task(self._carry(aws, broker.starts))
            # A broker that has just started retains nothing: it must not wait for the cloud's next answer.
            ended = asyncio.create_task(broker.process.wait())
            try:
                await asyncio.wait((carrying, ended), return_when=asyncio.FIRST_COMPLETED)
            finally:
                carrying.cancel()
                ended.cancel()

    async def _carry(self, aws: Aws, starts: int) -> None:
        after = self._number if self._broker == starts else 0
        try:
            answer = await held.ask(aws.url, "iot-data/publications", region=aws.region, after=after)
            if answer["publications"]:
                async with asyncio.timeout(_TIMEOUT):
                    await _publish(answer["publications"])
        except (OSError, EOFError, packets.MalformedPacketError):
            await asyncio.sleep(_RETRY)
        else:
            self._number, self._broker = answer["last"], starts


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
