"""A mosquitto of a test's own on loopback, with the drop-in of `mqtt enable`, and mosquitto's own clients."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from device_agent.local_broker.mosquitto import drop_in

HOST = "127.0.0.1"


_PORTS = itertools.count(20_000 + os.getpid() % 120 * 100)
"""Below those that the kernel gives out (ip(7), ip_local_port_range): nobody's while a test's broker is away, and no
client that connects anew meets itself there. A hundred for each process."""


def free_port() -> int:
    while True:
        with socket.socket() as probe, suppress(OSError):
            port = next(_PORTS)
            probe.bind((HOST, port))
            return port


@dataclass
class Broker:
    """A broker that can be killed and started again.

    Attributes:
        configuration: mosquitto's main file.
        folder: Where its state is.
    """

    folder: Path
    port: int
    more: str = ""
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def start(self) -> None:
        """Start it and wait until it takes connections."""
        configuration = self.folder / "mosquitto.conf"
        text = drop_in(self.port, lan=False)
        for line in self.more.splitlines():
            text = re.sub(rf"^{line.split()[0]} .*\n", "", text, flags=re.MULTILINE)
        configuration.write_text(f"user root\npersistence true\npersistence_location {self.folder}/\n{text}{self.more}")
        self.process = subprocess.Popen(
            [shutil.which("mosquitto") or "/usr/sbin/mosquitto", "-c", str(configuration)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection((HOST, self.port), 1).close()
            except OSError:
                assert self.process.poll() is None, "mosquitto ended"
                assert time.monotonic() < deadline, "mosquitto does not listen"
                time.sleep(0.02)
            else:
                return

    def end(self, *, kill: bool = False) -> None:
        """End it, with its state written, or kill it as lost power does."""
        assert self.process is not None
        self.process.kill() if kill else self.process.terminate()
        self.process.wait(60)

    def save(self) -> None:
        """Have it write its sessions to the disk, as `mqtt enable` does."""
        assert self.process is not None
        file = self.folder / "mosquitto.db"
        self.process.send_signal(signal.SIGUSR1)
        deadline = time.monotonic() + 60
        while not file.exists():
            assert time.monotonic() < deadline, "mosquitto saves nothing"
            time.sleep(0.02)

    def publish(self, *argv: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run mosquitto_pub."""
        return subprocess.run(
            ["mosquitto_pub", "-h", HOST, "-p", str(self.port), *argv],
            input=text,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    @contextmanager
    def subscription(self, topic: str, *argv: str) -> Iterator[subprocess.Popen[str]]:
        """Run mosquitto_sub; the block begins when the broker has taken its subscription."""
        process = subprocess.Popen(
            ["stdbuf", "-oL", "mosquitto_sub", "-h", HOST, "-p", str(self.port), "-q", "1", "-t", topic, "-d", *argv],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        try:
            for line in process.stdout:
                if "SUBACK" in line:
                    break
            yield process
        finally:
            process.kill()
            process.wait(60)
            process.stdout.close()


def lines(numbers: Sequence[int]) -> str:
    return "".join(f"{number}\n" for number in numbers)
