"""Diff: which properties change, and whether the change replaces the resource.

As Terraform plans: new inputs against the state last read, so that drift found by a refresh is mended; what the service
fills in by itself is no difference; an unknown is one (terraform-plugin-sdk ``helper/schema/schema.go``).
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from lab.providers.check import DEFAULTS
from lab.providers.schema import Property, Resource
from lab.providers.values import UNKNOWN, has_unknown

ChangeKind = Literal["add", "update", "delete"]


@dataclass(frozen=True)
class Change:
    """One difference.

    Attributes:
        property: The top-level property that it is part of.
        kind: What becomes of the value.
        replaces: Whether it takes a new resource.
    """

    property: str
    kind: ChangeKind
    replaces: bool


def differences(
    resource: Resource, state: Mapping[str, Any], inputs: Mapping[str, Any], ignored: Iterable[str] = ()
) -> dict[str, Change]:
    """Compares checked inputs with a state, both without secret markers.

    Returns:
        Path of the property (`tags.Name`, `dnsServers[1]`) → its change.
    """
    skipped = {path.split(".")[0].split("[")[0] for path in ignored}
    found: dict[str, Change] = {}
    for name, rule in resource.inputs.items():
        if name not in skipped:
            changes: dict[str, tuple[ChangeKind, bool]] = {}
            _compare(rule, state.get(name), inputs.get(name), name, rule.force_new, changes)
            found.update({path: Change(name, kind, replaces) for path, (kind, replaces) in changes.items()})
    return found


def replacing(
    resource: Resource, state: dict[str, Any], inputs: dict[str, Any], changes: Mapping[str, Change]
) -> frozenset[str]:
    """The properties whose change takes a new resource."""
    changed = frozenset(change.property for change in changes.values())
    if resource.update is None:
        return changed
    forced = frozenset(change.property for change in changes.values() if change.replaces)
    return forced | (resource.also_replaces(state, inputs, changed) & changed)


def must_delete_first(resource: Resource, olds: Mapping[str, Any], inputs: Mapping[str, Any]) -> bool:
    """Whether a replacement must delete the old one first.

    True where the type says so, or where the program itself chose the name that a second one cannot share (the bridge's
    ``nameRequiresDeleteBeforeReplace``).
    """
    if resource.delete_before_replace:
        return True
    auto = resource.autoname
    if auto is None or inputs.get(auto.property) is None:
        return False
    made = auto.property in (inputs.get(DEFAULTS) or [])
    return not made and olds.get(auto.property) == inputs.get(auto.property)


def _compare(
    rule: Property, old: Any, new: Any, path: str, replaces: bool, found: dict[str, tuple[ChangeKind, bool]]
) -> None:
    replaces = replaces or rule.force_new
    if new is UNKNOWN:
        found[path] = ("add" if old is None else "update", replaces)
        return
    if new is None and rule.computed:
        return
    if empty(old) and empty(new):
        return
    if rule.same is not None and old is not None and new is not None and not has_unknown(new) and rule.same(old, new):
        return
    if old is None or new is None:
        found[path] = ("add" if old is None else "delete", replaces)
    elif rule.kind == "object":
        for name, inner in rule.fields.items():
            _compare(inner, old.get(name), new.get(name), f"{path}.{name}", replaces, found)
    elif rule.kind == "map":
        for name in sorted({*old, *new}):
            if old.get(name) != new.get(name):
                kind: ChangeKind = "add" if name not in old else "delete" if name not in new else "update"
                found[f"{path}{_quoted(name)}"] = (kind, replaces)
    elif rule.kind == "list":
        assert rule.element is not None  # noqa: S101 - a list always has one, by its constructor
        for index in range(max(len(old), len(new))):
            before = old[index] if index < len(old) else None
            after = new[index] if index < len(new) else None
            _compare(rule.element, before, after, f"{path}[{index}]", replaces, found)
    elif rule.kind == "set":
        _compare_sets(rule, old, new, path, replaces, found)
    elif old != new:
        found[path] = ("update", replaces)


def _compare_sets(
    rule: Property, old: list[Any], new: list[Any], path: str, replaces: bool, found: dict[str, tuple[ChangeKind, bool]]
) -> None:
    assert rule.element is not None  # noqa: S101 - a set always has one, by its constructor
    unmatched = list(range(len(old)))
    for index, item in enumerate(new):
        match = next((at for at in unmatched if equal(rule.element, old[at], item)), None)
        if match is None:
            found[f"{path}[{index}]"] = ("update" if index < len(old) else "add", replaces)
        else:
            unmatched.remove(match)
    for at in unmatched:
        found.setdefault(f"{path}[{at}]", ("delete", replaces))


def equal(rule: Property, old: Any, new: Any) -> bool:
    """Whether two values of a property are no difference to a plan."""
    found: dict[str, tuple[ChangeKind, bool]] = {}
    _compare(rule, old, new, "", False, found)
    return not found


def empty(value: Any) -> bool:
    """Whether a value is as good as absent: Terraform's plugin SDK knows no difference between absent and the type's zero value."""
    return value is None or value in ("", 0, False) or value == [] or value == {}


def _quoted(name: str) -> str:
    return f".{name}" if name.isidentifier() else f"[{json.dumps(name)}]"
