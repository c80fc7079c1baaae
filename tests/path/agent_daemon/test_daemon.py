"""The daemon against a real gateway, broker and disk: nothing lost, in order, whatever ends.

The path is loopback here, so that nothing is shown of a tunnel, a resolver's answers or packets on a wire: the tests in
the lab's sandbox show those.
"""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest
from device_agent.__main__ import main
from device_agent.client import Publisher, PublishRefusedError, ReceivedMessage, subscribe, unsubscribe
from device_agent.commands.metrics import METRICS
from device_agent.system import System

from tests.path.agent_daemon.loopback import PATIENCE, PREFIX, THING, Device, Receiver, running_device, wait_until
from tests.path.gateway.stack import ENDPOINT, Stack, Tunnel, running_stack

pytestmark = pytest.mark.path


def numbers(receiver: Receiver, count: int, patience: float = PATIENCE) -> list[int]:
    """Collect `count` different messages; check that each is there, and the order of the first arrivals."""
    arrived = [int(item.payload) for item in receiver.collect(count, patience=patience)]
    first_arrivals = list(dict.fromkeys(arrived))
    assert sorted(first_arrivals) == list(range(count)), "a message is missing"
    assert first_arrivals == sorted(first_arrivals), "the order changed"
    return arrived


def test_messages_arrive_in_order_with_their_ids_and_leave_the_queue(device: Device, receiver: Receiver) -> None:
    device.start()
    with device.publisher() as publisher:
        receipts = publisher.publish_many([("data", str(number)) for number in range(1000)])
    arrivals = receiver.collect(1000)
    assert [int(item.payload) for item in arrivals] == list(range(1000))
    assert [item.properties["message-id"] for item in arrivals] == [receipt.id for receipt in receipts]
    assert [int(item.properties["sequence"]) for item in arrivals] == [receipt.sequence for receipt in receipts]
    device.wait_empty()
    assert device.status()["queue"]["sent"] == 1000


def test_status_is_published_online_offline_and_by_the_last_will(device: Device, receiver: Receiver) -> None:
    device.start()
    device.wait_connected()
    assert device.stop() == 0
    wait_until(lambda: [item["status"] for item in receiver.statuses()] == ["online", "offline"], "the goodbye")
    assert receiver.statuses()[-1]["reason"] == "stopped"
    device.start()
    wait_until(lambda: len(receiver.statuses()) == 3, "the next greeting")
    device.kill()
    wait_until(lambda: len(receiver.statuses()) == 4, "the last will")
    greeting, will = receiver.statuses()[-2:]
    # The will was written as the connection began: what is newer than it was said by a later connection.
    assert will.pop("since") <= greeting["at"]
    assert will == {"status": "offline", "clientId": THING, "reason": "the connection was lost"}


def test_a_policy_without_retain_publish_gets_a_plain_will_and_one_with_it_a_retained_status(
    stack: Stack, device: Device, receiver: Receiver
) -> None:
    device.start()
    device.wait_connected()
    wait_until(lambda: "not authorized" in (device.status()["connection"]["lastError"] or ""), "the refusal")
    device.stop()
    policy = stack.policies["least-privilege"]
    policy["Statement"].append({"Effect": "Allow", "Action": "iot:RetainPublish", "Resource": "*"})
    stack.reload()
    device.start()
    wait_until(lambda: [item["status"] for item in receiver.statuses()].count("online") == 2, "the next greeting")
    assert device.status()["connection"]["lastError"] is None
    late = Receiver(stack, receiver.way, "late")
    try:
        wait_until(late.statuses, "the retained status")
        assert late.seen[0].retained
    finally:
        late.close()


def test_a_refused_message_goes_to_the_dead_letters_and_the_rest_goes_on(device: Device, receiver: Receiver) -> None:
    device.start()
    with device.publisher() as publisher:
        for number in range(20):
            publisher.publish("data", str(number))
            if number % 5 == 0:
                publisher.publish("somebody/else", "not allowed", absolute=True)
    numbers(receiver, 20)
    device.wait_empty()
    queue = device.status()["queue"]
    assert (queue["sent"], queue["refused"], queue["deadLetters"]) == (20, 4, 4)
    assert "0x87" in queue["lastRefusal"]


