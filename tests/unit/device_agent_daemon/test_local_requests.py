"""What local programs ask for, with a real socket, queue and loop; AWS IoT's side is played.

The fuzz test stands for a kind: whatever a program sends, the agent answers or disconnects it, and serves the others.
"""

from __future__ import annotations

import grp
import json
import os
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from device_agent._exceptions import DeviceAgentError
from device_agent.client import (
    AgentNotRunningError,
    Channel,
    Publisher,
    PublishRefusedError,
    publish,
    subscribe,
    unsubscribe,
)
from device_agent.daemon.access import Access, GroupTopics
from device_agent.daemon.local_requests import MAX_FILTERS, LocalRequests
from device_agent.daemon.local_socket import MAX_BUFFERED, Client, LocalSocket
from device_agent.daemon.loop import Loop
from device_agent.daemon.queue import Queue
from device_agent.daemon.queue_file import Stored
from device_agent.messages import Draft, Limits
from device_agent.system import System
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


class Subscriber:
    """AWS IoT's side: counts subscriptions as the connection does, which fails at one that is taken back twice."""

    connected = True

    def __init__(self) -> None:
        self.filters: dict[str, int] = {}
        self.session = False

    def keep_session(self, *, wanted: bool) -> None:
        self.session = wanted

    def subscribe(self, topic_filter: str) -> None:
        topic_filter.encode()
        self.filters[topic_filter] = self.filters.get(topic_filter, 0) + 1

    def unsubscribe(self, topic_filter: str) -> None:
        self.filters[topic_filter] -= 1
        if self.filters[topic_filter] == 0:
            del self.filters[topic_filter]


class StuckQueue(Queue):
    """A queue whose disk does not answer until it is told to."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.stuck = False
        self.waiting: list[tuple[list[Draft], Callable[[Stored], None]]] = []
        super().__init__(*arguments, **options)

    def put(self, drafts: Any, answer: Callable[[Stored], None], *, make_room: bool = True) -> None:
        if self.stuck:
            self.waiting.append((drafts, answer))
        else:
            super().put(drafts, answer, make_room=make_room)

    def go_on(self) -> None:
        self.stuck = False
        while self.waiting:
            super().put(*self.waiting.pop(0))


class Agent:
    """All that local programs meet, on a thread of its own."""

    def __init__(self, *, groups: dict[str, GroupTopics] | None = None, limits: Limits | None = None) -> None:
        # Not pytest's folder: a unix socket's path has at most 107 characters.
        self.folder = Path(tempfile.mkdtemp())
        self.path = str(self.folder / "agent.sock")
        self._groups, self._limits = groups or {}, limits
        self.ended: list[BaseException] = []
        self._start()

    def _start(self) -> None:
        self.loop = Loop(System())
        self.queue = StuckQueue(System(), self.folder / "queue.sqlite3", self._limits)
        self.subscriber = Subscriber()
        access = Access(self._groups, "pi-1")
        self.requests = LocalRequests(self.loop, self.queue, self.subscriber, access, prefix="pi-1", status=dict)
        self.socket = LocalSocket(self.loop, Path(self.path), self.requests.handle, self.requests.left)
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        try:
            self.loop.run()
        except BaseException as error:
            self.ended.append(error)
            raise

    def do(self, call: Callable[[], Any]) -> Any:
        """Make a call on the loop's thread and give its result."""
        results: list[Any] = []
        done = threading.Event()

        def run() -> None:
            try:
                results.append(call())
            finally:
                done.set()

        self.loop.hand_over(run)
        assert done.wait(20), self.ended
        return results[0]

    def held(self) -> int:
        """Bytes that are held for clients: requests, answers, and messages before the disk."""
        waiting = sum(draft.size for drafts, _answer in self.queue.waiting for draft in drafts)
        return waiting + sum(client.incomplete + client.unread for client in self.socket.clients)

    def restart(self) -> None:
        self._stop()
        self._start()

    def close(self) -> None:
        self._stop()
        shutil.rmtree(self.folder)

    def _stop(self) -> None:
        self.loop.hand_over(self.loop.stop)
        self.thread.join(20)
        self.socket.close()
        self.queue.close()
        self.loop.close()


