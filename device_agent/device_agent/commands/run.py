"""`device-agent run`: the daemon."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import sys

from device_agent.daemon.delivery import DeliveryOptions
from device_agent.installation import SETTINGS_FILE
from device_agent.messages import Limits
from device_agent.settings import Settings, check_settings, read_document
from device_agent.system import System

HELP = "keep the connection and deliver the queue (what the service runs)"
_MIB = 1024 * 1024
_DAY = 24 * 3600
_FORMER_OPTIONS = {
    "--queue-mib": ("queue", "max_mib"),
    "--queue-days": ("queue", "max_days"),
    "--when-full": ("queue", "when_full"),
    "--in-flight": ("delivery", "in_flight"),
    "--max-tries": ("delivery", "max_tries"),
    "--port": ("connection", "port"),
}
_log = logging.getLogger(__name__)
# sd-daemon(3): the journal reads the priority from such a prefix.
_PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.epilog = (
        "It is started by systemd: `systemctl status private-iot-agent`, `journalctl -u private-iot-agent`.\n"
        f"Its settings are in {SETTINGS_FILE}; `device-agent config` shows them.\n"
        "\n"
        "SIGTERM ends it in order: what is queued stays queued for the next start.\n"
    )
    for option in _FORMER_OPTIONS:
        parser.add_argument(option, help=argparse.SUPPRESS)


def run(arguments: argparse.Namespace, system: System) -> int:
    """Run the daemon until it is told to end.

    Raises:
        DeviceAgentError: Nothing usable is installed, or another agent runs.
    """
    # The SDK costs 100 ms and 20 MB on import, which the overview of the commands does without.
    from device_agent.daemon.access import GroupTopics  # noqa: PLC0415 - see above
    from device_agent.daemon.daemon import Daemon, Options  # noqa: PLC0415 - see above

    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter(journal="JOURNAL_STREAM" in os.environ))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    settings = _settings(arguments, system)
    options = Options(
        limits=Limits(
            max_bytes=settings.queue.max_mib * _MIB,
            max_age=settings.queue.max_days * _DAY,
            when_full=settings.queue.when_full,
        ),
        delivery=DeliveryOptions(in_flight=settings.delivery.in_flight, max_tries=settings.delivery.max_tries),
        port=settings.connection.port,
        session_expiry=settings.connection.session_expiry,
        max_buffered=settings.local.buffer_mib * _MIB,
        mqtt=settings.mqtt,
        groups={name: GroupTopics(**topics) for name, topics in settings.local.groups.items()},
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


def _settings(arguments: argparse.Namespace, system: System) -> Settings:
    """Read the settings; the options of an earlier release still count, so that an override unit goes on starting."""
    document = read_document(system)
    for option, (table, name) in _FORMER_OPTIONS.items():
        text = getattr(arguments, option[2:].replace("-", "_"))
        if text is not None:
            _log.warning("the option %s has become %s.%s in %s", option, table, name, SETTINGS_FILE)
            document[table] = {name: _value(text), **document.get(table, {})}
    return check_settings(document)


def _value(text: str) -> int | float | str:
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(text)
    return text
