"""The figures of a run: as JSON for programs, as a table for people."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from soak.accounting import Memory, Sample, count, memory
from soak.watch import Seen

VERSION = 1
_SHOWN = 20
# Of each device: the row's title and the way to its figure.
_ROWS = (
    ("published", ("messages", "published")),
    ("delivered", ("messages", "delivered")),
    ("duplicates", ("messages", "duplicates")),
    ("lost", ("messages", "lost")),
    ("out of order", ("messages", "outOfOrder")),
    ("accepted unheard", ("messages", "unreceipted")),
    ("refused by the agent", ("messages", "refusedByAgent")),
    ("refused by AWS IoT", ("messages", "refusedByAwsIot")),
    ("dropped", ("messages", "dropped")),
    ("queued at the end", ("messages", "queuedAtEnd")),
    ("queued at most", ("messages", "queuedAtMost")),
    ("longest gap, s", ("messages", "longestGapSeconds")),
    ("after the first message, s", ("messages", "longestGapAfterSeconds")),
    ("packets outside", ("outside", "packets")),
    ("tunnel restarts", ("tunnelRestarts",)),
)
_PROGRAMS = (("agent", "agent"), ("OpenVPN", "openvpn"))
_MEMORY_ROWS = (
    ("at the start, MB", "startMb"),
    ("at the end, MB", "endMb"),
    ("at most, MB", "maxMb"),
    ("growth, MB an hour", "slopeMbPerHour"),
    ("processes", "processes"),
)


def collect(
    *,
    options: Mapping[str, Any],
    started: datetime,
    seconds: float,
    drained: float,
    seen: Mapping[str, Seen],
    faults: Sequence[Mapping[str, Any]],
    reconnections: int,
    allowed: Mapping[str, Sequence[str]],
) -> dict[str, Any]:
    """Count everything.

    Args:
        started: When the first message was published.
        seconds: How long messages were published.
        drained: Seconds from the last message until the queues were empty, or were waited for no longer.
        reconnections: MQTT connections that AWS IoT's front accepted during the run.
        allowed: What may leave each device by its home network, from `soak.border.allowed`.

    Returns:
        ``passed``, ``options``, ``repeat``, ``devices`` by name, ``faults`` and what belongs to none of them.
    """
    devices = {name: _device(item, allowed[name]) for name, item in seen.items()}
    passed = all(
        not device["messages"]["lost"] and not device["outside"]["packets"] and device["messages"]["published"]
        for device in devices.values()
    )
    return {
        "version": VERSION,
        "passed": passed,
        "options": dict(options),
        "repeat": repeat(options),
        "startedAt": started.isoformat(timespec="seconds"),
        "publishedForSeconds": round(seconds, 1),
        "drainedAfterSeconds": round(drained, 1),
        "reconnections": reconnections,
        "devices": devices,
        "faults": [dict(fault) for fault in faults],
    }


def repeat(options: Mapping[str, Any]) -> str:
    """Return the command that makes the same run again."""
    numbers = dict(options)
    site = ["--site"] if numbers.pop("site", False) else []
    if site:
        del numbers["devices"]
    words = [f"--{name} {value}" if name == "seed" else f"--{name} {value:g}" for name, value in numbers.items()]
    return " ".join(["python -m soak", *words, *site])


def _device(seen: Seen, allowed: Sequence[str]) -> dict[str, Any]:
    messages = count(seen.published, seen.arrivals)
    queue = seen.status["queue"]
    return {
        "messages": {
            "published": messages.published,
            "delivered": messages.delivered,
            "duplicates": messages.duplicates,
            "lost": len(messages.lost),
            "lostNumbers": list(messages.lost[:_SHOWN]),
            "outOfOrder": messages.out_of_order,
            "unreceipted": messages.unreceipted,
            "refusedByAgent": len(seen.refused),
            "refusedByAwsIot": queue["refused"],
            "dropped": queue["dropped"],
            "queuedAtEnd": queue["depth"],
            "queuedAtMost": seen.most_queued,
            "longestGapSeconds": messages.longest_gap,
            "longestGapAfterSeconds": messages.longest_gap_after,
        },
        "outside": {
            "packets": seen.outside.packets,
            "destinations": [asdict(destination) for destination in seen.outside.destinations],
            "allowed": list(allowed),
        },
        "tunnelRestarts": sum(seen.tunnel_restarts.values()),
        "memory": {"agent": _memory(seen.agent), "openvpn": _memory(seen.openvpn)},
    }


def _memory(samples: Sequence[Sample]) -> dict[str, float | int | None] | None:
    found = memory(samples)
    return None if found is None else _named(found)


def _named(found: Memory) -> dict[str, float | int | None]:
    names = {"start": "startMb", "end": "endMb", "most": "maxMb", "slope": "slopeMbPerHour"}
    return {names.get(key, key): value for key, value in asdict(found).items()}


def table(figures: Mapping[str, Any]) -> Iterator[str]:
    """Write the figures for people, a line each."""
    devices = figures["devices"]
    width = max(12, *(len(name) + 2 for name in devices))
    yield f"{'':<28}" + "".join(f"{name:>{width}}" for name in devices)
    for title, way in _ROWS:
        yield _row(title, [_find(device, way) for device in devices.values()], width)
    for title, program in _PROGRAMS:
        for name, key in _MEMORY_ROWS:
            values = [(device["memory"][program] or {}).get(key) for device in devices.values()]
            yield _row(f"{title} {name}", values, width)
    yield ""
    yield (
        f"{len(figures['faults'])} faults, {figures['reconnections']} reconnections;"
        f" published for {figures['publishedForSeconds']:g} s, drained {figures['drainedAfterSeconds']:g} s later"
    )
    for name, device in devices.items():
        yield f"outside the tunnel of {name} is what leaves by its home network, but for:"
        yield from (f"  {condition}" for condition in device["outside"]["allowed"])
        if device["messages"]["lost"]:
            yield f"LOST on {name}: {', '.join(map(str, device['messages']['lostNumbers']))}"
        yield from (
            f"OUTSIDE on {name}: {item['packets']} packet(s) to {item['address']}, {item['protocol']} {item['port']}"
            for item in device["outside"]["destinations"]
        )
    yield "passed: nothing lost, nothing outside" if figures["passed"] else "FAILED"
    yield f"repeat with: {figures['repeat']}"


def _find(device: Mapping[str, Any], way: Sequence[str]) -> Any:
    value: Any = device
    for key in way:
        value = value[key]
    return value


def _row(title: str, values: Sequence[Any], width: int) -> str:
    return f"{title:<28}" + "".join(f"{'-' if value is None else format(value, 'g'):>{width}}" for value in values)
