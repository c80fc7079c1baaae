"""A lab of the network tier: a device on which plain `openvpn` and a plain awsiotsdk program run.

Nothing here or in the tests that use it imports or runs the device agent.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from lab.path import hosts, lifecycle
from lab.path.read import Aws
from lab.report import Report
from lab.state import Lab

REGION = "ap-northeast-1"
UP = "Initialization Sequence Completed"
PROGRAM = Path(__file__).with_name("pubsub_program.py")
_DEADLINE = 120.0
T = TypeVar("T")


def wait_for(condition: Callable[[], T | None], what: str, seconds: float = _DEADLINE) -> T:
    """Return the condition's value once it is true; one that takes long is asked for half of the time.

    Raises:
        AssertionError: It was not within `seconds`.
    """
    asked = time.monotonic()
    deadline = asked + seconds
    clock = threading.Event()
    while not (value := condition()):
        now = time.monotonic()
        assert now < deadline, f"{what} did not come about within {seconds:g} s"
        clock.wait(max(0.05, min(1.0, now - asked)))
        asked = time.monotonic()
    return value


class Output:
    """The lines of a program that runs, as they come."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []
        self._changed = threading.Condition()
        self._ended = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._changed:
                self.lines.append(line.rstrip())
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    @property
    def text(self) -> str:
        """Everything so far."""
        return "\n".join(self.lines)

    def wait_for(self, *wanted: str, after: int = 0, seconds: float = _DEADLINE) -> str:
        """Return the first line that holds one of some texts.

        Args:
            wanted: The texts.
            after: How many lines are passed over.
            seconds: How long to wait.
        """
        deadline = time.monotonic() + seconds
        with self._changed:
            while True:
                for line in self.lines[after:]:
                    if any(text in line for text in wanted):
                        return line
                left = deadline - time.monotonic()
                assert left > 0, f"no {wanted} within {seconds:g} s:\n{self.text}"
                assert not self._ended, f"it ended without {wanted}:\n{self.text}"
                self._changed.wait(left)

    def close(self) -> None:
        """End the program."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(60)
        self._reader.join(60)
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()


@dataclass
class Identity:
    """What a device holds: its OpenVPN profile, and its certificate and key for AWS IoT."""

    name: str
    config: str
    certificate_pem: str
    key_pem: str = field(repr=False)


@dataclass
class PathLab:
    """A running lab."""

    lab: Lab
    aws: Aws
    iot_endpoint: str
    vpc_endpoint_id: str
    topic_prefix: str

    def sync(self) -> list[str]:
        """Bring the network up to date with the cloud."""
        return lifecycle.sync(self.lab, Report(quiet=True))

    def status(self) -> dict[str, Any]:
        """Return the state of every hop."""
        return lifecycle.status(self.lab)

    def hop(self, kind: str) -> dict[str, Any]:
        """Return the state of the one hop of a kind."""
        (found,) = [hop for hop in self.status()["hops"] if hop["hop"] == kind]
        return dict(found)

    def counter(self, kind: str, key: str, rule: str) -> int:
        """Return the packets that a rule of a hop has counted."""
        return sum(int(item["packets"]) for item in self.hop(kind)[key] if rule in item["rule"])

    def run(
        self, host: str, *argv: str, text: str | None = None, seconds: float = 180
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in a host."""
        return hosts.run(self.lab, host, argv, input=text, timeout=seconds)

    def write(self, host: str, path: str, content: str) -> None:
        """Write a file of a host, closed to others."""
        done = self.run(
            host, "sh", "-euc", 'umask 077; mkdir -p "$(dirname "$1")"; cat > "$1"', "sh", path, text=content
        )
        assert done.returncode == 0, done.stderr

    def start(self, host: str, *argv: str) -> Output:
        """Start a command in a host."""
        process = subprocess.Popen(
            hosts.command(self.lab, host, argv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        return Output(process)

    def give(self, identity: Identity) -> None:
        """Put a device's files where the walk-through has them."""
        self.write(identity.name, "/etc/openvpn/client/clientvpn.conf", identity.config)
        self.write(identity.name, "/etc/iot/certificate.pem.crt", identity.certificate_pem)
        self.write(identity.name, "/etc/iot/private.pem.key", identity.key_pem)

    @contextmanager
    def openvpn(self, host: str, *options: str, config: str = "/etc/openvpn/client/clientvpn.conf") -> Iterator[Output]:
        """Run OpenVPN with a profile while the block runs, and wait until its traces are gone."""
        output = self.start(host, "openvpn", "--config", config, *options)
        try:
            yield output
        finally:
            output.close()
            wait_for(lambda: self.run(host, "ip", "link", "show", "dev", "tun0").returncode != 0, "the end of tun0")

    @contextmanager
    def tunnel(self, host: str, *options: str) -> Iterator[Output]:
        """Hold a tunnel that is up while the block runs."""
        with self.openvpn(host, *options) as output:
            output.wait_for(UP)
            # The last line of a connection that has come about: what follows is news.
            output.wait_for("Protocol options:")
            yield output

    def resolve(self, host: str, name: str | None = None, *, seconds: int = 25) -> list[str]:
        """Return the addresses that a host's resolver gives for a name, AWS IoT's by default."""
        patience = f"RES_OPTIONS=timeout:{seconds} attempts:1"
        done = self.run(host, "env", patience, "getent", "ahostsv4", name or self.iot_endpoint)
        return sorted({line.split()[0] for line in done.stdout.splitlines()})

    def reaches(self, host: str, address: str, port: int = 8883, *, seconds: int = 60) -> bool:
        """Return whether a TCP connection comes about."""
        done = self.run(host, "timeout", str(seconds), "bash", "-c", f": < /dev/tcp/{address}/{port}")
        return done.returncode == 0

    def pubsub(
        self,
        host: str,
        *,
        mqtt: str = "5",
        client_id: str | None = None,
        topic: str | None = None,
        count: int = 10,
        port: int = 8883,
    ) -> dict[str, Any]:
        """Run the plain awsiotsdk program on a device and return its outcome."""
        done = self.run(
            host,
            sys.executable,
            str(PROGRAM),
            *("--endpoint", self.iot_endpoint, "--port", str(port)),
            *("--cert", "/etc/iot/certificate.pem.crt", "--key", "/etc/iot/private.pem.key"),
            *("--client-id", client_id or host, "--topic", topic or f"{self.topic_prefix}/{host}/test"),
            *("--mqtt", mqtt, "--count", str(count)),
        )
        assert done.returncode == 0, done.stderr
        outcome: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return outcome
