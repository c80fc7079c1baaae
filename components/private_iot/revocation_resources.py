"""The two steps of revocation that no provider has, as dynamic resources: a register, and AWS's import of the list.

They run in the Python process that the engine starts for dynamic resources, whose `python` has to find this package,
also for a program in another language; `revoke_removed_devices: false` and `import_revocation_list: false` do without.
"""

from collections.abc import Mapping
from typing import Any

import pulumi
import pulumi_aws as aws
from pulumi import dynamic

from private_iot.certificates import VpnCertificates
from private_iot.revocation import Register, check_entries, revocation_list, serial_text

_GONE = "InvalidClientVpnEndpointId.NotFound"


class _RegisterProvider(dynamic.ResourceProvider):
    """Keeps every serial number that the authority gave to a device, in the resource's own outputs."""

    serialize_as_secret_always = False

    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> dynamic.DiffResult:
        if not _known(news):
            return dynamic.DiffResult(changes=True)
        after = _outputs(olds, news)
        return dynamic.DiffResult(changes=any(olds.get(name) != value for name, value in after.items()))

    def create(self, props: dict[str, Any]) -> dynamic.CreateResult:
        return dynamic.CreateResult("register", _outputs({}, props))

    def update(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> dynamic.UpdateResult:
        return dynamic.UpdateResult(_outputs(olds, news))


def _known(inputs: Mapping[str, Any]) -> bool:
    """Tell whether a preview knows every serial number: one that is still to be made is no text."""
    certificates = inputs.get("certificates")
    return isinstance(certificates, dict) and all(isinstance(serial, str) for serial in certificates.values())


def _outputs(before: Mapping[str, Any], inputs: Mapping[str, Any]) -> dict[str, Any]:
    stacks = _device_stacks(before, inputs)
    current = {**inputs["certificates"]}
    entries = [*inputs["revoked"]]
    for issued in stacks.values():
        current |= issued.get("serialNumbers", {})
        entries += issued.get("revoked", [])
    # A device stack that has said nothing yet may have any device that is missing here: one that moved, for instance.
    register = Register.read(before).follow(
        {name: serial_text(serial) for name, serial in current.items()}, complete=all(stacks.values())
    )
    revoked = register.revoked(entries)
    check_entries("revoked", len(revoked))
    needed = bool(revoked) or bool(before.get("needed"))
    remembered = {"deviceStacks": stacks} if stacks else {}
    return {**inputs, **register.state(), **remembered, "revokedSerialNumbers": list(revoked), "needed": needed}


def _device_stacks(before: Mapping[str, Any], inputs: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What each device stack issued; one whose last run failed has no outputs, and what it said before that counts."""
    remembered = before.get("deviceStacks") or {}
    return {
        name: dict(issued or remembered.get(name) or {}) for name, issued in (inputs.get("deviceStacks") or {}).items()
    }


class CertificateRegister(dynamic.Resource, module="private-iot", name="CertificateRegister"):
    """Remembers the serial numbers of devices that are gone."""

    revokedSerialNumbers: pulumi.Output[list[str]]  # noqa: N815 # the property's name in the state
    needed: pulumi.Output[bool]

    def __init__(
        self,
        name: str,
        certificates: Mapping[str, pulumi.Output[str]],
        revoked: list[str],
        device_stacks: Mapping[str, Any],
        opts: pulumi.ResourceOptions,
    ) -> None:
        """Register the register.

        Args:
            name: The resource's name.
            certificates: Device → the decimal serial number of its certificate.
            revoked: Entries of the argument `revoked`.
            device_stacks: Device stack → its output `issued`.
            opts: Options of the resource.
        """
        properties = {
            "certificates": dict(certificates),
            "revoked": revoked,
            "revokedSerialNumbers": None,
            "needed": None,
        }
        if device_stacks:
            properties["deviceStacks"] = dict(device_stacks)
        super().__init__(_RegisterProvider(), name, properties, opts)


class _ImportProvider(dynamic.ResourceProvider):
    """Imports a revocation list into a Client VPN endpoint, and takes up what somebody else imported meanwhile."""

    serialize_as_secret_always = False

    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> dynamic.DiffResult:
        replaces = [name for name in ("endpointId", "region") if olds.get(name) != news.get(name)]
        changed = olds.get("revocationList") != news.get("revocationList") or olds.get("profile") != news.get("profile")
        return dynamic.DiffResult(changes=bool(replaces) or changed, replaces=replaces)

    def create(self, props: dict[str, Any]) -> dynamic.CreateResult:
        _import(props)
        return dynamic.CreateResult(props["endpointId"], dict(props))

    def update(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> dynamic.UpdateResult:
        if olds.get("revocationList") != news["revocationList"]:
            _import(news)
        return dynamic.UpdateResult(dict(news))

    def read(self, id_: str, props: dict[str, Any]) -> dynamic.ReadResult:
        from botocore.exceptions import ClientError  # noqa: PLC0415 # as boto3 below

        try:
            answer = _ec2(props).export_client_vpn_client_certificate_revocation_list(ClientVpnEndpointId=id_)
        except ClientError as error:
            if error.response["Error"]["Code"] == _GONE:
                return dynamic.ReadResult("", {})
            raise
        return dynamic.ReadResult(id_, {**props, "revocationList": answer.get("CertificateRevocationList") or ""})


def _ec2(properties: Mapping[str, Any]) -> Any:
    # Here, since every program imports this module, and only what asks AWS needs it.
    import boto3  # noqa: PLC0415

    session = boto3.Session(profile_name=properties.get("profile") or None, region_name=properties["region"])
    return session.client("ec2")


def _import(properties: Mapping[str, Any]) -> None:
    # An empty text is "nothing was ever revoked": an import would reset every connection for nothing.
    if properties["revocationList"]:
        _ec2(properties).import_client_vpn_client_certificate_revocation_list(
            ClientVpnEndpointId=properties["endpointId"],
            CertificateRevocationList=properties["revocationList"],
        )


class ImportedRevocationList(dynamic.Resource, module="private-iot", name="ImportedRevocationList"):
    """A Client VPN endpoint's revocation list. AWS has no call that takes one away, so deleting leaves it there."""

    def __init__(
        self,
        name: str,
        *,
        endpoint_id: pulumi.Input[str],
        revocation_list: pulumi.Input[str],
        region: pulumi.Input[str],
        profile: str | None,
        opts: pulumi.ResourceOptions,
    ) -> None:
        """Register the import.

        Args:
            name: The resource's name.
            endpoint_id: The Client VPN endpoint.
            revocation_list: PEM; an empty text imports nothing.
            region: The endpoint's Region.
            profile: AWS profile of boto3; None is boto3's own choice.
            opts: Options of the resource.
        """
        properties = {
            "endpointId": endpoint_id,
            "revocationList": revocation_list,
            "region": region,
            "profile": profile or "",
        }
        super().__init__(_ImportProvider(), name, properties, opts)


def revoke(
    name: str,
    arguments: Mapping[str, Any],
    certificates: VpnCertificates,
    endpoint_id: pulumi.Output[str],
    parent: pulumi.Resource,
) -> tuple[pulumi.Output[list[str]], pulumi.Output[str]]:
    """Revoke what is to be revoked, where the authority is the stack's own, and tell the endpoint.

    Args:
        name: The first part of every resource's name.
        arguments: Those of `ClientVpnAccess`, checked.
        certificates: The authority, and the devices' certificates.
        endpoint_id: The Client VPN endpoint.
        parent: The component that they belong to.

    Returns:
        The serial numbers that are revoked, and the signed list, which is empty until there was one.
    """
    authority = certificates.authority
    if authority is None:
        return pulumi.Output.from_input([]), pulumi.Output.from_input("")
    revoked: list[str] = arguments["revoked"]
    clients = {
        client: one.serial_number for client, one in certificates.clients.items() if one.serial_number is not None
    }
    serials: pulumi.Output[list[str]]
    if arguments["revoke_removed_devices"]:
        register = CertificateRegister(
            f"{name}-certificate-register",
            clients,
            revoked,
            arguments["device_stacks"],
            pulumi.ResourceOptions(parent=parent),
        )
        serials, needed = register.revokedSerialNumbers, register.needed
    else:
        known_serials = {**clients}
        for issued in arguments["device_stacks"].values():
            known_serials |= {
                device: pulumi.Output.from_input(serial) for device, serial in issued.get("serialNumbers", {}).items()
            }
            revoked = [*revoked, *issued.get("revoked", [])]
        serials = pulumi.Output.all(
            *(known_serials[entry].apply(serial_text) if entry in known_serials else entry for entry in revoked)
        )
        needed = pulumi.Output.from_input(bool(revoked))

    def signed(values: list[Any]) -> str:
        certificate_pem, private_key_pem, revoked_serials, wanted = values
        return revocation_list(certificate_pem, private_key_pem, revoked_serials) if wanted else ""

    known = pulumi.Output.all(authority.certificate_pem, authority.private_key_pem, serials, needed)
    # The list is public, though its signature took a secret.
    listed = pulumi.Output.unsecret(known.apply(signed))
    if arguments["import_revocation_list"]:
        region = aws.get_region_output(opts=pulumi.InvokeOutputOptions(parent=parent)).region
        ImportedRevocationList(
            f"{name}-revocation-list",
            endpoint_id=endpoint_id,
            revocation_list=listed,
            region=arguments.get("revocation_list_region") or region,
            profile=arguments.get("revocation_list_profile"),
            opts=pulumi.ResourceOptions(parent=parent),
        )
    return serials.apply(lambda found: found or []), listed
