"""Debian for arm64 in a folder, whose programs QEMU translates one by one: no kernel, no systemd, only their code.

The handler that has the kernel start them by QEMU (binfmt_misc, Linux's admin-guide/binfmt-misc.rst) lives in a user
namespace of its own, as Linux 6.7 and later have it, so that nothing of the machine is changed.
"""

from __future__ import annotations

import fcntl
import hashlib
import shlex
import shutil
import subprocess
import time
from pathlib import Path

from lab.state import cache_home
from tests.device.image import ImageError, mirror
from tests.device.machine import ENVIRONMENT

QEMU = Path("/usr/bin/qemu-aarch64-static")
_RELEASE = "trixie"
_OPTIONS = (
    *("--mode=root", "--variant=apt", "--quiet", "--architectures=arm64"),
    # It would ask for a handler of the machine's own, and mount what a user namespace may not.
    "--skip=check/qemu,chroot/mount/sys,chroot/mount/proc",
    "--include=python3,openvpn,openvpn-systemd-resolved,polkitd,systemd,ca-certificates,openssl",
    *("--dpkgopt=path-exclude=/usr/share/man/*", "--dpkgopt=path-exclude=/usr/share/doc/*"),
    *("--dpkgopt=path-exclude=/usr/share/locale/*", "--dpkgopt=force-unsafe-io", '--aptopt=Acquire::Languages "none"'),
)
# An ELF file of 64 bits, little-endian, of any ABI, executable or shared, whose machine is AArch64 (183). F: QEMU is
# opened now, so that it need not be in the folder; O and C: with the program's own rights.
_MAGIC = r"\x7f\x45\x4c\x46\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
_MASK = r"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"
_ENTER = f"""
# apt closes every descriptor that the limit would allow, each a call that QEMU translates.
ulimit -n 1024
mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc
[ -e /proc/sys/fs/binfmt_misc/aarch64 ] ||
  printf '%s' ':aarch64:M::{_MAGIC}:{_MASK}:{QEMU}:OCF' >/proc/sys/fs/binfmt_misc/register
exec "$@"
"""
_CHROOT = """
root=$1
shift
mount --rbind /dev "$root/dev"
mount -t proc proc "$root/proc"
mount -t tmpfs tmpfs "$root/run"
exec chroot "$root" "$@"
"""


class Arm64:
    """A copy of the image, to run commands in.

    Args:
        folder: Where the copy goes.

    Raises:
        ImageError: The image cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        self.root = folder / "root"
        self._namespace = subprocess.Popen(["unshare", "--user", "--", "sleep", "infinity"])
        try:
            own = Path("/proc/self/ns/user").readlink()
            until = time.monotonic() + 60
            while Path(f"/proc/{self._namespace.pid}/ns/user").readlink() == own:
                assert time.monotonic() < until, "no user namespace within 60 s"
                time.sleep(0.01)
            for name in ("uid_map", "gid_map"):
                Path(f"/proc/{self._namespace.pid}/{name}").write_text("0 0 65536\n")
            subprocess.run(["cp", "--archive", self._image(), self.root], check=True)
        except BaseException:
            self.close()
            raise

    def run(self, *argv: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command in it as root, with a /proc and a /run of its own; what it leaves running ends with it."""
        environment = [f"{key}={value}" for key, value in {**ENVIRONMENT, "SYSTEMD_IN_CHROOT": "1"}.items()]
        return subprocess.run(
            self._enter("sh", "-euc", _CHROOT, "sh", str(self.root), "env", "-i", *environment, *argv),
            input=text,
            capture_output=True,
            text=True,
            check=False,
            timeout=900,
        )

    def shell(self, script: str) -> str:
        """Run a shell's script in it, which has to succeed, and return what it printed."""
        done = self.run("bash", "-euo", "pipefail", "-c", script)
        assert done.returncode == 0, f"{script}\n{done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def close(self) -> None:
        """End the namespace; the folder is whoever's it was made in."""
        self._namespace.kill()
        self._namespace.wait(60)

    def _enter(self, *argv: str) -> list[str]:
        namespace = ["nsenter", f"--user=/proc/{self._namespace.pid}/ns/user", "--setuid=0", "--setgid=0", "--"]
        kernel = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--"]
        return [*namespace, *kernel, "sh", "-euc", _ENTER, "sh", *argv]

    def _image(self) -> Path:
        key = hashlib.sha256("\0".join((_RELEASE, _ENTER, *_OPTIONS)).encode()).hexdigest()[:12]
        folder = cache_home() / "device-images" / f"debian-13-arm64-{key}"
        folder.parent.mkdir(parents=True, exist_ok=True)
        with (folder.parent / "debian-13-arm64.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not folder.is_dir():
                made = folder.with_name(f".{folder.name}")
                shutil.rmtree(made, ignore_errors=True)
                argv = self._enter("mmdebstrap", *_OPTIONS, _RELEASE, str(made), mirror())
                done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=5400)
                if done.returncode != 0:
                    raise ImageError(f"`{shlex.join(argv)}` failed: {done.stderr.strip()[-2000:]}")
                made.rename(folder)
        return folder
