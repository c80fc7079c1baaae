"""`device-agent publish`: hand messages to the running agent."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence

from device_agent._exceptions import UsageError
from device_agent.client import AGENT_SOCKET, AgentNotRunningError, Channel, Publisher, PublishRefusedError, Receipt
from device_agent.messages import MAX_PAYLOAD
from device_agent.system import System

HELP = "queue a message for AWS IoT; done as soon as it is safe on disk"
_READ = 256 * 1024


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.epilog = (
        "examples:\n"
        "  device-agent publish telemetry '{\"celsius\": 21.5}'\n"
        "  read-sensor | device-agent publish telemetry\n"
        "  tail -f readings.jsonl | device-agent publish telemetry --lines\n"
        "  device-agent publish --retry-dead-letters\n"
        "\n"
        "exit codes: 0 all accepted, 2 one was refused (it and what follows it are not queued; --json prints a\n"
        "receipt of each message before it), 3 no agent is running\n"
    )
    parser.add_argument("topic", nargs="?", help="below the device's topic prefix, which is put in front")
    parser.add_argument("message", nargs="?", help="the payload; standard input without it")
    parser.add_argument("--lines", action="store_true", help="each line of standard input is a message of its own")
    parser.add_argument("--absolute", action="store_true", help="take the topic as it is, without the prefix")
    parser.add_argument("--retain", action="store_true", help="have AWS IoT keep the message for later subscribers")
    parser.add_argument("--id", help="what receivers recognise a duplicate by (a random one)")
    parser.add_argument("--content-type", help="MQTT 5's description of the payload, such as application/json")
    parser.add_argument("--json", action="store_true", help="print a receipt for each message")
    parser.add_argument(
        "--retry-dead-letters", action="store_true", help="queue all messages again that AWS IoT had refused, and end"
    )


def run(arguments: argparse.Namespace, system: System) -> int:
    """Run the command.

    Args:
        arguments: As `add_arguments` has them.
        system: The machine.

    Returns:
        0 when everything is durable.

    Raises:
        DeviceAgentError: The agent is not running (exit code 3), or did not accept a message (2).
    """
    path = str(system.path(AGENT_SOCKET))
    if arguments.retry_dead_letters:
        return _retry(path, as_json=arguments.json)
    if arguments.topic is None:
        raise UsageError("publish needs a topic, such as `device-agent publish telemetry 21.5`")
    if arguments.lines and (arguments.message is not None or arguments.id is not None):
        raise UsageError("--lines takes the messages from standard input: leave out the message and --id")
    # A pipe outlives the agent's restart, or the device's; a person does not want to wait.
    with Publisher(path, timeout=120 if arguments.lines else 10) as publisher:
        for group in _groups(arguments):
            try:
                receipts = publisher.publish_many(
                    [(arguments.topic, payload) for payload in group],
                    ids=[arguments.id] if arguments.id else None,
                    retain=arguments.retain,
                    content_type=arguments.content_type,
                    absolute=arguments.absolute,
                )
            except (PublishRefusedError, AgentNotRunningError) as error:
                # Whoever wrote the lines can go on after these.
                _print(error.receipts, as_json=arguments.json)
                raise
            _print(receipts, as_json=arguments.json)
    return 0


def _groups(arguments: argparse.Namespace) -> Iterator[list[bytes]]:
    if arguments.message is not None:
        yield [arguments.message.encode("utf-8", "surrogateescape")]
    elif not arguments.lines:
        yield [sys.stdin.buffer.read(MAX_PAYLOAD + 1)]
    else:
        rest = b""
        # What is there already goes together; what comes slowly goes at once.
        while chunk := os.read(sys.stdin.fileno(), _READ):
            *lines, rest = (rest + chunk).split(b"\n")
            if lines:
                yield lines
        if rest:
            yield [rest]


def _retry(path: str, *, as_json: bool) -> int:
    with Channel(path) as channel:
        answer = channel.ask({"command": "retry-dead-letters"})
    if not answer["ok"]:
        raise UsageError(answer["error"])
    print(json.dumps({"messages": answer["messages"]}) if as_json else f"{answer['messages']} message(s) queued again")
    return 0


def _print(receipts: Sequence[Receipt], *, as_json: bool) -> None:
    for receipt in receipts if as_json else ():
        print(json.dumps({"id": receipt.id, "sequence": receipt.sequence, "topic": receipt.topic}), flush=True)
