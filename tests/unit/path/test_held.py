"""Answers that the cloud holds back: what came, what broke, and that nobody waits for them longer than wanted.

Cannot prove what the cloud's own server does meanwhile.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from lab.path import held


@asynccontextmanager
async def _answering(answer: bytes, asked: asyncio.Future[bytes] | None = None) -> AsyncIterator[str]:
    """Serve one answer on loopback and hang up."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        question = await reader.readuntil(b"\r\n\r\n")
        if asked is not None:
            asked.set_result(question)
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def test_the_question_names_how_long_to_wait_and_the_answer_is_read() -> None:
    async def run() -> None:
        asked: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        async with _answering(b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{"last": 3}', asked) as url:
            assert await held.ask(url, "things", region="x", known="a,b") == {"last": 3}
        line = (await asked).split(b"\r\n")[0]
        assert line == b"GET /_lab/things?region=x&known=a%2Cb&wait=30.0 HTTP/1.0"

    asyncio.run(run())


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b'HTTP/1.1 200 OK\r\n\r\n{"last": ',
        b'HTTP/1.1 400 BAD REQUEST\r\n\r\n{"error": "give region"}',
        b"not HTTP",
    ],
)
def test_a_cloud_that_ends_meanwhile_or_refuses_is_an_error_with_its_answer(answer: bytes) -> None:
    async def run() -> None:
        async with _answering(answer) as url:
            with pytest.raises(OSError, match=r"/_lab/things.* with ") as caught:
                await held.ask(url, "things")
        assert repr(answer.decode()) in str(caught.value)

    asyncio.run(run())


def test_whoever_no_longer_wants_the_answer_hangs_up() -> None:
    async def run() -> None:
        asked, hung_up = asyncio.Event(), asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            asked.set()
            assert await reader.read() == b""
            writer.close()
            hung_up.set()

        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            asking = asyncio.create_task(held.ask(f"http://127.0.0.1:{port}", "things"))
            await asked.wait()
            asking.cancel()
            await hung_up.wait()
            assert asking.cancelled()

    asyncio.run(run())
