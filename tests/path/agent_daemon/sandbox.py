"""The whole lab for the daemon's tests: the walk-through's resources, a device that is installed, and who listens."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from lab.path import control, hosts, lifecycle, sandbox_paths
from lab.path.parts import service_directory
from lab.path.read import Aws
from lab.report import Report
from lab.state import Lab
from tests.path.agent.rotation import FreshCertificate
from tests.path.agent_daemon import listener_program
from tests.path.agent_daemon.loopback import wait_until
from tests.path.walk_through_by_hand import WalkThrough, bundle, make
from tests.warm import shared
from tests.warm.toolchain import warm_cloud, warm_network

REGION = "ap-northeast-1"
DEVICE = "pi-1"
HOME_INTERFACE = "wlan0"
TUNNEL = "openvpn-client@clientvpn.service"


@dataclass
class Sandbox:
    """A running lab whose device has the agent installed."""

    lab: Lab
    aws: Aws
    made: WalkThrough

    def run(self, *argv: str, text: str | None = None, host: str = DEVICE) -> subprocess.CompletedProcess[str]:
        """Run a command in a host, and refuse its failure unless it says something about the agent's state."""
        return hosts.run(self.lab, host, argv, input=text, timeout=200)

    def start(self, host: str, *argv: str) -> subprocess.Popen[str]:
        """Start a command in a host."""
        return subprocess.Popen(
            hosts.command(self.lab, host, argv),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def status(self) -> dict[str, Any]:
        """Ask the agent how it is."""
        done = self.run("device-agent", "status", "--json")
        assert done.returncode in (0, 1), done.stderr
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def wait_connected(self, patience: float = 200) -> None:
        wait_until(self._connected, "the connection", patience, pause=0.2)

    def _connected(self) -> bool:
        """Ask the agent over its socket, for a fiftieth of the processor time that a command takes."""
        with control.connect(self.lab.path_directory) as sandbox:
            host = Path(f"/proc/{control.peer(sandbox)}/root{sandbox_paths.HOSTS / DEVICE}")
        try:
            with control.connect(host / "run/private-iot", "agent.sock") as agent:
                agent.settimeout(20)
                agent.sendall(b'{"command": "status"}\n')
                answer = json.loads(agent.makefile("rb").readline())
        # It is not there yet, or ended meanwhile.
        except (OSError, ValueError):
            return False
        return bool(answer["ok"] and answer["status"]["connection"]["connected"])

    def bundle(self, certificate: FreshCertificate | None = None) -> str:
        """Write the device's bundle as the stack's output has it, with another certificate if one is given."""
        made = bundle(self.aws, self.made, DEVICE)
        if certificate:
            made["iot"] |= {"certificatePem": certificate.pem, "privateKeyPem": certificate.key_pem}
        return json.dumps(made)

    @contextmanager
    def fault(self, name: str, seconds: float, *, end_early: bool = False) -> Iterator[None]:
        """Break a hop; the block runs at once, and after it the fault's end is waited for, or made."""
        lifecycle.ask(self.lab, {"command": "fault", "name": name, "seconds": seconds})
        try:
            yield
            if end_early:
                lifecycle.ask(self.lab, {"command": "end-fault", "name": name})
            wait_until(lambda: name not in lifecycle.ask(self.lab, {"command": "faults"}), f"the end of {name}", 120)
        finally:
            if name in lifecycle.ask(self.lab, {"command": "faults"}):
                lifecycle.ask(self.lab, {"command": "end-fault", "name": name})

    def install(self, bundle: str) -> subprocess.CompletedProcess[str]:
        """Pipe a bundle into the installation."""
        return self.run("device-agent", "install", "-", text=bundle)

    def sync(self) -> None:
        """Bring the network up to date with the cloud."""
        lifecycle.sync(self.lab, Report(quiet=True))

    def agent_process(self) -> int:
        """Give the agent's process number inside the device's host."""
        shown = self.run("systemctl", "show", "-p", "MainPID", "private-iot-agent.service").stdout
        return int(shown.strip().partition("=")[2])

    def agent_restarts(self) -> int:
        """Tell how often the agent ended by itself and was started again."""
        return int(self.run("systemctl", "show", "-p", "NRestarts", "--value", "private-iot-agent.service").stdout)


@contextmanager
def running_sandbox() -> Iterator[Sandbox]:
    """Build the lab's cloud and network for one module, install the agent, and remove all of it."""
    directory = Path(tempfile.mkdtemp(prefix="lab-"))
    lab = Lab("agent-daemon", directory / "lab")
    lab.create()
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, directory)
        cloud = stack.enter_context(warm_cloud(lab.cloud_directory, shared.python()))
        stack.callback(lifecycle.down, lab)
        aws = Aws(cloud.url, REGION)
        made = make(aws, devices=(DEVICE,))
        with warm_network(shared.python()):
            lifecycle.up(lab, REGION, cloud.url, Report(quiet=True))
        sandbox = Sandbox(lab, aws, made)
        done = sandbox.install(sandbox.bundle())
        assert done.returncode == 0, done.stderr
        sandbox.wait_connected()
        yield sandbox


