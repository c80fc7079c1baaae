"""A whole lab with devices that nothing is installed on, and the agent run on them as a user would."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab.path import hosts, lifecycle
from lab.path.parts import service_directory
from lab.path.read import Aws
from lab.path.services import ROOT
from lab.path.site import Site
from lab.report import Report
from lab.state import Lab
from tests.path.path_lab import wait_for
from tests.path.walk_through_by_hand import WalkThrough, bundle, make
from tests.warm import shared
from tests.warm.toolchain import warm_cloud, warm_network

REGION = "ap-northeast-1"
_READ_RETAINED = Path(__file__).with_name("retained_message.py")
AGENT, TUNNEL = "private-iot-agent.service", "openvpn-client@clientvpn.service"

# Every file of the device that the agent may touch: mode, owner, and content or target. Shadow files carry dates.
_SNAPSHOT = r"""
cd /
find etc/private-iot etc/openvpn etc/systemd etc/polkit-1 etc/passwd etc/group var/lib/private-iot run/private-iot \( \
  -type f -printf '%M %U %p ' -exec md5sum -b '{}' ';' -o -type l -printf '%M %U %p %l\n' -o -printf '%M %U %p\n' \
\) 2>/dev/null | grep -v -e agent.sock -e queue.sqlite3 | sort
"""


@dataclass
class Device:
    """A device of the lab."""

    house: RunningLab
    name: str

    def run(self, *argv: str, stdin: str | None = None, timeout: float = 200) -> subprocess.CompletedProcess[str]:
        """Run a command on it as root."""
        return hosts.run(self.house.lab, self.name, argv, input=stdin, timeout=timeout)

    def agent(self, *words: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run the agent on it."""
        return self.run("device-agent", *words, stdin=stdin)

    def install(self, document: object = None, *words: str) -> subprocess.CompletedProcess[str]:
        """Pipe a bundle into `install -`; the device's own by default."""
        document = self.house.bundle(self.name) if document is None else document
        return self.agent("install", "-", *words, stdin=json.dumps(document))

    def give_up_after(self, seconds: int) -> None:
        """Write into its settings how long a trial may take, where a test knows that it is in vain."""
        script = "mkdir -p /etc/private-iot && cat > /etc/private-iot/agent.toml"
        done = self.run("sh", "-c", script, stdin=f"[connection]\ntrial_seconds = {seconds}\n")
        assert done.returncode == 0, done.stderr

    def start(self, *argv: str) -> subprocess.Popen[str]:
        """Start a command that prints its process number first."""
        words = ["sh", "-c", 'echo $$; exec "$@"', "sh", *argv]
        return subprocess.Popen(
            hosts.command(self.house.lab, self.name, words),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def snapshot(self) -> str:
        """Describe every file that the agent may touch."""
        return self.run("sh", "-c", _SNAPSHOT).stdout

    def units(self) -> dict[str, str]:
        """Tell how the units are."""
        return {unit: self.run("systemctl", "is-active", unit).stdout.strip() for unit in (AGENT, TUNNEL)}

    def doctor(self) -> dict[str, dict[str, str]]:
        """Examine, and give each check's row; the exit code has to fit them."""
        done = self.agent("doctor", "--json")
        rows = {row["check"]: row for row in json.loads(done.stdout)["checks"]}
        results = {row["result"] for row in rows.values()}
        assert done.returncode == (2 if "failed" in results else 1 if "warning" in results else 0), done
        return rows

    def wait_until_healthy(self, seconds: float = 240) -> dict[str, dict[str, str]]:
        """Examine until nothing fails."""
        until = time.monotonic() + seconds
        while True:
            rows = self.doctor()
            if all(row["result"] == "ok" for row in rows.values()):
                return rows
            assert time.monotonic() < until, rows
            self.house.pause()

    def reset(self) -> None:
        """Remove all of the agent."""
        done = self.agent("uninstall", "--purge")
        assert done.returncode == 0, done.stderr


@dataclass
class RunningLab:
    """A running lab whose devices run the agent."""

    lab: Lab
    aws: Aws
    _clock: threading.Event = field(default_factory=threading.Event, kw_only=True)

    def device(self, name: str) -> Device:
        return Device(self, name)

    def bundle(self, name: str) -> dict[str, Any]:
        """Give a device's bundle, as the stack's output has it."""
        raise NotImplementedError

    def sync(self) -> list[str]:
        """Bring the network up to date with the cloud."""
        return lifecycle.sync(self.lab, Report(quiet=True))

    @contextmanager
    def fault(self, name: str) -> Iterator[None]:
        """Break a hop while the block runs."""
        lifecycle.ask(self.lab, {"command": "fault", "name": name, "seconds": 550})
        try:
            yield
        finally:
            lifecycle.ask(self.lab, {"command": "end-fault", "name": name})

    def told(self, topic: str) -> Any:
        """Return the message that AWS IoT retains on a topic; None where there is none."""
        broker = f"{service_directory('broker')}/mosquitto.sock"
        words = ["env", f"PYTHONPATH={ROOT}", sys.executable, str(_READ_RETAINED), broker, topic]
        done = hosts.run(self.lab, "iot", words)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) if done.stdout else None

    def wait_until_told(self, prefix: str, result: str, detail: str) -> None:
        """Wait until a device's status message at AWS IoT says how its last delivery of a certificate ended."""
        found: dict[str, Any] = {}

        def ended() -> bool:
            found.update((self.told(f"{prefix}/status") or {}).get("certificate", {}))
            return found.get("result") == result and detail in found["detail"]

        try:
            wait_for(ended, f"{result} on {prefix}/status", 300)
        except AssertionError as error:
            raise AssertionError(f"{error}; it says {found}") from None

    def pause(self) -> None:
        """Let a moment pass between two looks at what has no event to wait for."""
        self._clock.wait(0.5)


@dataclass
class House(RunningLab):
    """A running lab whose cloud was filled with boto3."""

    made: WalkThrough
    root_ca: str

    def bundle(self, name: str) -> dict[str, Any]:
        made = bundle(self.aws, self.made, name)
        made["iot"]["rootCaPem"] = self.root_ca
        return made


@contextmanager
def running_house(devices: tuple[str, ...] = ("pi-1", "pi-2"), site: Site | None = None) -> Iterator[House]:
    """Build the cloud and the network for one module, and remove all of it."""
    directory = Path(tempfile.mkdtemp(prefix="lab-"))
    lab = Lab("agent", directory / "lab")
    lab.create()
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, directory)
        cloud = stack.enter_context(warm_cloud(lab.cloud_directory, shared.python()))
        stack.callback(lifecycle.down, lab)
        aws = Aws(cloud.url, REGION)
        made = make(aws, devices=devices)
        with warm_network(shared.python()):
            lifecycle.up(lab, REGION, cloud.url, Report(quiet=True), site)
        yield House(lab, aws, made, (lab.cloud_directory / "authority" / "root-ca.pem").read_text())