@pytest.fixture
def agent() -> Iterator[Agent]:
    running = Agent()
    yield running
    running.close()


def eventually(condition: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, what
        threading.Event().wait(0.01)


# Filters and topics


@pytest.mark.parametrize("topic_filter", ["$foo/#", "/".join("abcdefghi"), "\ud800", "a/#/b", "a" * 300])
def test_a_filter_that_would_end_the_connection_is_refused_and_never_sent(agent: Agent, topic_filter: str) -> None:
    with Channel(agent.path) as channel:
        answer = channel.ask({"command": "subscribe", "filter": topic_filter, "absolute": True})
    assert (answer["ok"], answer["code"]) == (False, "invalid")
    assert agent.do(lambda: dict(agent.subscriber.filters)) == {}


def test_a_filter_more_than_aws_iot_takes_of_a_connection_is_refused(agent: Agent) -> None:
    with Channel(agent.path) as channel:
        for number in range(MAX_FILTERS):
            assert channel.ask({"command": "subscribe", "filter": f"f/{number}"})["ok"]
        assert channel.ask({"command": "subscribe", "filter": "f/0"})["ok"], "the same filter counts once"
        assert "the 50 that AWS IoT takes" in channel.ask({"command": "subscribe", "filter": "one/more"})["error"]


def test_a_shared_subscription_gets_its_messages(agent: Agent) -> None:
    with Channel(agent.path) as channel:
        assert channel.ask({"command": "subscribe", "filter": "$share/group/pi-1/commands/#"})["ok"]
        agent.do(lambda: agent.requests.received("pi-1/commands/now", b"go", {}))
        assert channel.receive()["payload"] == "go"


# What one program may do to the others


def test_a_listener_that_is_disconnected_while_it_subscribes_takes_nothing_with_it(agent: Agent) -> None:
    with Channel(agent.path) as channel:
        assert channel.ask({"command": "subscribe", "filter": "flood"})["ok"]
        (client,) = agent.do(lambda: list(agent.socket.clients))
        share = MAX_BUFFERED // 2
        while (unread := agent.do(lambda: client.unread)) < share - 200:
            size = max(1, min(100_000, share - unread - 150))
            agent.do(lambda: agent.requests.received("pi-1/flood", b"x" * size, {}))  # noqa: B023 - called at once
        assert agent.do(lambda: client.open)
        # The answer is what it leaves unread too much.
        channel.send({"command": "subscribe", "filter": "f", "tag": "t" * 200})
        eventually(lambda: not agent.do(lambda: client.open), "the listener stays")
    assert agent.do(lambda: dict(agent.subscriber.filters)) == {}
    assert publish("t", b"x", path=agent.path).sequence == 1


def test_a_fault_of_the_agents_own_is_the_answer_to_one_request_alone(agent: Agent) -> None:
    def fail(*_arguments: object) -> None:
        raise KeyError("a fault")

    agent.requests._status = fail  # type: ignore[assignment]
    with Channel(agent.path) as channel:
        assert channel.ask({"command": "status"})["code"] == "internal"
        assert channel.ask({"command": "protocol"}) == {"ok": True, "version": 2}


def test_all_clients_together_hold_no_more_than_the_bound_while_the_disk_is_stuck(agent: Agent) -> None:
    agent.queue.stuck = True
    payload = "x" * 131_072
    request = json.dumps({"command": "publish", "topic": "t", "payload": payload}).encode() + b"\n"
    clients = [socket.socket(socket.AF_UNIX) for _ in range(32)]
    sent = 0
    for client in clients:
        client.connect(agent.path)
        client.setblocking(False)
    most = 0
    for _round in range(30):
        for client in clients:
            # Full, or shut by the agent: what was cut off makes a line without an end.
            with suppress(OSError):
                sent += client.send(request[sent % 7 :])
                client.send(request)
        most = max(most, agent.do(agent.held))
    assert most > MAX_BUFFERED // 8, "the test does not fill anything"
    assert most <= MAX_BUFFERED
    for client in clients[:16]:
        client.close()
    assert agent.do(agent.held) <= MAX_BUFFERED
    agent.do(agent.queue.go_on)
    for client in clients[16:]:
        client.close()
    assert publish("t", b"x", path=agent.path).sequence > 1, "nobody is served after the disk has come back"


def test_requests_without_an_end_are_bounded_together_and_the_others_are_served(agent: Agent) -> None:
    clients = [socket.socket(socket.AF_UNIX) for _ in range(32)]
    for client in clients:
        client.connect(agent.path)
        client.settimeout(0.2)
        with suppress(OSError):
            client.sendall(b"x" * 900_000)
    assert agent.do(agent.held) <= MAX_BUFFERED
    assert publish("t", b"x", path=agent.path).sequence == 1
    for client in clients:
        client.close()


ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=40)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT, inner, max_size=4),
    max_leaves=8,
)
NAMES = (
    "topic",
    "payload",
    "payloadBase64",
    "id",
    "retain",
    "contentType",
    "absolute",
    "filter",
    "tag",
    "persistent",
    "number",
)
COMMANDS = (
    "publish",
    "publish-many",
    "subscribe",
    "unsubscribe",
    "acknowledge",
    "protocol",
    "retry-dead-letters",
    "status",
    "unknown",
)
TEXTS = st.sampled_from(["a/b", "a/+", "#", "$aws/x", "$share/g/a", "YQ==", "", "\ud800", "x" * 300]) | ANY_TEXT
REQUESTS = st.fixed_dictionaries(
    {"command": st.sampled_from(COMMANDS) | JSON},
    optional={
        **dict.fromkeys(NAMES, TEXTS | JSON),
        **{name: st.lists(TEXTS | st.integers(-1, 300) | JSON, max_size=3) for name in ("topics", "ids", "sizes")},
        "bodyBytes": st.integers(0, 300) | JSON,
        "persistent": st.just(True) | JSON,
        "number": st.integers(-1, 5) | JSON,
    },
)
PIECES = REQUESTS.map(lambda request: json.dumps(request).encode() + b"\n") | st.binary(max_size=300)
STEPS = st.lists(st.tuples(st.integers(0, 2), PIECES | st.just("leave") | st.just("comes")), max_size=12)


