"""How the components read arguments: unknown names first, then each value's limits and default. No Pulumi here."""

import difflib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeVar

from private_iot.errors import ArgumentError, UnknownArgumentError

T = TypeVar("T")
_SUCCESSORS = {"extra_topics": "publish_topics and subscribe_topics"}
"""Arguments of earlier releases → what took their place."""


class InstalledDevices(Enum):
    """What a change of a setting does to the devices that are installed already."""

    NOTICE_NOTHING = "notice nothing"
    """Their bundle stays the same."""
    WORK_AS_BEFORE = "work as before; the change comes with their new bundle"
    """Their bundle changes, and the installed one stays good."""
    NEED_BUNDLE = "need their new bundle"
    """Their bundle changes, and the installed one is wrong from the moment of the change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """The one home of an optional argument's default, limits and effect; its type and text stand in the TypedDict.

    Attributes:
        read: Takes the argument's name and a value, returns the value as the component uses it, or raises
            `ArgumentError`.
        default: What holds where nothing is given; None stands for nothing.
        default_text: The default in words, where it is no constant.
        installed_devices: What a change does to the devices in the field.
    """

    read: Callable[[str, Any], Any]
    default: Any = None
    default_text: str = ""
    installed_devices: InstalledDevices = InstalledDevices.NOTICE_NOTHING


def known_arguments(component: str, args: Mapping[str, Any], shape: type) -> dict[str, Any]:
    """Return the arguments that have a value; None stands for "not given".

    Raises:
        UnknownArgumentError: A name is unknown; a typing error must not leave a default in force unnoticed.
    """
    known = sorted(shape.__annotations__)
    for name in args:
        if name not in known:
            begun = [one for one in known if one.startswith(str(name))]
            close = begun or difflib.get_close_matches(str(name), known, n=1)
            remedy = f"did you mean {close[0]}?" if close else "remove it"
            if name in _SUCCESSORS:
                remedy = f"write {_SUCCESSORS[name]} instead"
            raise UnknownArgumentError(
                str(name), f"{name} is no argument of {component}: it takes {', '.join(known)}; {remedy}"
            )
    return {name: value for name, value in args.items() if value is not None}


def checked_arguments(component: str, args: Mapping[str, Any], shape: type[T], settings: Mapping[str, Setting]) -> T:
    """Return the arguments with every setting checked and every default filled in; required ones may be missing still.

    Args:
        component: The component's name, for messages.
        args: What the program passed.
        shape: The component's TypedDict.
        settings: Its optional arguments.

    Raises:
        ArgumentError: A name is unknown or a value refused.
    """
    values = known_arguments(component, args, shape)
    for name, setting in settings.items():
        if name in values:
            values[name] = setting.read(name, values[name])
        elif setting.default is not None:
            values[name] = setting.default
    return values  # type: ignore[return-value] # a TypedDict is a dict


def require_arguments(component: str, args: Mapping[str, Any], shape: type) -> None:
    """Refuse arguments that lack a required one.

    Raises:
        UnknownArgumentError: One is missing.
    """
    required: frozenset[str] = shape.__required_keys__  # type: ignore[attr-defined] # every TypedDict has it
    for name in sorted(required):
        if args.get(name) is None:
            raise UnknownArgumentError(name, f"{name} is missing: {component} cannot do without it; pass {name}")


def whole_number(argument: str, value: object) -> int:
    """Return a whole number; programs in other languages send integers as floats."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ArgumentError(argument, value, "it must be a whole number", "write it without quotes and fractions")
    return value


def boolean(argument: str, value: object) -> bool:
    """Return a truth value; the text "false" would otherwise count as true."""
    if not isinstance(value, bool):
        raise ArgumentError(argument, value, "it must be true or false", "write it without quotes")
    return value


def one_of(*allowed: Any, source: str) -> Callable[[str, object], Any]:
    """Make a reader that takes only what `source` takes."""

    def read(argument: str, value: object) -> Any:
        if isinstance(allowed[0], int):
            value = whole_number(argument, value)
        if value not in allowed:
            choices = ", ".join(str(choice) for choice in allowed)
            raise ArgumentError(argument, value, f"{source} takes {choices}", "choose one of them")
        return value

    return read


def string_list(argument: str, values: object) -> list[str]:
    """Return a list of texts; a single text in place of a list is a common slip, a repeated one a mistake."""
    if isinstance(values, str) or not isinstance(values, Collection) or isinstance(values, Mapping):
        raise ArgumentError(argument, values, "it must be a list of texts", "put it into brackets")
    seen: set[str] = set()
    for value in values:
        if not isinstance(value, str):
            raise ArgumentError(argument, value, "each item must be a text", "put it into quotes")
        if value in seen:
            raise ArgumentError(argument, value, "each item may stand there once", "remove the repetition")
        seen.add(value)
    return list(values)


def string_map(argument: str, values: object) -> dict[str, Any]:
    """Return a map, whose values may still be to come."""
    if not isinstance(values, Mapping):
        raise ArgumentError(argument, values, "it must be a map", "write it as {key: value}")
    return dict(values)


LOG_RETENTION_DAYS = Setting(
    read=one_of(
        *(1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653),
        source="CloudWatch Logs",
    ),
    default=90,
)
"""What CloudWatch Logs takes (API reference, PutRetentionPolicy)."""
