"""Answers that the cloud holds back until there is something to say, so that nobody asks it every second."""

import asyncio
import json
import urllib.parse
from typing import Any

WAIT = 30.0
"""Seconds that the cloud holds back an answer in which nothing is new."""
_MARGIN = 20.0
"""Seconds beyond that in which a busy cloud has to answer."""


async def ask(url: str, path: str, **query: Any) -> Any:
    """Call one of the lab's own paths that take ``wait``; no thread waits for it, so that it ends when it is cancelled.

    Args:
        url: Where the cloud answers.
        path: Below ``/_lab/``.

    Raises:
        OSError: The cloud does not answer in time, ended meanwhile, or refuses.
    """
    where = urllib.parse.urlsplit(url)
    target = f"/_lab/{path}?{urllib.parse.urlencode({**query, 'wait': WAIT})}"
    async with asyncio.timeout(WAIT + _MARGIN):
        reader, writer = await asyncio.open_connection(where.hostname, where.port)
        try:
            # HTTP 1.0: the answer ends with the connection.
            writer.write(f"GET {target} HTTP/1.0\r\nHost: {where.netloc}\r\n\r\n".encode())
            answer = await reader.read(-1)
        finally:
            writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    try:
        if head.split(b" ", 2)[1] == b"200":
            return json.loads(body)
    except (IndexError, ValueError):
        pass
    raise OSError(f"the cloud at {url} answered {target} with {answer[:300].decode(errors='replace')!r}")
