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
            comparison = _Comparison()
            comparison.compare(rule, state.get(name), inputs.get(name), name, replaces=rule.force_new)
            found.update({path: Change(name, kind, forced) for path, (kind, forced) in comparison.found.items()})
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

    True where the program itself chose the name that a second one cannot share (``nameRequiresDeleteBeforeReplace`` of
    the bridge for the plugin SDK; its framework side has none). No type is marked so in pulumi-aws's overrides.
    """
    auto = resource.autoname
    if auto is None or resource.framework or inputs.get(auto.property) is None:
        return False
    made = auto.property in (inputs.get(DEFAULTS) or [])
    return not made and olds.get(auto.property) == inputs.get(auto.property)


class _Comparison:
    """Collects what differs: path → kind and whether it replaces."""

    def __init__(self) -> None:
        self.found: dict[str, tuple[ChangeKind, bool]] = {}

    def compare(self, rule: Property, old: Any, new: Any, path: str, *, replaces: bool) -> None:
        """Compares one property, however deep."""
        replaces = replaces or rule.force_new
        if new is UNKNOWN:
            self.found[path] = ("add" if old is None else "update", replaces)
            return
        if (new is None and rule.computed) or (empty(old) and empty(new)):
            return
        if rule.same is not None and old is not None and not has_unknown(new) and new is not None:
            if not rule.same(old, new):
                self.found[path] = ("update", replaces)
        elif old is None or new is None:
            self.found[path] = ("add" if old is None else "delete", replaces)
        elif rule.kind == "object":
            for name, inner in rule.fields.items():
                self.compare(inner, old.get(name), new.get(name), f"{path}.{name}", replaces=replaces)
        elif rule.kind == "map":
            self._maps(old, new, path, replaces=replaces)
        elif rule.kind == "list":
            self._lists(rule.items, old, new, path, replaces=replaces)
        elif rule.kind == "set":
            self._sets(rule, old, new, path, replaces=replaces)
        elif old != new:
            self.found[path] = ("update", replaces)

    def _maps(self, old: dict[str, Any], new: dict[str, Any], path: str, *, replaces: bool) -> None:
        for name in sorted({*old, *new}):
            if old.get(name) != new.get(name):
                kind: ChangeKind = "add" if name not in old else "delete" if name not in new else "update"
                self.found[f"{path}{_quoted(name)}"] = (kind, replaces)

    def _lists(self, items: Property, old: list[Any], new: list[Any], path: str, *, replaces: bool) -> None:
        for index in range(max(len(old), len(new))):
            before = old[index] if index < len(old) else None
            after = new[index] if index < len(new) else None
            self.compare(items, before, after, f"{path}[{index}]", replaces=replaces)

    def _sets(self, rule: Property, old: list[Any], new: list[Any], path: str, *, replaces: bool) -> None:
        """A computed set of plain values as a whole; else by element, and objects at one place field by field."""
        items, unmatched, missing = rule.items, list(range(len(old))), []
        for index, item in enumerate(new):
            match = next((at for at in unmatched if equal(items, old[at], item)), None)
            if match is None:
                missing.append(index)
            else:
                unmatched.remove(match)
        if rule.computed and items.kind != "object":
            if missing or unmatched:
                self.found[path] = ("update", replaces)
            return
        for index in missing:
            if index in unmatched and items.kind == "object":
                unmatched.remove(index)
                self.compare(items, old[index], new[index], f"{path}[{index}]", replaces=replaces)
            else:
                self.found[f"{path}[{index}]"] = ("update" if index < len(old) else "add", replaces)
        for at in unmatched:
            self.found.setdefault(f"{path}[{at}]", ("delete", replaces))


def equal(rule: Property, old: Any, new: Any) -> bool:
    """Whether two values of a property are no difference to a plan."""
    comparison = _Comparison()
    comparison.compare(rule, old, new, "", replaces=False)
    return not comparison.found


def empty(value: Any) -> bool:
    """Whether a value is as good as absent: Terraform's plugin SDK takes a type's zero value for absent."""
    return value is None or value in ("", 0, [], {})


def _quoted(name: str) -> str:
    return f".{name}" if name.isidentifier() else f"[{json.dumps(name)}]"
