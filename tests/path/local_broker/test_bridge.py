"""The agent as a client of a real mosquitto: nothing is acknowledged before it is on the disk, and nothing is lost.

The queue, the loop and the broker are real; AWS IoT's side is read from the queue's file.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from device_agent._exceptions import DeviceAgentError
from device_agent.daemon.local_requests import write_payload
from device_agent.daemon.loop import Loop
from device_agent.daemon.persistent import PersistentSubscriptions
from device_agent.daemon.queue import Queue
from device_agent.daemon.queue_file import Stored
from device_agent.daemon.received import Received
from device_agent.local_broker.bridge import LocalBroker
from device_agent.local_broker.client import build_local_client
from device_agent.local_broker.session import KnownFilters
from device_agent.local_broker.topic_maps import read_maps
from device_agent.messages import Limits, Message
from device_agent.settings import MqttSettings
from device_agent.system import System

from tests.path.agent_daemon.loopback import PATIENCE, wait_until

from .broker import Broker, free_port, lines

PREFIX = "private-iot/pi-1"
MIB = 1024 * 1024


class Subscriber:
    """AWS IoT's side."""

    connected = True

    def __init__(self) -> None:
        self.filters: set[str] = set()

    def keep_session(self, *, wanted: bool) -> None:
        assert wanted == bool(self.filters)

    def subscribe(self, topic_filter: str) -> None:
        self.filters.add(topic_filter)

    def unsubscribe(self, topic_filter: str) -> None:
        self.filters.remove(topic_filter)


@dataclass
class Agent:
    """A queue, a loop that turns, and the client of the broker."""

    root: Path
    broker: Broker
    publish: tuple[str, ...] = ("sensors/#",)
    subscribe: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)

    @contextmanager
    def running(self) -> Iterator[Agent]:
        """Run until the block ends; what was acknowledged is in the file then."""
        system = System(self.root)
        folder = self.root / "var/lib/private-iot"
        folder.mkdir(parents=True, exist_ok=True)
        self.loop = Loop(system)
        self.queue = Queue(system, folder / "queue.sqlite3", self.limits)
        self.cloud = Subscriber()
        self.persistent = PersistentSubscriptions(self.loop, self.queue, self.cloud, _event)
        settings = MqttSettings(port=self.broker.port, publish=self.publish, subscribe=self.subscribe)
        self.local = LocalBroker(
            system,
            self.loop,
            self.queue,
            self.persistent,
            maps=read_maps(self.publish, self.subscribe, PREFIX),
            known=KnownFilters(system),
            build=partial(build_local_client, system, settings),
        )
        thread = threading.Thread(target=self.loop.run)
        thread.start()
        self.on_loop(self.local.start)
        try:
            yield self
        finally:
            self.on_loop(self.local.stop)
            self.loop.hand_over(self.loop.stop)
            thread.join(PATIENCE)
            self.queue.close()

    def on_loop(self, call: Callable[[], Any]) -> Any:
        """Make a call on the loop's thread, and give what it gave."""
        done, results = threading.Event(), []

        def run() -> None:
            results.append(call())
            done.set()

        self.loop.hand_over(run)
        assert done.wait(PATIENCE)
        return results[0]

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = self.on_loop(self.local.status)
        return found

    def wait_connected(self) -> None:
        wait_until(lambda: self.status()["connected"], "the broker's connection")

    def messages(self) -> list[Message]:
        """Give all that is in the queue."""
        found: list[Message] = []

        def read() -> None:
            while more := self.queue.read(found[-1].sequence if found else 0, 1000):
                found.extend(more)

        self.on_loop(read)
        return found

    def payloads(self) -> list[str]:
        return [message.payload.decode() for message in self.messages()]

    def deliver(self) -> list[str]:
        """Take everything out of the queue, as a connection to AWS IoT does."""
        found = self.messages()
        self.on_loop(lambda: deque(map(self.queue.remove, found)))
        self.on_loop(lambda: self.queue.change(lambda _file: 0))
        return [message.payload.decode() for message in found]


def _event(message: Received) -> dict[str, Any]:
    return {
        "event": "message",
        "topic": message.topic,
        **write_payload(message.payload),
        "properties": message.properties,
    }


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    folder = tmp_path / "mosquitto"
    folder.mkdir()
    made = Broker(folder, free_port())
    made.start()
    yield made
    made.end()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    boot = tmp_path / "device/proc/sys/kernel/random/boot_id"
    boot.parent.mkdir(parents=True)
    boot.write_text("boot-1\n")
    (tmp_path / "device/proc/self").mkdir()
    (tmp_path / "device/proc/self/uid_map").write_text("0 0 1\n")
    return tmp_path / "device"


