"""Which topics of the local broker are which at AWS IoT: `[mqtt]` of agent.toml, read and checked. Pure.

`sensors/#` to publish is `PREFIX/DEVICE/sensors/#` at AWS IoT, and the same the other way round. `FILTER -> FILTER`
gives the other side a name of its own: both name one topic, or both end with `#`, and what is before it is exchanged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, product, zip_longest

from device_agent.topics import TopicError, check_filter, matches

_ARROW = "->"


@dataclass(frozen=True, slots=True)
class TopicMap:
    """One line of `publish` or `subscribe`.

    Attributes:
        source: The filter of the side that messages come from.
        target: The filter of what they become.
        levels: How many levels of a topic are exchanged.
        replacement: For what.
    """

    source: str
    target: str
    levels: int
    replacement: tuple[str, ...]

    def translate(self, topic: str) -> str:
        """Give the other side's name of a topic that `source` asks for."""
        return "/".join((*self.replacement, *topic.split("/")[self.levels :]))


@dataclass(frozen=True, slots=True)
class TopicMaps:
    """Both directions.

    Attributes:
        publish: From the local broker to AWS IoT.
        subscribe: From AWS IoT to the local broker.
    """

    publish: tuple[TopicMap, ...]
    subscribe: tuple[TopicMap, ...]


def read_maps(publish: Sequence[str], subscribe: Sequence[str], prefix: str) -> TopicMaps:
    """Read and check the maps of a device.

    Args:
        publish: Lines `LOCAL` or `LOCAL -> REMOTE`; REMOTE is below the device's prefix, with or without it in front.
        subscribe: Lines `REMOTE` or `REMOTE -> LOCAL`, likewise.
        prefix: The device's topic prefix.

    Raises:
        TopicError: A filter is malformed or out of the prefix, two of a direction ask for the same topic, or what comes
            in would go out again.
    """
    maps = TopicMaps(
        tuple(_publish_map(line, prefix) for line in publish), tuple(_subscribe_map(line, prefix) for line in subscribe)
    )
    for name, found in (("publish", maps.publish), ("subscribe", maps.subscribe)):
        for one, other in combinations(found, 2):
            if overlap(one.source, other.source):
                raise TopicError(
                    f"mqtt.{name}: {one.source!r} and {other.source!r} overlap, so that a message would be taken twice;"
                    " leave one out or narrow it"
                )
    for outward, inward in product(maps.publish, maps.subscribe):
        if overlap(outward.source, inward.target) or overlap(outward.target, inward.source):
            raise TopicError(
                f"mqtt.publish {outward.source!r} and mqtt.subscribe {inward.source!r} are a loop: what comes in goes"
                " out again; keep their topics apart"
            )
    return maps


def find_map(maps: Sequence[TopicMap], topic: str) -> TopicMap | None:
    """Give the map that asks for a topic."""
    return next((item for item in maps if matches(item.source, topic)), None)


def overlap(one: str, other: str) -> bool:
    """Tell whether there is a topic that both filters ask for (MQTT 5, section 4.7.1)."""
    for left, right in zip_longest(one.split("/"), other.split("/")):
        if "#" in (left, right):
            return True
        if left is None or right is None or (left != right and "+" not in (left, right)):
            return False
    return True


def _publish_map(line: str, prefix: str) -> TopicMap:
    local, remote = _sides("publish", line)
    _check_local("publish", local)
    if remote is None:
        return TopicMap(local, _checked(f"{prefix}/{local}"), 0, tuple(prefix.split("/")))
    remote = _below_prefix("publish", remote, prefix)
    return TopicMap(local, remote, *_exchange("publish", local, remote))


def _subscribe_map(line: str, prefix: str) -> TopicMap:
    remote, local = _sides("subscribe", line)
    remote = _below_prefix("subscribe", remote, prefix)
    if local is None:
        local = remote.removeprefix(f"{prefix}/")
        return TopicMap(remote, local, len(prefix.split("/")), ())
    _check_local("subscribe", local)
    return TopicMap(remote, local, *_exchange("subscribe", remote, local))


def _sides(name: str, line: str) -> tuple[str, str | None]:
    source, arrow, target = (part.strip() for part in line.partition(_ARROW))
    if not source or (arrow and not target):
        raise TopicError(f"mqtt.{name}: {line!r} is not FILTER or FILTER -> FILTER")
    return source, target or None


def _check_local(name: str, local: str) -> None:
    if local.startswith("$"):
        raise TopicError(f"mqtt.{name}: {local!r} begins with $; the broker keeps these topics to itself")
    _checked(local)


def _checked(topic_filter: str) -> str:
    check_filter(topic_filter)
    return topic_filter


def _below_prefix(name: str, remote: str, prefix: str) -> str:
    """Put a filter under the device's prefix, unless it names it; refuse what names another place."""
    common = prefix.rpartition("/")[0]
    inside = remote.startswith(f"{prefix}/")
    if remote.startswith(("$", "/")) or remote == prefix or (common and not inside and remote.startswith(f"{common}/")):
        raise TopicError(
            f"mqtt.{name}: {remote!r} is out of the device's prefix; its IoT policy allows {prefix}/# alone"
        )
    return _checked(remote if inside else f"{prefix}/{remote}")


def _exchange(name: str, source: str, target: str) -> tuple[int, tuple[str, ...]]:
    """Give how many levels of a source's topics become which of a target's."""
    sides = source.split("/"), target.split("/")
    ends = [levels[-1] == "#" for levels in sides]
    if ends[0] != ends[1] or any("+" in levels for levels in sides):
        raise TopicError(
            f"mqtt.{name}: {source!r} -> {target!r} do not fit each other; both name one topic, or both end with /#"
        )
    old, new = (levels[:-1] if ends[0] else levels for levels in sides)
    return len(old), tuple(new)