@pytest.fixture(scope="module")
def long_lived() -> Iterator[Agent]:
    running = Agent()
    yield running
    running.close()


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS)
def test_whatever_programs_send_the_agent_goes_on_and_answers_the_others(
    long_lived: Agent, steps: list[tuple[int, bytes | str]]
) -> None:
    clients: dict[int, socket.socket] = {}
    heard: dict[int, bytes] = {0: b"", 1: b"", 2: b""}
    for number, step in steps:
        if step == "comes":
            long_lived.do(lambda: long_lived.requests.received("a/b", b"\xff", {"k": "v"}))
            continue
        if number not in clients:
            clients[number] = socket.socket(socket.AF_UNIX)
            clients[number].connect(long_lived.path)
            clients[number].settimeout(10)
        if isinstance(step, bytes):
            with suppress(OSError):
                clients[number].sendall(step)
        else:
            clients.pop(number).close()
    for number, client in clients.items():
        with suppress(OSError):
            client.shutdown(socket.SHUT_WR)
            while data := client.recv(65536):
                heard[number] += data
        client.close()
    with Channel(long_lived.path) as channel:
        assert channel.ask({"command": "protocol", "tag": [1]}) == {"ok": True, "version": 2, "tag": [1]}
    assert not long_lived.ended
    answers = [json.loads(line) for text in heard.values() for line in text.splitlines()]
    assert not [answer for answer in answers if answer.get("code") == "internal"]


# Many at once


