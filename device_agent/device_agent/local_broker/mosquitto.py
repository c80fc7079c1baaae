"""Debian's mosquitto on this device: the drop-in that `mqtt enable` writes, and what has to be so before it does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from device_agent._exceptions import DeviceAgentError, UsageError
from device_agent.installation import SETTINGS_FILE
from device_agent.ports import find_listeners
from device_agent.settings import MqttSettings
from device_agent.system import System

SERVICE = "mosquitto.service"
PROGRAM = "/usr/sbin/mosquitto"
CONFIGURATION = "/etc/mosquitto/mosquitto.conf"
FOLDER = "/etc/mosquitto/conf.d"
DROP_IN = f"{FOLDER}/private-iot.conf"
PASSWORDS = "/etc/mosquitto/passwd"
MAX_QUEUED_BYTES = 256 * 1024 * 1024
"""Bytes that the broker keeps for each client that is away or does not acknowledge; in its memory."""
_LISTENER = re.compile(r"\s*(listener|port|allow_anonymous|password_file|per_listener_settings)\s")


def drop_in(port: int, *, lan: bool) -> str:
    """Write the configuration (mosquitto.conf(5)).

    Args:
        port: The listener's port.
        lan: Whether it listens in all networks, and asks everybody for a user; else on localhost alone, without.
    """
    access = f"listener {port}\nallow_anonymous false\npassword_file {PASSWORDS}\n"
    if not lan:
        access = f"listener {port} 127.0.0.1\nallow_anonymous true\n"
    return f"""\
# Written by `device-agent mqtt enable`; `device-agent mqtt disable` removes it.
{access}\
# What waits for the agent, or for any client, is bounded by its size, not by 1,000 messages.
max_queued_messages 0
max_queued_bytes {MAX_QUEUED_BYTES}
# What the broker has acknowledged and not yet handed over is on the disk after this many seconds at the latest.
autosave_interval 10
"""


def check_broker(system: System, settings: MqttSettings, *, lan: bool) -> None:
    """Refuse what the drop-in could not work with.

    Raises:
        UsageError: mosquitto is missing, its configuration has a listener of its own, another program has the port, or
            `lan` is asked for without users.
    """
    if not system.path(PROGRAM).exists() or not system.path(FOLDER).is_dir():
        raise UsageError(f"mosquitto is not installed ({PROGRAM}, {FOLDER}); `sudo apt install mosquitto`")
    if not re.search(rf"^\s*include_dir\s+{FOLDER}/?\s*$", _read(system, CONFIGURATION), re.MULTILINE):
        raise UsageError(f"{CONFIGURATION} has no `include_dir {FOLDER}`; put the line back, as Debian has it")
    for path, line in _own_lines(system):
        raise UsageError(
            f"{path} has `{line}`: this mosquitto is set up already; leave it so, and give the agent its port and user"
            f" with mqtt.port, mqtt.username and mqtt.password_file in {SETTINGS_FILE}"
        )
    for listener in find_listeners(system, settings.port):
        if listener.program != "mosquitto":
            raise UsageError(
                f"port {settings.port} is {listener}'s; stop it, or give mqtt.port another number in {SETTINGS_FILE}"
            )
    if lan:
        _check_users(system, settings)


def _check_users(system: System, settings: MqttSettings) -> None:
    users = {line.partition(":")[0] for line in _read(system, PASSWORDS).splitlines() if ":" in line}
    name = settings.username or "agent"
    remedy = f"`sudo mosquitto_passwd {'' if users else '-c '}{PASSWORDS} {name}`"
    if not users:
        raise UsageError(f"{PASSWORDS} has no user, and --lan is not for everybody; {remedy}")
    if not settings.username:
        raise UsageError(f"with --lan the agent needs a user as well: mqtt.username is empty in {SETTINGS_FILE}")
    if settings.username not in users:
        raise UsageError(f"mqtt.username is {settings.username!r}, who is not in {PASSWORDS}; {remedy}")


def _own_lines(system: System) -> Iterator[tuple[str, str]]:
    """Go through the lines by which somebody has set up listeners or access."""
    folder = system.path(FOLDER)
    names = sorted(entry.name for entry in folder.glob("*.conf"))
    for path in (CONFIGURATION, *(f"{FOLDER}/{name}" for name in names)):
        if path != DROP_IN:
            for line in _read(system, path).splitlines():
                if _LISTENER.match(line):
                    yield path, line.strip()


def _read(system: System, path: str) -> str:
    try:
        return system.path(path).read_text("utf-8", "replace")
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise DeviceAgentError(f"{Path(path)} cannot be read: {error.strerror}") from error
