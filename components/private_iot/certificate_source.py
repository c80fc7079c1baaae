"""Which of its three sources a VPN's certificates come from, and what each source asks of the arguments.

`own`: an authority of the stack's own. AWS Private CA: one that is there, or one that is made. Certificates of the
user's own: then nothing is made, and the stack signs nothing.
"""

from collections.abc import Mapping
from typing import Any

import pulumi
from cryptography import x509
from cryptography.x509.oid import NameOID

from private_iot.arguments import InstalledDevices, Setting, boolean, string_list, string_map, whole_number
from private_iot.certificate_requests import check_no_stack_key, vpn_request
from private_iot.certificates import ClientCertificate, VpnCertificates, Wanted
from private_iot.errors import ArgumentError
from private_iot.names import device_name, device_names
from private_iot.own_authority import own_authority
from private_iot.private_ca import MADE_HERE, private_ca
from private_iot.revocation import check_entries, revoked_entry

LONGEST_VALIDITY_DAYS = 36_500
"""A hundred years: the tls provider counts nanoseconds in 64 bits, which end after 292 years."""
OWN = "own"
"""The value of `certificate_authority` for an authority of the stack's own."""
_BROUGHT = ("server_certificate_arn", "client_root_certificate_arn", "certificate_authority_pem", "client_certificates")


def authority_choice(argument: str, value: object) -> str:
    """Return `own`, `acm-pca`, or the ARN of an authority of AWS Private CA."""
    if isinstance(value, str):
        parts = value.split(":")
        if value in (OWN, MADE_HERE) or (
            len(parts) == 6 and parts[0] == "arn" and parts[2] == "acm-pca" and parts[5].startswith("certificate-auth")
        ):
            return value
    raise ArgumentError(
        argument,
        value,
        f"it is {OWN}, {MADE_HERE}, or the ARN of an authority of AWS Private CA",
        "write it as arn:aws:acm-pca:REGION:ACCOUNT:certificate-authority/ID",
    )


def requests_by_device(argument: str, value: object) -> dict[str, str]:
    """Return a map from device to its certificate request, each of them checked."""
    return {
        device_name(argument, name): vpn_request(argument, name, pem)
        for name, pem in string_map(argument, value).items()
    }


def certificates_by_device(argument: str, value: object) -> dict[str, Any]:
    """Return a map from device to its certificate; what is known already has to be for that device."""
    given = string_map(argument, value)
    for name, pem in given.items():
        device_name(argument, name)
        if isinstance(pem, str) and _common_name(argument, name, pem) != name:
            raise ArgumentError(argument, name, "its certificate has another common name", f"issue one for CN={name}")
    return given


def _common_name(argument: str, name: str, pem: str) -> str:
    try:
        subject = x509.load_pem_x509_certificate(pem.encode()).subject
    except ValueError:
        raise ArgumentError(argument, name, "its certificate is not one of PEM", "pass the certificate") from None
    return "".join(str(part.value) for part in subject.get_attributes_for_oid(NameOID.COMMON_NAME))


def _validity_days(argument: str, value: object) -> int:
    days = whole_number(argument, value)
    if not 1 <= days <= LONGEST_VALIDITY_DAYS:
        raise ArgumentError(
            argument, days, f"a certificate is valid for 1 to {LONGEST_VALIDITY_DAYS} days", "choose a number there"
        )
    return days


def as_given(argument: str, value: Any) -> Any:
    """Return a value that only AWS can check."""
    del argument
    return value


CERTIFICATE_SETTINGS: dict[str, Setting] = {
    "ca_validity_days": Setting(read=_validity_days, default=3650),
    "certificate_validity_days": Setting(
        read=_validity_days, default=825, installed_devices=InstalledDevices.WORK_AS_BEFORE
    ),
    "client_requests": Setting(read=requests_by_device, default={}, default_text="none"),
    "client_certificates": Setting(read=certificates_by_device, default={}, default_text="none"),
    "certificate_authority": Setting(
        read=authority_choice, default=OWN, installed_devices=InstalledDevices.NEED_BUNDLE
    ),
    "server_certificate_arn": Setting(
        read=as_given, default_text="none, and one is made", installed_devices=InstalledDevices.NEED_BUNDLE
    ),
    "client_root_certificate_arn": Setting(
        read=as_given, default_text="your server's", installed_devices=InstalledDevices.NEED_BUNDLE
    ),
    "certificate_authority_pem": Setting(
        read=as_given, default_text="none", installed_devices=InstalledDevices.NEED_BUNDLE
    ),
    "revoked": Setting(read=string_list, default=[], default_text="none"),
    "revoke_removed_devices": Setting(read=boolean, default=True),
    "import_revocation_list": Setting(read=boolean, default=True),
    "revocation_list_region": Setting(read=as_given, default_text="the provider's"),
    "revocation_list_profile": Setting(read=as_given, default_text="boto3's own choice"),
}
"""Arguments of `ClientVpnAccess` that decide on certificates."""


