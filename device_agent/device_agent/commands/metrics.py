"""`device-agent metrics`: how the running agent is, in Prometheus's text format."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from device_agent._exceptions import UsageError
from device_agent.commands.status import read_status
from device_agent.system import System

HELP = "print the running agent's state for Prometheus (the textfile collector's form)"
PREFIX = "private_iot_"
METRICS = (
    ("up", "gauge", "Whether the agent runs.", ("running",)),
    ("tunnel_alive", "gauge", "Whether the path through the tunnel is alive; absent if unknown.", ("tunnel", "alive")),
    ("tunnel_restarts_total", "counter", "Restarts of the tunnel by the agent.", ("tunnel", "restarts")),
    ("connected", "gauge", "Whether the agent is connected to AWS IoT.", ("connection", "connected")),
    ("connections_total", "counter", "Connections that were made.", ("connection", "connections")),
    ("persistent_session", "gauge", "Whether AWS IoT keeps the session.", ("connection", "persistentSession")),
    ("queue_messages", "gauge", "Messages that wait.", ("queue", "depth")),
    ("queue_bytes", "gauge", "Bytes of the messages that wait.", ("queue", "bytes")),
    ("queue_in_flight", "gauge", "Messages that wait for AWS IoT's acknowledgement.", ("queue", "inFlight")),
    ("accepted_total", "counter", "Messages that local programs handed over.", ("queue", "accepted")),
    ("sent_total", "counter", "Messages that AWS IoT has acknowledged.", ("queue", "sent")),
    ("refused_total", "counter", "Messages that were given up.", ("queue", "refused")),
    ("dropped_total", "counter", "Messages that were dropped, to make room or for their age.", ("queue", "dropped")),
    ("dropped_by_size_total", "counter", "Messages that were dropped to make room.", ("queue", "droppedBySize")),
    ("dropped_by_age_total", "counter", "Messages that were dropped for their age.", ("queue", "droppedByAge")),
    ("dead_letters", "gauge", "Messages that were given up and are kept.", ("queue", "deadLetters")),
    ("dead_letters_dropped_total", "counter", "Dead letters that gave way.", ("queue", "deadLettersDropped")),
    ("damaged_files_total", "counter", "Damaged queue files that were set aside.", ("queue", "damagedFilesSetAside")),
    ("received_messages", "gauge", "Received messages that wait for a local program.", ("queue", "received")),
    ("received_bytes", "gauge", "Bytes of the received messages that wait.", ("queue", "receivedBytes")),
    ("received_dropped_total", "counter", "Received messages that nobody took in time.", ("queue", "receivedDropped")),
    ("queue_error", "gauge", "Whether the disk refuses the queue's changes.", ("queue", "error")),
    ("tunnel_error", "gauge", "Whether the tunnel cannot be restarted.", ("tunnel", "error")),
)
"""Name, type, help and place in the status of each. Of an error only whether there is one is told."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.epilog = (
        "for node_exporter's textfile collector, from a timer or cron:\n"
        "  device-agent metrics --output /var/lib/prometheus/node-exporter/private-iot.prom\n"
        "\n"
        "exit codes: 0 also without a running agent (private_iot_up 0), 2 the state cannot be read or written\n"
    )
    parser.add_argument("--output", metavar="FILE", help="replace this file in one step instead of printing")


def run(arguments: argparse.Namespace, system: System) -> int:
    """Run the command.

    Raises:
        DeviceAgentError: The agent gives no proper answer, this user may not ask, or the file cannot be written.
    """
    text = "".join(f"{line}\n" for line in lines(read_status(system)))
    if arguments.output is None:
        print(text, end="")
    else:
        _replace(Path(arguments.output), text)
    return 0


def lines(status: dict[str, Any]) -> Iterator[str]:
    """Write a status in Prometheus's text format (https://prometheus.io/docs/instrumenting/exposition_formats/).

    Args:
        status: As `device-agent status --json` prints it.
    """
    for name, kind, text, place in METRICS:
        section = status if len(place) == 1 else status.get(place[0], {})
        if place[-1] not in section:
            continue
        value = section[place[-1]]
        if place[-1] == "error":
            value = value is not None
        if value is not None:
            yield from _metric(name, kind, text, [("", int(value))])
    certificates = [(f'{{file="{_escape(item["file"])}"}}', item["days_left"]) for item in status["certificates"]]
    if certificates:
        yield from _metric("certificate_days_left", "gauge", "Whole days until a certificate's end.", certificates)


def _metric(name: str, kind: str, text: str, values: Sequence[tuple[str, int]]) -> Iterator[str]:
    yield f"# HELP {PREFIX}{name} {text}"
    yield f"# TYPE {PREFIX}{name} {kind}"
    for labels, value in values:
        yield f"{PREFIX}{name}{labels} {value}"


def _escape(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _replace(path: Path, text: str) -> None:
    # The collector reads *.prom: what is being written has another name.
    new = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        new.write_text(text, "utf-8")
        new.chmod(0o644)
        new.replace(path)
    except OSError as error:
        new.unlink(missing_ok=True)
        raise UsageError(f"{path} cannot be written: {error.strerror}") from error
