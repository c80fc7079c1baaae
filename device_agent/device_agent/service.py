"""systemd as the agent needs it: through `systemctl`."""

from __future__ import annotations

from device_agent._exceptions import DeviceAgentError
from device_agent.system import System

SYSTEMCTL_TIMEOUT = 120
"""Seconds for systemd to do what it is asked; a service that does not end is killed after 90."""


def systemctl(system: System, *arguments: str) -> None:
    """Run `systemctl` and refuse its failure.

    Raises:
        DeviceAgentError: It failed; with its own last words.
    """
    done = system.run(["systemctl", *arguments], timeout=SYSTEMCTL_TIMEOUT)
    if done.returncode:
        words = (done.stderr or done.stdout).strip().splitlines()
        raise DeviceAgentError(
            f"`systemctl {' '.join(arguments)}` failed: {words[0] if words else f'exit code {done.returncode}'}"
        )


RESOLVED_SERVICE = "systemd-resolved.service"
NETWORKD_SERVICE = "systemd-networkd.service"


def resolved_is_deaf(system: System) -> bool:
    """Tell whether systemd-resolved runs, but without its name on the bus, so that it takes no server of the tunnel.

    So it is after `apt install systemd-resolved` on Debian 12 and 13: dbus reads the policy before the user exists.
    """
    return is_active(system, RESOLVED_SERVICE) and system.run(["resolvectl", "status"]).returncode != 0


def is_active(system: System, unit: str) -> bool:
    """Tell whether a unit is running."""
    return system.run(["systemctl", "is-active", unit]).stdout.strip() in ("active", "activating", "reloading")


def is_enabled(system: System, unit: str) -> bool:
    """Tell whether a unit starts at boot."""
    return system.run(["systemctl", "is-enabled", unit]).stdout.strip() == "enabled"
