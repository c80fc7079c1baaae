"""What starts the services again when a command that stopped them for a while is killed.

A command that is killed cannot put anything back. So before it stops a service it starts a small one of its own, which
waits for a lock that the command holds and the kernel takes away from the dead (flock(2)), and then starts again what
was stopped. The programs that the command runs hold the lock with it, so that a `systemctl stop` which outlives the
command comes before the start. The guard belongs to systemd, so that whatever kills the command leaves it alone. After
lost power nothing is needed: the services start with the system, and the guard's file lies in /run.
"""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from device_agent._exceptions import DeviceAgentError, UsageError
from device_agent.files import WantedFile, remove, reporting, write_file
from device_agent.installation import AGENT_SERVICE, GUARD_SERVICE, GUARD_UNIT, OPENVPN_FILE, TRIAL_FILE, TRIAL_SERVICE
from device_agent.service import is_active, systemctl
from device_agent.system import System

PATIENCE = 30.0
"""Seconds to wait for another command, or for the guard of one that was killed, to be done."""
_LOCKED = str(Path(OPENVPN_FILE).parent)
"""The folder whose lock it is: one that is there wherever OpenVPN is, so that the lock leaves no file behind."""


@contextmanager
def services_held(system: System) -> Iterator[System]:
    """Hold the services while the block runs, which may then stop them after `start_guard`.

    Args:
        system: The machine.

    Yields:
        The machine whose programs hold the services too.

    Raises:
        DeviceAgentError: Another command holds them.
    """
    with reporting(f"{_LOCKED} cannot be opened"):
        lock = os.open(system.path(_LOCKED), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _wait_for(system, lock)
        try:
            yield replace(system, inherited=(lock,))
        finally:
            # All is put back by now, and later the guard would undo what others do.
            if system.path(GUARD_UNIT).exists():
                system.run(["systemctl", "stop", GUARD_SERVICE])
                remove(system, GUARD_UNIT)
    finally:
        os.close(lock)


def start_guard(system: System, units: Sequence[str]) -> None:
    """Have services started again when this process ends, however it does, and a trial's tunnel ended.

    Args:
        system: The machine, whose services are held.
        units: The services that are about to be stopped; those that run of them count.

    Raises:
        DeviceAgentError: The guard cannot be started; nothing was stopped.
    """
    running = [unit for unit in units if is_active(system, unit)]
    folder = system.path(GUARD_UNIT).parent
    with reporting(f"{folder} cannot be made"):
        folder.mkdir(parents=True, exist_ok=True)
    write_file(system, GUARD_UNIT, WantedFile(content=guard_unit(running).encode("ascii")))
    systemctl(system, "daemon-reload")
    systemctl(system, "restart", GUARD_SERVICE)


@contextmanager
def agent_paused(system: System) -> Iterator[None]:
    """Stop the agent's service while the block runs, if it is running, and start it again whatever happens.

    AWS IoT allows one connection a client ID and hangs up on the older one
    (https://docs.aws.amazon.com/iot/latest/developerguide/mqtt.html), so that a test and the agent would throw each
    other out for ever. The agent's queue keeps what is published meanwhile.

    Args:
        system: The machine.

    Raises:
        DeviceAgentError: The service cannot be stopped, for instance by this user.
    """
    if not is_active(system, AGENT_SERVICE):
        yield
        return
    if system.user_id() != 0:
        raise UsageError(f"{AGENT_SERVICE} has to be paused for this test, which needs root; run it with sudo")
    print(f"{AGENT_SERVICE} is paused for this test", file=sys.stderr)
    with services_held(system) as held:
        start_guard(held, [AGENT_SERVICE])
        systemctl(held, "stop", AGENT_SERVICE)
        try:
            yield
        finally:
            systemctl(held, "start", AGENT_SERVICE)


def guard_unit(units: Sequence[str]) -> str:
    """Write the guard's unit.

    Args:
        units: What it starts.

    Returns:
        The unit file's text. flock(1) is of util-linux, which every Debian has.
    """
    steps = [f"systemctl stop {TRIAL_SERVICE}", f"rm -f {TRIAL_FILE}"]
    if units:
        steps.append(f"systemctl --no-block start {' '.join(units)}")
    steps.append(f"rm -f {GUARD_UNIT}")
    return f"""\
# Written by `device-agent` for as long as it keeps services stopped.
[Unit]
Description=Start again what device-agent has stopped, should it be killed
StartLimitIntervalSec=0

[Service]
Type=exec
ExecStart=/usr/bin/flock {_LOCKED} /bin/sh -c '{"; ".join(steps)}'
Restart=on-failure
"""


def _wait_for(system: System, lock: int) -> None:
    until = system.monotonic() + PATIENCE
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if system.monotonic() >= until:
                raise DeviceAgentError(
                    "another device-agent command has stopped services and has not ended; wait for it"
                ) from None
            system.wait(0.1)
        else:
            return
