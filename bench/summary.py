"""Pure arithmetic of the benchmark: medians, percentiles, ratios, and what a recovery's timeline says."""

import itertools
import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest value that at least so many per cent of the values do not exceed (nearest rank).

    Args:
        values: At least one.
        percent: Over 0, at most 100.

    Raises:
        ValueError: There are no values, or the percentage is outside its range.
    """
    if not values or not 0 < percent <= 100:
        raise ValueError(f"percentile {percent:g} of {len(values)} values: needs at least one value and 0 < p <= 100")
    ordered = sorted(values)
    return ordered[math.ceil(len(ordered) * percent / 100) - 1]


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def ratio(value: float | None, base: float | None) -> float | None:
    """Return a value over a base, or None where one of them was not measured or the base is 0."""
    return None if value is None or not base else value / base


def recovery(
    arrivals: Sequence[tuple[int, float]], *, fault_began: float, fault_ended: float, published: int, copies: int
) -> dict[str, Any]:
    """Tell what a timeline says of a peer.

    Args:
        arrivals: Number of each message and when it first arrived, in the order of arrival.
        fault_began: When the fault began, by the same clock.
        fault_ended: When it ended.
        published: How many messages the peer's program handed over.
        copies: Arrivals in all, further copies among them.

    Returns:
        ``seconds`` from the fault's end to the first arrival after it (None: there was none), ``silence``: the longest
        time without an arrival from the fault's beginning on, ``published``, ``arrived`` (different messages),
        ``lost``, ``twice`` (further copies).
    """
    after = [at for _number, at in arrivals if at > fault_ended]
    arrived = len({number for number, _at in arrivals})
    around = sorted([fault_began, *(at for _number, at in arrivals if at > fault_began)])
    gaps = [later - earlier for earlier, later in itertools.pairwise(around)]
    return {
        "seconds": min(after) - fault_ended if after else None,
        "silence": max(gaps) if after and gaps else None,
        "published": published,
        "arrived": arrived,
        "lost": published - arrived,
        "twice": copies - arrived,
    }


def cpu_used(before: Mapping[int, int], after: Mapping[int, int]) -> int:
    """Return the processor time that threads used between two looks.

    What a thread used that has ended in between is not known, and left out.

    Args:
        before: Number of each thread and its processor time so far.
    """
    return sum(used - before.get(thread, 0) for thread, used in after.items())


def growth(rows: Sequence[Mapping[str, Any]], key: str) -> list[float | None]:
    """Return for each row how much a figure grew since the row before, over how much the devices grew.

    Args:
        rows: Each with ``devices`` and perhaps the figure.

    Returns:
        1 where it grew just as the devices did; None for the first row and where the figure is missing.
    """
    result: list[float | None] = [None]
    for row, before in zip(rows[1:], rows, strict=False):
        grown = ratio(row.get(key), before.get(key))
        result.append(ratio(grown, row["devices"] / before["devices"]))
    return result[: len(rows)]
