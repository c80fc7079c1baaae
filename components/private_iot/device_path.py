"""The way of a device to AWS IoT, as the private link and the VPN hand it on."""

from typing import NotRequired, TypedDict

import pulumi


class PrivateLinkPath(TypedDict):
    """What the private link knows of the way."""

    region: pulumi.Input[str]
    """The Region of AWS IoT."""
    iot_endpoint: pulumi.Input[str]
    """The account's data endpoint."""
    credential_provider_endpoint: NotRequired[pulumi.Input[str]]
    """The account's credential provider endpoint, if it is private too."""
    vpc_endpoint_id: pulumi.Input[str]
    """The interface endpoint that the policy is bound to."""
    policy_name: pulumi.Input[str]
    """The IoT policy of the devices' certificates."""
    topic_prefix: pulumi.Input[str]
    """The policy's prefix; a device's own is `PREFIX/THING`."""


class DevicePath(PrivateLinkPath):
    """The whole way of a device."""

    vpc_cidr_block: pulumi.Input[str]
    """The VPC's network: the device connects to no other address."""
    dns_server: pulumi.Input[str]
    """The VPC's resolver."""
    vpn_config: NotRequired[pulumi.Input[str]]
    """The device's OpenVPN profile; a device without one takes another device's tunnel."""
