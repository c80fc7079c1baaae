"""Tags: what a resource carries beside its own, and how a change of them reaches AWS.

Source: pulumi-aws ``provider/tags.go`` (tagsAll is worked out before Check), terraform-provider-aws ``internal/tags``.
"""

from collections.abc import Mapping
from typing import Any

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
