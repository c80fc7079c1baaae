"""A lab of the benchmark's own: started cold with its stages timed, measured in, and removed."""

import contextlib
import fcntl
import json
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.errors import BenchError
from lab.engine import CHECKOUT
from lab.passing import STAGES, passing, remove
from lab.path import hosts, lifecycle, processes
from lab.path.parts import IOT, service_directory
from lab.path.site import Site
from lab.report import Report
from lab.state import Lab, cache_home

NAME = "bench"
DEVICES = ("pi-1", "pi-2", "pi-3", "pi-4")
TUNNEL = "openvpn-client@clientvpn.service"
AGENT = "private-iot-agent.service"
PROFILE = "/etc/openvpn/client/clientvpn.conf"
CERTIFICATE, KEY = "/etc/bench/certificate.pem", "/etc/bench/private-key.pem"
ROOTS = "/etc/ssl/certs/ca-certificates.crt"
KEEP_ALIVE = 30
"""Seconds: the agent's own, the old SDK sample's that the walk-through ran, and the least that AWS IoT takes."""
TIMEOUT = 90.0
_DISK = "/var/tmp"  # noqa: S108 (a folder of its own is made there)


class Stopwatch(Report):
    """A report that keeps how long each step took."""

    def __init__(self, report: Report) -> None:
        super().__init__(report.stream, quiet=report.quiet)
        self.seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def step(self, text: str) -> Iterator[None]:
        """Report one step and keep its time."""
        started = time.monotonic()
        with super().step(text):
            yield
        self.seconds[text] = time.monotonic() - started


