"""Carries what devices ask of fleet provisioning from the gateway to the cloud, and the answers back."""

import asyncio
import contextlib
import json
from pathlib import Path
from typing import Any

from lab.path.live import LiveNetwork
from lab.path.parts import provisioning_socket

_LIMIT = 1 << 20
"""Bytes of one question: a publish has 128 KiB at most."""


async def serve(live: LiveNetwork) -> asyncio.Server:
    """Answer the gateway for as long as the network is there."""

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while line := await reader.readline():
                writer.write(json.dumps(await _answer(live, json.loads(line))).encode() + b"\n")
                await writer.drain()
        writer.close()

    path = Path(provisioning_socket())
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return await asyncio.start_unix_server(converse, path, limit=_LIMIT)


async def _answer(live: LiveNetwork, asked: dict[str, Any]) -> dict[str, Any]:
    try:
        if live.aws is None:
            raise OSError("the network has no cloud yet")
        question = {**asked, "region": live.aws.region}
        answer: dict[str, Any] = await asyncio.to_thread(live.aws.lab, "iot/provisioning", question)
    except OSError as error:
        problem = {"statusCode": 503, "errorCode": "ServiceUnavailable", "errorMessage": str(error)}
        return {"accepted": False, "payload": problem, "known": {}}
    return answer
