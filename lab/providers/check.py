"""Check: what a program's inputs must be, and what is filled in where it is silent.

Source of the rules: Terraform's configuration validation (terraform-plugin-sdk ``helper/schema``) and the bridge's
``pkg/tfbridge/schema.go`` (coercion, auto-naming, defaults: pulumi-aws's own, and of Terraform's those that are neither
false nor 0 nor empty; they are listed in ``__defaults``).
"""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from lab.providers.errors import Failure
from lab.providers.schema import AutoName, Property, Resource
from lab.providers.values import UNKNOWN, Properties, has_unknown

DEFAULTS = "__defaults"


def check_properties(
    rules: Mapping[str, Property], given: Mapping[str, Any], exactly_one_of: Any = ()
) -> tuple[Properties, list[Failure]]:
    """Checks and completes inputs.

    Args:
        rules: What is accepted.
        given: Known or unknown values without secret markers.
        exactly_one_of: Groups of names of which exactly one must be given.

    Returns:
        The inputs with types made right and the defaults of nested objects filled in, and what is refused.
    """
    checked: Properties = {}
    failures: list[Failure] = []
    _check_object(rules, given, "", checked, failures)
    present = {name for name, value in checked.items() if value is not None}
    for name in sorted(present):
        for other in rules[name].conflicts:
            if other in present:
                failures.append(Failure(name, f'Conflicting configuration arguments. "{name}": conflicts with {other}'))
        for other in rules[name].requires:
            if other not in present:
                reason = f'Missing required argument. "{name}": all of `{other}` must be specified'
                failures.append(Failure(name, reason))
    for group in exactly_one_of:
        chosen, names = [name for name in group if name in present], ",".join(group)
        wrong = f'Invalid combination of arguments. "{group[0]}": '
        if not chosen:
            failures.append(Failure(group[0], f"{wrong}one of `{names}` must be specified"))
        elif len(chosen) > 1:
            reason = f"{wrong}only one of `{names}` can be specified, but `{','.join(chosen)}` were specified"
            failures.append(Failure(group[0], reason))
    return checked, failures


def _check_object(
    rules: Mapping[str, Property], given: Mapping[str, Any], path: str, checked: Properties, failures: list[Failure]
) -> None:
    for name, value in given.items():
        if name.startswith("__"):
            continue
        where = f"{path}{name}"
        if name not in rules:
            known = ", ".join(sorted(rules))
            reason = f'Invalid or unknown key. An argument named "{name}" is not expected here; known: {known}'
            failures.append(Failure(where, reason))
        elif value is not None:
            checked[name] = _check_value(rules[name], value, where, failures)
    for name, rule in rules.items():
        if rule.required and given.get(name) is None:
            reason = f'Missing required argument. The argument "{name}" is required, but no definition was found.'
            failures.append(Failure(f"{path}{name}", reason, missing=True))
        elif path and rule.default and name not in checked:
            checked[name] = rule.default


def _check_value(rule: Property, value: Any, path: str, failures: list[Failure]) -> Any:
    if value is UNKNOWN:
        return value
    value = _coerce(rule, value)
    if not _fits(rule, value):
        failures.append(Failure(path, f"expected type {rule.kind}, got {_kind_of(value)}"))
        return value
    if rule.kind == "object":
        checked: Properties = {}
        _check_object(rule.fields, value, f"{path}.", checked, failures)
        return checked
    if rule.kind in ("list", "set"):
        value = [_check_value(rule.items, item, f"{path}[{index}]", failures) for index, item in enumerate(value)]
        if rule.minimum is not None and len(value) < rule.minimum:
            failures.append(Failure(path, f"attribute supports {rule.minimum} item minimum, config has {len(value)}"))
        if rule.maximum is not None and len(value) > rule.maximum:
            failures.append(Failure(path, f"attribute supports {rule.maximum} item maximum, config has {len(value)}"))
    if rule.kind == "integer":
        low, high = rule.minimum, rule.maximum
        if (low is not None and value < low) or (high is not None and value > high):
            failures.append(Failure(path, f"expected {path} to be in the range ({low} - {high}), got {value}"))
    if rule.allowed and value not in rule.allowed:
        shown = f", got {value}" if not rule.secret else ""
        failures.append(Failure(path, f"expected {path} to be one of {json.dumps(list(rule.allowed))}{shown}"))
    if rule.validate is not None and not has_unknown(value):
        wrong = rule.validate(value)
        if wrong:
            failures.append(Failure(path, wrong))
    return value


