"""`device-agent metrics`: how the running agent is, in Prometheus's text format."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any, cast

from device_agent._exceptions import UsageError
from device_agent.commands.status import read_status
from device_agent.system import System

HELP = "print the running agent's state for Prometheus (the textfile collector's form)"
PREFIX = "private_iot_"
_TEXTS = ("error", "held")
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
    ("broker_connected", "gauge", "Whether the agent is connected to the local broker.", ("localBroker", "connected")),
    ("broker_held", "gauge", "Whether nothing of the broker is acknowledged for now.", ("localBroker", "held")),
    ("broker_waiting", "gauge", "Messages of the broker that wait for the queue.", ("localBroker", "waiting")),
    ("broker_queued_total", "counter", "Messages of the broker that are in the queue.", ("localBroker", "queued")),
    ("broker_published_total", "counter", "Messages that the broker has published.", ("localBroker", "published")),
    ("broker_refused_total", "counter", "Messages that either side refused.", ("localBroker", "refused")),
    ("broker_dropped_total", "counter", "Messages of QoS 0 that had no room.", ("localBroker", "dropped")),
    ("gateway_neighbours", "gauge", "Neighbours that were here in the last day.", ("gateway", "neighbours")),
    ("gateway_to_vpc_packets_total", "counter", "Packets of neighbours to the VPC.", ("gateway", "to_vpc", 0)),
    ("gateway_to_vpc_bytes_total", "counter", "Bytes of neighbours to the VPC.", ("gateway", "to_vpc", 1)),
    ("gateway_from_vpc_packets_total", "counter", "Packets of the VPC to neighbours.", ("gateway", "from_vpc", 0)),
    ("gateway_from_vpc_bytes_total", "counter", "Bytes of the VPC to neighbours.", ("gateway", "from_vpc", 1)),
)
"""Name, type, help and place in the status; of a text only whether there is one is told, of a list its length."""


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
    # What another user than root cannot read of a gateway is not told as none.
    known = {key: value for key, value in status.items() if key != "gateway" or value["loaded"]}
    for name, kind, text, place in METRICS:
        with suppress(LookupError, TypeError):
            value = reduce(getitem, place, cast("Any", known))
            if place[-1] in _TEXTS:
                value = value is not None
            elif isinstance(value, list):
                value = len(value)
            if value is not None:
                yield from _metric(name, kind, text, [("", int(value))])
    hop = status.get("hop", {"gateways": []})
    if hop["gateways"]:
        used = [(f'{{gateway="{_escape(item)}"}}', int(item == hop["gateway"])) for item in hop["gateways"]]
        yield from _metric("hop_gateway", "gauge", "Whether the path leads through this gateway.", used)
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
