"""The gateway as a process: its options, its control socket, its broker's absence, and its clock.

What this cannot prove: its life inside a sandbox; the network's tests start it there.
"""

import asyncio
import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.path.gateway import packets
from lab.path.gateway.control import ask
from lab.path.gateway.packets import V5, V311, Connect
from lab.path.gateway.server import Gateway
from tests.path.gateway.authority import Credential
from tests.path.gateway.raw_client import RawClient, publish
from tests.path.gateway.stack import ALPN_PORT, DEADLINE, PORT, Stack, running_stack, wait_for

pytestmark = pytest.mark.path


def opened(stack: Stack, credential: Credential, level: int = V5, client_id: str = "pi-1", **options: int) -> RawClient:
    client = RawClient(stack, stack.endpoint, credential, port=options.get("port", PORT))
    code = client.open(Connect(level, client_id, clean=True, keep_alive=options.get("keep_alive", 60)))[1]
    if code != 0:
        client.close()
    assert code == 0
    return client


def test_the_control_socket_is_its_owners_alone_and_answers_what_it_does_not_know(stack: Stack) -> None:
    assert stat.S_IMODE(stack.control.stat().st_mode) == 0o600
    assert "a command is needed" in ask(stack.control, {"command": "dance"})["error"]
    assert "connections" in ask(stack.control, {"command": "status"})


def test_the_operator_disconnects_a_client(stack: Stack) -> None:
    credential = stack.device("open")
    stack.reload()
    with opened(stack, credential, client_id="operated") as client:
        assert ask(stack.control, {"command": "disconnect", "clientId": "operated"}) == {"disconnected": True}
        assert client.expect(packets.DISCONNECT) == b"\xe0\x01\x98"
        assert client.closed()
    assert ask(stack.control, {"command": "disconnect", "clientId": "operated"}) == {"disconnected": False}


def test_without_its_broker_the_gateway_says_server_unavailable_and_recovers(stack: Stack) -> None:
    credential = stack.device("open")
    stack.reload()
    with opened(stack, credential, client_id="before") as client:
        stack.stop_broker()
        assert client.expect(packets.DISCONNECT) == b"\xe0\x01\x8b"
        assert client.closed()
    with RawClient(stack, stack.endpoint, credential) as client:
        assert client.open(Connect(V5, "during", clean=True, keep_alive=60))[1] == 0x88
        assert client.closed()
    with RawClient(stack, stack.endpoint, credential) as client:
        assert client.open(Connect(V311, "during", clean=True, keep_alive=60))[1] == 3
    stack.start_broker()
    with opened(stack, credential, client_id="after"):
        pass


def test_the_quota_of_publishes_and_the_disconnect_for_a_denied_one_are_options(tmp_path: Path) -> None:
    with running_stack(tmp_path, "--publishes-per-second", "5", "--denied-publish", "disconnect") as strict:
        credential = strict.device("least-privilege", thing="pi-1")
        strict.reload()
        with opened(strict, credential) as client:
            began = time.monotonic()
            client.send(b"".join(publish("device/pi-1/a", level=V5, packet_id=n) for n in range(1, 91)))
            answers = [client.expect(packets.PUBACK) for _ in range(90)]
            touched = int(time.monotonic() - began) + 2  # seconds of the gateway's clock
            refused = [answer for answer in answers if answer[4:] == b"\x97"]
            assert max(1, 90 - 5 * touched) <= len(refused) <= 85  # five pass in each second that the burst touches
        with opened(strict, credential) as client:
            client.send(publish("other", level=V5))
            assert client.expect(packets.DISCONNECT)[2] in (0x87, 0x97)