def _coerce(rule: Property, value: Any) -> Any:
    """As the bridge does: `"8883"` for an integer, `"true"` for a boolean, a number or a boolean for a string."""
    if rule.kind == "string" and isinstance(value, bool):
        return "true" if value else "false"
    if rule.kind == "string" and isinstance(value, int | float):
        return str(value)
    if rule.kind == "integer" and isinstance(value, str) and re.fullmatch(r"-?\d+", value):
        return int(value)
    if rule.kind == "number" and isinstance(value, str) and re.fullmatch(r"-?\d+(\.\d+)?", value):
        return float(value)
    if rule.kind == "boolean" and value in ("true", "false"):
        return value == "true"
    if rule.kind == "map" and isinstance(value, dict):
        return {
            key: item if item is UNKNOWN or not isinstance(item, bool | int | float) else _coerce(Property(), item)
            for key, item in value.items()
        }
    return value


_TYPES: Mapping[str, Any] = {"string": str, "integer": int, "number": int | float, "list": list, "set": list}


def _fits(rule: Property, value: Any) -> bool:
    if isinstance(value, bool):
        return rule.kind == "boolean"
    if rule.kind == "map":
        return isinstance(value, dict) and all(item is UNKNOWN or isinstance(item, str) for item in value.values())
    return rule.kind != "boolean" and isinstance(value, _TYPES.get(rule.kind, dict))


def _kind_of(value: Any) -> str:
    names = {bool: "boolean", int: "number", float: "number", str: "string", list: "list", dict: "object"}
    return names.get(type(value), type(value).__name__)


def fill_defaults(
    resource: Resource,
    checked: Properties,
    olds: Mapping[str, Any],
    *,
    resource_name: str,
    seed: bytes,
    proposed_name: str | None = None,
) -> Properties:
    """Fills in a name and the defaults, and lists what it filled in under `__defaults`.

    A type of the plugin framework gets a name alone, and no list.

    Args:
        resource: The type.
        checked: Its inputs, without what the program left out.
        olds: The inputs of the resource so far; empty for a new one. A name once made is kept.
        resource_name: The resource's own name.
        seed: The engine's random seed, the same in a preview and in the up that follows its plan.
        proposed_name: The name that the engine's autonaming configuration asks for.
    """
    defaulted: list[str] = []
    auto = resource.autoname
    if auto is not None and checked.get(auto.property) is None and checked.get("namePrefix") is None:
        old = olds.get(auto.property)
        if old is not None and auto.property in (olds.get(DEFAULTS) or []):
            checked[auto.property] = old
        else:
            checked[auto.property] = proposed_name or make_name(auto, resource_name, seed)
        defaulted.append(auto.property)
    if resource.framework:
        return checked
    for name, rule in resource.inputs.items():
        if rule.default and checked.get(name) is None and not any(o in checked for o in rule.conflicts):
            checked[name] = rule.default
            defaulted.append(name)
    checked[DEFAULTS] = sorted(defaulted)
    return checked


def make_name(auto: AutoName, resource_name: str, seed: bytes) -> str:
    """A unique name: the resource's, cut to fit, and seven hexadecimal digits drawn from the seed.

    Raises:
        ValueError: When the type's names are too short to hold any of it.
    """
    suffix = hashlib.sha256(seed + resource_name.encode()).hexdigest()[:7]
    room = auto.maximum - len(auto.separator) - len(suffix)
    if room < 1:
        raise ValueError(f"a name of at most {auto.maximum} characters leaves no room for a random suffix")
    return f"{resource_name[:room]}{auto.separator}{suffix}"
