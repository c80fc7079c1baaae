"""How every component reads its arguments: names first, then plain values. No Pulumi here."""

import difflib
from collections.abc import Mapping
from typing import Any

from private_iot.errors import ArgumentError, UnknownArgumentError


def given(component: str, args: Mapping[str, Any], shape: type) -> dict[str, Any]:
    """Return the arguments that have a value, after refusing names that the component does not know.

    Args:
        component: The component's name, for the message.
        args: What the program passed. None stands for "not given".
        shape: The component's TypedDict.

    Returns:
        The arguments whose value is not None.

    Raises:
        UnknownArgumentError: A name is unknown; a typing error must not pass silently and leave a default in force.
    """
    known = sorted(shape.__annotations__)
    for name in args:
        if name not in known:
            close = difflib.get_close_matches(str(name), known, n=1)
            remedy = f"did you mean {close[0]}?" if close else "remove it"
            raise UnknownArgumentError(
                str(name), f"{name} is no argument of {component}: it takes {', '.join(known)}; {remedy}"
            )
    return {name: value for name, value in args.items() if value is not None}


def require(component: str, args: Mapping[str, Any], shape: type) -> None:
    """Refuse arguments that lack a required one.

    Args:
        component: The component's name, for the message.
        args: What the program passed.
        shape: The component's TypedDict.

    Raises:
        UnknownArgumentError: A required argument is missing.
    """
    required: frozenset[str] = shape.__required_keys__  # type: ignore[attr-defined] # every TypedDict has it
    for name in sorted(required):
        if args.get(name) is None:
            raise UnknownArgumentError(name, f"{name} is missing: {component} cannot do without it; pass {name}")


def whole_number(argument: str, value: object) -> int:
    """Return a whole number; programs in other languages send integers as floats.

    Args:
        argument: The argument's name.
        value: What was given.

    Returns:
        The value as an int.

    Raises:
        ArgumentError: It is no whole number.
    """
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ArgumentError(argument, value, "it must be a whole number", "write it without quotes and fractions")
    return value


def one_of(argument: str, value: Any, allowed: tuple[Any, ...], source: str) -> None:
    """Refuse a value outside AWS's own list.

    Args:
        argument: The argument's name.
        value: What was given.
        allowed: The values that AWS takes.
        source: Who says so.

    Raises:
        ArgumentError: The value is none of them.
    """
    if value not in allowed:
        choices = ", ".join(str(choice) for choice in allowed)
        raise ArgumentError(argument, value, f"{source} takes {choices}", "choose one of them")


def texts(argument: str, values: object) -> tuple[str, ...]:
    """Return a list of texts as a tuple, refusing anything else and repeated ones.

    Args:
        argument: The argument's name.
        values: What was given; a single text in place of a list is a common slip.

    Returns:
        The texts.

    Raises:
        ArgumentError: It is no list, an item is no text, or an item stands there twice.
    """
    if isinstance(values, str) or not isinstance(values, (list, tuple)):
        raise ArgumentError(argument, values, "it must be a list of texts", "put it into brackets")
    seen: set[str] = set()
    for value in values:
        if not isinstance(value, str):
            raise ArgumentError(argument, value, "each item must be a text", "put it into quotes")
        if value in seen:
            raise ArgumentError(argument, value, "each item may stand there once", "remove the repetition")
        seen.add(value)
    return tuple(values)


def flag(argument: str, value: object) -> bool:
    """Return a truth value; the text "false" would otherwise count as true.

    Args:
        argument: The argument's name.
        value: What was given.

    Returns:
        The value.

    Raises:
        ArgumentError: It is no bool.
    """
    if not isinstance(value, bool):
        raise ArgumentError(argument, value, "it must be true or false", "write it without quotes")
    return value
