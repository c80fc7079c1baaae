"""systemd as the agent needs it: through `systemctl`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from device_agent._exceptions import DeviceAgentError
from device_agent.installation import AGENT_SERVICE
from device_agent.system import System

_PATIENCE = 120


def systemctl(system: System, *arguments: str) -> None:
    """Run `systemctl` and refuse its failure.

    Args:
        system: The machine.
        arguments: The verb and the units.

    Raises:
        DeviceAgentError: It failed; with its own last words.
    """
    done = system.run(["systemctl", *arguments], timeout=_PATIENCE)
    if done.returncode:
        words = (done.stderr or done.stdout).strip().splitlines()
        raise DeviceAgentError(
            f"`systemctl {' '.join(arguments)}` failed: {words[0] if words else f'exit code {done.returncode}'}"
        )


def is_active(system: System, unit: str) -> bool:
    """Tell whether a unit is running."""
    return system.run(["systemctl", "is-active", unit]).stdout.strip() in ("active", "activating", "reloading")


def is_enabled(system: System, unit: str) -> bool:
    """Tell whether a unit starts at boot."""
    return system.run(["systemctl", "is-enabled", unit]).stdout.strip() == "enabled"


@contextmanager
def agent_paused(system: System) -> Iterator[None]:
    """Stop the agent's service while the block runs, if it is running, and start it again whatever happens.

    AWS IoT allows one connection a client ID and hangs up on the older one
    (https://docs.aws.amazon.com/iot/latest/developerguide/mqtt.html), so that a test and the agent would throw each
    other out for ever. The agent's queue keeps what is published meanwhile.

    Args:
        system: The machine.

    Raises:
        DeviceAgentError: The service cannot be stopped.
    """
    if not is_active(system, AGENT_SERVICE):
        yield
        return
    print(f"{AGENT_SERVICE} is paused for this test", file=sys.stderr)
    systemctl(system, "stop", AGENT_SERVICE)
    try:
        yield
    finally:
        systemctl(system, "start", AGENT_SERVICE)
