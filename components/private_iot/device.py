"""A device's identity at AWS IoT, and the one object that is handed to the device."""

from collections.abc import Mapping
from typing import Any, NotRequired, TypedDict

import pulumi
import pulumi_aws as aws
import pulumi_tls as tls

from private_iot import names
from private_iot.arguments import InstalledDevices, Setting, boolean, checked_arguments, require_arguments
from private_iot.certificate_requests import iot_request
from private_iot.device_path import DevicePath
from private_iot.errors import UnknownArgumentError
from private_iot.thing_detachment import ThingDetachment

TYPE = "private-iot:index:IotDevice"
BUNDLE_VERSION = 1
"""Version of the device bundle's form that says everything: tunnel, keys, certificates."""
BUNDLE_VERSION_WITHOUT = 2
"""Version of the form that leaves out what a device has elsewhere: its keys, or its tunnel."""


class IotDeviceArgs(TypedDict):
    """Arguments of `IotDevice`."""

    path: DevicePath
    """The device's way to AWS IoT: `paths[NAME]` of the VPN."""
    thing_name: NotRequired[str]
    """The thing's name, which is also the client ID and the certificate's common name. Default: the component's."""
    root_ca_pem: NotRequired[pulumi.Input[str]]
    """Authorities that the device trusts for the data endpoint, PEM. Default: the device's own list."""
    certificate_request_pem: NotRequired[str]
    """The device's request for its AWS IoT certificate, PEM; its key is on the device then. Default: none, and the
    key is made here."""
    active: NotRequired[pulumi.Input[bool]]
    """Whether AWS IoT accepts the certificate; false locks a device out at once. Default: true."""
    wait_for_detachment: NotRequired[bool]
    """Whether a deletion waits until AWS has detached the certificate from its thing, asked with boto3's own
    credentials. Default: true."""


SETTINGS: dict[str, Setting] = {
    "thing_name": Setting(
        read=names.device_name, default_text="the component's", installed_devices=InstalledDevices.NEED_BUNDLE
    ),
    "root_ca_pem": Setting(
        read=lambda _, value: value,
        default_text="the device's own list",
        installed_devices=InstalledDevices.WORK_AS_BEFORE,
    ),
    "certificate_request_pem": Setting(
        read=lambda _, value: value,
        default_text="none, and the key is made here",
        installed_devices=InstalledDevices.NEED_BUNDLE,
    ),
    "active": Setting(read=lambda _, value: value, default=True),
    "wait_for_detachment": Setting(read=boolean, default=True),
}


