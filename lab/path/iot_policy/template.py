"""Patterns with wildcards and policy variables.

Sources (IAM = docs.aws.amazon.com/IAM/latest/UserGuide/, IOT = docs.aws.amazon.com/iot/latest/developerguide/):

- ``*`` matches any run of characters, ``?`` exactly one (IAM/reference_policies_elements_resource.html); the MQTT
  wildcards ``+`` and ``#`` are literal (IOT/pub-sub-policy.html), so ``*`` crosses topic levels.
- ``${key}`` is replaced by the request's value, ``${key, 'default'}`` has a default, ``${*}``, ``${?}`` and ``${$}``
  are the characters themselves (IAM/reference_policies_variables.html).
- A value that is put in for a variable is literal: its own ``*`` matches only a ``*``. No page says so; anything else
  would let a client ID of ``*`` widen its own policy.
"""

from collections.abc import Mapping, Sequence
from enum import Enum
from functools import lru_cache

Context = Mapping[str, str | Sequence[str]]
"""The request's context: lower-case keys; a sequence is a multivalued key."""

_ESCAPES = {"*": "*", "?": "?", "$": "$"}


class Wildcard(Enum):
    """The two wildcards of a pattern."""

    ANY = "*"
    ONE = "?"


class UnresolvedVariableError(LookupError):
    """A policy variable that the request has no single value for."""


Element = str | Wildcard
Pattern = tuple[Element, ...]
"""One element for each literal character or wildcard."""


def first_value(context: Context, key: str) -> str | None:
    """The only value of a key, None when it is absent or has several values."""
    value = context.get(key.lower())
    if value is None or isinstance(value, str):
        return value
    return value[0] if len(value) == 1 else None


@lru_cache(maxsize=4096)
def _parse(text: str, variables: bool) -> tuple[str | Wildcard | tuple[str, str | None], ...]:
    """Split a template into literal characters, wildcards and (variable, default) pairs."""
    parts: list[str | Wildcard | tuple[str, str | None]] = []
    position = 0
    while position < len(text):
        character = text[position]
        if variables and text.startswith("${", position):
            end = text.find("}", position)
            if end != -1:
                name = text[position + 2 : end]
                if name in _ESCAPES:
                    parts.append(_ESCAPES[name])
                else:
                    key, comma, default = name.partition(",")
                    parts.append((key.strip(), default.strip().strip("'") if comma else None))
                position = end + 1
                continue
        if character == "*":
            parts.append(Wildcard.ANY)
        elif character == "?":
            parts.append(Wildcard.ONE)
        else:
            parts.append(character)
        position += 1
    return tuple(parts)


def resolve(text: str, context: Context, *, variables: bool) -> Pattern:
    """Put the request's values into a template.

    Args:
        text: the policy's text, for instance ``topic/${iot:ClientId}/*``.
        variables: whether ``${…}`` is a variable; it is plain text before version 2012-10-17 of the policy language.

    Raises:
        UnresolvedVariableError: the request has no value for a variable without a default.
    """
    pattern: list[Element] = []
    for part in _parse(text, variables):
        if isinstance(part, tuple):
            key, default = part
            value = first_value(context, key)
            if value is None:
                value = default
            if value is None:
                raise UnresolvedVariableError(key)
            pattern.extend(value)
        else:
            pattern.append(part)
    return tuple(pattern)


def literal(pattern: Pattern) -> str:
    """The pattern as text, for operators that know no wildcards."""
    return "".join(element.value if isinstance(element, Wildcard) else element for element in pattern)


def matches(pattern: Pattern, text: str) -> bool:
    """Whether the whole text fits the pattern, in at most len(pattern) times len(text) steps.

    A regular expression with as many ``.*`` as a policy may hold could run for hours.
    """
    at_pattern = at_text = 0
    star, star_text = -1, 0
    while at_text < len(text):
        element = pattern[at_pattern] if at_pattern < len(pattern) else None
        if element is Wildcard.ANY:
            star, star_text = at_pattern, at_text
            at_pattern += 1
        elif element is Wildcard.ONE or element == text[at_text]:
            at_pattern += 1
            at_text += 1
        elif star >= 0:
            star_text += 1
            at_pattern, at_text = star + 1, star_text
        else:
            return False
    return all(element is Wildcard.ANY for element in pattern[at_pattern:])
