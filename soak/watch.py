"""Who publishes, listens, samples and counts in the lab's hosts during a run."""

import json
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from lab.errors import LabError
from lab.path import hosts
from lab.path.parts import IOT, service_directory
from lab.path.site import SENSOR
from soak import border
from soak.accounting import Arrival, Sample
from soak.border import Crossed
from soak.errors import SoakError
from soak.site import Device, Site, module

TOPIC = "soak"
SAMPLE_EVERY = 1.0
_TIMEOUT = 20.0
_AGAIN = 0.5


class Program:
    """A program in a host, with a thread that reads its lines.

    Args:
        take: Called with each line that it prints.
        again: Whether it is started again when it has ended, as with its host.
    """

    def __init__(
        self, site: Site, host: str, argv: list[str], take: Callable[[str], None], *, again: bool = False
    ) -> None:
        self.name = f"{argv[0]} on {host}" if argv[0] != "env" else f"{argv[4]} on {host}"
        self._take = take
        self._again = again
        self._ended = threading.Event()
        self._site, self._host, self._argv = site, host, argv
        self._said = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed in `end`
        self._process = self._start()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            hosts.command(self._site.lab, self._host, self._argv),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
            # Ctrl-C in a terminal is for the run alone, which then ends its programs.
            start_new_session=True,
        )

    def _read(self) -> None:
        while True:
            for line in self._process.stdout or ():
                self._take(line)
            if not self._again or self._ended.is_set():
                return
            self._process.wait()
            # A host that is off has no programs.
            with suppress(LabError, OSError):
                self._process = self._start()
            if self._ended.is_set():
                self._process.kill()
            self._ended.wait(_AGAIN)

    def check(self) -> None:
        """Refuse a program that has ended by itself.

        Raises:
            SoakError: It has; with its last words.
        """
        if not self._again and self._process.poll() is not None:
            raise SoakError(
                f"{self.name} ended with {self._process.returncode} in the middle of the run: {self._words()}"
            )

    def finish(self, timeout: float) -> None:
        """Close its standard input and wait for its own end.

        Raises:
            SoakError: It does not end in time, or failed.
        """
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            code = self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise SoakError(f"{self.name} did not end within {timeout:.0f} s") from None
        self._reader.join(_TIMEOUT)
        if code != 0:
            raise SoakError(f"{self.name} ended with {code}: {self._words()}")

    def end(self) -> None:
        """End it, whatever it does; what runs inside the host ends with it."""
        self._ended.set()
        self._process.kill()
        self._reader.join(_TIMEOUT)
        self._process.wait(_TIMEOUT)
        for stream in (self._process.stdin, self._process.stdout, self._said):
            if stream is not None and not stream.closed:
                stream.close()

    def _words(self) -> str:
        self._said.seek(0)
        return " / ".join(self._said.read().splitlines()[-5:]) or "it said nothing"


def wait_until(condition: Callable[[], object], what: str, timeout: float = _TIMEOUT) -> None:
    """Ask until the answer is true; another process offers no event to wait for.

    Raises:
        SoakError: It is not in time.
    """
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise SoakError(f"{what}: not within {timeout:g} s")
        time.sleep(0.05)


@dataclass
class Seen:
    """What was seen of one device.

    Attributes:
        published: Numbers that the agent accepted.
        refused: What the agent said to the messages that it refused.
        arrivals: What came behind AWS IoT's front.
        status: The agent's last word about itself.
        most_queued: The most messages that waited in its queue.
        tunnel_restarts: Restarts of the tunnel by the agent, by the agent's process.
        outside: What left outside the tunnel.
    """

    published: list[int] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    arrivals: list[Arrival] = field(default_factory=list)
    agent: list[Sample] = field(default_factory=list)
    openvpn: list[Sample] = field(default_factory=list)
    status: dict[str, Any] = field(default_factory=dict)
    most_queued: int = 0
    tunnel_restarts: dict[str, int] = field(default_factory=dict)
    outside: Crossed = field(default_factory=lambda: Crossed(0, ()))

    def take_publication(self, line: str) -> None:
        """Take a line of `soak.programs.publish`."""
        said = json.loads(line)
        if "refused" in said:
            self.refused.append(said["refused"])
        else:
            self.published.append(said["number"])

    def take_sample(self, line: str) -> None:
        """Take a line of `soak.programs.sample`."""
        said = json.loads(line)
        for samples, seen in ((self.agent, said["agent"]), (self.openvpn, said["openvpn"])):
            if seen is not None:
                samples.append(Sample(said["at"], seen["pid"], seen["bytes"]))
        if said["status"] is not None:
            self.status = said["status"]
            self.most_queued = max(self.most_queued, self.status["queue"]["depth"])
            self.tunnel_restarts[self.status["startedAt"]] = self.status["tunnel"]["restarts"]


