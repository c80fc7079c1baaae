"""A device's host: a file system of its own over the machine's, and a process number 1.

Inside, /etc, /var/lib, /var/log, /run and /dev belong to the device alone and are gone with the sandbox; everything
else is the machine's. `run` and `command` enter a host from outside.
"""

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from lab.errors import LabError
from lab.path import control, processes, sandbox_paths
from lab.path.network import enter
from lab.path.services import ROOT
from lab.path.stand_ins.ask import SYSTEMD_SOCKET
from lab.path.stand_ins.execution import many_users
from lab.state import Lab

STAND_INS = ("systemctl", "busctl", "resolvectl", "journalctl")
# First on every path, also on the one that a shell falls back to: OpenVPN runs its scripts without PATH.
_STAND_INS_DIRECTORY = Path("/usr/local/sbin")
_ENVIRONMENT = "environment"
# As the packages that `lab.path.preflight` asks for make them (mosquitto.postinst).
_PACKAGES_FOLDERS = {"lib/mosquitto": "mosquitto"}
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty", "ptmx", "net/tun")

# Run in the new mount namespace, from which everything below follows; /run goes last, since it hides the rest.
_MOUNTS = """\
base=$1; shift
for pair in etc:/etc lib:/var/lib log:/var/log; do
  mount --bind "$base/${pair%%:*}" "${pair#*:}"
done
mount -t sysfs sysfs /sys 2>/dev/null || true
for directory in CLOSED; do
  layer="$base/open$directory"
  mkdir -p "$layer/upper" "$layer/work"; chmod 755 "$layer/upper"
  mount -t overlay -o "lowerdir=$directory,upperdir=$layer/upper,workdir=$layer/work" overlay "$directory"
done
mount --bind /usr/local/sbin "$base/run/local-sbin"
mount --bind "$base/sbin" /usr/local/sbin
for device in DEVICES; do
  if [ -e "/dev/$device" ]; then : > "$base/dev/$device"; mount --bind "/dev/$device" "$base/dev/$device"; fi
done
if [ -d /dev/pts ]; then mkdir "$base/dev/pts"; mount --rbind /dev/pts "$base/dev/pts"; fi
mount --rbind "$base/dev" /dev
cat /proc/sys/kernel/random/uuid > "$base/run/boot_id"
mount --bind "$base/run/boot_id" /proc/sys/kernel/random/boot_id
hostname "$1" 2>/dev/null || echo "$1" > /proc/sys/kernel/hostname; shift
mount --bind "$base/run" /run
exec "$@"
"""


def environment(extra: dict[str, str] | None = None) -> dict[str, str]:
    """Return the environment of a command in a host."""
    kept = {key: value for key in ("TERM", "LANG", "NO_COLOR", "CI") if (value := os.environ.get(key))}
    return {
        "LANG": "C.UTF-8",
        **kept,
        "PATH": f"{_STAND_INS_DIRECTORY}:{Path(sys.executable).parent}:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/run/home",
        "USER": "root",
        **(extra or {}),
    }


def prepare(name: str, *, root_ca: str, script: Path) -> Path:
    """Make the files of a device's host.

    Args:
        root_ca: PEM of the authority that it trusts as a Pi trusts Amazon's.
        script: ``update-systemd-resolved``.

    Returns:
        The folder that holds them.
    """
    base = sandbox_paths.HOSTS / name
    for directory in ("lib", "log", "sbin"):
        (base / directory).mkdir(parents=True, exist_ok=True)
    _own_folders(base)
    _make_volatile(base)
    _copy_etc(base / "etc")
    etc = base / "etc"
    _write(etc / "hostname", f"{name}\n")
    _write(etc / "hosts", f"127.0.0.1 localhost\n127.0.1.1 {name}\n::1 localhost\n")
    _write(etc / "resolv.conf", "nameserver 127.0.0.53\noptions edns0 trust-ad\nsearch .\n")
    for stale in (*etc.glob("systemd/system/*.wants"), etc / "private-iot", etc / "openvpn/client"):
        shutil.rmtree(stale, ignore_errors=True)
    (etc / "openvpn/client").mkdir(parents=True)
    shutil.copy(script, etc / "openvpn/update-systemd-resolved")
    (etc / "openvpn/update-systemd-resolved").chmod(0o755)
    _trust(etc / "ssl/certs", root_ca)
    for command in STAND_INS:
        path = base / "sbin" / command
        # For little processor time: there are hundreds of them, and none needs the environment's modules.
        start = f"import sys; sys.path.insert(0, '{ROOT}'); from lab.path.stand_ins.{command} import main"
        _write(path, f'#!/bin/sh\nexec "{sys.executable}" -IS -c "{start}; sys.exit(main())" "$@"\n')
        path.chmod(0o755)
    for other in _STAND_INS_DIRECTORY.glob("*"):
        if other.name not in STAND_INS:
            (base / "sbin" / other.name).symlink_to(f"/run/local-sbin/{other.name}")
    return base


