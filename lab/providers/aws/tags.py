"""Tags: what a resource carries beside its own, and how a change of them reaches AWS.

Source: pulumi-aws ``provider/tags.go`` (tagsAll is worked out before Check), terraform-provider-aws ``internal/tags``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lab.providers.aws.shapes import arguments, at, from_pairs, input_shape, to_api
from lab.providers.values import UNKNOWN, Properties, has_unknown

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


def changes(state: Properties, inputs: Properties) -> tuple[Tags, list[str]]:
    """What to set and which keys to remove, to get from a state's tags to the inputs'."""
    old, new = state.get("tagsAll") or {}, inputs.get("tagsAll") or {}
    return {key: value for key, value in new.items() if old.get(key) != value}, sorted(old.keys() - new.keys())


@dataclass(frozen=True)
class Calls:
    """How one service tags.

    Attributes:
        target: The argument that names what has the tags, by its ARN where it ends so, else by its id.
        put: The call that puts tags, and what it calls them.
        remove: The call that takes them away, and what it calls their keys.
        listed: The call that lists them and where in its answer they are; empty where the thing itself has them.
        more: Another argument of all these calls.
    """

    target: str
    put: tuple[str, str]
    remove: tuple[str, str]
    listed: tuple[str, str] = ("", "Tags")
    more: Mapping[str, str] = field(default_factory=dict)

    @property
    def by_arn(self) -> bool:
        return self.target.lower().endswith("arn")

    def read(self, api: Any, thing: Mapping[str, Any], target: str) -> Tags:
        """The tags of a thing."""
        operation, place = self.listed
        found = getattr(api, operation)(**self._of(target)) if operation else thing
        tags = at(found, place) or []
        return dict(tags) if isinstance(tags, dict) else from_pairs(tags)

    def change(self, api: Any, target: str, put: Tags, removed: list[str]) -> None:
        """Takes tags away and puts others."""
        for (operation, argument), values in ((self.remove, removed), (self.put, put)):
            if values:
                shape = input_shape(api, operation).members[argument]
                getattr(api, operation)(**self._of(target), **{argument: to_api(shape, values, {})})

    def _of(self, target: str) -> dict[str, Any]:
        lists = self.target.endswith("[]")
        return {self.target.removesuffix("[]"): [target] if lists else target, **self.more}


_ALIKE = (("tag_resource", "Tags"), ("untag_resource", "TagKeys"))
_ALIKE_LOWER = (("tag_resource", "tags"), ("untag_resource", "tagKeys"), ("list_tags_for_resource", "tags"))
CALLS: Mapping[str, Calls] = {
    "acm": Calls(
        "CertificateArn",
        ("add_tags_to_certificate", "Tags"),
        ("remove_tags_from_certificate", "Tags"),
        ("list_tags_for_certificate", "Tags"),
    ),
    "acm-pca": Calls(
        "CertificateAuthorityArn",
        ("tag_certificate_authority", "Tags"),
        ("untag_certificate_authority", "Tags"),
        ("list_tags", "Tags"),
    ),
    "cloudwatch": Calls("ResourceARN", *_ALIKE, ("list_tags_for_resource", "Tags")),
    "ec2": Calls("Resources[]", ("create_tags", "Tags"), ("delete_tags", "Tags")),
    "iam": Calls("RoleName", ("tag_role", "Tags"), ("untag_role", "TagKeys")),
    "iot": Calls("resourceArn", *_ALIKE_LOWER),
    "logs": Calls("resourceArn", *_ALIKE_LOWER),
    "route53": Calls(
        "ResourceId",
        ("change_tags_for_resource", "AddTags"),
        ("change_tags_for_resource", "RemoveTagKeys"),
        ("list_tags_for_resource", "ResourceTagSet.Tags"),
        {"ResourceType": "hostedzone"},
    ),
    "route53resolver": Calls("ResourceArn", *_ALIKE, ("list_tags_for_resource", "Tags")),
}


def at_creation(api: Any, operation: str, kind: str | bool, tags: Tags) -> dict[str, Any]:
    """The argument of a creation; EC2's names the kind of resource."""
    if isinstance(kind, str):
        pairs = [{"Key": key, "Value": value} for key, value in sorted(tags.items())]
        return {"TagSpecifications": [{"ResourceType": kind, "Tags": pairs}]}
    return arguments(api, operation, {"tags": tags}, {})
