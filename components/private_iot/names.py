"""Names that have to be legal in several places at once: things, certificates, DNS. No Pulumi here."""

import re

from private_iot.arguments import string_list
from private_iot.errors import ArgumentError

COMMON_NAME_LIMIT = 64
"""Characters in an X.509 common name (RFC 5280, appendix A.1, ub-common-name)."""
THING_NAME_LIMIT = 128
"""Characters in a thing's name (AWS IoT API reference, CreateThing)."""
_THING_NAME = re.compile(r"[a-zA-Z0-9:_-]+")
_HOST_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def device_name(argument: str, value: object) -> str:
    """Return a device's name, which names its thing, its MQTT client ID and the subject of its certificates.

    Args:
        argument: The argument's name.
        value: What was given.

    Returns:
        The name.

    Raises:
        ArgumentError: It is empty, no legal thing name, or too long for a certificate's common name.
    """
    if not isinstance(value, str) or not value:
        raise ArgumentError(argument, value, "a device needs a name of at least 1 character", "name the device")
    if len(value) > THING_NAME_LIMIT:
        raise ArgumentError(
            argument, value, f"a thing's name has at most {THING_NAME_LIMIT} characters, not {len(value)}", "shorten it"
        )
    if not _THING_NAME.fullmatch(value):
        raise ArgumentError(argument, value, "a thing's name is made of a-z A-Z 0-9 : _ -", "replace the others by -")
    if len(value) > COMMON_NAME_LIMIT:
        raise ArgumentError(
            argument,
            value,
            f"a certificate's common name has at most {COMMON_NAME_LIMIT} characters, not {len(value)}",
            "shorten it",
        )
    return value


def device_names(argument: str, values: object) -> tuple[str, ...]:
    """Return the names of several devices, each legal and none of them twice.

    Args:
        argument: The argument's name.
        values: What was given.

    Returns:
        The names, in the order given.

    Raises:
        ArgumentError: A name is refused by `device_name`, or stands there twice.
    """
    return tuple(device_name(argument, value) for value in string_list(argument, values))


def server_name(argument: str, value: object) -> str:
    """Return the DNS name that the VPN server's certificate carries.

    AWS Certificate Manager takes a certificate without a domain, but Client VPN then refuses it ("does not have a
    domain", cloudposse/terraform-aws-ec2-client-vpn #117): it has to be dotted.

    Args:
        argument: The argument's name.
        value: What was given.

    Returns:
        The name.

    Raises:
        ArgumentError: It is no dotted DNS name in lower case, or longer than a common name.
    """
    labels = value.split(".") if isinstance(value, str) else []
    if len(labels) < 2 or not all(_HOST_LABEL.fullmatch(label) for label in labels):
        raise ArgumentError(
            argument, value, "it must be a DNS name in lower case with a dot", "write it as server.example.internal"
        )
    if len(str(value)) > COMMON_NAME_LIMIT:
        raise ArgumentError(
            argument, value, f"a certificate's common name has at most {COMMON_NAME_LIMIT} characters", "shorten it"
        )
    return str(value)
