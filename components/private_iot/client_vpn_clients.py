"""Clients of a Client VPN endpoint that another stack has: their certificates and profiles, for a device stack."""

from collections.abc import Mapping
from typing import Any, NotRequired, TypedDict, cast

import pulumi

from private_iot import device_stacks
from private_iot.arguments import Setting, checked_arguments, require_arguments, string_list
from private_iot.certificate_requests import check_no_stack_key
from private_iot.certificate_source import requests_by_device
from private_iot.certificates import Wanted
from private_iot.device_path import DevicePath
from private_iot.names import device_names
from private_iot.own_authority import sign_clients
from private_iot.profiles import write_profiles
from private_iot.revocation import revoked_entry

TYPE = "private-iot:index:ClientVpnClients"


class ClientVpnClientsArgs(TypedDict):
    """Arguments of `ClientVpnClients`."""

    base: dict[str, Any]
    """The base stack's output `forDeviceStacks`, as plain values. It holds the authority's key."""
    clients: list[str]
    """Names of the devices whose keys the stack makes; each gets a certificate with that common name, and a profile."""
    client_requests: NotRequired[dict[str, str]]
    """Device → its request for a VPN certificate, PEM; its key is on the device then. Default: none."""
    revoked: NotRequired[list[str]]
    """Devices of this stack that are locked out, and serial numbers of further certificates, hexadecimal: the base
    revokes them. Default: none."""


SETTINGS: dict[str, Setting] = {
    "client_requests": Setting(read=requests_by_device, default={}, default_text="none"),
    "revoked": Setting(read=string_list, default=[], default_text="none"),
}


class ClientVpnClients(pulumi.ComponentResource):
    """Certificates and profiles of the devices of one stack, on the endpoint of its base stack."""

    client_configs: pulumi.Output[dict[str, str]]
    """Each device's OpenVPN profile with its certificate inline, and with its key where the stack made it. Secret."""
    client_certificates: pulumi.Output[dict[str, str]]
    """Each device's VPN certificate, PEM, which is public."""
    certificate_expiry: pulumi.Output[dict[str, Any]]
    """When each of `clients` expires, RFC 3339."""
    issued: pulumi.Output[dict[str, Any]]
    """What the base stack has to know of the certificates: its argument `device_stacks` takes it."""
    iot_endpoint: pulumi.Output[str]
    """The account's data endpoint."""

    def __init__(self, name: str, args: ClientVpnClientsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        """Register the certificates.

        Args:
            name: The first part of every child's name: that of the base's `ClientVpnAccess`, so that a device may move.
            args: Which devices, and on what.
            opts: Options of the component; its children use its tls provider.

        Raises:
            ArgumentError: An argument is refused; nothing was registered.
        """
        arguments = self.check(args)
        require_arguments("ClientVpnClients", args, ClientVpnClientsArgs)
        base, authority = device_stacks.read_base("base", arguments["base"])
        super().__init__(TYPE, name, {}, opts)
        wanted = Wanted(
            name=name,
            server_name=base["remote"]["server_name"],
            clients={**dict.fromkeys(arguments["clients"]), **arguments["client_requests"]},
            authority_validity_days=0,
            certificate_validity_days=int(base["certificateValidityDays"]),
            tags={},
            parent=self,
            # `pulumi state move` leaves the base's component behind and puts its children under the stack.
            aliases=[pulumi.Alias(parent=pulumi.ROOT_STACK_RESOURCE)],
        )
        clients = sign_clients(wanted, authority)
        remote = {**base["remote"], "port": int(base["remote"]["port"]), "mssfix": int(base["remote"]["mssfix"])}
        secret, public = write_profiles(remote, base["privateDomains"], clients)
        self.client_configs = pulumi.Output.all(public, secret).apply(lambda both: {**both[0], **both[1]})
        self.path = cast("DevicePath", base["path"])
        self.paths: dict[str, DevicePath] = {
            client: {**self.path, "vpn_config": (secret if one.private_key_pem is not None else public)[client]}
            for client, one in clients.items()
        }
        self.client_certificates = pulumi.Output.all(
            **{client: one.certificate_pem for client, one in clients.items()}
        ).apply(dict)
        self.certificate_expiry = pulumi.Output.from_input(
            {"clients": {client: one.expires for client, one in clients.items() if one.expires is not None}}
        )
        self.iot_endpoint = pulumi.Output.from_input(self.path["iot_endpoint"])
        self.issued = pulumi.Output.from_input(device_stacks.issued(clients, arguments["revoked"]))
        self.register_outputs({})

    @staticmethod
    def check(args: Mapping[str, Any]) -> ClientVpnClientsArgs:
        """Refuse bad arguments without registering anything.

        Raises:
            ArgumentError: One is refused.
        """
        arguments = checked_arguments("ClientVpnClients", args, ClientVpnClientsArgs, SETTINGS)
        clients, requests = device_names("clients", arguments.get("clients", [])), tuple(arguments["client_requests"])
        check_no_stack_key("client_requests", requests, clients)
        devices = (*clients, *requests)
        arguments["revoked"] = [revoked_entry("revoked", entry, devices) for entry in arguments["revoked"]]
        return arguments
