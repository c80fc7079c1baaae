"""Property values as they cross the provider protocol: plain Python, plus the unknown and the secret.

The markers are the protocol's own (Pulumi SDK, ``python/lib/pulumi/runtime/rpc.py``): an unknown is one of seven
sentinel strings, one for each type; a secret is an object with a signature and the value.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from google.protobuf import struct_pb2

_SIGNATURE: Final = "4dabf18193072939515e22adb298388d"
_SECRET: Final = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 - the protocol's constant, not a credential
_UNKNOWNS: Final = frozenset(
    {
        "04da6b54-80e4-46f7-96ec-b56ff0331ba9",  # string, and what rpc.py sends for every type
        "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",  # boolean
        "3eeb2bf0-c639-47a8-9e75-3b44932eb421",  # number
        "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",  # array
        "030794c1-ac77-496b-92df-f27374a8bd58",  # asset
        "e48ece36-62e2-4504-bad9-02848725956a",  # archive
        "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",  # object
    }
)

Properties = dict[str, Any]


class Unknown:
    """A value that a preview cannot know yet. There is one instance, ``UNKNOWN``."""

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN: Final = Unknown()


@dataclass(frozen=True)
class Secret:
    """A value that the engine encrypts in its state and hides from its output; its text never shows it."""

    value: Any = field(repr=False)


def decode(message: struct_pb2.Struct) -> Properties:
    """Turns a message's struct into Python values, with ``UNKNOWN`` and ``Secret`` where the wire has markers."""
    return {name: _decode(value) for name, value in message.fields.items()}


def _decode(value: struct_pb2.Value) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "string_value":
        return UNKNOWN if value.string_value in _UNKNOWNS else value.string_value
    if kind == "number_value":
        number = value.number_value
        return int(number) if number.is_integer() else number
    if kind == "bool_value":
        return value.bool_value
    if kind == "list_value":
        return [_decode(item) for item in value.list_value.values]
    if kind == "struct_value":
        fields = value.struct_value.fields
        if _SIGNATURE in fields and fields[_SIGNATURE].string_value == _SECRET:
            return Secret(_decode(fields["value"]))
        return decode(value.struct_value)
    return None


def encode(properties: Mapping[str, Any]) -> struct_pb2.Struct:
    """Turns Python values into a message's struct; a property that is None is left out."""
    message = struct_pb2.Struct()
    for name, value in properties.items():
        if value is not None:
            message.fields[name].CopyFrom(_encode(value))
    return message


def _encode(value: Any) -> struct_pb2.Value:
    if value is None:
        return struct_pb2.Value(null_value=struct_pb2.NULL_VALUE)
    if value is UNKNOWN:
        return struct_pb2.Value(string_value="04da6b54-80e4-46f7-96ec-b56ff0331ba9")
    if isinstance(value, Secret):
        marked = struct_pb2.Struct()
        marked.fields[_SIGNATURE].string_value = _SECRET
        marked.fields["value"].CopyFrom(_encode(value.value))
        return struct_pb2.Value(struct_value=marked)
    if isinstance(value, bool):
        return struct_pb2.Value(bool_value=value)
    if isinstance(value, int | float):
        return struct_pb2.Value(number_value=value)
    if isinstance(value, str):
        return struct_pb2.Value(string_value=value)
    if isinstance(value, Mapping):
        return struct_pb2.Value(struct_value=encode(value))
    if isinstance(value, list | tuple):
        return struct_pb2.Value(list_value=struct_pb2.ListValue(values=[_encode(item) for item in value]))
    raise TypeError(f"a property cannot hold a {type(value).__name__}")


def reveal(value: Any) -> Any:
    """Strips the secret markers off a value, however deep."""
    if isinstance(value, Secret):
        return reveal(value.value)
    if isinstance(value, dict):
        return {name: reveal(item) for name, item in value.items()}
    if isinstance(value, list):
        return [reveal(item) for item in value]
    return value


def has_secret(value: Any) -> bool:
    """Whether a value is, or holds, a secret."""
    return isinstance(value, Secret) or any(map(has_secret, _items(value)))


def has_unknown(value: Any) -> bool:
    """Whether a value is, or holds, an unknown."""
    return value is UNKNOWN or any(map(has_unknown, _items(value)))


def _items(value: Any) -> Iterable[Any]:
    if isinstance(value, Secret):
        return (value.value,)
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def secret_names(properties: Mapping[str, Any]) -> frozenset[str]:
    """The names of the properties that are, or hold, a secret."""
    return frozenset(name for name, value in properties.items() if has_secret(value))


def mark_secrets(properties: Mapping[str, Any], names: frozenset[str]) -> Properties:
    """Marks the named properties as secret, leaving those that are absent or already marked."""
    return {
        name: Secret(value) if name in names and value is not None and not isinstance(value, Secret) else value
        for name, value in properties.items()
    }
