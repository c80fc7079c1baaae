"""The lock of the commands that stop services, and the unit that starts them again when such a command is killed.

A command that is killed cannot put anything back. So before it stops a service it starts a small one of its own, which
waits for a lock that the command holds and the kernel takes away from the dead (flock(2)), and then starts again what
was stopped. The programs that the command runs hold the lock with it, so that a `systemctl stop` which outlives the
command comes before the start. The unit belongs to systemd, so that whatever kills the command leaves it alone. After
lost power nothing is needed: the services start with the system, and the unit's file lies in /run.
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
from device_agent.installation import (
    AGENT_SERVICE,
    NEIGHBOUR_TRIAL_SERVICE,
    NEIGHBOUR_TRIAL_UNIT,
    OPENVPN_FILE,
    RESTART_SERVICE,
    RESTART_UNIT,
    TRIAL_FILE,
    TRIAL_SERVICE,
)
from device_agent.service import is_active, systemctl
from device_agent.system import System

LOCK_TIMEOUT = 30.0
"""Seconds to wait for another command, or for the restart after one that was killed, to be done."""
_LOCKED = (str(Path(OPENVPN_FILE).parent), "/etc/systemd/system")
"""The folders of which the first that there is has the lock, so that it leaves no file behind: with OpenVPN its own."""


def lockable(system: System) -> str | None:
    """Give the folder that is locked; None on a machine without any."""
    return next((folder for folder in _LOCKED if system.path(folder).is_dir()), None)


@contextmanager
def services_locked(system: System) -> Iterator[System]:
    """Keep other commands from the services and their files while the block runs.

    Yields:
        The machine whose programs hold the lock too.

    Raises:
        DeviceAgentError: Another command holds it.
    """
    folder = lockable(system) or _LOCKED[-1]
    with reporting(f"{folder} cannot be opened"):
        lock = os.open(system.path(folder), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _wait_for(system, lock)
        try:
            yield replace(system, inherited=(lock,))
        finally:
            # All is put back by now, and later the unit would undo what others do.
            if system.path(RESTART_UNIT).exists():
                system.run(["systemctl", "stop", RESTART_SERVICE])
                remove(system, RESTART_UNIT)
    finally:
        os.close(lock)


def restart_when_killed(system: System, units: Sequence[str]) -> None:
    """Have services started again when this process ends, however it does, and a trial's tunnel ended.

    Args:
        system: The machine, whose services are locked.
        units: The services that are about to be stopped; those that run of them count.

    Raises:
        DeviceAgentError: The restart unit cannot be started; nothing was stopped.
    """
    running = [unit for unit in units if is_active(system, unit)]
    folder = system.path(RESTART_UNIT).parent
    with reporting(f"{folder} cannot be made"):
        folder.mkdir(parents=True, exist_ok=True)
    text = restart_unit(running, lockable(system) or _LOCKED[-1])
    write_file(system, RESTART_UNIT, WantedFile(content=text.encode("ascii")))
    systemctl(system, "daemon-reload")
    systemctl(system, "restart", RESTART_SERVICE)


@contextmanager
def agent_paused(system: System) -> Iterator[None]:
    """Stop the agent's service while the block runs, if it is running, and start it again whatever happens.

    AWS IoT allows one connection a client ID and hangs up on the older one
    (https://docs.aws.amazon.com/iot/latest/developerguide/mqtt.html), so that a test and the agent would throw each
    other out for ever. The agent's queue keeps what is published meanwhile.

    Raises:
        DeviceAgentError: The service cannot be stopped, for instance by this user.
    """
    if not is_active(system, AGENT_SERVICE):
        yield
        return
    if system.user_id() != 0:
        raise UsageError(f"{AGENT_SERVICE} has to be paused for this test, which needs root; run it with sudo")
    print(f"{AGENT_SERVICE} is paused for this test", file=sys.stderr)
    with services_locked(system) as locked:
        restart_when_killed(locked, [AGENT_SERVICE])
        try:
            systemctl(locked, "stop", AGENT_SERVICE)
            yield
        finally:
            systemctl(locked, "start", AGENT_SERVICE)


def restart_unit(units: Sequence[str], locked: str = _LOCKED[0]) -> str:
    """Write the unit that starts services once the lock is free; flock(1) is of util-linux, which every Debian has."""
    steps = [f"systemctl stop {TRIAL_SERVICE}", f"rm -f {TRIAL_FILE}"]
    # Its end takes route and name back.
    steps += [f"systemctl stop {NEIGHBOUR_TRIAL_SERVICE}", f"rm -f {NEIGHBOUR_TRIAL_UNIT}"]
    if units:
        steps.append(f"systemctl --no-block start {' '.join(units)}")
    steps.append(f"rm -f {RESTART_UNIT}")
    return f"""\
# Written by `device-agent` for as long as it keeps services stopped.
[Unit]
Description=Start again what device-agent has stopped, should it be killed
StartLimitIntervalSec=0

[Service]
Type=exec
ExecStart=/usr/bin/flock {locked} /bin/sh -c '{"; ".join(steps)}'
Restart=on-failure
"""


def _wait_for(system: System, lock: int) -> None:
    until = system.monotonic() + LOCK_TIMEOUT
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if system.monotonic() >= until:
                raise DeviceAgentError(
                    "another device-agent command holds the services and has not ended; wait for it"
                ) from None
            system.wait(0.1)
        else:
            return
