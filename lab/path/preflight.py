"""What the machine must have before a network can be built, and how to get what it lacks."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from lab.errors import LabError
from lab.state import Lab

# Command to Debian package.
COMMANDS = {
    "openvpn": "openvpn",
    "dnsmasq": "dnsmasq-base",
    "mosquitto": "mosquitto",
    "nft": "nftables",
    "ip": "iproute2",
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
    "setsid": "util-linux",
    "mount": "mount",
    "openssl": "openssl",
    "bash": "bash",
    "logger": "bsdutils",
}
_SYSTEM = "/usr/local/sbin:/usr/sbin:/sbin"
_TRIAL = """\
mount -t tmpfs tmpfs /run && touch /run/net && unshare --net=/run/net true &&
nsenter --net=/run/net ip link add one type veth peer name two &&
nsenter --net=/run/net ip tuntap add dev tun0 mode tun &&
nsenter --net=/run/net nft 'add table inet t; add chain inet t c { type nat hook postrouting priority srcnat; }' &&
nsenter --net=/run/net nft 'add rule inet t c ct state new counter'
"""


def missing(lab: Lab | None = None) -> list[str]:
    """Return what is missing, one sentence each with its remedy; nothing where a network can be built.

    Args:
        lab: Whose directories are looked at.
    """
    problems = list(_commands())
    tun = Path("/dev/net/tun")
    if not tun.exists():
        problems.append("/dev/net/tun does not exist: `modprobe tun`, or give the container `--device /dev/net/tun`")
    elif not os.access(tun, os.R_OK | os.W_OK):
        problems.append(
            "/dev/net/tun cannot be opened: run as root, or `sudo chmod 0666 /dev/net/tun`, the mode that udev gives it"
        )
    if lab is not None and lab.path_directory.is_relative_to("/run"):
        problems.append(
            f"{lab.path_directory} is below /run, which the sandbox covers: set XDG_STATE_HOME to another place"
        )
    # Only a trial tells whether the kernel, its modules and the container's rules allow it.
    if not problems and (said := _try()):
        problems.append(said)
    return problems


def require(lab: Lab) -> None:
    """Refuse to go on where something is missing.

    Raises:
        LabError: Everything that is missing, with its remedy.
    """
    if problems := missing(lab):
        raise LabError("this machine cannot carry the network:\n  - " + "\n  - ".join(problems))


def _commands() -> Iterator[str]:
    path = f"{os.environ.get('PATH', '')}:{_SYSTEM}"
    packages = sorted({package for name, package in COMMANDS.items() if shutil.which(name, path=path) is None})
    if packages:
        names = [name for name in COMMANDS if shutil.which(name, path=path) is None]
        yield f"{', '.join(names)} missing: `make system`, or `sudo apt-get install {' '.join(packages)}`"


def _try() -> str | None:
    user = ["--user", "--map-root-user"] if os.geteuid() != 0 else []
    result = subprocess.run(
        ["unshare", *user, "--mount", "--pid", "--fork", "--mount-proc", "sh", "-euc", _TRIAL],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
        env={**os.environ, "PATH": f"{os.environ.get('PATH', '')}:{_SYSTEM}"},
    )
    if result.returncode == 0:
        return None
    if user:
        remedy = (
            "allow user namespaces (`sudo sysctl -w kernel.unprivileged_userns_clone=1`, user.max_user_namespaces "
            "above 0, on Ubuntu also kernel.apparmor_restrict_unprivileged_userns=0), or run as root"
        )
    else:
        remedy = (
            "a container needs CAP_SYS_ADMIN and CAP_NET_ADMIN, such as `docker run --privileged`; "
            "the kernel needs veth, tun and nf_tables"
        )
    said = (result.stderr.strip().splitlines() or ["nothing said"])[-1]
    return f"a trial sandbox failed with «{said}»: {remedy}"
