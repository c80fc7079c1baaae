"""What is refused before it is queued. It cannot prove that AWS IoT takes all the rest."""

from __future__ import annotations

import re

import pytest
from device_agent._exceptions import DeviceAgentError
from device_agent.messages import Draft, Limits, MessageError, check_draft


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


def test_nothing_is_retained_on_topics_of_aws_iots_own() -> None:
    check_draft(Draft(topic="$aws/things/a/shadow/update", payload=b"", id="i"))
    with pytest.raises(MessageError, match=r"AWS IoT retains nothing on topics that begin with \$"):
        check_draft(Draft(topic="$aws/things/a/shadow/update", payload=b"", id="i", retain=True))
