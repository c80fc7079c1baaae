"""What the machine lacks for an installation, and what may get in its way, before anything is changed."""

from __future__ import annotations

import os
from pathlib import Path

from device_agent._exceptions import UsageError
from device_agent.install.bundle import Bundle
from device_agent.install.openvpn_profile import RESOLVER_SCRIPT
from device_agent.installation import OPENVPN_FILE, OPENVPN_SERVICE, USER
from device_agent.system import System

_PACKAGES = "`sudo apt install openvpn openvpn-systemd-resolved`"


def check_machine(system: System, bundle: Bundle, python: str) -> None:
    """Refuse a machine that lacks what the installation needs.

    Args:
        system: The machine.
        bundle: The bundle, for what its profile calls.
        python: The interpreter that the service will run.

    Raises:
        UsageError: Something is missing; the message gives the remedy.
    """
    if system.run(["systemctl", "is-enabled", OPENVPN_SERVICE]).returncode == 127:
        raise UsageError("there is no systemctl; the services need a system that runs systemd")
    if not system.path("/usr/sbin/openvpn").exists() or not system.path(OPENVPN_FILE).parent.is_dir():
        raise UsageError(f"OpenVPN is not installed; {_PACKAGES}")
    if bundle.profile.runs_resolver_script and not os.access(system.path(RESOLVER_SCRIPT), os.X_OK):
        raise UsageError(f"{RESOLVER_SCRIPT} is missing or not executable; {_PACKAGES}")
    for place in (Path(python), Path(python).resolve(), Path(__file__)):
        closed = system.closed_folder(place) if system.has_other_users() else None
        if closed:
            raise UsageError(
                f"the agent is installed under {closed}, which the service's user {USER} may not enter; install it for"
                " all users: `sudo pipx install --global ./device_agent`"
            )