@dataclass
class Listener:
    """What reached AWS IoT's broker."""

    arrivals: list[dict[str, Any]] = field(default_factory=list)

    @contextmanager
    def listening(self, sandbox: Sandbox) -> Iterator[Listener]:
        """Listen behind AWS IoT's front."""
        broker = f"{service_directory('broker')}/mosquitto.sock"
        program = str(Path(listener_program.__file__).resolve())
        process = sandbox.start("iot", sys.executable, program, broker)
        assert process.stdout is not None
        # A status message that is retained may come before the subscription's answer.
        for line in process.stdout:
            if line.strip() == listener_program.READY:
                break
            self.arrivals.append(json.loads(line))
        else:
            raise AssertionError(process.communicate()[1])

        def read() -> None:
            assert process.stdout is not None
            self.arrivals.extend(map(json.loads, process.stdout))

        reader = threading.Thread(target=read)
        reader.start()
        try:
            yield self
        finally:
            process.kill()
            reader.join(60)
            _reap(process)

    def data(self) -> list[dict[str, Any]]:
        """Give the device's messages, without its status messages."""
        return [item for item in self.arrivals if item["topic"].endswith("/data")]

    def ids(self) -> set[str]:
        return {item["properties"]["message-id"] for item in self.data()}


@dataclass
class Publishing:
    """Numbered messages that a program on the device hands to the agent."""

    receipts: list[dict[str, Any]] = field(default_factory=list)
    sent: int = 0
    duplicates: int = 0

    @contextmanager
    def running(self, sandbox: Sandbox, *, every: float) -> Iterator[Publishing]:
        """Publish a number every so many seconds while the block runs; all are acknowledged when it has ended."""
        process = sandbox.start(DEVICE, "device-agent", "publish", "data", "--lines", "--json")
        over = threading.Event()

        def write() -> None:
            assert process.stdin is not None
            # A program that has ended is seen by its exit code and its last words.
            with suppress(BrokenPipeError):
                while not over.wait(every):
                    process.stdin.write(f"{self.sent}\n")
                    process.stdin.flush()
                    self.sent += 1
                process.stdin.close()

        def read() -> None:
            assert process.stdout is not None
            self.receipts.extend(map(json.loads, process.stdout))

        threads = [threading.Thread(target=work) for work in (write, read)]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            over.set()
            for thread in threads:
                thread.join(120)
            assert process.stderr is not None
            said = process.stderr.read()
            _reap(process)
        assert process.returncode == 0, said
        assert len(self.receipts) == self.sent


@contextmanager
def capture(sandbox: Sandbox) -> Iterator[list[str]]:
    """Collect the packets that leave the device by its home network, but for the tunnel's own and the name lookups.

    Whatever is neither UDP to the VPN's port, nor the kernel's word that such a datagram came too late, nor DNS to the
    home network's router belongs inside the tunnel.
    """
    packets: list[str] = []
    home_dns = "(udp port 53 and dst net 192.168.0.0/16)"
    expression = f"ip and not udp port 443 and not icmp[icmptype] == icmp-unreach and not {home_dns}"
    process = sandbox.start(DEVICE, "tcpdump", "-l", "-n", "-i", HOME_INTERFACE, "-Q", "out", expression)
    assert process.stderr is not None
    wait_for_line(process, "listening on")

    def read() -> None:
        assert process.stdout is not None
        packets.extend(line for line in process.stdout if line.strip())

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield packets
    finally:
        # tcpdump drops its privileges, and with them the tie to whoever started it; it sees to what it still holds.
        sandbox.run("pkill", "-INT", "-x", "tcpdump")
        reader.join(60)
        _reap(process)


def wait_for_line(process: subprocess.Popen[str], beginning: str) -> None:
    """Read a program's standard error until a line begins so."""
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith(beginning):
            return
    raise AssertionError(f"the program ended before {beginning!r}")


def measure_return(listener: Listener, since: float, patience: float = 200) -> float:
    """Wait for the first of the device's messages after a moment, and give the seconds between."""

    def first() -> float | None:
        return next((item["at"] for item in listener.data() if item["at"] > since), None)

    return float(wait_until(first, "a message after the path's return", patience)) - since


def check(listener: Listener, publishing: Publishing) -> int:
    """Check that all that was acknowledged has come, in order; give the number of duplicates."""
    wanted = [receipt["id"] for receipt in publishing.receipts]
    wait_until(lambda: listener.ids() >= set(wanted), "every acknowledged message", 200)
    came = [item["properties"]["message-id"] for item in listener.data()]
    assert list(dict.fromkeys(came)) == wanted, "the order changed"
    return len(came) - len(wanted)


def say(capsys: pytest.CaptureFixture[str], text: str) -> None:
    """Print a line past pytest's capture: on standard error, which a worker of pytest-xdist leaves open."""
    with capsys.disabled():
        sys.stderr.write(f"\n{text}\n")


def now() -> float:
    return time.time()


def _reap(process: subprocess.Popen[str]) -> None:
    process.wait(60)
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None and not stream.closed:
            stream.close()
