"""What is refused before it is queued. It cannot prove that AWS IoT takes all the rest."""

from __future__ import annotations

import re

import pytest
from device_agent._exceptions import DeviceAgentError
from device_agent.messages import Draft, Limits, MessageError, check_draft, check_topic, complete_topic


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
    ],
)
def test_a_topic_that_aws_iot_does_not_take_is_refused_with_the_reason(topic: str, why: str) -> None:
    with pytest.raises(MessageError, match=re.escape(why)):
        check_topic(topic)


def test_the_first_levels_of_a_rules_topic_do_not_count() -> None:
    check_topic("$aws/rules/a_rule/" + "/".join("abcdefgh"))


def test_a_payload_over_128_kib_is_refused() -> None:
    check_draft(Draft(topic="t", payload=b"x" * 131072, id="i"))
    with pytest.raises(MessageError, match="has 131073 bytes; AWS IoT takes 131072"):
        check_draft(Draft(topic="t", payload=b"x" * 131073, id="i"))


@pytest.mark.parametrize("id", ["", "x" * 65, "ä", "a\nb"])
def test_an_id_that_is_no_short_printable_text_is_refused(id: str) -> None:  # noqa: A002 - the field's name
    with pytest.raises(MessageError, match="the id"):
        check_draft(Draft(topic="t", payload=b"", id=id))


@pytest.mark.parametrize(
    ("limit", "why"),
    [
        ({"max_bytes": 1000}, "max_bytes is 1000; the least is 1048576"),
        ({"max_age": 0}, "max_age is 0 s; it must be over 0"),
        ({"when_full": "panic"}, "when_full is 'panic'; it is drop-oldest or refuse"),
    ],
)
def test_a_limit_out_of_range_is_refused_by_name(limit: dict[str, int], why: str) -> None:
    with pytest.raises(DeviceAgentError, match=re.escape(why)):
        Limits(**limit)  # type: ignore[arg-type] # wrong on purpose
