"""The AWS IoT policy of the devices: topics, the document, its size. No Pulumi here.

Sources: AWS IoT developer guide, "AWS IoT Core policy actions", "Thing policy variables" and "Using AWS IoT Core with
interface VPC endpoints" (the `aws:SourceVpce` key); AWS IoT Core endpoints and quotas for every number.
"""

import json
from collections.abc import Sequence
from typing import Any

from private_iot.arguments import texts
from private_iot.errors import ArgumentError
from private_iot.names import COMMON_NAME_LIMIT

DOCUMENT_LIMIT = 2048
"""Characters of a policy document, white space not counted."""
TOPIC_LIMIT = 256
"""Bytes of a topic in UTF-8."""
SLASH_LIMIT = 7
"""Slashes in a topic (reserved topics, which begin with `$aws/`, count from their fourth level on)."""
PREFIX_LEVEL_LIMIT = SLASH_LIMIT - 1
"""Levels of a prefix, so that PREFIX/THING/one-more still fits."""
PREFIX_LIMIT = TOPIC_LIMIT - COMMON_NAME_LIMIT - len("//status")
"""Bytes of a prefix, so that the device agent's PREFIX/THING/status still fits for the longest device name."""
THING = "${iot:Connection.Thing.ThingName}"
"""Resolves to the thing only if the certificate is attached to it and the client ID is its name."""
_LONGEST_VPC_ENDPOINT_ID = "vpce-0123456789abcdef0"
_SHORTEST_PLACE = ("aws", "eu-west-1", "123456789012")


def topic_prefix(argument: str, value: object) -> str:
    """Return what the devices' topics begin with, before the thing's name.

    Args:
        argument: The argument's name.
        value: One or more levels without a slash at either end.

    Returns:
        The prefix.

    Raises:
        ArgumentError: It has wildcards, a `$`, white space, an empty level, too many levels or too many bytes.
    """
    if not isinstance(value, str) or not value:
        raise ArgumentError(argument, value, "it must be a text of at least 1 character", "write it as private-iot")
    if value.startswith("$"):
        raise ArgumentError(argument, value, "topics that begin with $ are reserved by AWS IoT", "begin with a letter")
    for character, meaning in (("+", "MQTT"), ("#", "MQTT"), ("*", "IoT policies"), ("?", "IoT policies")):
        if character in value:
            raise ArgumentError(
                argument, value, f"{character} is a wildcard of {meaning}", f"leave out the {character}"
            )
    if "$" in value or not value.isprintable() or " " in value:
        raise ArgumentError(argument, value, "it may hold no $, space or control character", "use letters and digits")
    levels = value.split("/")
    if not all(levels):
        raise ArgumentError(
            argument, value, "every level needs a name", "remove the slash at the end or the double one"
        )
    if len(levels) > PREFIX_LEVEL_LIMIT:
        raise ArgumentError(
            argument,
            value,
            f"a topic has at most {SLASH_LIMIT} slashes, which leaves {PREFIX_LEVEL_LIMIT} levels to the prefix, "
            f"not {len(levels)}",
            "use fewer levels",
        )
    size = len(value.encode())
    if size > PREFIX_LIMIT:
        raise ArgumentError(
            argument,
            value,
            f"a topic has at most {TOPIC_LIMIT} bytes, which leaves {PREFIX_LIMIT} to the prefix, not {size}",
            "shorten it",
        )
    return value


def extra_topics(argument: str, values: object) -> tuple[str, ...]:
    """Return further topics that every device may publish to, receive from and subscribe to.

    Args:
        argument: The argument's name.
        values: Topics as IoT policies write them: `*` stands for anything, `${iot:Connection.Thing.ThingName}` for
            the thing; MQTT's own `+` and `#` would be taken literally.

    Returns:
        The topics.

    Raises:
        ArgumentError: One is empty, has MQTT wildcards or white space, is too long or too deep, or stands there twice.
    """
    topics = texts(argument, values)
    for topic in topics:
        if not topic:
            raise ArgumentError(argument, topic, "a topic has at least 1 character", "remove it")
        for character in "+#":
            if character in topic:
                raise ArgumentError(
                    argument,
                    topic,
                    f"an IoT policy takes {character} literally",
                    "write * for anything that may follow",
                )
        if not topic.isprintable() or " " in topic:
            raise ArgumentError(argument, topic, "it may hold no space or control character", "remove it")
        slashes = topic.count("/") - (3 if topic.startswith("$aws/") else 0)
        if slashes > SLASH_LIMIT:
            raise ArgumentError(
                argument, topic, f"a topic has at most {SLASH_LIMIT} slashes, not {slashes}", "use fewer levels"
            )
        if len(topic.encode()) > TOPIC_LIMIT:
            raise ArgumentError(argument, topic, f"a topic has at most {TOPIC_LIMIT} bytes", "shorten it")
    return topics


