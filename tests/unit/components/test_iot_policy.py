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
CREDENTIALS_VPCE = "vpce-0c0c0c0c0c0c0c0c0"
levels = st.text(string.ascii_letters + string.digits + "-_.:äß", min_size=1, max_size=12)
prefixes = st.lists(levels, min_size=1, max_size=6).map("/".join)
topics = st.lists(st.lists(levels, min_size=1, max_size=4).map("/".join), max_size=3, unique=True)


def statements(**options: Any) -> list[dict[str, Any]]:
    rights = iot_policy.Rights(**{"topic_prefix": "private-iot", **options})
    text = iot_policy.document(rights, **PLACE, vpc_endpoint_id=VPCE, credentials_vpc_endpoint_id=CREDENTIALS_VPCE)
    found: list[dict[str, Any]] = json.loads(text)["Statement"]
    return found


def as_list(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


@given(prefixes, topics, st.booleans())
def test_every_statement_allows_through_the_vpc_endpoint_only(prefix: str, extra: list[str], broad: bool) -> None:
    for statement in statements(topic_prefix=prefix, publish_topics=extra, allow_all_iot_actions=broad):
        assert statement["Effect"] == "Allow"
        assert statement["Condition"]["StringEquals"] == {"aws:SourceVpce": VPCE}


@given(prefixes, topics, topics, st.booleans(), st.booleans())
def test_the_least_privilege_form_names_no_resource_but_the_things_own_and_the_further_topics(
    prefix: str, publish: list[str], subscribe: list[str], shadow: bool, jobs: bool
) -> None:
    found = statements(
        topic_prefix=prefix,
        publish_topics=publish,
        subscribe_topics=subscribe,
        shadow_topics=shadow,
        jobs_topics=jobs,
    )
    arn = "arn:aws:iot:ap-northeast-1:123456789012"
    own = [f"{prefix}/{iot_policy.THING}/*"]
    own += [f"$aws/things/{iot_policy.THING}/shadow/*"] if shadow else []
    own += [f"$aws/things/{iot_policy.THING}/jobs/*"] if jobs else []
    allowed: dict[str, set[str]] = {}
    for one in found:
        for action in as_list(one["Action"]):
            allowed.setdefault(action, set()).update(as_list(one["Resource"]))
    assert allowed == {
        "iot:Connect": {f"{arn}:client/{iot_policy.THING}"},
        "iot:Publish": {f"{arn}:topic/{topic}" for topic in [*own, *publish]},
        "iot:RetainPublish": {f"{arn}:topic/{topic}" for topic in [*own, *publish]},
        "iot:Receive": {f"{arn}:topic/{topic}" for topic in [*own, *subscribe]},
        "iot:Subscribe": {f"{arn}:topicfilter/{topic}" for topic in [*own, *subscribe]},
    }
    assert found[0]["Condition"]["Bool"] == {"iot:Connection.Thing.IsAttached": "true"}


def test_the_default_document_is_the_one_that_earlier_releases_wrote() -> None:
    arn = "arn:aws:iot:ap-northeast-1:123456789012"
    own = f"private-iot/{iot_policy.THING}/*"
    assert [(one["Action"], one["Resource"]) for one in statements()] == [
        ("iot:Connect", f"{arn}:client/{iot_policy.THING}"),
        (["iot:Publish", "iot:Receive", "iot:RetainPublish"], [f"{arn}:topic/{own}"]),
        ("iot:Subscribe", [f"{arn}:topicfilter/{own}"]),
    ]


@pytest.mark.parametrize("broad", [False, True])
def test_credentials_are_to_be_had_through_the_credentials_endpoint_alone(broad: bool) -> None:
    *others, last = statements(role_aliases=["uploads", "=,@_-"], allow_all_iot_actions=broad)
    assert last == {
        "Effect": "Allow",
        "Action": "iot:AssumeRoleWithCertificate",
        "Resource": [f"arn:aws:iot:ap-northeast-1:123456789012:rolealias/{name}" for name in ("uploads", "=,@_-")],
        "Condition": {"StringEquals": {"aws:SourceVpce": CREDENTIALS_VPCE}},
    }
    assert {one["Condition"]["StringEquals"]["aws:SourceVpce"] for one in others} == {VPCE}


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
    rights = iot_policy.Rights(topic_prefix="private-iot", allow_all_iot_actions=True)
    assert json.loads(iot_policy.document(rights, **PLACE, vpc_endpoint_id=VPCE)) == {
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
    rights = iot_policy.Rights(topic_prefix="private-iot")
    text = iot_policy.document(rights, partition=partition, region="r", account_id="1", vpc_endpoint_id=VPCE)
    resources = [item for one in json.loads(text)["Statement"] for item in as_list(one["Resource"])]
    assert all(fnmatch.fnmatchcase(resource, f"arn:{partition}:iot:r:1:*") for resource in resources)


def test_2048_characters_are_taken_and_2049_are_refused_and_white_space_is_free() -> None:
    rights = iot_policy.Rights(topic_prefix="p", subscribe_topics=["a"])
    assert iot_policy.check_size("x" * 2048 + " \n\t" * 99, rights) == "x" * 2048 + " \n\t" * 99
    with pytest.raises(ArgumentError, match=r"subscribe_topics is .* 2049 characters and AWS IoT takes 2048"):
        iot_policy.check_size("x" * 2049, rights)


@given(st.lists(levels, max_size=24, unique=True), levels)
def test_what_is_refused_before_the_region_is_known_is_refused_in_every_region(extra: list[str], prefix: str) -> None:
    rights = iot_policy.Rights(topic_prefix=prefix, publish_topics=[f"fleet/{topic}" for topic in extra])

    def refused(check: Any, **place: str) -> bool:
        try:
            check(rights, **place)
        except ArgumentError:
            return True
        return False

    if refused(iot_policy.check_smallest):
        for region in ("eu-west-1", "ap-northeast-1", "ap-southeast-2"):
            assert refused(iot_policy.check_in, **(PLACE | {"region": region}))


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
def test_a_further_topic_that_cannot_match_is_refused(topic: str, limit: str) -> None:
    with pytest.raises(ArgumentError, match=limit):
        iot_policy.further_topics("publish_topics", [topic])


def test_a_shadow_topic_of_the_thing_is_a_further_topic() -> None:
    topic = "$aws/things/${iot:Connection.Thing.ThingName}/shadow/*"
    assert iot_policy.further_topics("publish_topics", [topic]) == [topic]
