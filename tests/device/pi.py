"""A virtual machine with the agent on it, used as a person uses a Pi."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from tests.device.machine import Machine, words_of
from tests.path.agent.house import House

AGENT, TUNNEL = "private-iot-agent.service", "openvpn-client@clientvpn.service"
README = Path(__file__).parents[2] / "README.md"
_SNAPSHOT = r"""
for folder in etc opt usr/local usr/lib/systemd var/lib/private-iot run/private-iot; do
  find "/$folder" -xdev \( -type f -printf '%M %U:%G %p ' -exec md5sum -b '{}' ';' \
    -o -type l -printf '%M %p -> %l\n' -o -printf '%M %U:%G %p\n' \) 2>/dev/null
done | grep -v -e '/etc/resolv.conf' -e '/etc/.*-$' -e __pycache__ -e /etc/apt/ | sed 's/ [0-9a-f]*  *\*/ /2' | sort
systemctl list-unit-files --no-legend --no-pager --plain | grep -v -e '^run-' -e '^snap' | sort
ip route | sort
nmcli -g name,state connection show --active
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
        self.before = ""
        """What there was before the agent had its bundle."""

    def agent(self, *words: str, text: str | None = None, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        """Run the agent's command."""
        return self.machine.run("device-agent", *words, text=text, timeout=timeout)

    def install(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Pipe the device's own bundle into `install -`."""
        return self.agent("install", "-", *words, text=json.dumps(self.house.bundle(self.name)), timeout=500)

    def snapshot(self) -> list[str]:
        """Describe the files, units, routes and connections that the agent may touch, and the users."""
        return self.machine.shell(_SNAPSHOT).splitlines()

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

    def show(self, unit: str, name: str) -> str:
        """Return a property of a unit."""
        return self.machine.shell(f"systemctl show --property={name} --value '{unit}'").strip()