def test_what_a_program_publishes_is_in_the_queue_below_the_devices_prefix(root: Path, broker: Broker) -> None:
    with Agent(root, broker).running() as agent:
        agent.wait_connected()
        for argv in (["-q", "0"], ["-q", "1"], ["-q", "2"], ["-q", "1", "-r"]):
            assert broker.publish(*argv, "-t", "sensors/kitchen", "-m", " ".join(argv)).returncode == 0
        assert broker.publish("-q", "1", "-t", "elsewhere", "-m", "not asked for").returncode == 0
        wait_until(lambda: len(agent.messages()) == 4, "four messages")
        assert {message.topic for message in agent.messages()} == {f"{PREFIX}/sensors/kitchen"}
        assert {message.payload.decode(): message.retain for message in agent.messages()} == {
            "-q 0": False,
            "-q 1": False,
            "-q 2": False,
            "-q 1 -r": True,
        }


def test_a_publishers_own_message_id_and_content_type_go_along(root: Path, broker: Broker) -> None:
    with Agent(root, broker).running() as agent:
        agent.wait_connected()
        properties = ("-D", "publish", "user-property", "message-id", "no-7", "-D", "publish", "content-type", "text")
        assert broker.publish("-V", "5", "-q", "1", "-t", "sensors/a", "-m", "x", *properties).returncode == 0
        (message,) = wait_until(agent.messages, "the message")
        assert (message.id, message.content_type) == ("no-7", "text")


def test_a_full_queue_stops_acknowledging_and_loses_nothing(root: Path, broker: Broker) -> None:
    """drop-oldest is for publishers who cannot wait; the broker can."""
    count, padding = 2000, "x" * 1000
    with Agent(root, broker, limits=Limits(max_bytes=MIB, when_full="drop-oldest")).running() as agent:
        agent.wait_connected()
        text = "".join(f"{number} {padding}\n" for number in range(count))
        assert broker.publish("-q", "1", "-l", "-t", "sensors/a", text=text).returncode == 0
        wait_until(lambda: agent.status()["held"], "the full queue")
        before = len(agent.messages())
        assert 0 < before < count
        assert agent.on_loop(agent.queue.totals).counters["dropped_by_size"] == 0
        came: list[str] = []

        def all_came() -> bool:
            came.extend(agent.deliver())
            return len(came) >= count

        wait_until(all_came, "every message")
        assert [int(line.split()[0]) for line in came] == list(range(count)), "in order, each once"
        wait_until(lambda: agent.status()["held"] is None, "the end of what held it up")


def test_what_comes_while_the_agent_is_away_waits_at_the_broker(root: Path, broker: Broker) -> None:
    agent = Agent(root, broker)
    with agent.running():
        agent.wait_connected()
    assert broker.publish("-q", "1", "-l", "-t", "sensors/a", text=lines(range(1500))).returncode == 0
    with agent.running():
        wait_until(lambda: len(agent.messages()) >= 1500, "all that waited")
        assert sorted(map(int, agent.payloads())) == list(range(1500))


def test_a_message_that_aws_iot_would_not_take_is_counted_and_holds_nothing_up(root: Path, broker: Broker) -> None:
    with Agent(root, broker).running() as agent:
        agent.wait_connected()
        assert broker.publish("-q", "1", "-t", "sensors/1/2/3/4/5/6/7", "-m", "too deep").returncode == 0
        assert broker.publish("-q", "1", "-t", "sensors/a", "-s", text="x" * 200_000).returncode == 0
        assert broker.publish("-q", "1", "-t", "sensors/a", "-m", "good").returncode == 0
        wait_until(lambda: agent.payloads() == ["good"], "the good one")
        assert agent.status()["refused"] == 1


