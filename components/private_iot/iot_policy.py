"""The AWS IoT policy of the devices: topics, the document, its size. No Pulumi here.

Sources: AWS IoT developer guide, "AWS IoT Core policy actions", "Thing policy variables", "Authorizing direct calls to
AWS services" (role aliases) and "Using AWS IoT Core with interface VPC endpoints" (the `aws:SourceVpce` key); AWS IoT
Core endpoints and quotas for every number.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from private_iot.arguments import string_list
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
_ROLE_ALIAS = re.compile(r"[\w=,@-]{1,128}", re.ASCII)
_LONGEST_VPC_ENDPOINT_ID = "vpce-0123456789abcdef0"
_SMALLEST = {"partition": "aws", "region": "eu-west-1", "account_id": "123456789012"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rights:
    """What every device may do.

    Attributes:
        topic_prefix: It may use PREFIX/THING/… in both directions.
        publish_topics: Further topics to publish to, as IoT policies write them.
        subscribe_topics: Further topics to subscribe to and receive from.
        shadow_topics: Whether it may use the topics of its thing's own shadows.
        jobs_topics: Whether it may use the topics of its thing's own jobs.
        allow_all_iot_actions: The walk-through's form instead of all these, `iot:*` on `*`.
        role_aliases: Names of the role aliases whose credentials it may take, through the credentials endpoint.
    """

    topic_prefix: str
    publish_topics: Sequence[str] = ()
    subscribe_topics: Sequence[str] = ()
    shadow_topics: bool = False
    jobs_topics: bool = False
    allow_all_iot_actions: bool = False
    role_aliases: Sequence[str] = field(default=())

    @property
    def own_topics(self) -> list[str]:
        """The thing's own topics, in both directions."""
        reserved = [name for name, on in (("shadow", self.shadow_topics), ("jobs", self.jobs_topics)) if on]
        return [f"{self.topic_prefix}/{THING}/*", *(f"$aws/things/{THING}/{name}/*" for name in reserved)]


def topic_prefix(argument: str, value: object) -> str:
    """Return what the devices' topics begin with, before the thing's name: levels without a slash at either end."""
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


def further_topics(argument: str, values: object) -> list[str]:
    """Return topics as IoT policies write them: `*` stands for anything, `+` and `#` for themselves."""
    topics = string_list(argument, values)
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


def role_aliases(argument: str, values: object) -> list[str]:
    """Return names of role aliases (AWS IoT API reference, CreateRoleAlias)."""
    aliases = string_list(argument, values)
    for alias in aliases:
        if not _ROLE_ALIAS.fullmatch(alias):
            raise ArgumentError(
                argument, alias, "a role alias's name is 1 to 128 of a-z A-Z 0-9 _ = , @ -", "name it, without its ARN"
            )
    return aliases


def document(
    rights: Rights,
    *,
    partition: str,
    region: str,
    account_id: str,
    vpc_endpoint_id: str,
    credentials_vpc_endpoint_id: str = "",
) -> str:
    """Write the policy that binds a device to the VPC endpoints and to its own name.

    Every statement carries `aws:SourceVpce`, not the Connect statement alone: a device certificate also opens the
    public HTTPS endpoint, where no Connect is evaluated.

    Args:
        rights: What a device may do.
        partition: `aws` or `aws-us-gov`.
        region: The Region's name.
        account_id: Twelve digits.
        vpc_endpoint_id: The only way in for messages, `vpce-…`.
        credentials_vpc_endpoint_id: The only way in for credentials.

    Returns:
        The document as JSON without white space.
    """
    arn = f"arn:{partition}:iot:{region}:{account_id}"

    def allowed(
        actions: str | list[str], resources: str | list[str], endpoint_id: str = vpc_endpoint_id, **condition: Any
    ) -> dict[str, Any]:
        condition = {"StringEquals": {"aws:SourceVpce": endpoint_id}, **condition}
        return {"Effect": "Allow", "Action": actions, "Resource": resources, "Condition": condition}

    if rights.allow_all_iot_actions:
        statements = [allowed("iot:*", "*")]
    else:
        publish = [f"{arn}:topic/{topic}" for topic in (*rights.own_topics, *rights.publish_topics)]
        receive = [f"{arn}:topic/{topic}" for topic in (*rights.own_topics, *rights.subscribe_topics)]
        subscribe = [f"{arn}:topicfilter/{topic}" for topic in (*rights.own_topics, *rights.subscribe_topics)]
        statements = [
            allowed("iot:Connect", f"{arn}:client/{THING}", Bool={"iot:Connection.Thing.IsAttached": "true"}),
            # A retained message, such as a device's status, needs RetainPublish beside Publish (AWS IoT developer
            # guide, "AWS IoT Core policy actions").
            *(
                [allowed(["iot:Publish", "iot:Receive", "iot:RetainPublish"], publish)]
                if publish == receive
                else [allowed(["iot:Publish", "iot:RetainPublish"], publish), allowed("iot:Receive", receive)]
            ),
            allowed("iot:Subscribe", subscribe),
        ]
    if rights.role_aliases:
        aliases = [f"{arn}:rolealias/{alias}" for alias in rights.role_aliases]
        statements.append(allowed("iot:AssumeRoleWithCertificate", aliases, credentials_vpc_endpoint_id))
    policy = {"Version": "2012-10-17", "Statement": statements}
    return json.dumps(policy, separators=(",", ":"), ensure_ascii=False)


def check_size(text: str, rights: Rights) -> str:
    """Refuse a document of more than 2048 characters, white space not counted, and name the argument to shorten."""
    size = sum(not character.isspace() for character in text)
    if size > DOCUMENT_LIMIT:
        lists = {name: list(getattr(rights, name)) for name in ("publish_topics", "subscribe_topics", "role_aliases")}
        longest = max(lists, key=lambda name: len(json.dumps(lists[name])))
        raise ArgumentError(
            longest,
            lists[longest],
            f"the policy would have {size} characters and AWS IoT takes {DOCUMENT_LIMIT}",
            "use fewer or shorter ones; * covers several topics",
        )
    return text


def check_smallest(rights: Rights) -> None:
    """Refuse a policy that is too large in every Region, while the Region is not yet known."""
    check_in(rights, **_SMALLEST)


def check_in(rights: Rights, *, partition: str, region: str, account_id: str) -> None:
    """Refuse a policy that is too large where it will be, while the VPC endpoints do not exist yet."""
    text = document(
        rights,
        partition=partition,
        region=region,
        account_id=account_id,
        vpc_endpoint_id=_LONGEST_VPC_ENDPOINT_ID,
        credentials_vpc_endpoint_id=_LONGEST_VPC_ENDPOINT_ID,
    )
    check_size(text, rights)
