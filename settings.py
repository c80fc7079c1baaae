"""The program's settings: the components' own, read from the stack's configuration and checked in one go."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, cast, get_args, get_origin

import pulumi
import pulumi.runtime
from private_iot import (
    ArgumentError,
    ClientVpnAccess,
    ClientVpnAccessArgs,
    ClientVpnClientsArgs,
    DevicePath,
    IotDeviceArgs,
    IotFleetProvisioning,
    IotFleetProvisioningArgs,
    IotPrivateLink,
    IotPrivateLinkArgs,
    PrivateIotNetwork,
    PrivateIotNetworkArgs,
    client_vpn,
    device,
    fleet,
    network,
    private_link,
)
from private_iot.arguments import Setting, string_list
from private_iot.certificate_requests import DeviceRequest, check_no_stack_key, read_requests
from private_iot.deployed import stack_outputs
from private_iot.device_stacks import BASE_OUTPUT, ISSUED_OUTPUT, stack_name
from private_iot.names import device_names

NAMESPACE = "private-iot"
"""The part of a configuration key before the colon."""
FLEET = "fleet_"
"""What the fleet's arguments begin with as settings, to tell them from a single device's."""
COMPONENTS: dict[type, dict[str, Setting]] = {
    PrivateIotNetworkArgs: network.SETTINGS,
    IotPrivateLinkArgs: private_link.SETTINGS,
    ClientVpnAccessArgs: {
        name: setting
        for name, setting in client_vpn.SETTINGS.items()
        if name not in ("client_requests", "client_certificates", "device_stacks")
    },
    IotDeviceArgs: {name: device.SETTINGS[name] for name in ("root_ca_pem", "wait_for_detachment")},
    IotFleetProvisioningArgs: {
        f"{FLEET}{name}": setting
        for name, setting in fleet.SETTINGS.items()
        if name not in ("revoked", "root_ca_pem", "tags")
    },
}
"""The arguments that are settings of the program: those with a default, one device's own left out."""
REQUESTS_FOLDER = "requests"
"""Default of `requestsFolder`."""


def key_of(argument: str) -> str:
    """Return the configuration key of an argument."""
    return re.sub(r"_(.)", lambda match: match[1].upper(), argument)


def kind_of(shape: type, argument: str) -> str:
    """Return how Pulumi.yaml calls the type of an argument; tags, a map, travel as a list of KEY=VALUE."""
    [annotation] = get_args(shape.__annotations__[argument.removeprefix(FLEET)])
    kinds: dict[Any, str] = {list: "array", dict: "array", bool: "boolean", int: "integer"}
    return kinds.get(get_origin(annotation) or annotation, "string")


