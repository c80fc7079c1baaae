"""A device's identity at AWS IoT, and the one object that is handed to the device."""

from collections.abc import Mapping
from typing import Any, NotRequired, TypedDict

import pulumi
import pulumi_aws as aws
import pulumi_tls as tls

from private_iot import names
from private_iot.arguments import given, require

TYPE = "private-iot:index:IotDevice"
BUNDLE_VERSION = 1
"""Version of the device bundle's form; the device agent refuses another."""


class IotDeviceArgs(TypedDict):
    """Arguments of `IotDevice`."""

    thing_name: NotRequired[str]
    """The thing's name, which is also the client ID and the certificate's common name. Default: the component's."""
    policy_name: pulumi.Input[str]
    """The IoT policy of the device's certificate."""
    region: pulumi.Input[str]
    """The Region of AWS IoT."""
    iot_endpoint: pulumi.Input[str]
    """The account's data endpoint."""
    topic_prefix: pulumi.Input[str]
    """The policy's prefix; the device's own is `PREFIX/THING`."""
    vpc_cidr_block: pulumi.Input[str]
    """The VPC's network: the device connects to no other address."""
    vpc_endpoint_id: pulumi.Input[str]
    """The interface endpoint that the policy is bound to."""
    dns_server: pulumi.Input[str]
    """The VPC's resolver."""
    vpn_config: pulumi.Input[str]
    """The device's OpenVPN profile."""
    root_ca_pem: NotRequired[pulumi.Input[str]]
    """Authorities that the device trusts for the data endpoint. Default: the device's own list."""
    active: NotRequired[pulumi.Input[bool]]
    """Whether AWS IoT accepts the certificate; false locks a device out at once. Default: true."""


class IotDevice(pulumi.ComponentResource):
    """A thing with a certificate of its own, and the bundle that makes a device of it: seven resources in all."""

    thing_name: pulumi.Output[str]
    """The thing, which is the MQTT client ID as well."""
    certificate_arn: pulumi.Output[str]
    """The device's certificate at AWS IoT."""
    certificate_id: pulumi.Output[str]
    """Its identifier, the SHA-256 of the certificate."""
    bundle: pulumi.Output[dict[str, Any]]
    """The device bundle, version 1: everything that the device agent installs. Secret."""

    def __init__(self, name: str, args: IotDeviceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        """Register the device.

        Args:
            name: The first part of every child's name, and the thing's name unless the arguments give another.
            args: Which policy it has and which path it takes.
            opts: Options of the component; its children use its aws and tls providers.

        Raises:
            ArgumentError: An argument is refused; nothing was registered.
        """
        thing_name = self._thing_name(args, name)
        require("IotDevice", args, IotDeviceArgs)
        super().__init__(TYPE, name, {}, opts)
        children = pulumi.ResourceOptions(parent=self)

        thing = aws.iot.Thing(f"{name}-thing", name=thing_name, opts=children)
        # The key is made here, so that AWS never has it and the request is all that it sees.
        key = tls.PrivateKey(f"{name}-key", algorithm="ECDSA", ecdsa_curve="P256", opts=children)
        request = tls.CertRequest(
            f"{name}-request",
            private_key_pem=key.private_key_pem,
            subject=tls.CertRequestSubjectArgs(common_name=thing_name),
            opts=children,
        )
        certificate = aws.iot.Certificate(
            f"{name}-certificate", csr=request.cert_request_pem, active=args.get("active", True), opts=children
        )
        aws.iot.PolicyAttachment(
            f"{name}-policy-attachment", policy=args["policy_name"], target=certificate.arn, opts=children
        )
        aws.iot.ThingPrincipalAttachment(
            f"{name}-thing-attachment", thing=thing.name, principal=certificate.arn, opts=children
        )

        self.thing_name = thing.name
        self.certificate_arn = certificate.arn
        self.certificate_id = certificate.id
        self.bundle = _bundle(thing_name, args, certificate.certificate_pem, key.private_key_pem_pkcs8)
        # Without the bundle: the state would keep each secret once more, and it is written again after every step.
        self.register_outputs(
            {
                "thingName": self.thing_name,
                "certificateArn": self.certificate_arn,
                "certificateId": self.certificate_id,
            }
        )

    @staticmethod
    def check(args: Mapping[str, Any], name: str) -> None:
        """Refuse bad arguments without registering anything.

        Args:
            args: Arguments of this component; those that are still to come may be missing.
            name: The component's name.

        Raises:
            ArgumentError: One is refused.
        """
        IotDevice._thing_name(args, name)

    @staticmethod
    def _thing_name(args: Mapping[str, Any], name: str) -> str:
        values = given("IotDevice", args, IotDeviceArgs)
        return names.device_name("thing_name", values.get("thing_name", name))


def _bundle(
    thing_name: str,
    args: IotDeviceArgs,
    certificate_pem: pulumi.Output[str],
    private_key_pem: pulumi.Output[str],
) -> pulumi.Output[dict[str, Any]]:
    iot: dict[str, pulumi.Input[str]] = {
        "endpoint": args["iot_endpoint"],
        "clientId": thing_name,
        "certificatePem": certificate_pem,
        "privateKeyPem": private_key_pem,
    }
    root_ca_pem = args.get("root_ca_pem")
    if root_ca_pem is not None:
        iot["rootCaPem"] = root_ca_pem
    bundle: dict[str, Any] = {
        "version": BUNDLE_VERSION,
        "name": thing_name,
        "region": args["region"],
        "vpn": {"config": args["vpn_config"]},
        "iot": iot,
        "network": {
            "vpcCidr": args["vpc_cidr_block"],
            "dnsServer": args["dns_server"],
            "vpcEndpointId": args["vpc_endpoint_id"],
        },
        "topicPrefix": pulumi.Output.concat(args["topic_prefix"], "/", thing_name),
    }
    return pulumi.Output.secret(bundle)
