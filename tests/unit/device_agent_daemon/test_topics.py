"""Topics and filters by AWS IoT's rules. It cannot prove that AWS IoT takes all the rest."""

from __future__ import annotations

import re

import pytest
from device_agent.topics import TopicError, check_filter, check_topic, complete_topic, covers, matches
from hypothesis import given
from hypothesis import strategies as st

LEVELS = st.lists(st.sampled_from(["a", "b", "+", "", "$aws"]), min_size=1, max_size=4)
FILTERS = st.tuples(LEVELS, st.booleans()).map(lambda drawn: "/".join([*drawn[0], *(["#"] if drawn[1] else [])]))
TOPICS = st.lists(st.sampled_from(["a", "b", "c", "", "$aws"]), min_size=1, max_size=5).map("/".join)


@pytest.mark.parametrize(
    ("given", "whole"),
    [
        ("temperature", "devices/pi-1/temperature"),
        ("devices/pi-1/temperature", "devices/pi-1/temperature"),
        ("devices/pi-1", "devices/pi-1"),
        ("devices/pi-10/x", "devices/pi-1/devices/pi-10/x"),
        ("$aws/things/pi-1/shadow/update", "$aws/things/pi-1/shadow/update"),
    ],
)
def test_a_topic_goes_under_the_devices_prefix_unless_it_is_there(given: str, whole: str) -> None:
    assert complete_topic(given, "devices/pi-1") == whole
    assert complete_topic(given, "devices/pi-1", absolute=True) == given


@pytest.mark.parametrize(
    ("topic", "why"),
    [
        ("", "the topic is empty"),
        ("a/+/b", "holds a wildcard"),
        ("a/#", "holds a wildcard"),
        ("a\0b", "cannot be printed"),
        ("a\nb", "cannot be printed"),
        ("/".join("abcdefghi"), "has 8 slashes; AWS IoT takes 7"),
        ("ü" * 129, "has 258 bytes; AWS IoT takes 256"),
        ("\ud800", "cannot be printed"),
        ("$foo/bar", "begins with $: AWS IoT keeps these to itself and takes $aws/"),
        ("$share/a/b", "begins with $"),
    ],
)
def test_a_topic_that_aws_iot_does_not_take_is_refused_with_the_reason(topic: str, why: str) -> None:
    with pytest.raises(TopicError, match=re.escape(why)):
        check_topic(topic)


def test_the_first_levels_of_a_rules_topic_do_not_count() -> None:
    check_topic("$aws/rules/a_rule/" + "/".join("abcdefgh"))


def test_the_share_of_a_filter_and_a_rules_name_do_not_count() -> None:
    check_topic(f"$aws/rules/{'r' * 128}/{'t' * 256}")
    check_filter("$share/" + "n" * 128 + "/" + "/".join("abcdefgh"))


@pytest.mark.parametrize(
    "topic_filter", ["a", "a/+/b", "#", "+", "a/#", "$aws/things/x/shadow/#", "$share/group/a/+/#", "a//b", "ü/+"]
)
def test_a_filter_that_aws_iot_takes_is_taken(topic_filter: str) -> None:
    check_filter(topic_filter)


@pytest.mark.parametrize(
    ("topic_filter", "why"),
    [
        ("", "the topic filter is empty"),
        ("$foo/#", "begins with $: AWS IoT keeps these to itself"),
        ("$SYS/#", "begins with $"),
        ("$share/a", "is not $share/NAME/FILTER"),
        ("$share//a", "is not $share/NAME/FILTER"),
        ("$share/a+/b", "is not $share/NAME/FILTER"),
        ("$share/" + "n" * 129 + "/a", "at most 128 characters"),
        ("$share/a/$foo/b", "begins with $"),
        ("$share/a/" + "/".join("abcdefghi"), "has 8 slashes"),
        ("/".join("abcdefghi"), "has 8 slashes; AWS IoT takes 7"),
        ("a" * 257, "has 257 bytes; AWS IoT takes 256"),
        ("a/#/b", "+ must be a level of its own, and # the last one"),
        ("a/b#", "+ must be a level of its own"),
        ("a/b+", "+ must be a level of its own"),
        ("\ud800", "cannot be printed"),
        ("a\0", "cannot be printed"),
    ],
)
def test_a_filter_that_aws_iot_answers_by_hanging_up_is_refused_with_the_reason(topic_filter: str, why: str) -> None:
    with pytest.raises(TopicError, match=re.escape(why)):
        check_filter(topic_filter)


@given(st.text())
def test_whatever_is_asked_for_is_taken_or_refused(text: str) -> None:
    for check in (check_filter, check_topic):
        try:
            check(text)
        except TopicError:
            continue
        assert text.encode()
        assert matches(text, text) or "$share/" in text or check is check_topic or "+" in text or "#" in text


@pytest.mark.parametrize(
    ("topic_filter", "topic", "expected"),
    [
        ("a/b", "a/b", True),
        ("a/b", "a/b/c", False),
        ("a/+", "a/b", True),
        ("a/+", "a", False),
        ("a/+/c", "a/b/c", True),
        ("a/#", "a", True),
        ("a/#", "a/b/c", True),
        ("#", "a/b", True),
        ("#", "$aws/x", False),
        ("+/x", "$aws/x", False),
        ("$aws/#", "$aws/x", True),
        ("a//b", "a//b", True),
        ("$share/group/a/+", "a/b", True),
        ("$share/group/a/+", "a/b/c", False),
        ("$share/group/#", "$aws/x", False),
    ],
)
def test_a_filter_picks_the_topics_that_mqtt_says(topic_filter: str, topic: str, expected: bool) -> None:
    assert matches(topic_filter, topic) is expected


@given(FILTERS, FILTERS, TOPICS)
def test_a_filter_that_covers_another_asks_for_all_its_topics(wide: str, narrow: str, topic: str) -> None:
    if covers(wide, narrow) and matches(narrow, topic):
        assert matches(wide, topic)
    assert covers(wide, wide) or wide.startswith("$")


@pytest.mark.parametrize(
    ("wide", "narrow", "expected"),
    [
        ("a/#", "a/b/+", True),
        ("a/#", "a", True),
        ("a/+", "a/b", True),
        ("a/+", "a/#", False),
        ("a/b", "a/+", False),
        ("#", "$aws/x", False),
        ("a/#", "$share/g/a/b", True),
    ],
)
def test_one_filter_covers_another(wide: str, narrow: str, expected: bool) -> None:
    assert covers(wide, narrow) is expected
