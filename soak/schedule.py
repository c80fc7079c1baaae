"""Which fault begins when and how long it lasts: the same for the same seed."""

import math
import random
from dataclasses import dataclass

from lab.path import faults, site_faults
from soak.lines import LIMITS, LINE_FAULTS

AGENT_RESTARTED, AGENT_KILLED, HUNG_UP = "agent-restarted", "agent-killed", "hung-up"
DEVICE_FAULTS = {
    AGENT_RESTARTED: "`systemctl restart` of the agent's unit",
    AGENT_KILLED: "`kill -9` of the agent's process",
    HUNG_UP: "AWS IoT hangs up on the device",
}
"""Faults of one device; they take a moment and have no duration."""
NAMES = {**faults.PATH_NAMES, **DEVICE_FAULTS, **LINE_FAULTS}
SITE_NAMES = {**faults.PATH_NAMES, **DEVICE_FAULTS, **site_faults.NAMES}
"""Of a site; its line is no worse than another home's."""
OUTLIVED = frozenset({"certificate-expired", "dns-down"})
"""Faults that a connection outlives: only a new one meets them, so that AWS IoT hangs up once they have begun."""

SHORTEST_RUN = 30.0
"""Seconds: less has no room for faults and for a quiet end."""
SHORTEST = 2.0
# From one fault's start to the next one's, in shares of the longest duration.
_AFTER = (0.4, 1.8)
APART = 10.0
"""Seconds between the end of a fault and the next one of its kind, which the lab refuses while the first is under way:
a fault that takes units along, such as `clock-skew`, ends later than planned."""


@dataclass(frozen=True)
class Fault:
    """A fault to come.

    Attributes:
        start: Seconds after the first message.
        duration: Seconds; 0 for what happens in a moment.
        device: Number of the device that is meant; None where the path of all of them breaks.
        value: How bad a line is, as `soak.lines.LIMITS` has it; 0 for all else.
    """

    start: float
    name: str
    duration: float
    device: int | None = None
    value: float = 0.0

    @property
    def end(self) -> float:
        """Seconds after the first message."""
        return self.start + self.duration


def quiet_end(seconds: float) -> float:
    """Return how many seconds before a run's end the last fault is over, so that the agent finds back meanwhile."""
    return min(max(seconds / 6, 8.0), 45.0)


def longest_fault(seconds: float) -> float:
    """Return the most seconds that a fault of a run lasts: longer in a longer run."""
    return min(max(seconds / 30, 3.0), 60.0)


def schedule(seed: int, seconds: float, devices: int = 1, *, site: bool = False) -> list[Fault]:
    """Draw the faults of a run.

    Kinds are dealt like cards, so that each comes once before one comes twice. A fault begins some time after the one
    before it began, by the longest duration on average: some overlap, and between others the path is whole for a while.

    Args:
        seed: The same seed gives the same faults.
        seconds: How long the run lasts, at least `SHORTEST_RUN`.
        site: Whether the devices are a site.

    Returns:
        The faults in the order of their start.
    """
    rng = random.Random(seed)  # noqa: S311 - it has to be repeatable, not secret
    longest, end = longest_fault(seconds), seconds - quiet_end(seconds)
    free_from: dict[str, float] = {}
    cards: list[str] = []
    names = SITE_NAMES if site else NAMES
    drawn: list[Fault] = []
    start = rng.uniform(0.5, 1.5) * longest
    while start + SHORTEST <= end:
        if not cards:
            cards = rng.sample(sorted(names), len(names))
        begin = _tenths(start)
        name = next((card for card in cards if free_from.get(_kind(card), 0) <= begin), None)
        if name is not None:
            cards.remove(name)
            of_device = name in DEVICE_FAULTS
            duration = 0.0 if of_device else _tenths(rng.uniform(SHORTEST, min(longest, end - start)))
            device = rng.randrange(devices) if of_device else None
            fault = Fault(begin, name, duration, device, _value(rng, name))
            if fault.end <= end:
                drawn.append(fault)
                free_from[_kind(name)] = fault.end + APART
        start += rng.uniform(*_AFTER) * longest
    return drawn


def _kind(name: str) -> str:
    """Return what is befallen once at a time: a gateway without power has neither a tunnel nor a broker to lose."""
    return "site" if name in site_faults.NAMES else name


def _value(rng: random.Random, name: str) -> float:
    """Draw how bad a line is: as many slow ones as fast ones on a logarithmic scale."""
    if name not in LIMITS:
        return 0.0
    least, most = LIMITS[name]
    return round(math.exp(rng.uniform(math.log(least), math.log(most))), 1)


def _tenths(seconds: float) -> float:
    return math.floor(seconds * 10) / 10
