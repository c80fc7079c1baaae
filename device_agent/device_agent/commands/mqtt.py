"""`device-agent mqtt`: the local MQTT broker, for programs that speak MQTT and not the agent's socket."""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import suppress

from device_agent._exceptions import DeviceAgentError, UsageError
from device_agent.client import AGENT_SOCKET, Channel
from device_agent.files import WantedFile, remove
from device_agent.install.steps import enable, start, write
from device_agent.install.undo import undone_on_error
from device_agent.installation import AGENT_SERVICE, SETTINGS_FILE, Installation
from device_agent.local_broker.mosquitto import DROP_IN, SERVICE, check_broker, drop_in
from device_agent.local_broker.password import read_password
from device_agent.local_broker.topic_maps import TopicMaps, read_maps
from device_agent.service import is_active, is_enabled, systemctl
from device_agent.settings import MqttSettings, load_settings
from device_agent.system import System

CONNECT_TIMEOUT = 20
"""Seconds for the agent to reach the broker that was just started."""
HELP = "let programs publish and subscribe through a local MQTT broker (Debian's mosquitto)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.epilog = (
        f"Which topics go to AWS IoT and which come from it is in {SETTINGS_FILE}:\n"
        "  [mqtt]\n"
        '  publish = ["sensors/#"]\n'
        '  subscribe = ["commands/#"]\n'
        "Then `sudo device-agent mqtt enable`, and programs use localhost port 1883.\n"
    )
    parser.add_argument("action", choices=("enable", "disable"), help="write mosquitto's drop-in, or remove it")
    parser.add_argument(
        "--lan", action="store_true", help="listen in the device's networks too, for users with a password"
    )


def run(arguments: argparse.Namespace, system: System) -> int:
    """Run the command.

    Raises:
        DeviceAgentError: The settings or the machine are not fit, or a step failed; everything is as it was.
    """
    if system.user_id() != 0:
        raise UsageError("mqtt needs root; run it with sudo")
    if arguments.action == "enable":
        return _enable(system, lan=arguments.lan)
    if arguments.lan:
        raise UsageError("--lan belongs to `mqtt enable`")
    return _disable(system)


def check_settings_and_maps(system: System) -> tuple[MqttSettings, TopicMaps]:
    """Read `[mqtt]` with the device's prefix.

    Raises:
        DeviceAgentError: Nothing is installed, a map is refused, or there is none.
    """
    settings, installation = load_settings(system).mqtt, Installation.load(system)
    maps = read_maps(settings.publish, settings.subscribe, installation.topic_prefix)
    if not settings.wanted:
        raise UsageError(
            f'{SETTINGS_FILE} has no topics of the broker; write `[mqtt]` and `publish = ["sensors/#"]` into it'
        )
    return settings, maps


def _enable(system: System, *, lan: bool) -> int:
    settings, maps = check_settings_and_maps(system)
    check_broker(system, settings, lan=lan)
    read_password(system, settings)
    wanted = WantedFile(content=drop_in(settings.port, lan=lan).encode("ascii"))
    with undone_on_error() as undo:
        if not is_enabled(system, SERVICE):
            # As Debian's package leaves it; without it programs have no broker after the next boot.
            print(f"enable {SERVICE}")
            enable(system, [SERVICE], undo)
        if not wanted.matches(system, DROP_IN):
            undo.callback(system.run, ["systemctl", "restart", SERVICE], timeout=120)
            write(system, DROP_IN, wanted, undo)
            print(f"write {DROP_IN}")
            start(system, SERVICE, undo)
            print(f"start {SERVICE} anew")
        start(system, AGENT_SERVICE, undo)
        print(f"start {AGENT_SERVICE} anew")
    if not _save_session(system):
        print("warning: the agent has not reached the broker yet; `device-agent status` tells why", file=sys.stderr)
    where = f"port {settings.port} of every network, with a user" if lan else f"localhost port {settings.port}"
    print(f"programs use the broker at {where}")
    for item in maps.publish:
        print(f"  {item.source} goes to AWS IoT as {item.target}")
    for item in maps.subscribe:
        print(f"  {item.source} of AWS IoT comes as {item.target}")
    return 0


def _save_session(system: System) -> bool:
    """Have the broker write the agent's session to the disk once it stands; give whether it does.

    A broker that is killed before has forgotten that the agent is to get anything, and acknowledges what it then drops.
    """
    deadline = system.monotonic() + CONNECT_TIMEOUT
    while system.monotonic() < deadline:
        with suppress(OSError, ValueError, LookupError, DeviceAgentError):
            with Channel(str(system.path(AGENT_SOCKET)), timeout=5) as channel:
                broker = channel.ask({"command": "status"})["status"]["localBroker"]
            if broker["connected"]:
                process = system.run(["systemctl", "show", "-p", "MainPID", "--value", SERVICE]).stdout.strip()
                # mosquitto(8), "Signals".
                return system.run(["kill", "-USR1", process]).returncode == 0
        system.wait(0.2)
    return False


def _disable(system: System) -> int:
    if not os.path.lexists(system.path(DROP_IN)):
        print("the broker is as Debian has it; nothing changed")
        return 0
    print(f"remove {DROP_IN}")
    remove(system, DROP_IN)
    if is_active(system, SERVICE):
        print(f"start {SERVICE} anew")
        systemctl(system, "restart", SERVICE)
    if load_settings(system).mqtt.wanted:
        print(f"[mqtt] is still in {SETTINGS_FILE}: take it out, then `systemctl restart {AGENT_SERVICE}`")
    return 0
