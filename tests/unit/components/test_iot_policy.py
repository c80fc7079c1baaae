"""The IoT policy. Cannot prove how AWS IoT evaluates it; the path tier puts it before the lab's own evaluation."""

import fnmatch
import json
import re
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from private_iot import ArgumentError, iot_policy

PLACE: dict[str, Any] = {"partition": "aws", "region": "ap-northeast-1", "account_id": "123456789012"}
VPCE = "vpce-0bae8fd9e8c2b2879"
levels = st.text(string.ascii_letters + string.digits + "-_.:äß", min_size=1, max_size=12)
prefixes = st.lists(levels, min_size=1, max_size=6).map("/".join)
topics = st.lists(st.lists(levels, min_size=1, max_size=4).map("/".join), max_size=3, unique=True)


def statements(**options: Any) -> list[dict[str, Any]]:
    text = iot_policy.document(**PLACE, vpc_endpoint_id=VPCE, **{"topic_prefix": "private-iot", **options})
    found: list[dict[str, Any]] = json.loads(text)["Statement"]
    return found


def as_list(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


@given(prefixes, topics, st.booleans())
def test_every_statement_allows_through_the_vpc_endpoint_only(prefix: str, extra: list[str], broad: bool) -> None:
    for statement in statements(topic_prefix=prefix, extra_topics=extra, allow_all_iot_actions=broad):
        assert statement["Effect"] == "Allow"
        assert statement["Condition"]["StringEquals"] == {"aws:SourceVpce": VPCE}


@given(prefixes, topics)
def test_the_least_privilege_form_names_no_resource_but_the_things_own_and_the_extra_topics(
    prefix: str, extra: list[str]
) -> None:
    found = statements(topic_prefix=prefix, extra_topics=extra)
    arn = "arn:aws:iot:ap-northeast-1:123456789012"
    own = f"{prefix}/{iot_policy.THING}/*"
    assert [(as_list(one["Action"]), as_list(one["Resource"])) for one in found] == [
        (["iot:Connect"], [f"{arn}:client/{iot_policy.THING}"]),
        (["iot:Publish", "iot:Receive", "iot:RetainPublish"], [f"{arn}:topic/{topic}" for topic in [own, *extra]]),
        (["iot:Subscribe"], [f"{arn}:topicfilter/{topic}" for topic in [own, *extra]]),
    ]
    assert found[0]["Condition"]["Bool"] == {"iot:Connection.Thing.IsAttached": "true"}


@given(prefixes, levels)
def test_no_prefix_that_is_accepted_lets_a_device_into_another_devices_topics(prefix: str, other: str) -> None:
    """With `*` as the only wildcard, as in IoT policies."""
    accepted = iot_policy.topic_prefix("topic_prefix", prefix)
    pattern = as_list(statements(topic_prefix=accepted)[1]["Resource"])[0].split(":topic/")[1]
    mine = pattern.replace(iot_policy.THING, "pi-1")
    literal = re.escape(mine).replace(r"\*", ".*")
    assert re.fullmatch(literal, f"{prefix}/pi-1/data")
    if other != "pi-1":
        assert not re.fullmatch(literal, f"{prefix}/{other}/data")


def test_the_broad_form_is_the_walk_throughs_document() -> None:
    assert json.loads(
        iot_policy.document(**PLACE, vpc_endpoint_id=VPCE, topic_prefix="private-iot", allow_all_iot_actions=True)
    ) == {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": "iot:*",
                "Resource": "*",
                "Condition": {"StringEquals": {"aws:SourceVpce": VPCE}},
            }
        ],
    }


@pytest.mark.parametrize("partition", ["aws", "aws-cn", "aws-us-gov"])
def test_resources_are_of_the_accounts_partition(partition: str) -> None:
    text = iot_policy.document(
        partition=partition, region="r", account_id="1", vpc_endpoint_id=VPCE, topic_prefix="private-iot"
    )
    resources = [item for one in json.loads(text)["Statement"] for item in as_list(one["Resource"])]
    assert all(fnmatch.fnmatchcase(resource, f"arn:{partition}:iot:r:1:*") for resource in resources)


def test_2048_characters_are_taken_and_2049_are_refused_and_white_space_is_free() -> None:
    assert iot_policy.check_size("extra_topics", "x" * 2048 + " \n\t" * 99, []) == "x" * 2048 + " \n\t" * 99
    with pytest.raises(ArgumentError, match="would have 2049 characters and AWS IoT takes 2048"):
        iot_policy.check_size("extra_topics", "x" * 2049, ["a"])


@given(st.lists(levels, max_size=24, unique=True), levels)
def test_what_is_refused_before_the_region_is_known_is_refused_in_every_region(extra: list[str], prefix: str) -> None:
    def refused(check: Any, **place: str) -> bool:
        try:
            check("extra_topics", prefix, [f"fleet/{topic}" for topic in extra], **place)
        except ArgumentError:
            return True
        return False

    if refused(iot_policy.check_before_placement):
        for region in ("eu-west-1", "ap-northeast-1", "ap-southeast-2"):
            assert refused(iot_policy.check_placed, **(PLACE | {"region": region}))


@pytest.mark.parametrize(
    ("prefix", "limit"),
    [
        ("", "at least 1 character"),
        ("a/+/b", r"\+ is a wildcard of MQTT"),
        ("a/#", "# is a wildcard of MQTT"),
        ("a*", r"\* is a wildcard of IoT policies"),
        ("a?b", r"\? is a wildcard of IoT policies"),
        ("$aws/things", "reserved by AWS IoT"),
        ("a/${iot:ClientId}", r"no \$"),
        ("a b", "no .* space"),
        ("a/", "every level needs a name"),
        ("/a", "every level needs a name"),
        ("a//b", "every level needs a name"),
        ("a/b/c/d/e/f/g", "leaves 6 levels to the prefix, not 7"),
        ("é" * 93, "leaves 184 to the prefix, not 186"),
    ],
)
def test_a_prefix_that_would_open_more_or_fit_nothing_is_refused(prefix: str, limit: str) -> None:
    with pytest.raises(ArgumentError, match=limit):
        iot_policy.topic_prefix("topic_prefix", prefix)


@given(st.integers(1, 6), st.integers(1, 184))
def test_an_accepted_prefix_leaves_room_for_the_longest_device_and_its_status(depth: int, size: int) -> None:
    prefix = "/".join(["p"] * depth).ljust(size, "p")
    if prefix.count("/") > 5 or len(prefix) > 184:
        return
    topic = f"{iot_policy.topic_prefix('topic_prefix', prefix)}/{'d' * 64}/status"
    assert len(topic.encode()) <= 256
    assert topic.count("/") <= 7


@pytest.mark.parametrize(
    ("topic", "limit"),
    [
        ("", "at least 1 character"),
        ("fleet/#", "takes # literally"),
        ("fleet/+/x", r"takes \+ literally"),
        ("a b", "no space"),
        ("/".join("abcdefghi"), "at most 7 slashes, not 8"),
        ("x" * 257, "at most 256 bytes"),
    ],
)
def test_an_extra_topic_that_cannot_match_is_refused(topic: str, limit: str) -> None:
    with pytest.raises(ArgumentError, match=limit):
        iot_policy.extra_topics("extra_topics", [topic])


def test_a_shadow_topic_of_the_thing_is_an_extra_topic() -> None:
    topic = "$aws/things/${iot:Connection.Thing.ThingName}/shadow/*"
    assert iot_policy.extra_topics("extra_topics", [topic]) == (topic,)