def test_a_message_that_the_service_answers_by_hanging_up_does_not_stop_the_others(
    device: Device, receiver: Receiver
) -> None:
    device.start()
    device.wait_connected()
    with device.publisher() as publisher:
        publisher.publish_many([("data", str(number)) for number in range(50)])
        publisher.publish("$aws/events/poison", "x")
        publisher.publish_many([("data", str(number)) for number in range(50, 100)])
    # One at a time after the hang-up, and each connection anew: as long as a loaded machine needs.
    numbers(receiver, 100, 180)
    device.wait_empty(180)
    queue = device.status()["queue"]
    assert (queue["sent"], queue["refused"], queue["deadLetters"]) == (100, 1, 1)
    assert "hung up" in queue["lastRefusal"]


def test_ten_thousand_messages_across_three_outages_arrive_as_numbered(
    device: Device, receiver: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    device.start()
    device.wait_connected()
    total = 10_000
    published = threading.Event()

    def publish() -> None:
        with Publisher(device.socket, timeout=60) as publisher:
            for start in range(0, total, 20):
                publisher.publish_many([("data", str(number)) for number in range(start, start + 20)])
        published.set()

    delivered_and_kept = connections = 0

    def said() -> list[str]:
        return [item["status"] for item in receiver.statuses()]

    def kill_and_start() -> None:
        nonlocal delivered_and_kept, connections
        connections = device.connections()
        device.kill()
        # The last will follows all that the device had sent.
        wait_until(lambda: said().count("online") == connections and said()[-1] == "offline", "the last will")
        with closing(sqlite3.connect(f"file:{device.queue_file}?mode=ro", uri=True)) as connection:
            kept = {row[0] for row in connection.execute("SELECT payload FROM messages")}
        delivered_and_kept = len(kept & {item.payload for item in receiver.drain()})
        device.start()

    threading.Thread(target=publish).start()
    for number, outage in enumerate((device.hang_up, device.freeze, kill_and_start), 1):
        wait_until(lambda: len(receiver.drain()) > total * number // 8, "the next outage")  # noqa: B023 - called at once
        outage()
    assert published.wait(120)
    arrived = numbers(receiver, total, 120)
    device.wait_empty()
    assert device.status()["queue"]["sent"] == total
    duplicates = len(arrived) - total
    ended = connections + device.connections() - 1
    with capsys.disabled():
        sys.stdout.write(
            f"\n{total} messages across three outages: {duplicates} duplicates, in flight at an outage or among the"
            f" {delivered_and_kept} delivered that the disk still held at the kill\n"
        )
    # Only what was in flight at an outage can come twice, and AWS IoT allows 100 in flight; after the kill also what
    # was delivered and not yet removed from the disk: how much that is, the disk's speed says.
    assert duplicates <= ended * 100 + delivered_and_kept


def test_kill_9_of_the_agent_loses_nothing_that_was_acknowledged(device: Device, receiver: Receiver) -> None:
    device.start()
    total = 2000

    def publish() -> None:
        with Publisher(device.socket, timeout=60) as publisher:
            for number in range(total):
                publisher.publish("data", str(number), id=f"id-{number}")

    publishing = threading.Thread(target=publish)
    publishing.start()
    for kill in range(1, 5):
        wait_until(lambda: len(receiver.drain()) > total * kill // 6, "the next kill")  # noqa: B023 - called at once
        device.restart()
    publishing.join(PATIENCE)
    arrived = receiver.collect(total)
    assert {item.properties["message-id"] for item in arrived} == {f"id-{number}" for number in range(total)}
    first_arrivals = list(dict.fromkeys(int(item.payload) for item in arrived))
    assert first_arrivals == list(range(total)), "the order changed"


_WRITER = """
import sys
from device_agent import Publisher
with Publisher(sys.argv[1]) as publisher:
    for number in range(int(sys.argv[2]), 1_000_000_000):
        publisher.publish("data", str(number))
        print(number, flush=True)
"""


def test_kill_9_of_a_program_that_publishes_loses_nothing_that_it_was_told_is_durable(
    device: Device, receiver: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    seed = random.randrange(1_000_000)  # noqa: S311 - no secret
    moments = random.Random(seed)  # noqa: S311 - no secret
    device.start()
    acknowledged: list[int] = []
    kills = 6
    for kill in range(kills):
        words = [sys.executable, "-c", _WRITER, device.socket, str(kill * 1_000_000)]
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            for _line in range(moments.randrange(1, 200)):
                acknowledged.append(int(writer.stdout.readline()))
            writer.kill()
            acknowledged += [int(line) for line in writer.stdout if line.endswith("\n")]
    device.wait_empty()
    # With what became durable without the writer's knowing.
    arrived = [int(item.payload) for item in receiver.collect(device.status()["queue"]["sent"])]
    with capsys.disabled():
        sys.stdout.write(f"\n{kills} kills of a writer with seed {seed}: {len(acknowledged)} acknowledged messages\n")
    assert arrived == sorted(arrived), "the order changed"
    assert set(acknowledged) <= set(arrived), "a message is missing"
    # The one that was under way may have become durable without the writer's knowing.
    assert len(arrived) <= len(acknowledged) + kills


def test_a_frozen_service_is_noticed_and_all_arrives_after_it_thaws(
    stack: Stack, device: Device, receiver: Receiver
) -> None:
    device.start()
    device.wait_connected()
    assert stack.gateway_process is not None
    stack.gateway_process.send_signal(signal.SIGSTOP)
    device.resolver.silent = True
    try:
        with device.publisher() as publisher:
            publisher.publish_many([("data", str(number)) for number in range(10)])
        wait_until(lambda: not device.status()["connection"]["connected"], "the dead path to be noticed")
        wait_until(lambda: device.status()["tunnel"]["restarts"], "the tunnel to be restarted")
        assert device.status()["tunnel"]["alive"] is False
    finally:
        stack.gateway_process.send_signal(signal.SIGCONT)
        device.resolver.silent = False
    numbers(receiver, 10)


def test_a_silent_resolver_alone_does_not_end_a_connection_that_works(device: Device, receiver: Receiver) -> None:
    device.start()
    device.wait_connected()
    device.resolver.silent = True
    with device.publisher() as publisher:
        for number in range(3):
            publisher.publish("data", str(number))
            # Longer than it takes to find a path dead whose resolver is silent.
            threading.Event().wait(6)
    numbers(receiver, 3)
    status = device.status()
    assert (status["connection"]["connections"], status["tunnel"]["restarts"]) == (1, 0)


def test_what_comes_in_is_handed_to_local_listeners_also_after_a_reconnect(device: Device, receiver: Receiver) -> None:
    device.start()
    device.wait_connected()
    got: list[bytes] = []
    came = threading.Semaphore(0)

    def listen() -> None:
        for message in subscribe("commands/#", path=device.socket):
            got.append(message.payload)
            came.release()
            if message.payload == b"end":
                return

    listener = threading.Thread(target=listen)
    listener.start()

    def comes(payload: bytes) -> bool:
        receiver.publish(f"{PREFIX}/commands/now", payload)
        return came.acquire(timeout=0.5)

    wait_until(lambda: comes(b"first \xff"), "a message")
    device.hang_up()
    wait_until(lambda: comes(b"end"), "a message after the reconnect")
    listener.join(PATIENCE)
    assert got[0] == b"first \xff"
    assert got[-1] == b"end"


def test_a_listener_of_a_topic_that_the_policy_forbids_is_told(device: Device) -> None:
    device.start()
    device.wait_connected()
    with pytest.raises(PublishRefusedError, match=r"somebody/else.*0x87"):
        next(subscribe("somebody/else", path=device.socket, absolute=True))


def fill(ballast: Path) -> None:
    with ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


def test_a_full_disk_refuses_and_keeps_delivering_and_recovers(device: Device, receiver: Receiver) -> None:
    state = device.queue_file.parent
    device.start(mounts=f"mount -t tmpfs -o size=8m tmpfs {state}")
    device.wait_connected()
    inside = f"/proc/{device.process.pid}/root{state}"  # type: ignore[union-attr] # it is started
    with device.publisher() as publisher:
        publisher.publish("data", "0")
        ballast = Path(inside, "ballast")
        with pytest.raises(OSError, match="No space left"):
            fill(ballast)
        # More than a full disk takes, and less than an empty one: what is still on its way when the first is refused
        # must not fill it again once there is room.
        filler = [("filler", "x" * 100_000)] * 10
        with pytest.raises(PublishRefusedError, match="full; the message was not accepted") as refusal:
            publisher.publish_many(filler)
        assert refusal.value.code == "storage"
        assert device.status()["queue"]["error"] is not None
        assert device.status()["connection"]["connected"]
        ballast.unlink()
        wait_until(lambda: device.status()["queue"]["error"] is None, "the disk to be found writable")
        publisher.publish("data", "1")
    numbers(receiver, 2)
    device.wait_empty()


def test_a_read_only_disk_refuses_until_it_can_be_written(device: Device, receiver: Receiver) -> None:
    state = device.queue_file.parent
    device.start(mounts=f"mount -t tmpfs -o ro tmpfs {state}")
    device.wait_connected()
    with device.publisher() as publisher:
        with pytest.raises(PublishRefusedError, match="the message was not accepted; check `df"):
            publisher.publish("data", "refused")
        assert device.process is not None
        user = ["--user", "--preserve-credentials"] if os.geteuid() else []
        enter = ["nsenter", "--target", str(device.process.pid), *user, "--mount"]
        subprocess.run([*enter, "mount", "-o", "remount,rw", str(state)], check=True)
        wait_until(lambda: device.status()["queue"]["error"] is None, "the disk to be found writable")
        publisher.publish("data", "0")
    numbers(receiver, 1)


def test_a_damaged_queue_file_is_set_aside_and_the_agent_starts(device: Device, receiver: Receiver) -> None:
    device.queue_file.write_bytes(b"no database at all" * 500)
    device.start()
    with device.publisher() as publisher:
        publisher.publish("data", "0")
    numbers(receiver, 1)
    assert device.queue_file.with_name("queue.sqlite3.damaged-1").exists()
    assert device.status()["queue"]["damagedFilesSetAside"] == 1


def test_a_queue_file_that_is_damaged_under_the_running_agent_is_set_aside_and_the_agent_goes_on(
    device: Device, receiver: Receiver
) -> None:
    device.start()
    with device.publisher() as publisher:
        publisher.publish_many([("data", str(number)) for number in range(50)])
        device.wait_empty()
        before = device.process
        for name in ("queue.sqlite3", "queue.sqlite3-wal"):
            file = device.queue_file.with_name(name)
            with file.open("r+b") as stream:
                stream.write(b"noise" * (file.stat().st_size // 5))
        # SQLite keeps pages in memory: it takes a while until one is read.
        publisher.publish_many([("data", str(number)) for number in range(50, 500)])
        numbers(receiver, 500)
        device.wait_empty()
    assert device.process is before
    assert before is not None
    assert before.poll() is None
    device.restart()
    with device.publisher() as publisher:
        publisher.publish("data", "500")
    numbers(receiver, 501)
    assert list(device.queue_file.parent.glob("queue.sqlite3.damaged-*"))


def test_every_number_of_the_status_is_a_metric_of_the_same_value(
    device: Device, capsys: pytest.CaptureFixture[str]
) -> None:
    device.start()
    device.wait_connected()
    with device.publisher() as publisher:
        publisher.publish("data", "0")
    device.wait_empty()
    status = device.status()
    assert main(["metrics"], System(device.root)) == 0
    samples = dict(line.rsplit(" ", 1) for line in capsys.readouterr().out.splitlines() if not line.startswith("#"))
    names = {place: f"private_iot_{name}" for name, _kind, _text, place in METRICS}
    for section in ("tunnel", "connection", "queue"):
        for key, value in status[section].items():
            if isinstance(value, int):
                assert samples[names[section, key]] == str(int(value)), key
    (certificate,) = status["certificates"]
    assert samples[f'private_iot_certificate_days_left{{file="{certificate["file"]}"}}'] == str(
        certificate["days_left"]
    )
    assert samples["private_iot_sent_total"] == "1"


COMMANDS = f"{PREFIX}/commands"


def test_commands_sent_while_the_device_was_offline_reach_a_program_that_comes_later(
    device: Device, receiver: Receiver
) -> None:
    device.start()
    device.wait_connected()
    messages = subscribe("commands/#", path=device.socket, persistent=True)
    first: list[ReceivedMessage] = []
    listening = threading.Thread(target=lambda: first.append(next(messages)))
    listening.start()
    wait_until(lambda: "persistent" in device.log, "the session to be kept")
    device.wait_connected()

    def comes() -> bool:
        receiver.publish(f"{COMMANDS}/first", b"0")
        return bool(first)

    wait_until(comes, "a message")
    listening.join(PATIENCE)
    messages.close()  # type: ignore[attr-defined] # a generator
    # Without a goodbye: what AWS IoT sends meanwhile waits there.
    device.kill()
    for number in range(1, 6):
        receiver.publish(f"{COMMANDS}/n", str(number).encode())
    device.start()
    device.wait_connected()
    wait_until(lambda: device.status()["queue"]["received"] >= 6, "what was sent meanwhile to be on the disk")
    # And the agent is killed once more, before a program has taken it.
    device.restart()
    got = []
    for message in subscribe("commands/#", path=device.socket, persistent=True):
        got.append((message.topic, int(message.payload)))
        if got[-1][1] == 5:
            break
    # The first was handed out and not acknowledged, perhaps several times.
    assert list(dict.fromkeys(got)) == [(f"{COMMANDS}/first", 0), *((f"{COMMANDS}/n", n) for n in range(1, 6))]
    # The last is handed out and not acknowledged; it is there twice if AWS IoT had no answer when the agent was killed.
    assert unsubscribe("commands/#", path=device.socket) >= 1
    assert device.status()["queue"]["received"] == 0


def test_a_name_that_leads_outside_the_vpc_is_refused_before_anything_is_sent(stack: Stack, device: Device) -> None:
    file = device.root / "etc/private-iot/device.json"
    file.write_text(file.read_text().replace("127.0.0.0/8", f"{stack.public}/32"))
    device.start()
    wait_until(lambda: device.status()["connection"]["lastError"], "the refusal")
    error = device.status()["connection"]["lastError"]
    assert f"{ENDPOINT} resolves to {stack.endpoint}, outside the VPC's {stack.public}/32; nothing was sent" in error
    assert stack.connection(THING) is None
    assert not stack.events("connected", clientId=THING)


def test_aws_quota_of_publishes_slows_the_agent_down_and_costs_no_message(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with (
        running_stack(tmp_path_factory.mktemp("gateway"), "--publishes-per-second", "100") as stack,
        running_device(stack) as device,
    ):
        way = Tunnel(stack.endpoint)
        receiver = Receiver(stack, way)
        device.start()
        device.wait_connected()
        with device.publisher() as publisher:
            publisher.publish_many([("data", str(number)) for number in range(500)])
        arrived = [int(item.payload) for item in receiver.collect(500)]
        device.wait_empty()
        assert sorted(arrived) == list(range(500)), "a message is missing or came twice"
        assert device.status()["queue"]["refused"] == 0
        receiver.close()
        way.close()