def devices_of(arguments: Mapping[str, Any]) -> tuple[str, ...]:
    """Return every device's name: those whose keys the stack makes first."""
    return (
        *arguments.get("clients", ()),
        *arguments.get("client_requests", ()),
        *arguments.get("client_certificates", ()),
    )


def check_source(arguments: dict[str, Any]) -> None:
    """Refuse arguments that do not go together, and put the serial numbers of `revoked` into their one form.

    Raises:
        ArgumentError: Of the certificates' source, of a device in two places, or of what is revoked.
    """
    clients = device_names("clients", arguments.get("clients", []))
    check_no_stack_key("client_requests", tuple(arguments.get("client_requests", ())), clients)
    authority, certificate = arguments["ca_validity_days"], arguments["certificate_validity_days"]
    if certificate > authority:
        raise ArgumentError(
            "certificate_validity_days",
            certificate,
            f"a certificate ends with its authority, after {authority} days",
            "lower it or raise ca_validity_days",
        )
    source = arguments["certificate_authority"]
    brought = [name for name in _BROUGHT if arguments.get(name)]
    if brought:
        _check_brought(arguments, clients, brought, source)
    if arguments.get("revoked"):
        if brought or source != OWN:
            raise ArgumentError(
                "revoked",
                arguments["revoked"],
                "only an authority of the stack's own signs a revocation list here",
                "revoke at the authority, and import its list (docs/operations.md)",
            )
        devices = devices_of(arguments)
        arguments["revoked"] = [revoked_entry("revoked", entry, devices) for entry in arguments["revoked"]]
        check_entries("revoked", len(arguments["revoked"]))


def _check_brought(arguments: Mapping[str, Any], clients: tuple[str, ...], brought: list[str], source: str) -> None:
    for needed in ("server_certificate_arn", "certificate_authority_pem"):
        if needed not in brought:
            raise ArgumentError(
                needed, None, f"it belongs to {', '.join(brought)}", f"pass {needed}, or leave the others out"
            )
    if source != OWN:
        raise ArgumentError(
            "certificate_authority", source, "certificates of your own come from an authority of yours", "leave it out"
        )
    for name, devices in (("clients", clients), ("client_requests", tuple(arguments.get("client_requests", ())))):
        if devices:
            raise ArgumentError(
                name,
                list(devices),
                "with certificates of your own the stack signs none",
                "pass the devices' certificates as client_certificates; their keys are on the devices",
            )


def make_certificates(name: str, arguments: Mapping[str, Any], parent: pulumi.Resource) -> VpnCertificates:
    """Make the certificates, or take those that were brought.

    Args:
        name: The first part of every resource's name.
        arguments: Those of `ClientVpnAccess`, checked.
        parent: The component that they belong to.
    """
    if arguments.get("server_certificate_arn"):
        server = pulumi.Output.from_input(arguments["server_certificate_arn"])
        root = arguments.get("client_root_certificate_arn")
        return VpnCertificates(
            server_arn=server,
            client_root_arn=pulumi.Output.from_input(root) if root else server,
            authority_pem=pulumi.Output.from_input(arguments["certificate_authority_pem"]),
            clients={
                device: ClientCertificate(certificate_pem=pulumi.Output.from_input(pem), private_key_pem=None)
                for device, pem in arguments.get("client_certificates", {}).items()
            },
            expires={},
        )
    wanted = Wanted(
        name=name,
        server_name=arguments["server_name"],
        clients={**dict.fromkeys(arguments["clients"]), **arguments.get("client_requests", {})},
        authority_validity_days=arguments["ca_validity_days"],
        certificate_validity_days=arguments["certificate_validity_days"],
        tags=arguments["tags"],
        parent=parent,
    )
    if arguments["certificate_authority"] == OWN:
        return own_authority(wanted)
    return private_ca(wanted, arguments["certificate_authority"])
