"""Private connectivity for IoT devices on AWS, as Pulumi components.

Four components, in the order that a program composes them: `PrivateIotNetwork` (VPC, subnets, security groups),
`IotPrivateLink` (interface endpoint, private hosted zone, IoT policy), `ClientVpnAccess` (Client VPN endpoint,
certificates, profiles) and `IotDevice` (thing, certificate, device bundle).
"""

from private_iot.client_vpn import ClientVpnAccess, ClientVpnAccessArgs
from private_iot.device import IotDevice, IotDeviceArgs
from private_iot.device_path import DevicePath, PrivateLinkPath
from private_iot.errors import ArgumentError
from private_iot.network import PrivateIotNetwork, PrivateIotNetworkArgs
from private_iot.private_link import IotPrivateLink, IotPrivateLinkArgs

__version__ = "0.1.0"
"""Semantic version of the package and of its schema for other languages."""

__all__ = [
    "ArgumentError",
    "ClientVpnAccess",
    "ClientVpnAccessArgs",
    "DevicePath",
    "IotDevice",
    "IotDeviceArgs",
    "IotPrivateLink",
    "IotPrivateLinkArgs",
    "PrivateIotNetwork",
    "PrivateIotNetworkArgs",
    "PrivateLinkPath",
]