def test_ten_thousand_messages_come_through_three_kills_of_the_broker(root: Path, broker: Broker) -> None:
    """A publisher sends a batch again that it has no answer for, so that some come twice; none may be missing.

    mosquitto acknowledges what it has in memory alone: a kill is made when the agent has taken what came before.
    """
    batch, whole = 500, 10_000
    with Agent(root, broker).running() as agent:
        agent.wait_connected()
        broker.save()
        for start in range(0, whole, batch):
            fault = threading.Timer(0.1, _kill_for_a_moment, [broker])
            if start in (2_500, 5_000, 7_500):
                wait_until(lambda: set(map(int, agent.payloads())) >= set(range(start)), "what came before")  # noqa: B023
                fault.start()
            words = ("-q", "1", "-l", "-t", "sensors/a")
            while broker.publish(*words, text=lines(range(start, start + batch))).returncode:
                time.sleep(0.1)
            if fault.ident is not None:
                fault.join()
                # Acknowledged it may have been before the kill, and not yet taken.
                assert broker.publish(*words, text=lines(range(start, start + batch))).returncode == 0
        wait_until(lambda: agent.status()["queued"] >= whole, "every message")
        wait_until(lambda: set(map(int, agent.payloads())) == set(range(whole)), "every message")


def _kill_for_a_moment(broker: Broker) -> None:
    broker.end(kill=True)
    broker.start()


def test_what_aws_iot_sends_is_published_by_the_broker_and_then_forgotten(root: Path, broker: Broker) -> None:
    with (
        Agent(root, broker, publish=(), subscribe=("commands/# -> lamp/#",)).running() as agent,
        broker.subscription("lamp/#", "-C", "1") as listener,
    ):
        agent.wait_connected()
        wait_until(lambda: agent.cloud.filters, "the subscription")
        _send(agent, "commands/set", b"on")
        assert listener.stdout is not None
        assert "on" in [line.strip() for line in listener.stdout]
        wait_until(lambda: agent.on_loop(agent.queue.totals).received == 0, "the message's removal")
        assert agent.status()["published"] == 1


def test_what_aws_iot_sends_while_the_broker_is_away_goes_out_when_it_is_back(root: Path, broker: Broker) -> None:
    with Agent(root, broker, publish=(), subscribe=("commands/#",)).running() as agent:
        agent.wait_connected()
        broker.end(kill=True)
        wait_until(lambda: not agent.status()["connected"], "the loss of the broker")
        acknowledged = _send(agent, "commands/set", b"on")
        assert acknowledged.wait(PATIENCE), "AWS IoT is answered: the message is on the disk"
        broker.start()
        wait_until(lambda: agent.status()["published"] == 1, "the message at the broker")
        wait_until(lambda: agent.on_loop(agent.queue.totals).received == 0, "the message's removal")


def test_what_aws_iot_sends_goes_out_with_qos_1_and_is_never_retained(root: Path, broker: Broker) -> None:
    """AWS IoT sends what it retains with the flag at a new subscription; the broker is to keep none of it."""
    form = ("-F", "%q %r %p")
    with Agent(root, broker, publish=(), subscribe=("commands/#",)).running() as agent:
        agent.wait_connected()
        with broker.subscription("commands/#", "-C", "1", *form) as listener:
            _send(agent, "commands/set", b"on")
            assert listener.stdout is not None
            assert "1 0 on" in [line.strip() for line in listener.stdout]
        wait_until(lambda: agent.status()["published"] == 1, "the broker's answer")
    assert broker.publish("-q", "1", "-t", "commands/end", "-m", "end", "-r").returncode == 0
    with broker.subscription("commands/#", "-C", "1", *form) as late:
        assert late.stdout is not None
        assert [line.strip() for line in late.stdout if line.startswith(("0 ", "1 "))] == ["1 1 end"]


def test_what_the_broker_retains_already_is_published_once_when_the_line_is_new(root: Path, broker: Broker) -> None:
    assert broker.publish("-q", "1", "-r", "-t", "sensors/state", "-m", "retained").returncode == 0
    agent = Agent(root, broker)
    with agent.running():
        wait_until(lambda: agent.payloads() == ["retained"], "what is retained")
        assert [message.retain for message in agent.messages()] == [True]
        agent.deliver()
        broker.save()
        broker.end()
        broker.start()
        agent.wait_connected()
        assert broker.publish("-q", "1", "-t", "sensors/a", "-m", "after a connection anew").returncode == 0
        wait_until(lambda: agent.payloads() == ["after a connection anew"], "the message after it")
    with agent.running():
        agent.wait_connected()
        assert broker.publish("-q", "1", "-t", "sensors/a", "-m", "after a start anew").returncode == 0
        wait_until(lambda: "after a start anew" in agent.payloads(), "the message after that")
        assert "retained" not in agent.payloads()