KINDS = {key_of(name): kind_of(shape, name) for shape, settings in COMPONENTS.items() for name in settings}
"""Key → type, devices left out."""
KEYS = frozenset({"devices", "neighbours", "fleetBatches", "requestsFolder", "baseStack", "deviceStacks", *KINDS})
"""Every key that the program reads."""
OF_A_DEVICE_STACK = frozenset({"revoked", "root_ca_pem", "wait_for_detachment"})
"""Arguments that a device stack may give; the others are those of its base."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What one environment is like.

    Attributes:
        devices: Names of the devices whose keys the stack makes.
        neighbours: Names of the devices without a tunnel of their own, which reach AWS IoT through a gateway's.
        requests: What the devices that made their keys themselves ask for, by name; neighbours may be among them.
        revoked: Names of the neighbours that are locked out; the other devices stand in the VPN's own list.
        network: Arguments of the network.
        private_link: The plain arguments of the private link; those that other components give are still missing.
        client_vpn: The plain arguments of the VPN; those that other components give are still missing.
        device: The plain arguments of every device; those that other components give are still missing.
        batches: Names of the fleet's batches; none is no fleet.
        fleet: The plain arguments of the fleet; those that other components give are still missing.
        base_stack: The stack whose endpoint the devices use, where it is not this one.
    """

    devices: tuple[str, ...]
    neighbours: tuple[str, ...]
    requests: dict[str, DeviceRequest]
    revoked: tuple[str, ...]
    network: PrivateIotNetworkArgs
    private_link: IotPrivateLinkArgs
    client_vpn: ClientVpnAccessArgs
    device: IotDeviceArgs
    batches: tuple[str, ...]
    fleet: IotFleetProvisioningArgs
    base_stack: str | None = None

    def of_clients(self) -> ClientVpnClientsArgs:
        """Return the arguments of a device stack's clients, its base stack asked."""
        arguments: dict[str, Any] = {
            "base": _ask("base_stack", str(self.base_stack)).get(BASE_OUTPUT) or {},
            "clients": [*self.devices],
            "client_requests": self.client_vpn.get("client_requests", {}),
            "revoked": self.client_vpn.get("revoked", []),
        }
        return cast("ClientVpnClientsArgs", arguments)

    def of_device(self, name: str) -> IotDeviceArgs:
        """Return the plain arguments of one device, which is locked out where its name is among the revoked."""
        arguments = {**self.device, "active": name not in (*self.revoked, *self.client_vpn.get("revoked", []))}
        if name in self.requests:
            arguments["certificate_request_pem"] = self.requests[name].iot_certificate_request_pem
        return cast("IotDeviceArgs", arguments)

    def of_fleet(self, paths: Mapping[str, DevicePath]) -> IotFleetProvisioningArgs:
        """Return the arguments of the fleet, whose batches are revoked by the VPN's own list."""
        arguments: dict[str, Any] = {**self.fleet, "batches": {batch: paths[batch] for batch in self.batches}}
        arguments["revoked"] = [batch for batch in self.batches if batch in self.client_vpn.get("revoked", [])]
        for name, given in (("root_ca_pem", dict(self.device)), ("tags", dict(self.network))):
            if name in given:
                arguments[name] = given[name]
        return cast("IotFleetProvisioningArgs", arguments)

    @classmethod
    def load(cls) -> Self:
        """Read the stack's configuration and refuse what AWS would refuse.

        Raises:
            pulumi.RunError: A value is missing, or a key or a value is refused.
        """
        config = pulumi.Config(NAMESPACE)
        _refuse_unknown_keys()
        try:
            devices = device_names("devices", config.require_object("devices"))
            of_network, of_link, of_vpn, of_device, of_fleet = (
                _arguments(config, shape, settings) for shape, settings in COMPONENTS.items()
            )
            vpc_cidr_block = PrivateIotNetwork.check(of_network)["vpc_cidr_block"]
            IotPrivateLink.check(of_link)
            folder = Path(config.get("requestsFolder") or REQUESTS_FOLDER)
            requests = _requests(folder, devices)
            neighbours = _neighbours(config, devices)
            batches = _batches(config, of_fleet, (*devices, *neighbours, *requests))
            # What has no VPN certificate is no client of the VPN, and not on its list.
            clients = {name: request for name, request in requests.items() if name not in neighbours}
            of_vpn |= _clients(of_vpn, folder, (*devices, *batches), clients)
            revoked = tuple(name for name in neighbours if name in of_vpn.get("revoked", []))
            if revoked:
                of_vpn["revoked"] = [entry for entry in of_vpn["revoked"] if entry not in revoked]
            # The network of a VPC that is there already is known when AWS has been asked.
            known = {} if "vpc_id" in of_network else {"vpc_cidr_block": vpc_cidr_block}
            ClientVpnAccess.check({**of_vpn, **known})
            base_stack = config.get("baseStack")
            listed = string_list("device_stacks", config.get_object("deviceStacks") or [])
            if base_stack:
                given = {**of_network, **of_link, **of_vpn, **of_device, **of_fleet}
                _check_device_stack(stack_name("base_stack", base_stack), given, listed, batches)
            elif listed:
                of_vpn["device_stacks"] = {
                    stack_name("device_stacks", one): _ask("device_stacks", one).get(ISSUED_OUTPUT) or {}
                    for one in listed
                }
        except ArgumentError as error:
            raise refusal(error) from error
        return cls(
            devices=devices,
            neighbours=neighbours,
            requests=requests,
            revoked=revoked,
            network=cast("PrivateIotNetworkArgs", of_network),
            private_link=cast("IotPrivateLinkArgs", of_link),
            client_vpn=cast("ClientVpnAccessArgs", of_vpn),
            device=cast("IotDeviceArgs", of_device),
            batches=batches,
            fleet=cast("IotFleetProvisioningArgs", {name.removeprefix(FLEET): one for name, one in of_fleet.items()}),
            base_stack=base_stack or None,
        )


def refusal(error: ArgumentError) -> pulumi.RunError:
    """Say which configuration value a component refused, without a stack trace."""
    namespace = "aws" if error.argument == "region" else NAMESPACE
    # The argument of a file's content goes on with the file.
    return pulumi.RunError(f"configuration {namespace}:{key_of(error.argument.partition(':')[0])}: {error}")


def _ask(argument: str, stack: str) -> Mapping[str, Any]:
    """Return another stack's outputs."""
    try:
        return stack_outputs(stack)
    except Exception as error:  # noqa: BLE001 # what an invoke raises is no more than that
        raise ArgumentError(
            argument, stack, f"its outputs cannot be read: {error}", "make it first: pulumi stack init"
        ) from None


