"""What the machine lacks for an installation, and what may get in its way, before anything is changed."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

from device_agent._exceptions import SdkMissingError, UsageError
from device_agent.hop import conflicts, hop_of
from device_agent.install.bundle import Bundle
from device_agent.install.openvpn_profile import RESOLVER_SCRIPT
from device_agent.installation import OPENVPN_FILE, OPENVPN_SERVICE, STATE_DIRECTORY, USER
from device_agent.routes import describe_conflict
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
    if importlib.util.find_spec("awscrt") is None:
        raise SdkMissingError
    if system.run(["systemctl", "is-enabled", OPENVPN_SERVICE]).returncode == 127:
        raise UsageError("there is no systemctl; the services need a system that runs systemd")
    tunnel = bundle.profile is not None
    if tunnel and not (system.path("/usr/sbin/openvpn").exists() and system.path(OPENVPN_FILE).parent.is_dir()):
        raise UsageError(f"OpenVPN is not installed; {_PACKAGES}")
    if (
        bundle.profile is not None
        and bundle.profile.runs_resolver_script
        and not os.access(system.path(RESOLVER_SCRIPT), os.X_OK)
    ):
        raise UsageError(f"{RESOLVER_SCRIPT} is missing or not executable; {_PACKAGES}")
    for place in (Path(python), Path(python).resolve(), Path(__file__)):
        closed = system.closed_folder(place) if system.has_other_users() else None
        if closed:
            raise UsageError(
                f"the agent is installed under {closed}, which the service's user {USER} may not enter; install it for"
                " all users: `sudo env PIPX_HOME=/opt/pipx PIPX_BIN_DIR=/usr/local/bin pipx install ./device_agent`"
            )


def warnings_about(system: System, bundle: Bundle) -> list[str]:
    """List what may get in the way of an installation that works otherwise, one line each with its remedy."""
    hop = hop_of(bundle.gateways)
    found = [
        f"{describe_conflict(route, bundle.vpc_cidr)}; the {hop.kind} cannot reach what lies there: move the home"
        " network to other addresses, or the VPC (`vpcCidrBlock`)"
        for route in conflicts(hop, system.list_routes(), bundle.vpc_cidr)
    ]
    kind = volatile_storage(system)
    if kind:
        found.append(f"{STATE_DIRECTORY} is on {kind}: {VOLATILE_MEANING}; {VOLATILE_REMEDY}")
    return found


VOLATILE_MEANING = "messages that wait there are lost with the power"
VOLATILE_REMEDY = "turn the overlay off (`sudo raspi-config`, Performance), or mount a disk there"


def volatile_storage(system: System) -> str | None:
    """Tell what the queue would lie on if that is the device's memory: an overlay root, or a tmpfs of /etc/fstab."""
    texts = {}
    for path in ("/proc/self/mounts", "/proc/cmdline", "/etc/fstab"):
        try:
            texts[path] = system.path(path).read_text("utf-8", "replace")
        except OSError:
            texts[path] = ""
    mounted, wanted = _mounts(texts["/proc/self/mounts"]), _mounts(texts["/etc/fstab"])
    folders = [str(folder) for folder in (Path(STATE_DIRECTORY), *Path(STATE_DIRECTORY).parents)]
    place = next((folder for folder in folders if folder in mounted), "/")
    if mounted.get(place) == wanted.get(place) == "tmpfs":
        return f"a tmpfs ({place})"
    # `boot=overlay` is raspi-config's until Debian 12, `overlayroot=` its package's from then on.
    overlay = any(word.startswith(("boot=overlay", "overlayroot=")) for word in texts["/proc/cmdline"].split())
    return "an overlay in memory" if overlay and mounted.get(place) == "overlay" else None


def _mounts(text: str) -> dict[str, str]:
    """Read which kind of file system is where (fstab(5), proc(5))."""
    lines = (line.split() for line in text.splitlines() if not line.lstrip().startswith("#"))
    return {words[1]: words[2] for words in lines if len(words) > 2}