def test_many_are_durable_in_order_and_come_back_as_they_went(agent: Agent) -> None:
    messages = [(f"t/{number % 3}", os.urandom(number % 700)) for number in range(1200)]
    with Publisher(agent.path) as publisher:
        receipts = publisher.publish_many(messages, content_type="a/b", retain=True)
    assert [receipt.sequence for receipt in receipts] == list(range(1, 1201))
    kept = agent.queue.read(0, 2000)
    assert [(item.topic, item.payload) for item in kept] == [(f"pi-1/{topic}", data) for topic, data in messages]
    assert [item.id for item in kept] == [receipt.id for receipt in receipts]
    assert {(item.retain, item.content_type) for item in kept} == {(True, "a/b")}
    assert [receipt.topic for receipt in receipts] == [item.topic for item in kept]


def test_after_a_refusal_the_caller_knows_which_are_queued_and_nothing_later_is(agent: Agent) -> None:
    messages = [("t", str(number)) for number in range(700)] + [("t/#", "bad")] + [("t", "later")] * 700
    with Publisher(agent.path) as publisher, pytest.raises(PublishRefusedError, match="wildcard") as refusal:
        publisher.publish_many(messages)
    assert (refusal.value.code, len(refusal.value.receipts)) == ("invalid", 700)
    assert [item.id for item in agent.queue.read(0, 2000)] == [item.id for item in refusal.value.receipts]


def test_after_a_full_queue_the_caller_knows_which_are_queued() -> None:
    agent = Agent(limits=Limits(max_bytes=1024 * 1024, when_full="refuse"))
    try:
        with Publisher(agent.path) as publisher, pytest.raises(PublishRefusedError, match="queue is full") as refusal:
            publisher.publish_many([("t", b"x" * 100_000)] * 20)
        assert (refusal.value.code, len(refusal.value.receipts)) == ("full", 10)
        assert len(agent.queue.read(0, 2000)) == 10
    finally:
        agent.close()


def test_when_the_agent_ends_in_between_the_caller_knows_which_are_durable(agent: Agent) -> None:
    stop_after = 2
    handle = agent.socket.handle

    def count(client: Client, request: dict[str, Any], body: bytes, answer: Callable[[dict[str, Any]], None]) -> None:
        nonlocal stop_after
        if request["command"] == "publish-many":
            stop_after -= 1
            agent.requests.stopping = stop_after < 0
        handle(client, request, body, answer)

    agent.socket.handle = count
    with Publisher(agent.path, timeout=0.5) as publisher, pytest.raises(AgentNotRunningError) as ended:
        publisher.publish_many([("t", b"x")] * 1400)
    assert [receipt.sequence for receipt in ended.value.receipts] == list(range(1, 1001))


def test_a_program_of_the_release_before_may_say_patience_for_the_timeout(tmp_path: Path) -> None:
    started = time.monotonic()
    with Publisher(str(tmp_path / "nobody.sock"), patience=0.05) as publisher, pytest.raises(AgentNotRunningError):
        publisher.publish("t", b"x")
    assert time.monotonic() - started < 5


def test_a_program_of_this_release_publishes_to_an_agent_of_the_one_before(agent: Agent) -> None:
    handle = agent.socket.handle

    def before(client: Client, request: dict[str, Any], body: bytes, answer: Callable[[dict[str, Any]], None]) -> None:
        if request["command"] in ("protocol", "publish-many"):
            raise DeviceAgentError("the command is not known")
        handle(client, request, body, answer)

    agent.socket.handle = before
    with Publisher(agent.path) as publisher:
        receipts = publisher.publish_many([("t", b"\xff"), ("t", "text")])
    assert [item.payload for item in agent.queue.read(0, 9)] == [b"\xff", b"text"]
    assert [receipt.sequence for receipt in receipts] == [1, 2]


def test_a_program_of_the_release_before_publishes_as_it_did(agent: Agent) -> None:
    """Its requests, as that release writes them: JSON lines, many before the first answer."""
    with Channel(agent.path) as channel:
        channel.send(
            *(
                {"command": "publish", "topic": "t", "id": f"id-{number}", "payloadBase64": "/wA=", "tag": number}
                for number in range(500)
            )
        )
        answers = [channel.receive() for _ in range(500)]
    assert [(item["ok"], item["tag"], item["sequence"]) for item in answers] == [(True, n, n + 1) for n in range(500)]
    assert {(item.topic, item.payload) for item in agent.queue.read(0, 999)} == {("pi-1/t", b"\xff\0")}