def _check_device_stack(base_stack: str, given: Mapping[str, Any], listed: list[str], batches: tuple[str, ...]) -> None:
    """Refuse what only the base stack can have."""
    of_the_base = [name for name in given if name not in {*OF_A_DEVICE_STACK, "clients", "client_requests"}]
    if listed or batches:
        of_the_base.append("device_stacks" if listed else "fleet_batches")
    if of_the_base:
        raise ArgumentError(
            of_the_base[0],
            given.get(of_the_base[0], listed or list(batches)),
            f"this stack has base_stack, and only devices: the rest is of {base_stack}",
            "set it there",
        )


def _refuse_unknown_keys() -> None:
    """Refuse a typing error in the stack's file, which would leave a default in force unnoticed."""
    for name in sorted(pulumi.runtime.get_config_env()):
        namespace, _, key = name.partition(":")
        if namespace == NAMESPACE and key not in KEYS:
            raise pulumi.RunError(
                f"configuration {name} is unknown to this program: it knows {', '.join(sorted(KEYS))}; correct the key"
            )


def _neighbours(config: pulumi.Config, devices: tuple[str, ...]) -> tuple[str, ...]:
    """Return the devices without a tunnel, and refuse one that has one."""
    neighbours = device_names("neighbours", config.get_object("neighbours") or [])
    for name in neighbours:
        if name in devices:
            raise ArgumentError(
                "neighbours",
                name,
                "the device also stands among `devices`, which have a tunnel of their own",
                "take it out of one of the two",
            )
    return neighbours


def _batches(config: pulumi.Config, of_fleet: Mapping[str, Any], devices: tuple[str, ...]) -> tuple[str, ...]:
    """Return the batches, and refuse what the fleet's component would refuse."""
    batches = device_names("fleet_batches", config.get_object("fleetBatches") or [])
    for batch in batches:
        if batch in devices:
            raise ArgumentError(
                "fleet_batches", batch, "a batch's VPN certificate has its name, which a device has", "rename the batch"
            )
    try:
        IotFleetProvisioning.check({name.removeprefix(FLEET): value for name, value in of_fleet.items()})
    except ArgumentError as error:
        error.argument = f"{FLEET}{error.argument}"
        raise
    return batches


def _requests(folder: Path, devices: tuple[str, ...]) -> dict[str, DeviceRequest]:
    requests = {request.name: request for request in read_requests("requests_folder", folder)}
    check_no_stack_key("requests_folder", tuple(requests), devices)
    return requests


def _clients(
    of_vpn: Mapping[str, Any], folder: Path, devices: tuple[str, ...], requests: Mapping[str, DeviceRequest]
) -> dict[str, Any]:
    """Return the VPN's clients: with certificates of one's own each device's is the folder's NAME.pem."""
    if "server_certificate_arn" not in of_vpn:
        pems = {name: request.vpn_certificate_request_pem for name, request in requests.items()}
        return {"clients": [*devices], "client_requests": pems}
    certificates = {}
    for name in requests:
        try:
            certificates[name] = (folder / f"{name}.pem").read_text("ascii")
        except (OSError, UnicodeDecodeError) as error:
            raise ArgumentError(
                "requests_folder",
                str(folder / f"{name}.pem"),
                f"the device's VPN certificate cannot be read: {error}",
                "put the one that your authority issued there",
            ) from None
    return {"clients": [*devices], "client_certificates": certificates}


def _arguments(config: pulumi.Config, shape: type, settings: Mapping[str, Setting]) -> dict[str, Any]:
    """Read the values that differ from the defaults; Pulumi.yaml gives every key one, and an empty one for "none"."""
    readers: dict[str, Callable[[str], Any]] = {
        "string": config.get,
        "integer": config.get_int,
        "boolean": config.get_bool,
        "array": config.get_object,
    }
    arguments = {}
    for name, setting in settings.items():
        value = readers[KINDS[key_of(name)]](key_of(name))
        if name == "tags" and value:
            value = _tags(value)
        empty = value in ("", [], 0) and value is not False
        if value is not None and value != setting.default and not (empty and setting.default in (None, [], {})):
            arguments[name] = value
    return arguments


def _tags(values: object) -> dict[str, str]:
    tags = {}
    for tag in string_list("tags", values):
        name, separator, value = tag.partition("=")
        if not (name and separator):
            raise ArgumentError("tags", tag, "a tag is KEY=VALUE", "write it as owner=plant")
        tags[name] = value
    return tags
