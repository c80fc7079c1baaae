"""Who publishes, listens, samples and captures in the lab's hosts during a run."""

import json
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from lab.path import hosts
from lab.path.parts import IOT, service_directory
from soak.accounting import Arrival, Sample, outside
from soak.errors import SoakError
from soak.site import HOME_INTERFACE, Device, Site, module

TOPIC = "soak"
SAMPLE_EVERY = 1.0
_PATIENCE = 20.0
# The discard service (RFC 863): nobody answers there.
_CANARY_PORT = 9


class Program:
    """A program in a host, with a thread that reads its lines.

    Args:
        site: The lab.
        host: Where it runs.
        argv: Its words.
        take: Called with each line that it prints.
    """

    def __init__(self, site: Site, host: str, argv: list[str], take: Callable[[str], None]) -> None:
        self.name = f"{argv[0]} on {host}" if argv[0] != "env" else f"{argv[4]} on {host}"
        self._take = take
        self._said = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed in `end`
        self._process = subprocess.Popen(
            hosts.command(site.lab, host, argv),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
            # Ctrl-C in a terminal is for the run alone, which then ends its programs.
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self._process.stdout or ():
            self._take(line)

    def check(self) -> None:
        """Refuse a program that has ended by itself.

        Raises:
            SoakError: It has; with its last words.
        """
        if self._process.poll() is not None:
            raise SoakError(
                f"{self.name} ended with {self._process.returncode} in the middle of the run: {self._words()}"
            )

    def finish(self, patience: float) -> None:
        """Close its standard input and wait for its own end.

        Raises:
            SoakError: It does not end in time, or failed.
        """
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            code = self._process.wait(patience)
        except subprocess.TimeoutExpired:
            raise SoakError(f"{self.name} did not end within {patience:.0f} s") from None
        self._reader.join(_PATIENCE)
        if code != 0:
            raise SoakError(f"{self.name} ended with {code}: {self._words()}")

    def end(self) -> None:
        """End it, whatever it does; what runs inside the host ends with it."""
        self._process.kill()
        self._process.wait(_PATIENCE)
        self._reader.join(_PATIENCE)
        for stream in (self._process.stdin, self._process.stdout, self._said):
            if stream is not None and not stream.closed:
                stream.close()

    def _words(self) -> str:
        self._said.seek(0)
        return " / ".join(self._said.read().splitlines()[-5:]) or "it said nothing"


def wait_until(condition: Callable[[], object], what: str, patience: float = _PATIENCE) -> None:
    """Ask until the answer is true; another process offers no event to wait for.

    Raises:
        SoakError: It is not in time.
    """
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() > deadline:
            raise SoakError(f"{what}: not within {patience:g} s")
        time.sleep(0.05)


@dataclass
class Seen:
    """What was seen of one device.

    Attributes:
        published: Numbers that the agent accepted.
        refused: What the agent said to the messages that it refused.
        arrivals: What came behind AWS IoT's front.
        agent: The agent's memory.
        openvpn: OpenVPN's memory.
        status: The agent's last word about itself.
        most_queued: The most messages that waited in its queue.
        tunnel_restarts: Restarts of the tunnel by the agent, by the agent's process.
        packets: What tcpdump printed.
    """

    published: list[int] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    arrivals: list[Arrival] = field(default_factory=list)
    agent: list[Sample] = field(default_factory=list)
    openvpn: list[Sample] = field(default_factory=list)
    status: dict[str, Any] = field(default_factory=dict)
    most_queued: int = 0
    tunnel_restarts: dict[str, int] = field(default_factory=dict)
    packets: list[str] = field(default_factory=list)

    def take_publication(self, line: str) -> None:
        """Take a line of `soak.programs.publish`."""
        said = json.loads(line)
        if "refused" in said:
            self.refused.append(said["refused"])
        else:
            self.published.append(said["number"])

    def take_packet(self, line: str) -> None:
        """Take a line of tcpdump, which ends with an empty one."""
        if line.strip():
            self.packets.append(line)

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
def running(site: Site, host: str, argv: list[str], take: Callable[[str], None]) -> Iterator[Program]:
    """Run a program in a host while the block runs."""
    program = Program(site, host, argv, take)
    try:
        yield program
    finally:
        program.end()


@contextmanager
def sampling(site: Site, device: Device, seen: Seen) -> Iterator[Program]:
    """Take the memory of a device's programs, and its agent's status, while the block runs."""
    with running(site, device.name, module("sample", str(SAMPLE_EVERY)), seen.take_sample) as program:
        wait_until(lambda: seen.status and seen.agent and seen.openvpn, f"the first sample of {device.name}")
        yield program


@contextmanager
def publishing(site: Site, device: Device, rate: float, seen: Seen) -> Iterator[Program]:
    """Publish while the block runs."""
    with running(site, device.name, module("publish", TOPIC, str(rate)), seen.take_publication) as program:
        yield program


def rule(site: Site, device: Device) -> str:
    """Return which packets belong into the tunnel, as pcap-filter(7) has it.

    That is whatever leaves by the home network's interface but three kinds: the tunnel's own UDP packets to a Client
    VPN endpoint, the kernel's word that such a packet came to a closed port, and name lookups at the home router, by
    which the Client VPN endpoint itself is found. IPv6's neighbour discovery is no packet to anywhere either.
    """
    servers = " or ".join(f"dst host {address}" for address in site.servers)
    allowed = (
        f"(udp dst port 443 and ({servers}))",
        f"(icmp[icmptype] == icmp-unreach and ({servers}))",
        f"(udp dst port 53 and dst host {device.router})",
    )
    return f"(ip and not ({' or '.join(allowed)})) or (ip6 and not icmp6)"


@contextmanager
def capturing(site: Site, device: Device, seen: Seen) -> Iterator[Program]:
    """Capture what leaves a device outside its tunnel while the block runs, and prove that it would be seen."""
    # Without -Z it would become another user, and no longer end with whoever started it.
    argv = ["tcpdump", "-Z", "root", "-l", "-n", "-i", HOME_INTERFACE, "-Q", "out", rule(site, device)]
    with running(site, device.name, argv, seen.take_packet) as program:
        prove_capture(site, device, seen)
        yield program


def canary(site: Site) -> str:
    """Return the words by which the packets that prove a capture are known."""
    return f" > {site.iot_address}.{_CANARY_PORT}: UDP"


def prove_capture(site: Site, device: Device, seen: Seen) -> None:
    """Send a packet outside the tunnel and wait until it is seen, and with it all that went before.

    Raises:
        SoakError: It is not seen, so that a clean capture would mean nothing.
    """

    def canaries() -> int:
        return len(seen.packets) - len(outside(seen.packets, canary(site)))

    before = canaries()

    def caught() -> bool:
        site.run(device.name, "bash", "-c", f"echo canary > /dev/udp/{site.iot_address}/{_CANARY_PORT}")
        return canaries() > before

    wait_until(caught, f"a packet outside the tunnel in the capture on {device.name}")
