"""What was counted, from what was seen: pure, so that it can be shown to find what is wrong."""

import itertools
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

WARM_UP = 60.0
"""Seconds of a process's life that say nothing of its growth: it loads, and its first connections and its first full
queue fill the allocator's arenas, which then stay."""
_FEWEST = 60
"""Samples without which a slope is noise; one is taken a second."""
_HOUR = 3600.0
_MEGABYTE = 1e6


@dataclass(frozen=True)
class Arrival:
    """A message behind AWS IoT's front.

    Attributes:
        at: Epoch seconds.
    """

    at: float
    number: int


@dataclass(frozen=True)
class Messages:
    """What became of one device's messages.

    Attributes:
        published: Accepted by the agent as durable.
        delivered: Of these, how many different ones came.
        duplicates: Further copies of messages that had come before.
        lost: The numbers that were published and never came.
        unreceipted: Came, though the agent was never heard to accept it; no loss.
        out_of_order: First copies that came after a later message's.
        longest_gap: Seconds between two messages that came one after the other.
        longest_gap_after: When it began: seconds after the first message came.
    """

    published: int
    delivered: int
    duplicates: int
    lost: tuple[int, ...]
    unreceipted: int
    out_of_order: int
    longest_gap: float
    longest_gap_after: float


def count(published: Collection[int], arrivals: Sequence[Arrival]) -> Messages:
    """Compare what was accepted with what came.

    Args:
        published: Numbers that the agent accepted.
        arrivals: What came, in the order in which it came.
    """
    accepted = set(published)
    seen: set[int] = set()
    out_of_order, latest = 0, -1
    for arrival in arrivals:
        if arrival.number not in seen:
            seen.add(arrival.number)
            out_of_order += arrival.number < latest
            latest = max(latest, arrival.number)
    gaps = ((after.at - before.at, before.at - arrivals[0].at) for before, after in itertools.pairwise(arrivals))
    longest_gap, began = max(gaps, default=(0.0, 0.0))
    return Messages(
        published=len(accepted),
        delivered=len(accepted & seen),
        duplicates=len(arrivals) - len(seen),
        lost=tuple(sorted(accepted - seen)),
        unreceipted=len(seen - accepted),
        out_of_order=out_of_order,
        longest_gap=round(longest_gap, 2),
        longest_gap_after=round(began, 2),
    )


@dataclass(frozen=True)
class Sample:
    """One look at a process's memory.

    Attributes:
        at: Seconds of one clock.
        pid: The process; another one after a restart.
        size: Resident bytes.
    """

    at: float
    pid: int
    size: int


@dataclass(frozen=True)
class Memory:
    """How a program's memory went, in megabytes of a million bytes.

    Attributes:
        slope: Megabytes an hour; None where too little was seen.
        processes: How many processes were seen one after the other.
    """

    start: float
    end: float
    most: float
    slope: float | None
    processes: int


def memory(samples: Sequence[Sample]) -> Memory | None:
    """Describe a program's memory.

    The slope is that of least squares over the second half of the time. A process that is started anew begins anew,
    so each has a height of its own and all have one slope; the first `WARM_UP` seconds of each are left out.

    Args:
        samples: In the order of their time.

    Returns:
        None where the program was never seen.
    """
    if not samples:
        return None
    middle = (samples[0].at + samples[-1].at) / 2
    born: dict[int, float] = {}
    late: dict[int, list[Sample]] = {}
    for sample in samples:
        born.setdefault(sample.pid, sample.at)
        if sample.at >= max(middle, born[sample.pid] + WARM_UP):
            late.setdefault(sample.pid, []).append(sample)
    sizes = [sample.size / _MEGABYTE for sample in samples]
    slope = _common_slope(late.values()) if sum(map(len, late.values())) >= _FEWEST else None
    return Memory(
        start=round(sizes[0], 2),
        end=round(sizes[-1], 2),
        most=round(max(sizes), 2),
        slope=None if slope is None else round(slope * _HOUR / _MEGABYTE, 2),
        processes=len(born),
    )


def _common_slope(groups: Iterable[Sequence[Sample]]) -> float | None:
    above = below = 0.0
    for group in groups:
        at, size = fmean(sample.at for sample in group), fmean(sample.size for sample in group)
        above += sum((sample.at - at) * (sample.size - size) for sample in group)
        below += sum((sample.at - at) ** 2 for sample in group)
    return above / below if below else None
