"""Tags: what a resource carries beside its own, and how a change of them reaches AWS.

Source: pulumi-aws ``provider/tags.go`` (tagsAll is worked out before Check), terraform-provider-aws ``internal/tags``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lab.providers.aws.clients import attempt
from lab.providers.values import UNKNOWN, Properties, has_unknown
from lab.providers.waiting import Call

Tags = dict[str, str]


def merged(configuration: Mapping[str, Any], own: Any) -> Any:
    """All the tags of a resource: the provider's defaults under its own, less the ignored ones; unknown if any is."""
    defaults = default_tags(configuration)
    if own is UNKNOWN or has_unknown(own) or has_unknown(defaults):
        return UNKNOWN
    everything = {**defaults, **(own if isinstance(own, dict) else {})}
    return visible(configuration, everything)


def default_tags(configuration: Mapping[str, Any]) -> Tags:
    """The provider's `defaultTags.tags`."""
    return dict((configuration.get("defaultTags") or {}).get("tags") or {})


def visible(configuration: Mapping[str, Any], tags: Mapping[str, str]) -> Tags:
    """Tags without those that the provider ignores and without AWS's own (`aws:…`)."""
    ignored = configuration.get("ignoreTags") or {}
    keys, prefixes = ignored.get("keys") or [], ignored.get("keyPrefixes") or []
    return {key: value for key, value in tags.items() if key not in keys and not key.startswith(("aws:", *prefixes))}


def own_tags(configuration: Mapping[str, Any], everything: Tags, given: Any) -> Tags:
    """The tags to show as the resource's own: without the defaults, except those that it gave itself."""
    defaults = default_tags(configuration)
    own = given if isinstance(given, dict) else {}
    return {key: value for key, value in everything.items() if key in own or defaults.get(key) != value}


def from_list(tags: list[Mapping[str, str]] | None) -> Tags:
    """`[{"Key": …, "Value": …}]` as a map; IoT and CloudWatch Logs name them alike or use a map at once."""
    return {tag["Key"]: tag.get("Value", "") for tag in tags or []}


def to_list(tags: Mapping[str, str] | None) -> list[dict[str, str]]:
    """A map as `[{"Key": …, "Value": …}]`."""
    return [{"Key": key, "Value": value} for key, value in sorted((tags or {}).items())]


def changes(state: Properties, inputs: Properties) -> tuple[Tags, list[str]]:
    """What to set and which keys to remove, to get from a state's tags to the inputs'."""
    old, new = state.get("tagsAll") or {}, inputs.get("tagsAll") or {}
    return {key: value for key, value in new.items() if old.get(key) != value}, sorted(old.keys() - new.keys())


@dataclass(frozen=True)
class TagCalls:
    """How one service tags.

    Attributes:
        at_creation: Kind and tags → the argument of a creation.
        read: Call, title, answer and the properties read so far → the tags.
        put: Call, target and tags.
        remove: Call, target and keys.
        by_arn: Whether the target is the ARN; else the id.
    """

    at_creation: Callable[[str, Tags], dict[str, Any]]
    read: Callable[[Call, str, dict[str, Any], Properties], Tags]
    put: Callable[[Call, str, Tags], Any]
    remove: Callable[[Call, str, list[str]], Any]
    by_arn: bool = True


def _keys(names: list[str]) -> list[dict[str, str]]:
    return [{"Key": name} for name in names]


def _listed(service: str, argument: str, member: str) -> Callable[[Call, str, dict[str, Any], Properties], Tags]:
    """Tags that a call of their own lists by the ARN; CloudWatch Logs answers with a map."""

    def read(call: Call, title: str, answer: dict[str, Any], seen: Properties) -> Tags:
        del answer
        client = call.client(service)
        operation = client.list_tags_for_certificate if service == "acm" else client.list_tags_for_resource
        found = attempt(f"listing tags for {title} ({seen['arn']})", lambda: operation(**{argument: seen["arn"]}))
        tags = found.get(member) or []
        return dict(tags) if isinstance(tags, dict) else from_list(tags)

    return read


TAG_CALLS: Mapping[str, TagCalls] = {
    "ec2": TagCalls(
        lambda kind, tags: (
            {"TagSpecifications": [{"ResourceType": kind.partition(":")[2], "Tags": to_list(tags)}]}
            if ":" in kind
            else {}
        ),
        lambda _call, _title, answer, _seen: from_list(answer.get("Tags")),
        lambda call, target, tags: call.client("ec2").create_tags(Resources=[target], Tags=to_list(tags)),
        lambda call, target, keys: call.client("ec2").delete_tags(Resources=[target], Tags=_keys(keys)),
        by_arn=False,
    ),
    "acm": TagCalls(
        lambda _kind, tags: {"Tags": to_list(tags)},
        _listed("acm", "CertificateArn", "Tags"),
        lambda call, target, tags: call.client("acm").add_tags_to_certificate(
            CertificateArn=target, Tags=to_list(tags)
        ),
        lambda call, target, keys: call.client("acm").remove_tags_from_certificate(
            CertificateArn=target, Tags=_keys(keys)
        ),
    ),
    "iam": TagCalls(
        lambda _kind, tags: {"Tags": to_list(tags)},
        lambda _call, _title, answer, _seen: from_list(answer.get("Tags")),
        lambda call, target, tags: call.client("iam").tag_role(RoleName=target, Tags=to_list(tags)),
        lambda call, target, keys: call.client("iam").untag_role(RoleName=target, TagKeys=keys),
        by_arn=False,
    ),
    "iot": TagCalls(
        lambda _kind, tags: {"tags": to_list(tags)},
        _listed("iot", "resourceArn", "tags"),
        lambda call, target, tags: call.client("iot").tag_resource(resourceArn=target, tags=to_list(tags)),
        lambda call, target, keys: call.client("iot").untag_resource(resourceArn=target, tagKeys=keys),
    ),
    "logs": TagCalls(
        lambda _kind, tags: {"tags": tags},
        _listed("logs", "resourceArn", "tags"),
        lambda call, target, tags: call.client("logs").tag_resource(resourceArn=target, tags=tags),
        lambda call, target, keys: call.client("logs").untag_resource(resourceArn=target, tagKeys=keys),
    ),
    "route53": TagCalls(
        lambda _kind, _tags: {},
        lambda call, _title, _answer, seen: from_list(
            call.client("route53")
            .list_tags_for_resource(ResourceType="hostedzone", ResourceId=seen["id"])["ResourceTagSet"]
            .get("Tags")
        ),
        lambda call, target, tags: call.client("route53").change_tags_for_resource(
            ResourceType="hostedzone", ResourceId=target, AddTags=to_list(tags)
        ),
        lambda call, target, keys: call.client("route53").change_tags_for_resource(
            ResourceType="hostedzone", ResourceId=target, RemoveTagKeys=keys
        ),
        by_arn=False,
    ),
    "route53resolver": TagCalls(
        lambda _kind, tags: {"Tags": to_list(tags)},
        _listed("route53resolver", "ResourceArn", "Tags"),
        lambda call, target, tags: call.client("route53resolver").tag_resource(ResourceArn=target, Tags=to_list(tags)),
        lambda call, target, keys: call.client("route53resolver").untag_resource(ResourceArn=target, TagKeys=keys),
    ),
}