def _make_volatile(base: Path) -> None:
    """Make what is empty at every boot: /run and /dev."""
    for directory in ("run", "dev"):
        # What a life before has mounted there is the kernel's to take away, a moment after its end.
        shutil.rmtree(base / directory, ignore_errors=True)
    for directory in ("run/home", "run/lock", "run/local-sbin", "dev/net", "dev/shm"):
        (base / directory).mkdir(parents=True, exist_ok=True)
    (base / "dev/shm").chmod(0o1777)
    for node, target in {"fd": "", "stdin": "/0", "stdout": "/1", "stderr": "/2"}.items():
        (base / "dev" / node).symlink_to(f"/proc/self/fd{target}")


def wake(name: str) -> Path:
    """Make the files of a device ready for another boot: all is there as it was, but for /run and /dev.

    Returns:
        The folder that holds them.
    """
    base = sandbox_paths.HOSTS / name
    _make_volatile(base)
    return base


def _own_folders(base: Path) -> None:
    """Make the folders that packages give to users of their own."""
    for name, user in _PACKAGES_FOLDERS.items():
        (base / name).mkdir(exist_ok=True)
        if many_users():
            shutil.chown(base / name, user)


def _copy_etc(target: Path) -> None:
    # Without root some files cannot be read, such as /etc/shadow: a device does without them.
    subprocess.run(["cp", "-a", "--no-preserve=ownership", "/etc", str(target)], capture_output=True, check=False)
    if not (target / "passwd").is_file():
        raise LabError("/etc could not be copied for a device's host: is the sandbox out of memory?")


def _trust(directory: Path, root_ca: str) -> None:
    """Add an authority as ``update-ca-certificates`` does: in the bundle, and under its hashed name."""
    directory.mkdir(parents=True, exist_ok=True)
    bundle = directory / "ca-certificates.crt"
    text = bundle.read_text(encoding="utf-8") if bundle.is_file() else ""
    _write(bundle, f"{text.rstrip()}\n{root_ca.strip()}\n".lstrip())
    _write(directory / "private-iot-lab.pem", root_ca)
    result = subprocess.run(
        ["openssl", "x509", "-hash", "-noout"], input=root_ca, capture_output=True, text=True, check=False
    )
    link = directory / f"{result.stdout.strip()}.0"
    if result.returncode == 0 and not link.is_symlink():
        link.symlink_to("private-iot-lab.pem")


def _write(path: Path, content: str) -> None:
    path.unlink(missing_ok=True)
    path.write_text(content, encoding="utf-8")


def skew_clock(base: Path, library: Path, offset: str) -> dict[str, str]:
    """Return the variables that give a device's programs another wall clock; the monotonic one stays right.

    Args:
        base: From `prepare`.
        library: From `lab.path.packages.libfaketime`; every user of the device can read the copy that is made of it.
        offset: Such as ``-400d`` (faketime(1)).
    """
    shutil.copy(library, base / "run/wall-clock.so")
    return wall_clock("/run/wall-clock.so", offset)


