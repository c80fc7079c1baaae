"""What a base stack and its device stacks tell each other: a state is written whole after every step.

The base has the network, the private link and the Client VPN endpoint; its output `forDeviceStacks` is what the others
need to make devices on them. Each device stack's output `issued` is what the base's register of certificates has to
know: the base alone signs the revocation list, of which an endpoint has one.
"""

import re
from collections.abc import Mapping
from typing import Any

import pulumi

from private_iot.certificates import Authority, ClientCertificate, VpnCertificates
from private_iot.device_path import DevicePath
from private_iot.errors import ArgumentError

VERSION = 1
"""Version of the form of `forDeviceStacks`."""
BASE_OUTPUT, ISSUED_OUTPUT = "forDeviceStacks", "issued"
_STACK = re.compile(r"[\w.-]+/[\w.-]+/[\w.-]+")


def stack_name(argument: str, value: object) -> str:
    """Return a stack's whole name, ORGANIZATION/PROJECT/STACK."""
    if not isinstance(value, str) or not _STACK.fullmatch(value):
        raise ArgumentError(
            argument,
            value,
            "a stack of another state is named ORGANIZATION/PROJECT/STACK",
            "write it so; with a state in files the organization is the word organization",
        )
    return value


def device_stacks(argument: str, values: object) -> dict[str, Any]:
    """Return what each device stack issued, by the stack's whole name."""
    if not isinstance(values, Mapping):
        raise ArgumentError(argument, values, "it must be a map", "write it as {stack: its output issued}")
    return {stack_name(argument, name): dict(issued or {}) for name, issued in values.items()}


def for_device_stacks(
    path: DevicePath,
    remote: Mapping[str, Any],
    private_domains: Any,
    certificates: VpnCertificates,
    arguments: Mapping[str, Any],
) -> pulumi.Output[dict[str, Any]] | None:
    """Return what device stacks need, the authority's key among it; None where there are no such stacks.

    Args:
        path: The devices' way, without a profile.
        remote: The fields of `ovpn_profile.Remote`.
        private_domains: Names that the VPC's resolver answers.
        certificates: The base's own.
        arguments: Those of `ClientVpnAccess`, checked.

    Raises:
        ArgumentError: There is no authority of the stack's own, which alone signs for other stacks.
    """
    if not arguments["device_stacks"]:
        return None
    if certificates.authority is None:
        raise ArgumentError(
            "device_stacks",
            ", ".join(arguments["device_stacks"]),
            "only an authority of the stack's own signs certificates of device stacks",
            "keep the devices in one stack, or let certificate_authority be own",
        )
    return pulumi.Output.secret(
        {
            "version": VERSION,
            "path": {**path},
            "remote": {**remote},
            "privateDomains": private_domains,
            "authority": {
                "certificatePem": certificates.authority.certificate_pem,
                "privateKeyPem": certificates.authority.private_key_pem,
            },
            "certificateValidityDays": arguments["certificate_validity_days"],
        }
    )


def read_base(argument: str, base: object) -> tuple[dict[str, Any], Authority]:
    """Return what a base stack gives, and its authority, whose key is a secret again.

    Args:
        argument: The argument's name.
        base: Its output `forDeviceStacks`, as plain values.

    Raises:
        ArgumentError: It is none, or of another version.
    """
    if not isinstance(base, Mapping) or base.get("version") != VERSION:
        # The value holds the authority's key: it is not shown.
        raise ArgumentError(
            argument,
            base.get("version") if isinstance(base, Mapping) else type(base).__name__,
            f"it must be version {VERSION} of the base stack's output {BASE_OUTPUT}",
            "list this stack in the base's deviceStacks, and run pulumi up there first",
        )
    authority = base["authority"]
    return {**base}, Authority(
        certificate_pem=pulumi.Output.from_input(authority["certificatePem"]),
        private_key_pem=pulumi.Output.secret(authority["privateKeyPem"]),
    )


def issued(clients: Mapping[str, ClientCertificate], revoked: list[str]) -> dict[str, Any]:
    """Return what a device stack tells its base: device → decimal serial number, and what is revoked."""
    serials = {client: one.serial_number for client, one in clients.items() if one.serial_number is not None}
    return {"serialNumbers": serials, "revoked": revoked}