@contextmanager
def listening(site: Site, seen: dict[str, Seen]) -> Iterator[Program]:
    """Take what reaches AWS IoT's broker while the block runs."""
    topics = {f"{device.topic_prefix}/{TOPIC}": seen[device.name] for device in site.devices}
    ready = threading.Event()

    def take(line: str) -> None:
        said = json.loads(line)
        if "topic" in said:
            topics[said["topic"]].arrivals.append(Arrival(said["at"], said["number"]))
        elif said["event"] == "listening":
            ready.set()

    broker = f"{service_directory('broker')}/mosquitto.sock"
    with running(site, IOT, module("listen", broker, *topics), take) as program:
        wait_until(ready.is_set, "the listener behind AWS IoT's front")
        yield program


@contextmanager
def running(
    site: Site, host: str, argv: list[str], take: Callable[[str], None], *, again: bool = False
) -> Iterator[Program]:
    """Run a program in a host while the block runs; see `Program`."""
    program = Program(site, host, argv, take, again=again)
    try:
        yield program
    finally:
        program.end()


@contextmanager
def sampling(site: Site, device: Device, seen: Seen) -> Iterator[Program]:
    """Take the memory of a device's programs, and its agent's status, while the block runs."""
    argv = module("sample", str(SAMPLE_EVERY))
    with running(site, device.name, argv, seen.take_sample, again=device.sensor) as program:
        wait_until(
            lambda: seen.status and seen.agent and (seen.openvpn or not device.tunnel),
            f"the first sample of {device.name}",
        )
        yield program


@contextmanager
def publishing(site: Site, device: Device, rate: float, seen: Seen) -> Iterator[Program]:
    """Publish while the block runs."""
    host, argv = device.name, module("publish", TOPIC, str(rate))
    if device.sensor:
        host, argv = SENSOR, module("sensor", TOPIC, str(rate), *site.sensor)
    with running(site, host, argv, seen.take_publication) as program:
        yield program


def count_outside(site: Site, device: Device) -> None:
    """Begin to count what leaves a device outside its tunnel, and prove that it would be counted.

    Raises:
        SoakError: It would not.
    """
    host, interface = device.border
    rules = border.rules(interface, device.allowed, arriving=host != device.name)
    site.run(host, "nft", "-f", "-", text=rules)
    prove_count(site, device)


def outside(site: Site, device: Device) -> Crossed:
    """Return what has left a device outside its tunnel, without the packets that proved the count."""
    return _crossed(site, device).without(*_canary(site))


def prove_count(site: Site, device: Device) -> None:
    """Send a packet outside the tunnel, and find it counted.

    Raises:
        SoakError: It is not, so that a count of none would mean nothing.
    """
    before = _crossed(site, device).to(*_canary(site))
    address, _protocol, port = _canary(site)
    site.run(device.name, "bash", "-c", f"echo canary > /dev/udp/{address}/{port}")
    if _crossed(site, device).to(*_canary(site)) == before:
        raise SoakError(
            f"a packet that left {device.name} outside the tunnel was not counted: the count proves nothing"
        )


def _canary(site: Site) -> tuple[str, str, int]:
    # The discard service (RFC 863): nobody answers there.
    return site.iot_address, "udp", 9


def _crossed(site: Site, device: Device) -> Crossed:
    return border.read(site.run(device.border[0], "nft", "--json", "list", "table", "inet", border.TABLE))
