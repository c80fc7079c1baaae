"""The trial of a new bundle: its own hop and a live echo, while everything on disk still points at the old one."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import ExitStack
from typing import TypeVar

from device_agent import session as mqtt_session
from device_agent._exceptions import AddressError, ConnectionFailedError, DeviceAgentError, RefusedError
from device_agent.address_rule import address_rule
from device_agent.addresses import resolve_inside
from device_agent.files import WantedFile, remove, write_file, write_link
from device_agent.hop import NEIGHBOUR_SERVICE
from device_agent.install.restart_unit import restart_when_killed
from device_agent.install.slots import slot_folder
from device_agent.install.undo import signals_ignored
from device_agent.install.units import neighbour_unit
from device_agent.installation import (
    AGENT_SERVICE,
    NEIGHBOUR_TRIAL_SERVICE,
    NEIGHBOUR_TRIAL_UNIT,
    OPENVPN_SERVICE,
    TRIAL_FILE,
    TRIAL_SERVICE,
    Installation,
)
from device_agent.service import SYSTEMCTL_TIMEOUT, is_active, systemctl
from device_agent.session import Session
from device_agent.settings import load_settings
from device_agent.system import System

T = TypeVar("T")
REFUSALS = 15
"""Seconds of refusals that are borne: AWS IoT may take a while to know a new certificate or policy."""


def stop_services(system: System, undo: ExitStack) -> None:
    """Stop the hop's service and the agent where they run; undoing starts them again.

    Should this process be killed, the restart unit starts them again.

    Args:
        system: The machine, whose services are locked.
        undo: Where to note how it is undone.

    Raises:
        DeviceAgentError: A service cannot be stopped.
    """
    hops = (OPENVPN_SERVICE, NEIGHBOUR_SERVICE)
    restart_when_killed(system, (*hops, AGENT_SERVICE))
    running = [unit for unit in (AGENT_SERVICE, *hops) if is_active(system, unit)]
    for unit in running:
        undo.callback(system.run, ["systemctl", "restart", unit], timeout=SYSTEMCTL_TIMEOUT)
    for unit in running:
        systemctl(system, "stop", unit)


def try_slot(system: System, slot: str) -> float:
    """Bring up a slot's hop, and send an echo over it with its identity.

    Returns:
        The echo's seconds.

    Raises:
        DeviceAgentError: The hop or the echo did not come about; says which.
    """
    installation = Installation.load(system, slot_folder(slot))
    return use_slot(
        system, slot, "echo", lambda session: mqtt_session.echo(session, f"{installation.topic_prefix}/echo")
    )


def use_slot(system: System, slot: str, what: str, action: Callable[[Session], T]) -> T:
    """Bring up a slot's hop, and do something over a connection with its identity.

    The services must be stopped. The hop of the trial is gone when this returns or raises.

    Args:
        system: The machine.
        slot: The slot on trial.
        what: What is to come about, for the message.
        action: Takes a session that is connected; done again where the connection does not hold.

    Returns:
        What the action gives.

    Raises:
        DeviceAgentError: The hop or the action did not come about within the settings' `connection.trial_seconds`; says
            which.
    """
    installation = Installation.load(system, slot_folder(slot))
    seconds = load_settings(system).connection.trial_seconds
    try:
        if installation.gateways:
            _start_on_gateway(system, slot, installation)
        else:
            write_link(system, TRIAL_FILE, f"../private-iot/{slot}.conf")
            systemctl(system, "start", TRIAL_SERVICE)
        with address_rule(system, installation.vpc_cidr):
            return _repeat(system, installation, seconds, what, action)
    finally:
        with signals_ignored():
            end_trial(system)


def _start_on_gateway(system: System, slot: str, installation: Installation) -> None:
    text = neighbour_unit(python=sys.executable, gateways=installation.gateways, slot=slot_folder(slot))
    write_file(system, NEIGHBOUR_TRIAL_UNIT, WantedFile(content=text.encode("ascii")))
    systemctl(system, "daemon-reload")
    systemctl(system, "start", NEIGHBOUR_TRIAL_SERVICE)


def end_trial(system: System) -> None:
    """End the trial's tunnel, or its way through a gateway; its file stays if that fails, so that the next one ends it.

    Raises:
        DeviceAgentError: It cannot be ended.
    """
    for file, unit in ((NEIGHBOUR_TRIAL_UNIT, NEIGHBOUR_TRIAL_SERVICE), (TRIAL_FILE, TRIAL_SERVICE)):
        if os.path.lexists(system.path(file)):
            systemctl(system, "stop", unit)
            remove(system, file)


def _repeat(system: System, installation: Installation, seconds: float, what: str, action: Callable[[Session], T]) -> T:
    """Try until the deadline: while a tunnel comes up, names and routes follow one after the other.

    Each new reason to wait goes to standard error, as a sign of life.
    """
    deadline = system.monotonic() + seconds
    shown = ""
    while True:
        session = mqtt_session.open_session(system, installation)
        try:
            resolve_inside(system, installation)
            session.connect()
            return action(session)
        except (AddressError, ConnectionFailedError) as error:
            now = system.monotonic()
            if isinstance(error, RefusedError) and not error.passing:
                deadline = min(deadline, now + REFUSALS)
            if now >= deadline:
                raise DeviceAgentError(f"no {what} over the path: {error}") from error
            if str(error) != shown:
                shown = str(error)
                print(f"waiting: {shown}", file=sys.stderr, flush=True)
        finally:
            session.disconnect()
        system.wait(1)