class Program:
    """A program in a host of the lab that answers a JSON line with a JSON line."""

    def __init__(self, lab: Lab, host: str, argv: Sequence[str]) -> None:
        self.name = f"{next((word for word in argv if word.startswith('bench.')), argv[0])} in {host}"
        self.ready: dict[str, Any] = {}
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed with the program)
        self._process = subprocess.Popen(
            hosts.command(lab, host, argv),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self._process.stdout or ():
            self._lines.put(line)
        self._lines.put(None)

    def send(self, command: dict[str, Any]) -> None:
        try:
            if self._process.stdin is not None:
                self._process.stdin.write(json.dumps(command) + "\n")
                self._process.stdin.flush()
        except BrokenPipeError:
            raise BenchError(f"{self.name} has ended: {self._said()}") from None

    def receive(self, timeout: float = TIMEOUT) -> dict[str, Any]:
        """Wait for a line.

        Raises:
            BenchError: It ended, or did not answer in time.
        """
        try:
            line = self._lines.get(timeout=timeout)
        except queue.Empty:
            raise BenchError(f"{self.name} did not answer within {timeout:g} s: {self._said()}") from None
        if line is None:
            raise BenchError(f"{self.name} has ended: {self._said()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def ask(self, timeout: float = TIMEOUT, **command: Any) -> dict[str, Any]:
        self.send(command)
        return self.receive(timeout)

    def _said(self) -> str:
        self._errors.seek(0)
        return " / ".join(self._errors.read().split("\n")[-4:]).strip(" /") or "it said nothing"

    def close(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            if self._process.stdin is not None:
                self._process.stdin.close()
        for end in (self._process.terminate, self._process.kill, lambda: None):
            try:
                self._process.wait(5)
                break
            except subprocess.TimeoutExpired:
                end()
        self._reader.join(10)
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            if stream is not None:
                # What was not taken any more is of no interest.
                with contextlib.suppress(BrokenPipeError):
                    stream.close()


@dataclass
class Laboratory:
    """A running lab.

    Attributes:
        seconds: How long each stage of its start took.
        outputs: The stack's outputs, secrets among them.
        disk: A directory on the machine's disk, also for the hosts, whose own files are in memory, where a durable
            write costs nothing.
        cloud_url: Base URL of the lab's cloud.
        cloud_bytes: Proportional set size of the cloud's process when the lab had come up.
        network_bytes: The same of every process of the network.
    """

    lab: Lab
    seconds: dict[str, float]
    outputs: dict[str, Any] = field(repr=False)
    disk: Path
    cloud_url: str
    cloud_bytes: int = 0
    network_bytes: int = 0
    _given: set[str] = field(default_factory=set)

    @property
    def endpoint(self) -> str:
        """The account's name of AWS IoT's data endpoint."""
        return str(self.outputs["iotEndpoint"])

    def topic(self, device: str, last: str = "bench") -> str:
        """A topic that the device may publish to."""
        return f"{self.outputs['devices'][device]['topicPrefix']}/{last}"

    def run(self, host: str, *argv: str, text: str | None = None, timeout: float = 120) -> str:
        """Run a command in a host.

        Returns:
            Its standard output.

        Raises:
            BenchError: It ended with another exit code than 0.
        """
        done = hosts.run(self.lab, host, argv, input=text, timeout=timeout)
        if done.returncode != 0:
            said = (done.stderr or done.stdout).strip().splitlines()
            raise BenchError(f"`{argv[0]}` ended with {done.returncode} in {host}: {' / '.join(said[-3:])}")
        return done.stdout

    def write(self, host: str, path: str, content: str) -> None:
        """Write a file of a host, closed to others."""
        self.run(host, "sh", "-euc", 'umask 077; mkdir -p "$(dirname "$1")"; cat > "$1"', "sh", path, text=content)

    def give_identity(self, device: str) -> None:
        """Write the device's certificate and key where the peers read them."""
        identity = self.outputs["devices"][device]["iot"]
        self.write(device, CERTIFICATE, identity["certificatePem"])
        self.write(device, KEY, identity["privateKeyPem"])

    def install_agent(self, device: str) -> None:
        """Install the agent as a user does, its queue on the machine's disk, and wait until it is connected."""
        if device not in self._given:
            folder = self.disk / device
            folder.mkdir(parents=True)
            self.run(device, "mkdir", "-p", "/var/lib/private-iot")
            self.run(device, "mount", "--bind", str(folder), "/var/lib/private-iot")
            bundle = json.dumps(self.outputs["devices"][device])
            self.run(device, "device-agent", "install", "-", text=bundle, timeout=200)
            self.give_identity(device)
            self._given.add(device)
        self.run(device, "systemctl", "start", TUNNEL, AGENT)
        self.wait_connected(device)

    def give_plain_tunnel(self, device: str) -> None:
        """Bring the tunnel up as the distribution's unit does with the stack's .conf: no drop-in, no agent."""
        if device not in self._given:
            self.write(device, PROFILE, self.outputs["devices"][device]["vpn"]["config"])
            self.give_identity(device)
            self._given.add(device)
        self.start_tunnel(device)

    def start_tunnel(self, device: str) -> None:
        """Start the tunnel anew and wait until names are resolved through it."""
        self.run(device, "systemctl", "restart", TUNNEL)
        self._wait_for(lambda: self._resolves_inside(device), f"the tunnel of {device}")

    def _resolves_inside(self, device: str) -> bool:
        done = hosts.run(self.lab, device, ["getent", "ahostsv4", self.endpoint])
        inside = str(self.outputs["vpcCidr"]).split(".")[0] + "."
        return done.returncode == 0 and done.stdout.startswith(inside)

    def wait_for_port(self, host: str, port: int) -> None:
        """Wait until something in a host listens on a port of its loopback."""
        words = ["bash", "-c", f": < /dev/tcp/127.0.0.1/{port}"]
        self._wait_for(lambda: hosts.run(self.lab, host, words).returncode == 0, f"port {port} of {host}")

    def wait_connected(self, device: str) -> None:
        self._wait_for(lambda: bool(self.agent_status(device).get("connection", {}).get("connected")), "the agent")

    def agent_status(self, device: str) -> dict[str, Any]:
        """What `device-agent status --json` says."""
        done = hosts.run(self.lab, device, ["device-agent", "status", "--json"])
        try:
            status: dict[str, Any] = json.loads(done.stdout)
        except ValueError:
            return {}
        return status

    def agent_pid(self, device: str) -> int:
        """The agent's process number inside its host."""
        return int(self.run(device, "systemctl", "show", "-p", "MainPID", AGENT).strip().partition("=")[2])

    @staticmethod
    def _wait_for(condition: Any, what: str) -> None:
        deadline = time.monotonic() + TIMEOUT
        while not condition():
            if time.monotonic() > deadline:
                raise BenchError(f"{what} did not come up within {TIMEOUT:g} s")
            time.sleep(0.1)

    @contextlib.contextmanager
    def program(self, host: str, argv: Sequence[str]) -> Iterator[Program]:
        """Run a program that says `ready` while the block runs."""
        program = Program(self.lab, host, ["env", f"PYTHONPATH={CHECKOUT}", *argv])
        try:
            program.ready = program.receive()
            yield program
        finally:
            program.close()

    @contextlib.contextmanager
    def listener(self) -> Iterator[Program]:
        """Listen behind AWS IoT's front while the block runs."""
        socket = f"{service_directory('broker')}/mosquitto.sock"
        with self.program(IOT, [sys.executable, "-m", "bench.peers.listener", socket]) as program:
            yield program


@contextlib.contextmanager
def running(
    report: Report,
    devices: Sequence[str] = DEVICES,
    site: Site | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Iterator[Laboratory]:
    """Start a lab from nothing, and remove it.

    Args:
        devices: Its devices.
        site: A LAN, whose neighbours have no tunnel.
        settings: Further settings of the program.

    Yields:
        The lab.

    Raises:
        LabError: The machine lacks something.
        BenchError: `pulumi up` failed, or another benchmark is under way.
    """
    lab = Lab.named(NAME)
    quiet = Report(report.stream, quiet=True)
    with _alone(), contextlib.ExitStack() as stack:
        if lab.exists:
            report.say("removing what an earlier, interrupted run left")
            remove(lab, quiet)
        # Below a home that is closed to others the hosts see a layer in memory.
        disk = stack.enter_context(tempfile.TemporaryDirectory(prefix="private-iot-bench-", dir=_DISK))
        watch = Stopwatch(quiet)
        with report.step(f"starting a lab with {len(devices)} device{'s' * (len(devices) > 1)}"):
            up = stack.enter_context(passing(lab, devices, watch, site, settings))
        yield Laboratory(
            lab,
            {name: seconds for name, seconds in watch.seconds.items() if name in (*STAGES, *lifecycle.STAGES)},
            up.outputs,
            Path(disk),
            up.cloud.url,
            cloud_bytes=processes.memory([up.cloud.pid]),
            network_bytes=int(lifecycle.status(lab)["memoryBytes"]),
        )


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Refuse a second benchmark: it would remove the first one's lab, and both would measure each other."""
    path = cache_home() / "bench.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BenchError("another benchmark is under way: wait for its end, or end it") from None
        yield
