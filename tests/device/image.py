"""Images of Debian as Raspberry Pi OS has it: systemd, NetworkManager, polkit, journald, timesyncd; no resolver of its own.

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
    "qemu-img": "qemu-utils",
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
    *("qemu-guest-agent", "strace", "linux-image-cloud-amd64"),
)
_ON_DEMAND = ("openvpn", "openvpn-systemd-resolved", "pipx")
"""What the README installs: fetched with the image, so that `apt install` in the machine needs no network."""
_APT_ARCHIVES = "/var/cache/private-iot-archives"
_HOOKS = (
    # The initial RAM disk holds what finds the disk, and nothing else.
    (
        "--essential-hook",
        'mkdir -p "$1/etc/initramfs-tools/conf.d"'
        ' && echo MODULES=list >"$1/etc/initramfs-tools/conf.d/virtual-machine"'
        ' && printf "%s\\n" virtio_pci virtio_blk ext4 >"$1/etc/initramfs-tools/modules"',
    ),
    ("--customize-hook", 'echo raspberrypi >"$1/etc/hostname"'),
    ("--customize-hook", 'printf "127.0.0.1 localhost\\n127.0.1.1 raspberrypi\\n" >"$1/etc/hosts"'),
    ("--customize-hook", 'echo "/dev/vda / ext4 defaults,noatime 0 1" >"$1/etc/fstab"'),
    ("--customize-hook", 'chroot "$1" useradd --create-home --groups sudo,adm --shell /bin/bash pi'),
    ("--customize-hook", 'echo "pi ALL=(ALL) NOPASSWD: ALL" >"$1/etc/sudoers.d/pi"'),
    ("--customize-hook", 'echo "Storage=persistent" | sed "1i [Journal]" >"$1/etc/systemd/journald.conf"'),
    (
        "--customize-hook",
        f'mkdir -p "$1{_APT_ARCHIVES}/partial"'
        f" && echo 'Dir::Cache::Archives \"{_APT_ARCHIVES}\";' >\"$1/etc/apt/apt.conf.d/90archives\""
        ' && env -u APT_CONFIG chroot "$1" apt-get -o APT::Install-Recommends=true --quiet --quiet --yes --download-only'
        f" install {' '.join(_ON_DEMAND)}"
        ' && rm -f "$1"/var/cache/apt/archives/*.deb',
    ),
    ("--customize-hook", 'chroot "$1" dpkg-query --show >"$1/packages.txt"'),
    # Last, since apt needs it. The name service of a device without resolved is NetworkManager's file.
    ("--customize-hook", 'rm -f "$1/etc/resolv.conf" "$1/etc/machine-id" && : >"$1/etc/machine-id"'),
)
_OPTIONS = (
    *("--mode=root", "--variant=apt", "--quiet", f"--include={','.join(_PACKAGES)}"),
    *("--dpkgopt=force-unsafe-io", "--dpkgopt=path-exclude=/usr/share/man/*", "--dpkgopt=path-exclude=/usr/share/doc/*"),
    *("--dpkgopt=path-exclude=/usr/share/locale/*", '--aptopt=Acquire::Languages "none"'),
    *("--skip=cleanup/apt/lists,cleanup/apt/cache",),
    *(word for hook in _HOOKS for word in hook),
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
    problems = [f"{' '.join(packages)} missing: `make system-device`"] if packages else []
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
    key = hashlib.sha256("\0".join((RELEASES[release], _SIZE, *_OPTIONS)).encode()).hexdigest()[:12]
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
        _run(["mmdebstrap", *_OPTIONS, RELEASES[release], str(root), mirror()])
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