def test_qos_0_is_lost_while_the_agent_is_away_and_qos_1_is_not(root: Path, broker: Broker) -> None:
    agent = Agent(root, broker)
    with agent.running():
        agent.wait_connected()
    for qos in ("0", "1"):
        assert broker.publish("-q", qos, "-t", "sensors/a", "-m", f"of QoS {qos}").returncode == 0
    with agent.running():
        agent.wait_connected()
        assert broker.publish("-q", "0", "-t", "sensors/a", "-m", "when it is back").returncode == 0
        wait_until(lambda: "when it is back" in agent.payloads(), "the last one")
        assert agent.payloads() == ["of QoS 1", "when it is back"]


def test_qos_0_is_dropped_and_counted_while_the_queue_is_full(root: Path, broker: Broker) -> None:
    with Agent(root, broker, limits=Limits(max_bytes=MIB)).running() as agent:
        agent.wait_connected()
        text = "".join(f"{number} {'x' * 1000}\n" for number in range(2000))
        assert broker.publish("-q", "1", "-l", "-t", "sensors/a", text=text).returncode == 0
        wait_until(lambda: agent.status()["held"], "the full queue")
        assert broker.publish("-q", "0", "-t", "sensors/a", "-m", "no room").returncode == 0
        wait_until(lambda: agent.status()["dropped"] == 1, "the count")
        came: list[str] = []

        def all_came() -> bool:
            came.extend(agent.deliver())
            return len(came) >= 2000

        wait_until(all_came, "every message of QoS 1")
        assert "no room" not in came


def test_an_agent_that_is_killed_between_the_queue_and_its_answer_gets_the_message_again(
    root: Path, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At least once: the publisher's own id is what tells the two apart from two messages."""
    own_id = ("-V", "5", "-D", "publish", "user-property", "message-id", "no-7")
    with monkeypatch.context() as unanswered, Agent(root, broker).running() as agent:
        agent.wait_connected()
        unanswered.setattr(agent.local, "_acknowledge", lambda *_words: None)
        assert broker.publish("-q", "1", *own_id, "-t", "sensors/a", "-m", "x").returncode == 0
        wait_until(lambda: len(agent.messages()) == 1, "the message in the queue")
    with Agent(root, broker).running() as agent:
        wait_until(lambda: len(agent.messages()) == 2, "the message again")
        assert [(message.id, message.payload) for message in agent.messages()] == [("no-7", b"x")] * 2
        assert broker.publish("-q", "1", "-t", "sensors/a", "-m", "next").returncode == 0
        wait_until(lambda: agent.payloads() == ["x", "x", "next"], "the next one, and no third copy")


def test_a_line_that_is_taken_out_is_asked_for_no_longer(root: Path, broker: Broker) -> None:
    with Agent(root, broker, ("a/#", "b/#"), ("x/#", "y/#")).running() as agent:
        agent.wait_connected()
        wait_until(lambda: len(agent.cloud.filters) == 2, "the subscriptions")
    with Agent(root, broker, ("b/#",), ("y/#",)).running() as agent:
        agent.wait_connected()
        wait_until(lambda: agent.cloud.filters == {f"{PREFIX}/y/#"}, "the end of one at AWS IoT")
        assert broker.publish("-q", "1", "-t", "a/1", "-m", "no longer").returncode == 0
        assert broker.publish("-q", "1", "-t", "b/1", "-m", "still").returncode == 0
        wait_until(lambda: agent.payloads() == ["still"], "the message")
        assert agent.status()["refused"] == 0


def test_a_disk_that_refuses_stops_acknowledging(root: Path, broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    with Agent(root, broker).running() as agent:
        agent.wait_connected()
        put = agent.queue.put
        refusal = DeviceAgentError("the disk is full")
        monkeypatch.setattr(agent.queue, "put", lambda _drafts, answer, **_more: answer(Stored(0, 0, refusal)))
        assert broker.publish("-q", "1", "-t", "sensors/a", "-m", "x").returncode == 0
        wait_until(lambda: agent.status()["held"] == "the disk is full", "the refusal")
        monkeypatch.setattr(agent.queue, "put", put)
        wait_until(lambda: agent.payloads() == ["x"], "the message")


def _send(agent: Agent, topic: str, payload: bytes) -> threading.Event:
    acknowledged = threading.Event()
    agent.on_loop(lambda: agent.persistent.received(f"{PREFIX}/{topic}", payload, {}, acknowledged.set))
    return acknowledged