@pytest.mark.parametrize(
    ("text", "message"), [("{", "table.json"), ('{"endpoint": 1}', "server is missing; a JSON dict is needed")]
)
def test_a_table_that_cannot_be_used_ends_the_start_with_one_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "table.json").write_text(text)
    command = [sys.executable, "-m", "lab.path.gateway", "--table", str(tmp_path / "table.json")]
    ended = subprocess.run([*command, "--broker-socket", "/nowhere"], capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert message in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_the_gateway_ends_clean_and_says_goodbye(tmp_path: Path) -> None:
    with running_stack(tmp_path) as brief:
        credential = brief.device("open")
        brief.reload()
        assert brief.gateway_process is not None
        with opened(brief, credential, client_id="guest") as client:
            brief.gateway_process.terminate()
            assert client.expect(packets.DISCONNECT) == b"\xe0\x01\x8b"
            assert brief.gateway_process.wait(DEADLINE) == 0
        assert not brief.control.exists()
        assert all(line.startswith("{") for line in brief.log_file.read_text().splitlines())


def test_many_devices_are_served_side_by_side(stack: Stack) -> None:
    credential = stack.device("open")
    stack.reload()
    clients = [opened(stack, credential, client_id=f"many-{number}") for number in range(50)]
    try:
        for number, client in enumerate(clients):
            client.send(publish(f"many/{number}", b"x" * 1000, level=V5))
        for client in clients:
            client.expect(packets.PUBACK)
        assert len([item for item in stack.status()["connections"] if item["clientId"].startswith("many-")]) == 50
    finally:
        for client in clients:
            client.close()
    wait_for(lambda: stack.connection("many-49") is None, "the end of the connections")


def test_a_slow_reader_holds_up_the_broker_and_not_the_gateway(stack: Stack) -> None:
    """Forty megabytes for a device that does not read: the gateway keeps only what its buffers may hold."""
    credential = stack.device("open")
    stack.reload()
    assert stack.gateway_process is not None
    with opened(stack, credential, client_id="slow") as slow, opened(stack, credential, client_id="fast") as fast:
        slow.send(packets.write_subscribe(packets.Subscribe(1, (("flood", 0),)), V5))
        slow.expect(packets.SUBACK)
        before = _resident(stack.gateway_process.pid)
        for number in range(400):
            fast.send(publish("flood", b"x" * 100_000, level=V5, packet_id=number + 1))
            fast.expect(packets.PUBACK)
        assert _resident(stack.gateway_process.pid) - before < 10_000_000
        slow.expect(packets.PUBLISH)


def _resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize(("level", "goodbye"), [(V311, None), (V5, b"\xe0\x01\x8d")])
@pytest.mark.parametrize(
    ("address", "asked", "patience"), [("endpoint", 1200, 345.0), ("public", 0, 1800.0), ("public", 1, 45.0)]
)
def test_a_silent_device_is_dropped_after_one_and_a_half_keep_alives(  # noqa: PLR0917 - each argument is a parameter
    stack: Stack, level: int, goodbye: bytes | None, address: str, asked: int, patience: float
) -> None:
    """The gateway runs in this process, with a clock that the test sets forward."""
    credential = stack.device("open")
    stack.reload()
    ports = (PORT + 2000, ALPN_PORT + 2000)

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        clock, ahead = loop.time, 0.0
        loop.time = lambda: clock() + ahead  # type: ignore[method-assign]  # the loop's own clock is what is tested
        gateway = Gateway(stack.table_file, stack.directory / "broker.sock", ports=ports)
        await gateway.start()

        def in_thread(call: Callable[[], object]) -> "asyncio.Future[object]":
            return loop.run_in_executor(None, call)

        client = await asyncio.to_thread(RawClient, stack, getattr(stack, address), credential, port=ports[0])
        await in_thread(lambda: client.open(Connect(level, "silent", clean=True, keep_alive=asked)))
        ahead += patience - 5
        await in_thread(lambda: client.send(packets.packet(packets.PINGREQ, 0, b"")))
        await in_thread(lambda: client.expect(packets.PINGRESP))
        ahead += patience - 5  # silent for less than the patience since the ping
        await in_thread(lambda: client.send(packets.packet(packets.PINGREQ, 0, b"")))
        await in_thread(lambda: client.expect(packets.PINGRESP))
        ahead += patience + 1
        if goodbye is not None:
            assert await in_thread(lambda: client.expect(packets.DISCONNECT)) == goodbye
        assert await in_thread(client.closed)
        client.close()
        gateway.stop()
        await asyncio.sleep(0)

    asyncio.run(scenario())
