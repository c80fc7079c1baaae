"""A virtual machine that boots an image of Debian: QEMU, with a copy of the image's disk."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shlex
import shutil
import socket
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from tests.device.guest_agent import GuestAgent, GuestAgentError
from tests.device.home_network import NEIGHBOUR_PORT, PORT, HomeNetwork
from tests.device.image import Image

MEMORY = "512M"
"""A Pi Zero 2 W's."""
_FILES_SIZE = 256 << 20
BOOT = 900.0
"""Seconds until the guest agent has to answer: a boot takes a minute of a processor, of which others may have most."""
_KERNEL = (
    "quiet net.ifnames=0 panic=-1 mitigations=off no_timer_check"
    " systemd.default_timeout_start_sec=600 systemd.default_device_timeout_sec=600"
)
"""Interfaces named as on a Pi, no check of the timer, which a late processor fails, so that the kernel panics, and as
much time for units to start as such a processor needs."""
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "USER": "root",
    "LANG": "C.UTF-8",
    "DEBIAN_FRONTEND": "noninteractive",
}


@cache
def accelerator(kernel: Path) -> str:
    """Tell whether a guest survives under KVM on this machine; where none does, QEMU translates (TCG).

    `/dev/kvm` may open on a machine whose guests die at once with an internal error. So a kernel without a disk is
    booted: it has to come as far as to miss its root.
    """
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "tcg"
    words = ["-accel", "kvm", "-cpu", "max", "-m", "256M", "-nodefaults", "-display", "none", "-no-reboot"]
    words += ["-serial", "stdio", "-kernel", str(kernel), "-append", "console=ttyS0 panic=-1"]
    with contextlib.suppress(subprocess.TimeoutExpired):
        done = subprocess.run(
            ["qemu-system-x86_64", *words], stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=20
        )
        if b"Unable to mount root" in done.stdout:
            return "kvm"
    return "tcg"


