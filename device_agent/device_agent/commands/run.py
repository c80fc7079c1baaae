"""`device-agent run`: the daemon."""

from __future__ import annotations

import argparse
import logging
import os
import sys

from device_agent.daemon.delivery import DeliveryOptions
from device_agent.messages import Limits
from device_agent.system import System

HELP = "keep the connection and deliver the queue (what the service runs)"
_MIB = 1024 * 1024
_DAY = 24 * 3600
# sd-daemon(3): the journal reads the priority from such a prefix.
_PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.epilog = (
        "It is started by systemd: `systemctl status private-iot-agent`, `journalctl -u private-iot-agent`.\n"
        "Another limit is set with `systemctl edit private-iot-agent`.\n"
        "\n"
        "SIGTERM ends it in order: what is queued stays queued for the next start.\n"
    )
    defaults, delivery = Limits(), DeliveryOptions()
    parser.add_argument(
        "--queue-mib",
        type=int,
        default=defaults.max_bytes // _MIB,
        metavar="MIB",
        help=f"size of all queued messages, at least 1 ({defaults.max_bytes // _MIB})",
    )
    parser.add_argument(
        "--queue-days",
        type=float,
        default=defaults.max_age / _DAY,
        metavar="DAYS",
        help=f"how long a message may wait before it is dropped ({defaults.max_age / _DAY:g})",
    )
    parser.add_argument(
        "--when-full",
        choices=("drop-oldest", "refuse"),
        default=defaults.when_full,
        help=f"what a full queue does ({defaults.when_full})",
    )
    parser.add_argument(
        "--in-flight",
        type=_in_flight,
        default=delivery.in_flight,
        metavar="N",
        help=f"messages sent without acknowledgement, 1 to 10000; AWS IoT may allow fewer ({delivery.in_flight})",
    )
    parser.add_argument(
        "--max-tries",
        type=_tries,
        default=delivery.max_tries,
        metavar="N",
        help=f"refusals before a message goes to the dead letters, 1 to 100 ({delivery.max_tries})",
    )
    parser.add_argument("--port", type=int, choices=(8883, 443), default=8883, help="8883, or 443 with ALPN (8883)")


def run(arguments: argparse.Namespace, system: System) -> int:
    """Run the daemon until it is told to end.

    Args:
        arguments: As `add_arguments` has them.
        system: The machine.

    Returns:
        0.

    Raises:
        DeviceAgentError: Nothing usable is installed, or another agent runs.
    """
    # The SDK costs 100 ms and 20 MB on import, which the overview of the commands does without.
    from device_agent.daemon.daemon import Daemon, Options  # noqa: PLC0415 - see above

    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter(journal="JOURNAL_STREAM" in os.environ))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    options = Options(
        limits=Limits(
            max_bytes=arguments.queue_mib * _MIB,
            max_age=arguments.queue_days * _DAY,
            when_full=arguments.when_full,
        ),
        delivery=DeliveryOptions(in_flight=arguments.in_flight, max_tries=arguments.max_tries),
        port=arguments.port,
    )
    # The queue's files hold payloads: nobody else reads them.
    os.umask(0o077)
    Daemon(system, options).run()
    return 0


class _Formatter(logging.Formatter):
    def __init__(self, *, journal: bool) -> None:
        super().__init__("%(message)s" if journal else "%(asctime)s %(levelname)-7s %(message)s")
        self._journal = journal

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return f"<{_PRIORITIES.get(record.levelno, 6)}>{text}" if self._journal else text


def _in_flight(text: str) -> int:
    return _between(text, 1, 10_000)


def _tries(text: str) -> int:
    return _between(text, 1, 100)


def _between(text: str, least: int, most: int) -> int:
    number = int(text)
    if not least <= number <= most:
        raise argparse.ArgumentTypeError(f"{number} is not from {least} to {most}")
    return number