def wall_clock(library: str, offset: str) -> dict[str, str]:
    """Return the variables that give a program another wall clock by libfaketime; see `skew_clock`."""
    return {"LD_PRELOAD": library, "FAKETIME": offset, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


def set_environment(base: Path, extra: dict[str, str]) -> None:
    """Keep variables for the commands that `command` runs in a device's host."""
    _write(base / "run" / _ENVIRONMENT, "".join(f"{key}={value}\n" for key, value in extra.items()))


def _closed() -> list[Path]:
    """Return the folders above the interpreter and the lab's code that only their owner may enter.

    On a device every user may enter what runs its services; a layer over the folder makes it so in a device's host
    alone. Where the sandbox has one user, that user is the owner.
    """
    if not many_users():
        return []
    needed = (Path(sys.prefix), Path(sys.base_prefix), ROOT)
    above = {folder for path in needed for folder in (path, *path.parents)}
    return sorted(folder for folder in above if not folder.stat().st_mode & stat.S_IXOTH)


def boot(name: str, base: Path, log: Path) -> processes.Process:
    """Start the process number 1 of a device's host.

    Args:
        base: From `prepare`.
    """
    script = _MOUNTS.replace("DEVICES", " ".join(_DEVICES)).replace("CLOSED", " ".join(map(str, _closed())))
    argv = [
        *enter(name),
        *("unshare", "--mount", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation=private"),
        *("sh", "-euc", script, "host", str(base), name),
        *(sys.executable, "-m", "lab.path.stand_ins.systemd"),
    ]
    with log.open("ab") as output:
        return processes.start(argv, environment=environment({"PYTHONPATH": str(ROOT)}), output=output)


def command(lab: Lab, host: str, argv: Sequence[str]) -> list[str]:
    """Return the words that run a command in a host, from outside the sandbox.

    Raises:
        LabError: The lab's network is down, or it has no such host.
    """
    try:
        with control.connect(lab.path_directory) as connection:
            sandbox = control.peer(connection)
            hosts: dict[str, str] = control.ask(connection, {"command": "hosts"}, timeout=10)
    except OSError as error:
        raise LabError(f"the network of lab {lab.name!r} is down: start it with `python -m lab up`") from error
    if host not in hosts:
        raise LabError(f"lab {lab.name!r} has no host {host!r}: it has {', '.join(sorted(hosts))}")
    root = Path(f"/proc/{sandbox}/root")
    variables = [f"{key}={value}" for key, value in environment().items()]
    user = ["--user", "--preserve-credentials"] if os.geteuid() != 0 else []
    # The command ends with whoever asked for it.
    rest = ["env", "-i", *variables, "setpriv", "--pdeathsig", "TERM", "--", *argv]
    if hosts[host] == "device":
        folder = root / str(sandbox_paths.HOSTS / host / "run").lstrip("/")
        with control.connect(folder / "systemd", Path(SYSTEMD_SOCKET).name) as init:
            pid = control.peer(init)
        kept = folder / _ENVIRONMENT
        rest[2:2] = kept.read_text(encoding="utf-8").splitlines() if kept.is_file() else []
        return ["nsenter", f"--target={pid}", *user, *("--mount", "--uts", "--pid", "--net"), "--wd=/", "--", *rest]
    network = f"--net={root}/run/netns/{host}"
    names = 'if [ -e "$1" ]; then mount --bind "$1" /etc/resolv.conf; fi; shift; exec "$@"'
    resolver = f"{sandbox_paths.RESOLVERS}/{host}"
    inside = ["unshare", "--mount", "--propagation=private", "sh", "-euc", names, "host", resolver, *rest]
    return ["nsenter", f"--target={sandbox}", *user, "--mount", "--pid", network, "--wd=/", "--", *inside]


def run(
    lab: Lab,
    host: str,
    argv: Sequence[str],
    *,
    input: str | None = None,  # noqa: A002 (the word of subprocess.run)
    timeout: float | None = 60,
) -> subprocess.CompletedProcess[str]:
    """Run a command in a host to its end.

    Args:
        host: A device's name, ``internet``, ``iot``, ``vpc``, or a Client VPN endpoint's id.
        argv: The command; its environment is the host's, its folder is ``/``.
        input: What it reads on standard input.
        timeout: Seconds until it is killed, or None.

    Raises:
        LabError: There is no such host.
        subprocess.TimeoutExpired: It took too long.
    """
    return subprocess.run(
        command(lab, host, argv), input=input, capture_output=True, text=True, check=False, timeout=timeout
    )
