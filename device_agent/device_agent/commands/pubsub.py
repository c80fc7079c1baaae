"""`device-agent pubsub`: ten messages to oneself over the private path, with the transcript of AWS's old sample."""

from __future__ import annotations

import argparse
import json
import queue
from collections.abc import Callable

from device_agent._exceptions import ConnectionFailedError, UsageError
from device_agent.address_rule import address_rule
from device_agent.install.restart_unit import agent_paused
from device_agent.installation import Installation
from device_agent.system import System
from device_agent.topics import TopicError, check_topic

HELP = "publish messages to yourself over the private path and print what comes back"
_RETURN_TIMEOUT = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.epilog = (
        "examples:\n"
        "  sudo device-agent pubsub\n"
        "  sudo device-agent pubsub --count 3 --message 'Guten Tag'\n"
        "  sudo device-agent pubsub --mqtt3     with MQTT 3.1.1, as the SDK's old sample did\n"
        "\n"
        "A running agent is paused for the time of the test, since AWS IoT allows one connection a client ID.\n"
    )
    parser.add_argument("--count", type=_count, default=10, help="how many messages (10)")
    parser.add_argument("--message", default="Hello World!", help="their text (Hello World!)")
    parser.add_argument("--topic", help="the topic (test/topic under the device's prefix, or test under a deep one)")
    parser.add_argument("--port", type=int, choices=(8883, 443), default=8883, help="8883, or 443 with ALPN (8883)")
    parser.add_argument("--mqtt3", action="store_true", help="MQTT 3.1.1 in place of MQTT 5")


def run(arguments: argparse.Namespace, system: System) -> int:
    """Run the command.

    Returns:
        0 when every message has come back.

    Raises:
        DeviceAgentError: The installation cannot be used, or AWS IoT refused a step.
    """
    from device_agent import session as mqtt_session  # noqa: PLC0415 - brings the SDK, 100 ms and 20 MB

    installation = Installation.load(system)
    topic = _topic(arguments.topic) if arguments.topic is not None else _default_topic(installation.topic_prefix)
    received: queue.SimpleQueue[tuple[str, bytes]] = queue.SimpleQueue()
    with agent_paused(system), address_rule(system, installation.vpc_cidr):
        session = mqtt_session.open_session(system, installation, mqtt3=arguments.mqtt3, port=arguments.port)
        print(f"Connecting to {installation.endpoint} with client ID '{installation.client_id}'...", flush=True)
        try:
            session.connect()
            print("Connected!")
            print(f"Subscribing to topic '{topic}'...", flush=True)
            session.subscribe(topic, lambda topic, payload: received.put((topic, payload)))
            print("Subscribed with QoS.AT_LEAST_ONCE")
            print(f"Sending {arguments.count} message(s)")
            for number in range(1, arguments.count + 1):
                _send(session.publish, received, topic, f"{arguments.message} [{number}]")
            print(f"{arguments.count} message(s) received.")
            print("Disconnecting...", flush=True)
        finally:
            session.disconnect()
        print("Disconnected!")
    return 0


def _send(
    publish: Callable[[str, bytes], None], received: queue.SimpleQueue[tuple[str, bytes]], topic: str, message: str
) -> None:
    """Publish one message and wait until it has come back; others on the topic are shown and passed over."""
    print(f"Publishing message to topic '{topic}': {message}", flush=True)
    payload = json.dumps(message).encode("utf-8")
    publish(topic, payload)
    while True:
        try:
            came_on, came = received.get(timeout=_RETURN_TIMEOUT)
        except queue.Empty:
            raise ConnectionFailedError(
                f"the message published to '{topic}' was accepted but did not come back within {_RETURN_TIMEOUT} s"
            ) from None
        print(f"Received message from topic '{came_on}': {came!r}", flush=True)
        if came == payload:
            return


def _count(text: str) -> int:
    number = int(text)
    if not 1 <= number <= 100_000:
        raise argparse.ArgumentTypeError(f"{number} is not from 1 to 100000")
    return number


def _topic(topic: str) -> str:
    try:
        check_topic(topic)
    except TopicError as error:
        raise UsageError(f"--topic: {error}") from error
    return topic


def _default_topic(prefix: str) -> str:
    """Give the walk-through's topic under the prefix, or a shorter one where AWS IoT has no room for it."""
    topic = f"{prefix}/test/topic"
    try:
        check_topic(topic)
    except TopicError:
        return f"{prefix}/test"
    return topic