class IotDevice(pulumi.ComponentResource):
    """A thing with a certificate of its own, and the bundle that makes a device of it."""

    thing_name: pulumi.Output[str]
    """The thing, which is the MQTT client ID as well."""
    certificate_arn: pulumi.Output[str]
    """The device's certificate at AWS IoT."""
    certificate_id: pulumi.Output[str]
    """Its identifier, the SHA-256 of the certificate."""
    bundle: pulumi.Output[dict[str, Any]]
    """The device bundle, which the device agent installs. Secret, unless the device made its keys itself."""

    def __init__(self, name: str, args: IotDeviceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        """Register the device.

        Args:
            name: The first part of every child's name, and the thing's name unless the arguments give another.
            args: Which way it takes.
            opts: Options of the component; its children use its aws and tls providers.

        Raises:
            ArgumentError: An argument is refused; nothing was registered.
        """
        arguments = self.check(args, name)
        require_arguments("IotDevice", args, IotDeviceArgs)
        super().__init__(TYPE, name, {}, opts)
        children = pulumi.ResourceOptions(parent=self)
        thing_name = arguments["thing_name"]

        # CreateThing succeeds for a thing that is there already and the same (AWS IoT API reference): without its
        # owner in the attributes, two stacks of an account would share the thing of a name, unnoticed.
        self.thing = aws.iot.Thing(
            f"{name}-thing",
            name=thing_name,
            attributes={"project": pulumi.get_project(), "stack": pulumi.get_stack()},
            opts=children,
        )
        private_key_pem: pulumi.Output[str] | None = None
        request_pem: pulumi.Input[str]
        if "certificate_request_pem" in arguments:
            request_pem = arguments["certificate_request_pem"]
        else:
            # The key is made here, so that AWS never has it and the request is all that it sees.
            key = tls.PrivateKey(f"{name}-key", algorithm="ECDSA", ecdsa_curve="P256", opts=children)
            request_pem = tls.CertRequest(
                f"{name}-request",
                private_key_pem=key.private_key_pem,
                subject=tls.CertRequestSubjectArgs(common_name=thing_name),
                opts=children,
            ).cert_request_pem
            private_key_pem = key.private_key_pem_pkcs8
        self.certificate = aws.iot.Certificate(
            f"{name}-certificate", csr=request_pem, active=arguments["active"], opts=children
        )
        aws.iot.PolicyAttachment(
            f"{name}-policy-attachment",
            policy=arguments["path"]["policy_name"],
            target=self.certificate.arn,
            opts=children,
        )
        waits: list[pulumi.Resource] = []
        if arguments["wait_for_detachment"]:
            waits.append(
                ThingDetachment(
                    f"{name}-thing-detachment",
                    thing=self.thing.name,
                    principal=self.certificate.arn,
                    region=arguments["path"]["region"],
                    opts=children,
                )
            )
        aws.iot.ThingPrincipalAttachment(
            f"{name}-thing-attachment",
            thing=self.thing.name,
            principal=self.certificate.arn,
            opts=pulumi.ResourceOptions.merge(children, pulumi.ResourceOptions(depends_on=waits)),
        )

        self.thing_name = self.thing.name
        self.certificate_arn = self.certificate.arn
        self.certificate_id = self.certificate.id
        self.bundle = _bundle(arguments, self.certificate.certificate_pem, private_key_pem)
        # Without the bundle: the state would keep each secret once more, and it is written again after every step.
        self.register_outputs(
            {
                "thingName": self.thing_name,
                "certificateArn": self.certificate_arn,
                "certificateId": self.certificate_id,
            }
        )

    @staticmethod
    def check(args: Mapping[str, Any], name: str) -> IotDeviceArgs:
        """Refuse bad arguments without registering anything.

        Args:
            args: Arguments of this component; those that are still to come may be missing.
            name: The component's name.

        Returns:
            The arguments with their defaults.

        Raises:
            ArgumentError: One is refused.
        """
        named = {**args, "thing_name": args["thing_name"] if args.get("thing_name") is not None else name}
        arguments = checked_arguments("IotDevice", named, IotDeviceArgs, SETTINGS)
        for part in DevicePath.__required_keys__ if "path" in arguments else ():
            if arguments["path"].get(part) is None:
                raise UnknownArgumentError("path", f"path lacks {part}: pass the VPN's paths[{name!r}], or its path")
        if "certificate_request_pem" in arguments:
            arguments["certificate_request_pem"] = iot_request(
                "certificate_request_pem", arguments["thing_name"], arguments["certificate_request_pem"]
            )
        return arguments


def _bundle(
    arguments: IotDeviceArgs, certificate_pem: pulumi.Output[str], private_key_pem: pulumi.Output[str] | None
) -> pulumi.Output[dict[str, Any]]:
    path, thing_name = arguments["path"], arguments["thing_name"]
    bundle: dict[str, Any] = {
        "version": BUNDLE_VERSION if private_key_pem is not None and "vpn_config" in path else BUNDLE_VERSION_WITHOUT,
        "name": thing_name,
        "region": path["region"],
        "iot": {
            "endpoint": path["iot_endpoint"],
            "clientId": thing_name,
            # The provider calls it a secret; it is what the device shows to everybody.
            "certificatePem": pulumi.Output.unsecret(certificate_pem),
        },
        "network": {
            "vpcCidr": path["vpc_cidr_block"],
            "dnsServer": path["dns_server"],
            "vpcEndpointId": path["vpc_endpoint_id"],
        },
        "topicPrefix": pulumi.Output.concat(path["topic_prefix"], "/", thing_name),
    }
    if "vpn_config" in path:
        bundle["vpn"] = {"config": path["vpn_config"]}
    if "root_ca_pem" in arguments:
        bundle["iot"]["rootCaPem"] = arguments["root_ca_pem"]
    if private_key_pem is None:
        return pulumi.Output.from_input(bundle)
    bundle["iot"]["privateKeyPem"] = private_key_pem
    return pulumi.Output.secret(bundle)
