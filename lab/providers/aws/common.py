"""What the descriptions of AWS's resource types share."""

import ipaddress
import json
import re
import secrets
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from lab.providers.errors import ProviderError
from lab.providers.schema import Property, map_of_strings, string
from lab.providers.values import Properties

# Every regional type has it since version 6 of the provider; another one is another resource.
REGION: Mapping[str, Property] = {"region": string(computed=True, force_new=True)}
TAGS: Mapping[str, Property] = {"tags": map_of_strings(), "tagsAll": map_of_strings(computed=True)}
NAME_PREFIX = string(computed=True, force_new=True, conflicts=("name",))


def cidr_block(*, smallest: int | None = None, largest: int | None = None) -> Callable[[str], str | None]:
    """A validator of an IPv4 network in its canonical form, with a prefix length between `largest` and `smallest`."""

    def validate(value: str) -> str | None:
        try:
            network = ipaddress.ip_network(value)
        except ValueError as error:
            return f"{json.dumps(value)} is not a valid CIDR block: {error}"
        if "/" not in value:
            return f"{json.dumps(value)} is not a valid CIDR block: it has no prefix length"
        if smallest is not None and largest is not None and not largest <= network.prefixlen <= smallest:
            return (
                f"expected {value} to contain a network Value with between {largest} and {smallest} significant bits, "
                f"got: {network.prefixlen}"
            )
        return None

    return validate


def arn(value: str) -> str | None:
    """A validator of an ARN (terraform-provider-aws ``internal/verify``: ValidARN)."""
    if re.fullmatch(r"arn:aws[\w-]*:[\w-]+:[\w-]*:(\d{12}|aws(-managed)?)?:.+", value):
        return None
    return f"({value}) is an invalid ARN: it has to look like arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE"


def length(smallest: int, largest: int) -> Callable[[str], str | None]:
    """A validator of a text's length in bytes (StringLenBetween of the plugin SDK)."""

    def validate(value: str) -> str | None:
        if smallest <= len(value.encode()) <= largest:
            return None
        return f"expected length to be in the range ({smallest} - {largest}), got {value}"

    return validate


def pem(label: str) -> Callable[[str], str | None]:
    """A validator of PEM by its label; it never repeats the text."""
    return lambda text: None if f"{label}-----" in text else f"not PEM: there is no -----BEGIN {label}-----"


def name_of(inputs: Properties) -> str:
    """The name that is given, or a unique one that begins with `namePrefix` (``helper/id`` of the plugin SDK)."""
    if inputs.get("name"):
        return str(inputs["name"])
    moment = datetime.now(UTC).strftime("%Y%m%d%H%M%S%f")[:18]
    return f"{inputs.get('namePrefix', '')}{moment}{secrets.token_hex(4)}"


def prefix_of(name: str) -> str:
    """The prefix of a name that was made unique, or an empty string (``internal/create``: NamePrefixFromName)."""
    match = re.fullmatch(r"(.*?)\d{18}[0-9a-f]{8}", name)
    return match[1] if match else ""


def same_policy(old: str, new: str) -> bool:
    """Whether two policy documents mean the same (awspolicyequivalence, as SuppressEquivalentPolicyDiffs uses it)."""
    try:
        return bool(_canonical(json.loads(old)) == _canonical(json.loads(new)))
    except ValueError:
        return False


def _canonical(value: Any) -> Any:
    """A single item is a list of it, and the order of a list means nothing."""
    items = value if isinstance(value, list) else [value]
    plain = [{k: _canonical(v) for k, v in item.items()} if isinstance(item, dict) else item for item in items]
    return sorted(plain, key=str)


def json_document(value: str) -> str | None:
    """A validator of a JSON object."""
    try:
        document = json.loads(value)
    except ValueError as error:
        return f"contains an invalid JSON: {error}"
    return None if isinstance(document, dict) else "contains an invalid JSON policy: not a JSON object"


def normal_json(value: str) -> str:
    """A document as the provider keeps it: keys sorted, no white space, `<`, `>` and `&` escaped.

    Source: NormalizeJsonString of the plugin SDK, which is Go's json.Marshal.
    """
    text = json.dumps(json.loads(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.replace("&", r"\u0026").replace("<", r"\u003c").replace(">", r"\u003e")


def document_of(document: str | dict[str, Any], known: str | None) -> str:
    """A policy document as AWS answers with it, or as the state has it where both mean the same (PolicyToSet)."""
    text = document if isinstance(document, str) else json.dumps(document)
    return known if known and same_policy(known, text) else text


POLICY: Mapping[str, Any] = {"validate": json_document, "same": same_policy, "normal": normal_json}


def split_id(identifier: str, separator: str, count: int, form: str) -> list[str]:
    """The parts of an id of several.

    Raises:
        ProviderError: When it does not have that form.
    """
    parts = identifier.split(separator, count - 1)
    if len(parts) != count or not all(parts):
        raise ProviderError(f"unexpected format for ID ({identifier}), expected {form}")
    return parts