# Persistent subscriptions


def persistent(channel: Channel, topic_filter: str = "commands/#") -> dict[str, Any]:
    return channel.ask({"command": "subscribe", "filter": topic_filter, "persistent": True})


def arrives(agent: Agent, topic: str, payload: bytes) -> threading.Event:
    """Have a message come in; the event tells that AWS IoT is answered."""
    acknowledged = threading.Event()
    agent.do(lambda: agent.requests.received(topic, payload, {"message-id": "m"}, acknowledged.set))
    return acknowledged


def test_what_comes_in_waits_for_a_program_through_a_restart_and_is_handed_out_until_acknowledged(
    agent: Agent,
) -> None:
    with Channel(agent.path) as channel:
        assert persistent(channel)["ok"]
    assert agent.do(lambda: (agent.subscriber.filters, agent.subscriber.session)) == ({"pi-1/commands/#": 1}, True)
    for number in range(30):
        assert arrives(agent, "pi-1/commands/n", str(number).encode()).wait(20), "AWS IoT is not answered"
    assert agent.queue.totals().received == 30
    agent.restart()
    assert agent.do(lambda: (agent.subscriber.filters, agent.subscriber.session)) == ({"pi-1/commands/#": 1}, True)
    with Channel(agent.path) as channel:
        assert persistent(channel)["ok"]
        handed = [channel.receive() for _ in range(20)]
        assert [event["payload"] for event in handed] == [str(number) for number in range(20)]
        assert handed[0]["properties"] == {"message-id": "m"}
        for event in handed[:5]:
            channel.send({"command": "acknowledge", "number": event["number"]})
        answers = [channel.receive() for _ in range(10)]
        assert sum(answer.get("ok", False) for answer in answers) == 5
        assert [item["payload"] for item in answers if "event" in item] == ["20", "21", "22", "23", "24"]
        assert channel.ask({"command": "acknowledge", "number": handed[0]["number"]})["code"] == "invalid"
    got = []
    for message in subscribe("commands/#", path=agent.path, persistent=True):
        got.append(int(message.payload))
        if got[-1] == 29:
            break
    assert got == list(range(5, 30)), "what was not acknowledged comes again, in order"
    eventually(lambda: agent.queue.totals().received == 1, "what a program that has gone acknowledged is lost")
    assert unsubscribe("commands/#", path=agent.path) == 1
    assert agent.do(lambda: (agent.subscriber.filters, agent.subscriber.session)) == ({}, False)
    with pytest.raises(PublishRefusedError, match="is no persistent subscription"):
        unsubscribe("commands/#", path=agent.path)


def test_one_program_takes_the_messages_of_a_filter_and_others_listen_as_before(agent: Agent) -> None:
    with Channel(agent.path) as taker, Channel(agent.path) as other:
        assert persistent(taker)["ok"]
        assert persistent(other)["code"] == "taken"
        assert other.ask({"command": "subscribe", "filter": "commands/+"})["ok"]
        arrives(agent, "pi-1/commands/x", b"go")
        assert taker.receive()["number"] == 1
        assert "number" not in other.receive()
        assert arrives(agent, "pi-1/elsewhere", b"x").is_set(), "what nobody keeps is answered at once"
        assert agent.queue.totals().received == 1


def test_aws_iot_is_not_answered_while_the_disk_takes_nothing(agent: Agent) -> None:
    with Channel(agent.path) as channel:
        persistent(channel)
    assert agent.queue._file is not None
    agent.queue._file.connection.execute("PRAGMA max_page_count=1")
    answered = arrives(agent, "pi-1/commands/x", b"x" * 100_000)
    eventually(lambda: agent.queue.error, "the disk is full")
    assert not answered.is_set()


