"""The operators of a policy's Condition block.

Source: docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html and, for the set
operators, reference_policies_condition-single-vs-multi-valued-context-keys.html:

- the operators of a block, and the keys of an operator, are joined by AND; the values of a key by OR (a negated
  operator: by NOR);
- a key that the request lacks fails a positive operator and matches a negated one; ``…IfExists`` is then true; ``Null``
  asks for just that;
- ``ForAllValues`` is true for a key without values, ``ForAnyValue`` false;
- policy variables are replaced in string and ARN operators only.
"""

import base64
import binascii
import ipaddress
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

from lab.path.iot_policy.template import Context, UnresolvedVariableError, literal, matches, resolve

Comparison = Callable[[str, str], bool]
"""A comparison of the request's value with the policy's."""


def _boolean(value: str, wanted: str) -> bool:
    return value.lower() == wanted.lower() and wanted.lower() in ("true", "false")


def _binary(value: str, wanted: str) -> bool:
    try:
        return value.encode() == base64.b64decode(wanted, validate=True)
    except (binascii.Error, ValueError):
        return False


def _address(value: str, wanted: str) -> bool:
    try:
        return ipaddress.ip_address(value) in ipaddress.ip_network(wanted, strict=False)
    except ValueError:
        return False


def _number(compare: Callable[[float, float], bool]) -> Comparison:
    def comparison(value: str, wanted: str) -> bool:
        try:
            return compare(float(value), float(wanted))
        except ValueError:
            return False

    return comparison


def _instant(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _date(compare: Callable[[float, float], bool]) -> Comparison:
    def comparison(value: str, wanted: str) -> bool:
        try:
            return compare(_instant(value), _instant(wanted))
        except (ValueError, OverflowError):
            return False

    return comparison


_ORDERS: Mapping[str, Callable[[float, float], bool]] = {
    "equals": lambda value, wanted: value == wanted,
    "lessthan": lambda value, wanted: value < wanted,
    "lessthanequals": lambda value, wanted: value <= wanted,
    "greaterthan": lambda value, wanted: value > wanted,
    "greaterthanequals": lambda value, wanted: value >= wanted,
}

_PLAIN: dict[str, Comparison] = {"bool": _boolean, "binaryequals": _binary, "ipaddress": _address}
for _name, _order in _ORDERS.items():
    _PLAIN[f"numeric{_name}"] = _number(_order)
    _PLAIN[f"date{_name}"] = _date(_order)

_TEMPLATED = frozenset({"stringequals", "stringequalsignorecase", "stringlike", "arnequals", "arnlike"})

_POSITIVE_OF_NEGATED = {
    "stringnotequals": "stringequals",
    "stringnotequalsignorecase": "stringequalsignorecase",
    "stringnotlike": "stringlike",
    "arnnotequals": "arnequals",
    "arnnotlike": "arnlike",
    "numericnotequals": "numericequals",
    "datenotequals": "dateequals",
    "notipaddress": "ipaddress",
}


def _arn_matches(value: str, wanted: str, context: Context, *, variables: bool) -> bool:
    """Each of the six components is compared by itself; the last may hold colons of its own."""
    wanted_parts, value_parts = wanted.split(":", 5), value.split(":", 5)
    if len(wanted_parts) != 6 or len(value_parts) != 6:
        return False
    patterns = [resolve(part, context, variables=variables) for part in wanted_parts]
    return all(matches(pattern, part) for pattern, part in zip(patterns, value_parts, strict=True))


def _holds_for(operator: str, value: str, wanted: str, context: Context, *, variables: bool) -> bool:
    if operator not in _TEMPLATED:
        return _PLAIN[operator](value, wanted)
    if operator in ("arnequals", "arnlike"):
        return _arn_matches(value, wanted, context, variables=variables)
    pattern = resolve(wanted, context, variables=variables)
    if operator == "stringlike":
        return matches(pattern, value)
    if operator == "stringequalsignorecase":
        return literal(pattern).lower() == value.lower()
    return literal(pattern) == value


def _key_holds(operator: str, key: str, wanted: Sequence[str], context: Context, *, variables: bool) -> bool:
    found = context.get(key.lower())
    values: Sequence[str] = [found] if isinstance(found, str) else (found or [])
    name = operator.lower()
    quantifier, colon, rest = name.partition(":")
    if colon:
        name = rest
        if quantifier not in ("forallvalues", "foranyvalue"):
            return False
    if_exists = name.endswith("ifexists")
    name = name.removesuffix("ifexists")
    if name == "null":
        return not colon and not if_exists and any(_boolean("false" if values else "true", text) for text in wanted)
    negated = name in _POSITIVE_OF_NEGATED
    name = _POSITIVE_OF_NEGATED.get(name, name)
    if name not in _TEMPLATED and name not in _PLAIN:
        return False
    if not values:
        return quantifier == "forallvalues" if colon else (if_exists or negated)

    def holds(value: str) -> bool:
        return any(_holds_for(name, value, text, context, variables=variables) for text in wanted) is not negated

    if quantifier == "forallvalues":
        return all(map(holds, values))
    if colon or not negated:
        return any(map(holds, values))
    return all(map(holds, values))


def condition_holds(condition: object, context: Context, *, variables: bool) -> bool:
    """Whether a statement's Condition block is true for a request.

    An unknown operator or a block of another form is false: IAM refuses such a document, and a statement that cannot be
    understood must not grant anything. So is a block with a variable that the request cannot resolve ("this might cause
    the entire statement to be invalid", reference_policies_variables.html).

    Args:
        condition: the block as parsed from JSON, None when there is none.
        context: the request's context, keys in lower case (key names are not case-sensitive).
        variables: whether ``${…}`` is a variable in this document.
    """
    if condition is None:
        return True
    if not isinstance(condition, Mapping):
        return False
    try:
        for operator, block in condition.items():
            if not isinstance(block, Mapping):
                return False
            for key, raw in block.items():
                wanted = [text_of(value) for value in (raw if isinstance(raw, list) else [raw])]
                if not _key_holds(str(operator), str(key), wanted, context, variables=variables):
                    return False
    except UnresolvedVariableError:
        return False
    return True


def text_of(value: object) -> str:
    """A JSON scalar as IAM compares it: ``true``, not ``True``."""
    return str(value).lower() if isinstance(value, bool) else str(value)
