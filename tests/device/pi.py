"""A virtual machine with the agent on it, used as a person uses a Pi."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from tests.device.machine import Machine, words_of
from tests.path.agent.house import House
from tests.path.agent_daemon.sandbox import Sandbox

AGENT, TUNNEL = "private-iot-agent.service", "openvpn-client@clientvpn.service"
AGENT_UNIT = f"/etc/systemd/system/{AGENT}"
PACKAGES_OWN = ("/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow", "/var/lib/private-iot")
"""Where the user is that the package made and `uninstall` removes: the next `install` makes it again."""
README = Path(__file__).parents[2] / "README.md"
_SNAPSHOT = """
import hashlib, os, stat, subprocess
for top in ("/etc", "/run/private-iot", "/var/lib/private-iot", "/usr/local"):
    for folder, folders, names in os.walk(top):
        folders[:] = [name for name in folders if f"{folder}/{name}" != "/etc/apt"]
        for path in (folder, *(f"{folder}/{name}" for name in names)):
            found = os.lstat(path)
            what = ""
            if stat.S_ISLNK(found.st_mode):
                what = os.readlink(path)
            elif stat.S_ISREG(found.st_mode):
                what = hashlib.sha256(open(path, "rb").read()).hexdigest()
            print(f"{found.st_mode:o} {found.st_uid}:{found.st_gid} {path} {what}")
for words in (
    ["systemctl", "list-units", "--all", "--type=service", "--no-legend", "--no-pager", "--plain", "*private-iot*"],
    ["systemctl", "list-units", "--all", "--type=service", "--no-legend", "--no-pager", "--plain", "openvpn*"],
    ["ip", "-o", "route"],
    ["nmcli", "-g", "name,state", "connection", "show", "--active"],
    ["resolvectl", "dns"],
):
    print(words, subprocess.run(words, capture_output=True, text=True).stdout)
"""
T = TypeVar("T")


def wait_for(condition: Callable[[], T | None], what: str, seconds: float, *, pause: float = 1.0) -> T:
    """Return the condition's value once it is true.

    Raises:
        AssertionError: It was not within `seconds`.
    """
    until = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < until, f"{what} did not come about within {seconds:g} s"
        time.sleep(pause)
    return value


def readme_commands(pattern: str) -> list[str]:
    """Return the README's commands that match a pattern: whole lines of its console blocks."""
    return [line for line in README.read_text(encoding="utf-8").splitlines() if re.match(pattern, line)]


class Pi:
    """A machine and the lab that it is in."""

    def __init__(self, house: House, machine: Machine, name: str) -> None:
        self.house = house
        self.machine = machine
        self.name = name
        self.before: list[str] = []
        """What there was before the agent had its bundle."""

    def agent(self, *words: str, text: str | None = None, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        """Run the agent's command."""
        return self.machine.run("device-agent", *words, text=text, timeout=timeout)

    def install(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Pipe the device's own bundle into `install -`."""
        return self.agent("install", "-", *words, text=json.dumps(self.house.bundle(self.name)), timeout=500)

    def snapshot(self) -> list[str]:
        """Describe files, units, routes, resolvers and connections: all that the agent may touch, users among them."""
        done = self.machine.run("python3", "-c", _SNAPSHOT)
        assert done.returncode == 0, words_of(done)
        # Copies that the tools for users keep of what they change (passwd(5)).
        return sorted(line for line in done.stdout.splitlines() if not re.search(r"/etc/\w+- ", line))

    def doctor(self) -> dict[str, dict[str, str]]:
        """Examine, and give each check's row."""
        done = self.agent("doctor", "--json")
        assert done.returncode in (0, 1, 2), words_of(done)
        return {row["check"]: row for row in json.loads(done.stdout)["checks"]}

    def wait_until_healthy(self, seconds: float = 240) -> dict[str, dict[str, str]]:
        """Examine until all is well."""
        until = time.monotonic() + seconds
        while True:
            rows = self.doctor()
            wrong = {name: row for name, row in rows.items() if row["result"] != "ok"}
            if not wrong:
                return rows
            assert time.monotonic() < until, wrong

    def status(self) -> dict[str, Any]:
        """Return what `status --json` says."""
        done = self.agent("status", "--json")
        assert done.returncode in (0, 1), words_of(done)
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def sandbox(self) -> Sandbox:
        """Return the lab as the daemon's tests have it, who listen behind AWS IoT's front."""
        return Sandbox(self.house.lab, self.house.aws, self.house.made)

    def is_connected(self) -> bool:
        """Tell whether the agent is connected to AWS IoT."""
        return self.agent("status").returncode == 0

    def vpn_name(self) -> str:
        """Return a name of the Client VPN endpoint, as `remote-random-hostname` makes one."""
        (name,) = re.findall(r"^remote (\S+)", self.house.bundle(self.name)["vpn"]["config"], re.MULTILINE)
        return f"label.{name}"

    def addresses(self, name: str) -> list[str]:
        """Resolve a name as any program on the device does."""
        return [line.split()[0] for line in self.machine.shell(f"getent ahostsv4 {name}").splitlines()]

    @contextmanager
    def full_disk(self) -> Iterator[None]:
        """Leave no room on the disk to anyone but root while the block runs, as ext4 does by itself."""
        fill = "cat /dev/zero >/home/pi/rest 2>/dev/null || true; sync /home/pi/rest; test $(stat -fc %a /) = 0"
        self.machine.shell(
            "fallocate -l $((($(stat -fc %a /) - 64) * $(stat -fc %S /))) /home/pi/most;"
            f" runuser -u pi -- sh -c '{fill}'"
        )
        try:
            yield
        finally:
            self.machine.shell("rm -f /home/pi/rest /home/pi/most")

    def show(self, unit: str, name: str) -> str:
        """Return a property of a unit."""
        return self.machine.shell(f"systemctl show --property={name} --value '{unit}'").strip()
