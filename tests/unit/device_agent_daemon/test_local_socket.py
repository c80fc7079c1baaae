"""The agent's unix socket with real clients on a real loop; what the daemon does with requests is played.

It cannot prove which users a device lets into the socket's group.
"""

from __future__ import annotations

import base64
import json
import shutil
import socket
import stat
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from device_agent._exceptions import DeviceAgentError
from device_agent.client import AgentNotRunningError, Channel, Publisher, PublishRefusedError, publish, subscribe
from device_agent.daemon.local_requests import read_payload, write_payload
from device_agent.daemon.local_socket import (
    MAX_BUFFERED,
    MAX_CLIENTS,
    MAX_LINE,
    Answer,
    Client,
    LocalSocket,
)
from device_agent.daemon.loop import Loop
from device_agent.system import System


class Agent:
    """A loop on a thread with a socket; answers publishes, and does with the rest what the test says."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.loop = Loop(System())
        self.requests: list[dict[str, Any]] = []
        self.refuse: dict[str, Any] | None = None
        self.left = threading.Event()
        self.clients: list[Client] = []
        self.socket = LocalSocket(self.loop, path, self._handle, lambda _client: self.left.set())
        self.thread = threading.Thread(target=self.loop.run)
        self.thread.start()

    def _handle(self, client: Client, request: dict[str, Any], body: bytes, answer: Answer) -> None:
        self.requests.append(request)
        self.clients.append(client)
        match request.get("command"):
            case "publish" if self.refuse is not None:
                answer(self.refuse)
            case "publish":
                answer({"ok": True, "id": request["id"], "sequence": len(self.requests), "topic": request["topic"]})
            case "subscribe":
                answer({"ok": True})
            case "hold":
                pass
            case _:
                raise DeviceAgentError("the command is not known")

    def do(self, call: Callable[[], None]) -> None:
        done = threading.Event()
        self.loop.hand_over(call)
        self.loop.hand_over(done.set)
        assert done.wait(10)

    def close(self) -> None:
        self.loop.hand_over(self.loop.stop)
        self.thread.join(10)
        self.socket.close()
        self.loop.close()


@pytest.fixture
def agent() -> Iterator[Agent]:
    # Not pytest's folder: a unix socket's path has at most 107 characters.
    folder = Path(tempfile.mkdtemp())
    running = Agent(folder / "agent.sock")
    yield running
    running.close()
    shutil.rmtree(folder)


def test_the_socket_is_open_to_its_owner_and_group_only(agent: Agent) -> None:
    assert stat.S_IMODE(agent.path.stat().st_mode) == 0o660


def test_a_socket_that_a_killed_agent_left_is_replaced(agent: Agent) -> None:
    path = agent.path.with_name("other.sock")
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(path))
    stale.close()
    other = Agent(path)
    assert publish("t", b"x", path=str(path)).sequence == 1
    other.close()


def test_a_socket_whose_folder_is_missing_is_refused_with_the_path(agent: Agent) -> None:
    with pytest.raises(DeviceAgentError, match=r"nowhere/agent\.sock cannot be made: No such file or directory"):
        LocalSocket(agent.loop, agent.path.with_name("nowhere") / "agent.sock", agent._handle, lambda _client: None)


def test_a_publish_carries_all_its_fields(agent: Agent) -> None:
    with Publisher(str(agent.path)) as publisher:
        receipt = publisher.publish("t", b"\xff\0", id="an-id", retain=True, content_type="a/b", absolute=True)
    assert (receipt.id, receipt.topic) == ("an-id", "t")
    assert agent.requests == [
        {
            "command": "publish",
            "topic": "t",
            "id": "an-id",
            "payloadBase64": "/wA=",
            "retain": True,
            "contentType": "a/b",
            "absolute": True,
        }
    ]


def test_many_publishes_are_answered_in_order(agent: Agent) -> None:
    with Publisher(str(agent.path)) as publisher:
        receipts = publisher.publish_many([("t", str(number)) for number in range(3000)])
    # The agent is played as one of the release before, which takes them one by one.
    assert [receipt.sequence for receipt in receipts] == list(range(2, 3002))
    assert len({receipt.id for receipt in receipts}) == 3000


def test_a_refusal_is_raised_with_its_code(agent: Agent) -> None:
    agent.refuse = {"ok": False, "code": "full", "error": "the queue is full"}
    with pytest.raises(PublishRefusedError, match="the queue is full") as refusal:
        publish("t", b"x", path=str(agent.path))
    assert refusal.value.code == "full"


def while_it_waits(monkeypatch: pytest.MonkeyPatch, do: Callable[[], None]) -> None:
    """Let something happen in place of the time that a client waits before it asks again."""
    waiting = SimpleNamespace(monotonic=time.monotonic, sleep=lambda _seconds: do())
    monkeypatch.setattr("device_agent.client.time", waiting)


def test_an_agent_that_is_about_to_end_is_waited_for(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    agent.refuse = {"ok": False, "code": "stopping", "error": "the agent is about to end"}
    while_it_waits(monkeypatch, lambda: setattr(agent, "refuse", None))
    with Publisher(str(agent.path), timeout=20) as publisher:
        assert publisher.publish("t", b"x", id="same").id == "same"
    assert {request["id"] for request in agent.requests} == {"same"}


def test_a_publish_waits_for_an_agent_that_restarts_and_keeps_its_id(
    agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = agent.path.with_name("late.sock")
    started: list[Agent] = []
    while_it_waits(monkeypatch, lambda: started.append(Agent(path)))
    with Publisher(str(path), timeout=20) as publisher:
        assert publisher.publish("t", b"x", id="same").id == "same"
    [late] = started
    late.close()


def test_without_an_agent_the_error_says_how_to_start_it(tmp_path: Path) -> None:
    with pytest.raises(AgentNotRunningError, match=r"no agent is running .*systemctl start private-iot-agent") as error:
        Channel(str(tmp_path / "none.sock"))
    assert error.value.exit_code == 3


@pytest.mark.parametrize("line", [b"not json", b"[]", b"\xff\xfe", b"[" * 100_000, b"7"])
def test_a_line_that_is_no_request_is_refused_and_the_next_one_served(agent: Agent, line: bytes) -> None:
    with Channel(str(agent.path)) as channel:
        channel._socket.sendall(line + b'\n{"command":"subscribe","filter":"x","tag":7}\n')
        assert channel.receive()["error"] == "the request is not a JSON object on one line"
        assert channel.receive() == {"ok": True, "tag": 7}


def test_an_unknown_command_is_refused_with_its_tag(agent: Agent) -> None:
    with Channel(str(agent.path)) as channel:
        channel.send({"command": "dance", "tag": "a"})
        assert channel.receive() == {"ok": False, "code": "invalid", "error": "the command is not known", "tag": "a"}


def test_a_line_without_an_end_is_refused_and_the_client_disconnected(agent: Agent) -> None:
    with Channel(str(agent.path)) as channel:
        with pytest.raises(ConnectionError):
            channel._socket.sendall(b"x" * MAX_LINE * 20)
        assert agent.left.wait(10)
    publish("t", b"x", path=str(agent.path))


def test_one_client_too_many_is_turned_away_and_the_others_stay(agent: Agent) -> None:
    channels = [Channel(str(agent.path)) for _ in range(MAX_CLIENTS)]
    try:
        for channel in channels:
            channel.send({"command": "subscribe", "filter": "x"})
            assert channel.receive()["ok"]
        with Channel(str(agent.path)) as extra, pytest.raises(ConnectionError):
            extra.receive()
    finally:
        for channel in channels:
            channel.close()


def test_a_listener_that_does_not_read_is_disconnected_and_the_agent_goes_on(agent: Agent) -> None:
    with Channel(str(agent.path)) as channel:
        channel.send({"command": "hold"})
        publish("t", b"x", path=str(agent.path))
        client = agent.clients[0]

        def flood() -> None:
            for _ in range(3 * MAX_BUFFERED // 100_000):
                client.send({"event": "x" * 100_000})

        agent.do(flood)
        assert agent.left.wait(10)
    publish("t", b"x", path=str(agent.path))


def test_messages_are_handed_to_a_listener_and_a_refusal_ends_it(agent: Agent) -> None:
    messages = subscribe("a/#", path=str(agent.path))

    def tell() -> None:
        while not agent.requests:
            threading.Event().wait(0.01)
        client = agent.clients[0]
        client.send({"event": "subscribed", "filter": "a/#"})
        client.send({"event": "message", "topic": "a/b", "payload": "ü", "properties": {"k": "v"}})
        client.send({"event": "message", "topic": "a/c", "payloadBase64": "/w==", "properties": {}})
        client.send({"event": "refused", "filter": "a/#", "error": "not authorized"})

    teller = threading.Thread(target=tell)
    teller.start()
    assert next(messages).payload == "ü".encode()
    assert next(messages).payload == b"\xff"
    with pytest.raises(PublishRefusedError, match="not authorized"):
        next(messages)
    teller.join(10)


@pytest.mark.parametrize("payload", [b"", b"text", "ü€😀".encode(), bytes(range(256))])
def test_a_payload_comes_back_as_it_went(payload: bytes) -> None:
    written = write_payload(payload)
    assert read_payload(json.loads(json.dumps(written))) == payload


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        ({}, "needs either payload"),
        ({"payload": "a", "payloadBase64": "YQ=="}, "needs either payload"),
        ({"payload": 7}, "needs either payload"),
        ({"payloadBase64": "a"}, "is not base64"),
        ({"payloadBase64": "ü"}, "is not base64"),
        ({"payload": "\ud800"}, "half a surrogate pair"),
    ],
)
def test_a_malformed_payload_is_refused(request_: dict[str, Any], why: str) -> None:
    with pytest.raises(DeviceAgentError, match=why):
        read_payload(request_)


def test_the_largest_payload_fits_into_a_request_however_it_is_written() -> None:
    largest = b"\x01" * 131_072
    assert len(json.dumps({"payload": largest.decode()})) < MAX_LINE
    assert len(base64.b64encode(largest)) < MAX_LINE