def test_what_nobody_takes_is_bounded_and_the_oldest_gives_way() -> None:
    agent = Agent(limits=Limits(max_bytes=1024 * 1024))
    try:
        with Channel(agent.path) as channel:
            persistent(channel)
        for number in range(5):
            assert arrives(agent, "pi-1/commands/x", bytes([number]) * 40_000).wait(20)
        totals = agent.queue.totals()
        assert (totals.received, totals.counters["received_dropped"]) == (3, 2)
        with Channel(agent.path) as channel:
            persistent(channel)
            assert channel.receive()["payload"][0] == "\x02"
    finally:
        agent.close()


# Topics for Unix groups


class Peer:
    """A client with the groups that a test gives it; only its peer's credentials matter."""

    def __init__(self, *groups: int, user: int = 12345) -> None:
        self.peer, self.user, self.groups = "process 1", user, frozenset(groups)


def test_a_group_is_narrowed_to_its_topics_and_others_to_none() -> None:
    first, second = grp.getgrall()[0], grp.getgrall()[1]
    access = Access(
        {first.gr_name: GroupTopics(publish=["telemetry/#"], subscribe=["commands/+"]), second.gr_name: GroupTopics()},
        "pi-1",
    )
    member: Any = Peer(first.gr_gid, 54321)
    access.check_publish(member, "pi-1/telemetry/a")
    access.check_subscribe(member, "pi-1/commands/now")
    refused: list[Callable[[], None]] = [
        lambda: access.check_publish(member, "pi-1/status"),
        lambda: access.check_subscribe(member, "pi-1/commands/#"),
        lambda: access.check_manage(member),
        lambda: access.check_publish(Peer(second.gr_gid), "pi-1/telemetry/a"),  # type: ignore[arg-type]
        lambda: access.check_publish(Peer(54321), "pi-1/telemetry/a"),  # type: ignore[arg-type]
    ]
    for ask in refused:
        with pytest.raises(DeviceAgentError, match="may not"):
            ask()
    for user in (0, os.geteuid()):
        access.check_publish(Peer(user=user), "anything")  # type: ignore[arg-type]


def test_without_rules_every_member_may_use_every_topic() -> None:
    Access({}, "pi-1").check_publish(Peer(), "anything")  # type: ignore[arg-type]


def test_a_group_that_the_machine_does_not_have_is_told_of_and_opens_nothing_to_others() -> None:
    access = Access({"nobody-has-this": GroupTopics(publish=["#"])}, "pi-1")
    (warning,) = access.warnings
    assert "[local.groups.nobody-has-this] serves nobody: there is no such group; `sudo groupadd" in warning
    with pytest.raises(DeviceAgentError, match="may not publish"):
        access.check_publish(Peer(54321), "pi-1/telemetry")  # type: ignore[arg-type]


def test_the_kernel_says_which_groups_a_program_belongs_to(agent: Agent) -> None:
    with Channel(agent.path) as channel:
        channel.ask({"command": "protocol"})
        (client,) = agent.do(lambda: list(agent.socket.clients))
    assert (client.user, client.groups) == (os.geteuid(), frozenset({os.getegid(), *os.getgroups()}))


def test_a_topic_that_a_group_may_not_use_is_forbidden_through_the_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    # Whoever runs the tests is the agent's own user or root; here somebody else.
    monkeypatch.setattr("device_agent.daemon.access._is_trusted", lambda _user: False)
    agent = Agent(groups={grp.getgrgid(os.getegid()).gr_name: GroupTopics(publish=["telemetry"])})
    try:
        assert publish("telemetry", b"x", path=agent.path).sequence == 1
        with pytest.raises(PublishRefusedError, match=r"may not publish to 'pi-1/other'") as refusal:
            publish("other", b"x", path=agent.path)
        assert refusal.value.code == "forbidden"
        with Channel(agent.path) as channel:
            assert channel.ask({"command": "subscribe", "filter": "#"})["code"] == "forbidden"
            assert channel.ask({"command": "retry-dead-letters"})["code"] == "forbidden"
    finally:
        agent.close()
