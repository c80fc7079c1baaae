"""Topics of the local broker and of AWS IoT: translated, and refused where two overlap, loop or leave the prefix."""

from __future__ import annotations

from itertools import product

import pytest
from device_agent.local_broker.topic_maps import find_map, overlap, read_maps
from device_agent.topics import TopicError, matches
from hypothesis import given
from hypothesis import strategies as st

PREFIX = "private-iot/pi-1"
LEVELS = st.lists(st.sampled_from(["a", "b", "+"]), min_size=1, max_size=4)
FILTERS = st.builds(lambda levels, rest: "/".join([*levels, "#"] if rest else levels), LEVELS, st.booleans()) | st.just(
    "#"
)
# With a level that no filter names, every way in which two of these filters can differ is among these topics.
TOPICS = ["/".join(levels) for count in range(1, 6) for levels in product("abc", repeat=count)]


@pytest.mark.parametrize(
    ("line", "local", "remote"),
    [
        ("sensors/#", "sensors/kitchen/celsius", f"{PREFIX}/sensors/kitchen/celsius"),
        ("#", "sensors", f"{PREFIX}/sensors"),
        ("+/state", "lamp/state", f"{PREFIX}/lamp/state"),
        ("zigbee2mqtt/# -> zigbee/#", "zigbee2mqtt/lamp", f"{PREFIX}/zigbee/lamp"),
        ("zigbee2mqtt/# -> zigbee/#", "zigbee2mqtt", f"{PREFIX}/zigbee"),
        ("# -> all/#", "lamp/state", f"{PREFIX}/all/lamp/state"),
        ("lamp/state -> state", "lamp/state", f"{PREFIX}/state"),
        (f"lamp -> {PREFIX}/light", "lamp", f"{PREFIX}/light"),
    ],
)
def test_what_is_published_locally_has_a_name_below_the_devices_prefix(line: str, local: str, remote: str) -> None:
    (item,) = read_maps([line], [], PREFIX).publish
    assert matches(item.source, local)
    assert item.translate(local) == remote
    assert matches(item.target, remote)


@pytest.mark.parametrize(
    ("line", "remote", "local"),
    [
        ("commands/#", f"{PREFIX}/commands/lamp", "commands/lamp"),
        ("commands/# -> zigbee2mqtt/#", f"{PREFIX}/commands/lamp/set", "zigbee2mqtt/lamp/set"),
        (f"{PREFIX}/commands/+", f"{PREFIX}/commands/lamp", "commands/lamp"),
    ],
)
def test_what_aws_iot_sends_has_its_name_without_the_prefix(line: str, remote: str, local: str) -> None:
    (item,) = read_maps([], [line], PREFIX).subscribe
    assert matches(item.source, remote)
    assert item.translate(remote) == local
    assert matches(item.target, local)


@pytest.mark.parametrize(
    ("publish", "subscribe", "why"),
    [
        (["sensors/#", "sensors/kitchen"], [], "overlap"),
        (["+/state", "lamp/+"], [], "overlap"),
        ([], ["commands/#", "commands/lamp -> lamp"], "overlap"),
        (["$aws/things/pi-1/shadow/update"], [], "begins with \\$"),
        (["lamp -> $aws/things/pi-1/shadow/update"], [], "out of the device's prefix"),
        (["lamp -> /lamp"], [], "out of the device's prefix"),
        (["lamp -> private-iot/pi-2/lamp"], [], "out of the device's prefix"),
        (["lamp -> private-iot/pi-1"], [], "out of the device's prefix"),
        ([], ["private-iot/+/commands"], "out of the device's prefix"),
        (["sensors/#/celsius"], [], "# the last one"),
        (["sensors#"], [], "a level of its own"),
        ([], ["a/b+"], "a level of its own"),
        (["a/# -> b"], [], "do not fit each other"),
        (["a/+ -> b/+"], [], "do not fit each other"),
        (["a ->"], [], "is not FILTER"),
        ([""], [], "is not FILTER"),
        (["lamp/#"], ["lamp/set"], "a loop"),
        (["lamp/# -> x/#"], ["y/# -> lamp/#"], "a loop"),
        (["a/# -> x/#"], ["x/# -> b/#"], "a loop"),
        (["#"], ["commands/#"], "a loop"),
        (["a/b/c/d/e/f/g"], [], "8 slashes"),
    ],
)
def test_maps_that_cannot_be_are_refused(publish: list[str], subscribe: list[str], why: str) -> None:
    with pytest.raises(TopicError, match=why):
        read_maps(publish, subscribe, PREFIX)


def test_maps_side_by_side_are_taken() -> None:
    maps = read_maps(["sensors/#", "zigbee2mqtt/+"], ["commands/#", "config -> agent-config"], PREFIX)
    assert find_map(maps.publish, "zigbee2mqtt/lamp") == maps.publish[1]
    assert find_map(maps.publish, "commands/lamp") is None
    assert find_map(maps.subscribe, f"{PREFIX}/config") == maps.subscribe[1]


@given(FILTERS, FILTERS)
def test_two_filters_overlap_exactly_where_one_topic_matches_both(one: str, other: str) -> None:
    assert overlap(one, other) == any(matches(one, topic) and matches(other, topic) for topic in TOPICS)


@given(FILTERS, FILTERS)
def test_whatever_maps_are_taken_nothing_that_comes_in_goes_out_again(publish: str, subscribe: str) -> None:
    try:
        maps = read_maps([publish], [subscribe], PREFIX)
    except TopicError:
        return
    for topic in TOPICS:
        inward = find_map(maps.subscribe, f"{PREFIX}/{topic}")
        if inward is not None:
            assert find_map(maps.publish, inward.translate(f"{PREFIX}/{topic}")) is None
        outward = find_map(maps.publish, topic)
        if outward is not None:
            assert find_map(maps.subscribe, outward.translate(topic)) is None