class Machine:
    """One machine, which may boot many times.

    Args:
        image: What it boots.
        network: The home network that its card is in.
        files: What its second disk, a tar archive on /dev/vdb, holds: the name there, and the file or folder here.
    """

    def __init__(self, image: Image, network: HomeNetwork, *, files: Mapping[str, Path]) -> None:
        self.image = image
        self.network = network
        self.folder = Path(tempfile.mkdtemp(prefix="machine-"))
        self.disk = self.folder / "disk"
        archive = self.folder / "files.tar"
        with tarfile.open(archive, "w") as stream:
            for name, path in files.items():
                stream.add(path, name)
        assert archive.stat().st_size <= _FILES_SIZE, f"{archive.stat().st_size} bytes of files, {_FILES_SIZE} at most"
        # A machine that goes on from a kept memory takes it for the size that it had then.
        os.truncate(archive, _FILES_SIZE)
        self._process: subprocess.Popen[bytes] | None = None
        self._drive: subprocess.Popen[bytes] | None = None
        self._agent: GuestAgent | None = None
        self._has_neighbour = False

    def boot(self, *, clock: str = "utc", kernel_words: str = "") -> None:
        """Switch it on, and wait until it takes commands.

        Args:
            clock: What its clock chip says, as QEMU's ``-rtc base=`` has it.
            kernel_words: Further words for the kernel.
        """
        self.switch_on(clock=clock, kernel_words=kernel_words)
        self.ask("guest-ping")

    def wake(self) -> None:
        """Have it as it is after its first boot, with the cable put in now, and wait for its address.

        The first boot, without a cable, is done once for an image; memory and disk are kept beside the image.
        """
        state = self.image.disk.with_name(f"awake-{self._key()}")
        with state.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not state.is_dir():
                self._keep_first_boot(state)
        _copy(state / "disk", self.disk)
        self.switch_on(incoming=state / "memory")
        self._wait_for_status("query-status", "paused")
        self._monitor("cont")
        self.plug_cable()
        address = "until ip -4 route show default | grep -q .; do sleep 0.3; done"
        self.shell(f"date --set=@{time.time():.3f}; timeout 400 sh -c '{address}'", timeout=500)

    def _keep_first_boot(self, state: Path) -> None:
        self.switch_on()
        self.pull_cable()
        # To its end, whatever failed for want of a network.
        self.shell("systemctl is-system-running --wait || true; sync", timeout=BOOT)
        with tempfile.TemporaryDirectory(dir=state.parent, prefix=".awake.") as temporary:
            made = Path(temporary, "made")
            made.mkdir()
            self._monitor("stop")
            self._monitor("migrate", uri=f"exec:cat >{shlex.quote(str(made / 'memory'))}")
            self._wait_for_status("query-migrate", "completed")
            self.cut_power()
            _copy(self.disk, made / "disk")
            made.rename(state)

    def _key(self) -> str:
        """Hash what the kept memory depends on besides the image: the program and the machine that it describes."""
        version = subprocess.run(["qemu-system-x86_64", "--version"], capture_output=True, text=True, check=True).stdout
        words = " ".join(self._argv("utc", "")).replace(str(self.folder), "")
        return hashlib.sha256(f"{version}{words}".encode()).hexdigest()[:12]

    def switch_on(self, *, clock: str = "utc", kernel_words: str = "", incoming: Path | None = None) -> None:
        """Switch it on; it takes no command yet.

        Args:
            clock: What its clock chip says, as QEMU's ``-rtc base=`` has it.
            kernel_words: Further words for the kernel.
            incoming: A memory that was kept, which it goes on from in place of a boot.
        """
        assert self._process is None, "it runs already"
        for name in ("agent.sock", "monitor.sock", "drive.sock"):
            (self.folder / name).unlink(missing_ok=True)
        if not self.disk.exists():
            _copy(self.image.disk, self.disk)
        self._start_drive()
        argv = self._argv(clock, kernel_words)
        if incoming is not None:
            argv += ["-incoming", f"exec:cat {shlex.quote(str(incoming))}"]
        with (self.folder / "qemu.log").open("ab") as log:
            self._process = subprocess.Popen(
                self.network.inside(argv), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self._wait_for_file("monitor.sock", self._process)
        if not self._has_neighbour:
            self._monitor("set_link", name="neighbour", up=False)
        self._agent = GuestAgent(self.folder / "agent.sock", patience=BOOT)

    def _argv(self, clock: str, kernel_words: str) -> list[str]:
        how = accelerator(self.image.kernel)
        return [
            *("qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none", "-machine", "pc"),
            *("-accel", f"{how},thread=multi" if how == "tcg" else how, "-cpu", "max", "-smp", "2", "-m", MEMORY),
            *("-rtc", f"base={clock}", "-no-reboot"),
            *("-kernel", str(self.image.kernel), "-initrd", str(self.image.initrd)),
            "-append",
            f"root=/dev/vda rw console=ttyS0 {_KERNEL} {kernel_words}".strip(),
            *("-serial", f"file:{self.folder / 'console.log'}"),
            *("-drive", f"file=nbd:unix:{self.folder / 'drive.sock'},format=raw,if=virtio,cache=none"),
            *("-drive", f"file={self.folder / 'files.tar'},format=raw,if=virtio,read-only=on"),
            *("-netdev", f"tap,id=lan,ifname={PORT},script=no,downscript=no"),
            *("-device", "virtio-net-pci,netdev=lan,mac=b8:27:eb:00:00:01", "-device", "virtio-rng-pci"),
            *("-netdev", f"tap,id=neighbour,ifname={NEIGHBOUR_PORT},script=no,downscript=no"),
            *("-device", "virtio-net-pci,netdev=neighbour,mac=b8:27:eb:00:00:02"),
            *("-device", "virtio-serial", "-device", "virtserialport,chardev=agent,name=org.qemu.guest_agent.0"),
            *("-chardev", f"socket,id=agent,path={self.folder / 'agent.sock'},server=on,wait=off"),
            *("-qmp", f"unix:{self.folder / 'monitor.sock'},server=on,wait=off"),
        ]

    def ask(self, command: str, **arguments: Any) -> Any:
        """Give the guest agent a command of its own."""
        assert self._agent is not None, "it is off"
        with self._telling():
            return self._agent.ask(command, **arguments)

    def run(self, *argv: str, text: str | None = None, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        """Run a command in it as root."""
        assert self._agent is not None, "it is off"
        with self._telling():
            return self._agent.run(argv, text=text, environment=ENVIRONMENT, timeout=timeout)

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        """Say with an error of the guest agent's how the machine itself is."""
        try:
            yield
        except GuestAgentError as error:
            state = None if self._process is None else self._process.poll()
            logs = [(self.folder / name).read_text(errors="replace")[-500:] for name in ("qemu.log", "drive.log")]
            raise GuestAgentError(f"{error}; QEMU: {state} {logs}\n{self.console()[-4000:]}") from error

    def shell(self, script: str, *, timeout: float = 300) -> str:
        """Run a shell's script in it as root, which has to succeed, and return what it printed."""
        done = self.run("bash", "-euo", "pipefail", "-c", script, timeout=timeout)
        assert done.returncode == 0, f"{script}\n{done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def console(self) -> str:
        """Return what it wrote on its serial console since it was switched on."""
        with contextlib.suppress(FileNotFoundError):
            return (self.folder / "console.log").read_text(errors="replace")
        return ""

    def pull_cable(self) -> None:
        """Pull the network's cable."""
        self._monitor("set_link", name="lan", up=False)

    def plug_cable(self) -> None:
        """Put the network's cable back."""
        self._monitor("set_link", name="lan", up=True)

    def plug_neighbour(self, *, plugged: bool) -> None:
        """Put the cable to the neighbour into the second card, or pull it; it stays so over boots."""
        self._has_neighbour = plugged
        self._monitor("set_link", name="neighbour", up=plugged)

    def cut_power(self) -> None:
        """Take its power away: nothing of it runs a moment later."""
        if self._drive is not None:
            self._drive.kill()
        if self._process is not None:
            self._process.kill()
            self._off()

    def shut_down(self) -> None:
        """Shut it down as `poweroff` does."""
        assert self._process is not None, "it is off"
        with contextlib.suppress(GuestAgentError):
            self.ask("guest-shutdown")
        self._process.wait(300)
        self._off()

    def close(self) -> None:
        """Take its power and all its files away."""
        self.cut_power()
        shutil.rmtree(self.folder)

    def _off(self) -> None:
        assert self._process is not None
        self._process.wait(120)
        self._process = None
        if self._drive is not None:
            self._drive.kill()
            self._drive.wait(120)
            self._drive = None
        if self._agent is not None:
            self._agent.close()
            self._agent = None

    def _start_drive(self) -> None:
        """Serve the disk as a drive does whose cache is volatile: what was not flushed is gone with the power."""
        argv = ["nbdkit", "--foreground", "--unix", str(self.folder / "drive.sock"), "--filter=cache"]
        with (self.folder / "drive.log").open("ab") as log:
            self._drive = subprocess.Popen(
                [*argv, "file", str(self.disk), "cache=writeback"], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self._wait_for_file("drive.sock", self._drive)

    def _wait_for_file(self, name: str, process: subprocess.Popen[bytes]) -> None:
        until = time.monotonic() + 120
        while not (self.folder / name).exists():
            log = "".join(path.read_text(errors="replace")[-2000:] for path in sorted(self.folder.glob("*.log")))
            assert process.poll() is None, f"{process.args!r} ended ({process.returncode}): {log}"
            assert time.monotonic() < until, f"{name} is not there after 120 s"
            time.sleep(0.02)

    def _wait_for_status(self, question: str, wanted: str) -> None:
        until = time.monotonic() + 400
        while (status := self._monitor(question).get("status")) != wanted:
            assert status != "failed", (question, self._monitor(question))
            assert time.monotonic() < until, f"{question}: {status}, not {wanted}, after 400 s"
            time.sleep(0.1)

    def _monitor(self, command: str, **arguments: Any) -> Any:
        """Give QEMU a command (QEMU manual, "QEMU QMP Reference"), and return its answer."""
        answer: dict[str, Any] = {}
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(120)
            connection.connect(str(self.folder / "monitor.sock"))
            with connection.makefile("rw") as stream:
                for question in ({"execute": "qmp_capabilities"}, {"execute": command, "arguments": arguments}):
                    stream.write(json.dumps(question) + "\n")
                    stream.flush()
                    while not {"return", "error"} & (answer := json.loads(stream.readline())).keys():
                        pass
                    assert "return" in answer, answer
        return answer["return"]


def _copy(source: Path, target: Path) -> None:
    subprocess.run(["cp", "--sparse=always", source, target], check=True)


def words_of(done: subprocess.CompletedProcess[str]) -> str:
    """Return all that a command said, for an assertion's message."""
    return f"{' '.join(map(str, done.args))}: {done.returncode}\n{done.stdout}\n{done.stderr}"
