"""Private connectivity for IoT devices on AWS, as Pulumi components.

Six components, in the order that a program composes them: `PrivateIotNetwork` (VPC, subnets, security groups),
`IotPrivateLink` (interface endpoint, private hosted zone, IoT policy), `ClientVpnAccess` (Client VPN endpoint,
certificates, profiles), `IotDevice` (thing, certificate, device bundle) and `IotFleetProvisioning` (provisioning
template, claims), with which a stack does not grow with its devices. `ClientVpnClients` is `ClientVpnAccess` for a
stack of devices beside the one that has the endpoint.
"""

from private_iot.client_vpn import ClientVpnAccess, ClientVpnAccessArgs
from private_iot.client_vpn_clients import ClientVpnClients, ClientVpnClientsArgs
from private_iot.device import IotDevice, IotDeviceArgs
from private_iot.device_path import DevicePath, PrivateLinkPath
from private_iot.errors import ArgumentError
from private_iot.fleet import IotFleetProvisioning, IotFleetProvisioningArgs
from private_iot.network import PrivateIotNetwork, PrivateIotNetworkArgs
from private_iot.private_link import IotPrivateLink, IotPrivateLinkArgs

__version__ = "0.1.0"
"""Semantic version of the package and of its schema for other languages."""

__all__ = [
    "ArgumentError",
    "ClientVpnAccess",
    "ClientVpnAccessArgs",
    "ClientVpnClients",
    "ClientVpnClientsArgs",
    "DevicePath",
    "IotDevice",
    "IotDeviceArgs",
    "IotFleetProvisioning",
    "IotFleetProvisioningArgs",
    "IotPrivateLink",
    "IotPrivateLinkArgs",
    "PrivateIotNetwork",
    "PrivateIotNetworkArgs",
    "PrivateLinkPath",
]
