"""Lines as homes and mobile networks have them: slow, lossy, or silent about packets that are too large.

The kernel's traffic control makes them slow (tc-tbf(8)) and nftables drops packets; netem is missing in many kernels.
Both ends of the device's line are shaped, each for what it sends.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lab.path.parts import INTERNET

SLOW, LOSSY, SMALL = "line-slow", "line-lossy", "line-small"
LINE_FAULTS = {
    SLOW: "the home's line carries 32 kbit/s to 10 Mbit/s",
    LOSSY: "the home's line loses one to five packets of a hundred",
    SMALL: "the home's line drops packets over 1,280 to 1,492 bytes without a word",
}
LIMITS = {SLOW: (32.0, 10_000.0), LOSSY: (1.0, 5.0), SMALL: (1280.0, 1492.0)}
"""kbit/s, percent, and bytes of an IP packet: what is drawn."""
_QUEUE = 32_000
_AFTER_COUNTING = 310
_IP_HEADER = 20

Run = Callable[..., str]


@dataclass(frozen=True)
class End:
    """One end of a device's line: a host and its interface there."""

    host: str
    interface: str


class Lines:
    """The faults of lines that are under way."""

    def __init__(self, run: Run, devices: Sequence[str], interface: str) -> None:
        """Prepare.

        Args:
            run: Runs a command in a host, refuses its failure and gives what it printed.
            devices: The devices' hosts.
            interface: Their interface to the home network.
        """
        self._run = run
        self._devices = devices
        self._interface = interface
        self._until: dict[str, float] = {}

    def begin(self, name: str, value: float, seconds: float) -> None:
        """Shape the line of every device.

        Args:
            name: One of `LINE_FAULTS`.
            value: As `LIMITS` has it.
            seconds: For how long.
        """
        for end in self._ends():
            for command in commands(name, value, end):
                self._run(end.host, *command)
        self._until[name] = time.monotonic() + seconds

    def active(self) -> dict[str, float]:
        """End what is over, and give the seconds left of each that is not."""
        for name in [name for name, until in self._until.items() if until <= time.monotonic()]:
            self.end(name)
        return {name: until - time.monotonic() for name, until in self._until.items()}

    def end(self, name: str) -> None:
        """Let the line be as it was."""
        if self._until.pop(name, None) is not None:
            for end in self._ends():
                self._run(end.host, *undo(name, end))

    def _ends(self) -> list[End]:
        ends = [End(device, self._interface) for device in self._devices]
        links = json.loads(self._run(INTERNET, "ip", "-j", "link"))
        return ends + [End(INTERNET, link["ifname"]) for link in links if link["ifname"].startswith("lan-")]


def commands(name: str, value: float, end: End) -> list[list[str]]:
    """Return the commands that shape what an end sends. Pure."""
    if name == SLOW:
        queue = ["burst", "2000", "limit", str(_QUEUE)]
        return [["tc", "qdisc", "replace", "dev", end.interface, "root", "tbf", "rate", f"{value:.0f}kbit", *queue]]
    condition = (
        f"numgen random mod 1000 < {value * 10:.0f}" if name == LOSSY else f"udp length > {value - _IP_HEADER:.0f}"
    )
    chain = f"type filter hook postrouting priority {_AFTER_COUNTING}; oifname {end.interface} {condition} drop;"
    return [["nft", f"table ip {_table(name, end)} {{ chain out {{ {chain} }}; }}"]]


def undo(name: str, end: End) -> list[str]:
    """Return the command that undoes `commands`. Pure."""
    if name == SLOW:
        return ["tc", "qdisc", "delete", "dev", end.interface, "root"]
    return ["nft", "delete", "table", "ip", _table(name, end)]


def _table(name: str, end: End) -> str:
    return f"{name}-{end.interface}".replace("-", "_")