def document(
    *,
    partition: str,
    region: str,
    account_id: str,
    vpc_endpoint_id: str,
    topic_prefix: str,
    extra_topics: Sequence[str] = (),
    allow_all_iot_actions: bool = False,
) -> str:
    """Write the policy that binds a device to the VPC endpoint and to its own name.

    Every statement carries `aws:SourceVpce`, not the Connect statement alone: a device certificate also opens the
    public HTTPS endpoint, where no Connect is evaluated.

    Args:
        partition: `aws`, `aws-cn` or `aws-us-gov`.
        region: The Region's name.
        account_id: Twelve digits.
        vpc_endpoint_id: The only way in, `vpce-…`.
        topic_prefix: A device may use PREFIX/THING/… only.
        extra_topics: Further topics, as IoT policies write them.
        allow_all_iot_actions: The walk-through's form, `iot:*` on `*`.

    Returns:
        The document as JSON without white space.
    """
    through_endpoint = {"StringEquals": {"aws:SourceVpce": vpc_endpoint_id}}
    if allow_all_iot_actions:
        statements: list[dict[str, Any]] = [
            {"Effect": "Allow", "Action": "iot:*", "Resource": "*", "Condition": through_endpoint}
        ]
    else:
        arn = f"arn:{partition}:iot:{region}:{account_id}"
        topics = [f"{topic_prefix}/{THING}/*", *extra_topics]
        statements = [
            {
                "Effect": "Allow",
                "Action": "iot:Connect",
                "Resource": f"{arn}:client/{THING}",
                "Condition": through_endpoint | {"Bool": {"iot:Connection.Thing.IsAttached": "true"}},
            },
            {
                "Effect": "Allow",
                # A retained message, such as a device's status, needs RetainPublish beside Publish (AWS IoT developer
                # guide, "AWS IoT Core policy actions").
                "Action": ["iot:Publish", "iot:Receive", "iot:RetainPublish"],
                "Resource": [f"{arn}:topic/{topic}" for topic in topics],
                "Condition": through_endpoint,
            },
            {
                "Effect": "Allow",
                "Action": "iot:Subscribe",
                "Resource": [f"{arn}:topicfilter/{topic}" for topic in topics],
                "Condition": through_endpoint,
            },
        ]
    policy = {"Version": "2012-10-17", "Statement": statements}
    return json.dumps(policy, separators=(",", ":"), ensure_ascii=False)


def check_size(argument: str, text: str, topics: Sequence[str]) -> str:
    """Refuse a document that AWS IoT would refuse.

    Args:
        argument: The name of the argument that made it grow.
        text: The document.
        topics: The extra topics in it, for the message.

    Returns:
        The document.

    Raises:
        ArgumentError: It has more than 2048 characters, white space not counted.
    """
    size = sum(not character.isspace() for character in text)
    if size > DOCUMENT_LIMIT:
        raise ArgumentError(
            argument,
            list(topics),
            f"the policy would have {size} characters and AWS IoT takes {DOCUMENT_LIMIT}",
            "use fewer or shorter topics; * covers several",
        )
    return text


def check_before_placement(argument: str, prefix: str, topics: Sequence[str]) -> None:
    """Refuse a policy that is too large in every Region, while the Region is not yet known.

    Args:
        argument: The name of the argument that made it grow.
        prefix: The topic prefix.
        topics: The extra topics.

    Raises:
        ArgumentError: Even with the shortest names of Region and partition it has more than 2048 characters.
    """
    partition, region, account_id = _SHORTEST_PLACE
    check_placed(argument, prefix, topics, partition=partition, region=region, account_id=account_id)


def check_placed(
    argument: str, prefix: str, topics: Sequence[str], *, partition: str, region: str, account_id: str
) -> None:
    """Refuse a policy that is too large where it will be, while the VPC endpoint does not exist yet.

    Args:
        argument: The name of the argument that made it grow.
        prefix: The topic prefix.
        topics: The extra topics.
        partition: The partition.
        region: The Region.
        account_id: The account.

    Raises:
        ArgumentError: It has more than 2048 characters, white space not counted.
    """
    text = document(
        partition=partition,
        region=region,
        account_id=account_id,
        vpc_endpoint_id=_LONGEST_VPC_ENDPOINT_ID,
        topic_prefix=prefix,
        extra_topics=topics,
    )
    check_size(argument, text, topics)
