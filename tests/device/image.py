"""Images of Debian as Raspberry Pi OS has it: systemd, NetworkManager, polkit, journald, timesyncd, and no resolved.

What Raspberry Pi OS adds, its kernel, firmware and desktop, is not there: the kernel is Debian's for virtual machines.
An image is made once and kept in the cache under a key of all that went into it; `packages.txt` beside it says which
versions those were. Remove its folder to have it made anew.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from lab.state import cache_home

RELEASES = {12: "bookworm", 13: "trixie"}
COMMANDS = {
    "qemu-system-x86_64": "qemu-system-x86",
    "nbdkit": "nbdkit",
    "mmdebstrap": "mmdebstrap",
    "mke2fs": "e2fsprogs",
    "dnsmasq": "dnsmasq-base",
}
"""What a machine needs, and Debian's package of each."""
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_SIZE = "3G"
_PACKAGES = (
    *("systemd-sysv", "dbus", "udev", "kmod", "polkitd", "network-manager", "systemd-timesyncd"),
    *("iproute2", "iputils-ping", "procps", "sudo", "ca-certificates", "python3"),
    *("qemu-guest-agent", "linux-image-cloud-amd64"),
    # What openvpn recommends and the path has no use for: installing it in a slow machine proves nothing.
    *("easy-rsa", "opensc", "pcscd", "liblzo2-2", "libnl-genl-3-200"),
)
_HOOKS = Path(__file__).with_name("image_hooks")
_OPTIONS = (
    *("--mode=root", "--variant=apt", "--quiet", f"--include={','.join(_PACKAGES)}"),
    *(
        "--dpkgopt=force-unsafe-io",
        "--dpkgopt=path-exclude=/usr/share/man/*",
        "--dpkgopt=path-exclude=/usr/share/doc/*",
    ),
    *("--dpkgopt=path-exclude=/usr/share/locale/*", '--aptopt=Acquire::Languages "none"'),
    "--skip=cleanup/apt/lists,cleanup/apt/cache",
)


class ImageError(Exception):
    """An image cannot be made; the message has the remedy."""


@dataclass(frozen=True)
class Image:
    """A disk that nobody writes to, and what boots from it.

    Attributes:
        release: Debian's number, such as 13.
        disk: An ext4 file system.
        kernel: Its kernel.
        initrd: Its initial RAM disk.
    """

    release: int
    disk: Path
    kernel: Path
    initrd: Path


def missing() -> list[str]:
    """Return what a virtual machine needs and this machine lacks, one sentence each with its remedy."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    packages = sorted({package for name, package in COMMANDS.items() if shutil.which(name, path=path) is None})
    problems = [f"{' '.join(packages)} missing: `make system-tests`"] if packages else []
    if os.geteuid() != 0:
        problems.append("not root, who alone makes an image and a machine's network: run it with sudo")
    if not KEYRING.is_file():
        problems.append(f"{KEYRING} missing: install debian-archive-keyring")
    return problems


def mirror() -> str:
    """Return the address of the Debian mirror that apt is configured with.

    Raises:
        ImageError: It is configured with none.
    """
    done = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(ORIGIN) $(LABEL) $(REPO_URI)", "Created-By: Packages"],
        capture_output=True,
        text=True,
        check=False,
    )
    for line in done.stdout.splitlines():
        if line.startswith("Debian Debian http"):
            return line.split()[2]
    raise ImageError("apt has no Debian mirror: add one to /etc/apt/sources.list.d, and run `apt-get update`")


def image(release: int) -> Image:
    """Return the image of a release, making it the first time.

    Args:
        release: A key of `RELEASES`.

    Raises:
        ImageError: It cannot be made.
    """
    if problems := missing():
        raise ImageError("; ".join(problems))
    texts = [hook.read_text(encoding="utf-8") for hook in sorted(_HOOKS.iterdir())]
    key = hashlib.sha256("\0".join((RELEASES[release], _SIZE, *_OPTIONS, *texts)).encode()).hexdigest()[:12]
    folder = cache_home() / "device-images" / f"debian-{release}-{key}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f"debian-{release}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            _make(release, folder)
    return Image(release, folder / "disk.ext4", folder / "vmlinuz", folder / "initrd.img")


def _make(release: int, folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".debian-{release}.") as temporary:
        root, made = Path(temporary, "root"), Path(temporary, "made")
        made.mkdir()
        hooks = [f"--{name}-hook={_HOOKS / name}" for name in ("essential", "customize")]
        _run(["mmdebstrap", *_OPTIONS, *hooks, RELEASES[release], str(root), mirror()])
        shutil.move(root / "packages.txt", made / "packages.txt")
        for name in ("vmlinuz", "initrd.img"):
            shutil.copy((root / name).resolve(), made / name)
        _run(["mke2fs", "-q", "-t", "ext4", "-L", "root", "-d", str(root), str(made / "disk.ext4"), _SIZE])
        made.rename(folder)


def _run(argv: list[str]) -> None:
    environment = {**os.environ, "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"}
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=1200, env=environment)
    if done.returncode != 0:
        raise ImageError(f"`{argv[0]}` failed ({done.returncode}): {done.stderr.strip()[-2000:]}")
