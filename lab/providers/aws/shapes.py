"""Values between a program's form and AWS's, by the shapes that botocore has of every operation.

Names differ in their capitals at most (`vpcId`, `VpcId`, `VPCId`); other names are in a description's `fields`.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from lab.providers.schema import Property

Answer = dict[str, Any]


def arguments(client: Any, operation: str, values: Mapping[str, Any], fields: Mapping[str, str]) -> Answer:
    """Of some properties those that an operation takes, by the names and in the form that it takes them."""
    return _members(input_shape(client, operation), values, fields)


def input_shape(client: Any, operation: str) -> Any:
    """What botocore knows of an operation's arguments."""
    return client.meta.service_model.operation_model(client.meta.method_to_api_mapping[operation]).input_shape


def _members(shape: Any, values: Mapping[str, Any], fields: Mapping[str, str]) -> Answer:
    known = {name.lower(): name for name in shape.members}
    found: Answer = {}
    for name, value in values.items():
        other = fields.get(name, "").rpartition(".")[2].lower()
        member = known.get(other) or known.get(name.lower())
        if member is not None:
            found[member] = to_api(shape.members[member], value, fields)
    return found


def to_api(shape: Any, value: Any, fields: Mapping[str, str]) -> Any:
    """A value as an operation takes it.

    Of an object empty texts and lists are left out; a map may be a list of pairs; a plain value for a structure is its
    first member, as in `{"Value": true}`.
    """
    kind = shape.type_name
    if kind == "structure":
        if isinstance(value, Mapping):
            given = {name: item for name, item in value.items() if item not in (None, "", [])}
            return _members(shape, given, fields)
        return {next(iter(shape.members)): value} if isinstance(value, bool | int | str) else value
    if kind == "list" and isinstance(value, Mapping):
        return [dict(zip(shape.member.members, pair, strict=False)) for pair in sorted(value.items())]
    if kind == "list":
        return [to_api(shape.member, item, fields) for item in value]
    if kind == "blob" and isinstance(value, str):
        return value.encode()
    return float(value) if kind in ("double", "float") else value


def at(answer: Any, path: str) -> Any:
    """What is at a path of an answer, `Status.Code`; a name with `[]` after it is a list of which the first counts."""
    for name in filter(None, path.split(".")):
        if answer is None:
            return None
        answer = answer.get(name.removesuffix("[]"))
        if name.endswith("[]"):
            answer = answer[0] if answer else None
    return answer


def from_api(rules: Mapping[str, Property], thing: Mapping[str, Any], fields: Mapping[str, str]) -> Answer:
    """Properties as the state has them, out of a thing as AWS describes it."""
    known = {name.lower(): value for name, value in thing.items()}
    return {name: _seen(rule, _found(thing, known, name, fields), fields) for name, rule in rules.items()}


def _found(thing: Mapping[str, Any], known: Mapping[str, Any], name: str, fields: Mapping[str, str]) -> Any:
    value = at(thing, fields[name]) if name in fields else None
    return known.get(name.lower()) if value is None else value


def _seen(rule: Property, value: Any, fields: Mapping[str, str]) -> Any:
    """What AWS leaves out is None, but a list or a text in an object empty; an object of nothing else is None."""
    if rule.kind == "object" and not value:
        return None
    if rule.kind == "object":
        seen = from_api(rule.fields, value, fields)
        if all(item in (None, "", [], {}) for item in seen.values()):
            return None
        return {n: "" if v is None and rule.fields[n].kind == "string" else v for n, v in seen.items()}
    if rule.kind in ("list", "set"):
        items = [_seen(rule.items, item, fields) for item in value or []]
        return sorted(items, key=str) if rule.kind == "set" else items
    if rule.kind == "map":
        return from_pairs(value) if isinstance(value, list) else value or None
    if rule.kind == "boolean" and value is None and not rule.computed:
        return False
    return value.strftime("%Y-%m-%dT%H:%M:%SZ") if isinstance(value, datetime) else value


def from_pairs(pairs: Iterable[Mapping[str, str]] | None) -> dict[str, str]:
    """`[{"Key": …, "Value": …}]`, or with `Name`, as a map."""
    return {pair.get("Key") or pair["Name"]: pair.get("Value", "") for pair in pairs or []}
