"""The program's settings: the stack's configuration, typed and checked before anything is registered."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self, cast

import pulumi
from private_iot import (
    ArgumentError,
    ClientVpnAccess,
    ClientVpnAccessArgs,
    IotDeviceArgs,
    IotPrivateLink,
    IotPrivateLinkArgs,
    PrivateIotNetwork,
    PrivateIotNetworkArgs,
)
from private_iot.names import device_names
from pulumi.runtime.config import CONFIG, get_config_env

NAMESPACE = "private-iot"
"""The part of a configuration key before the colon."""
_SHARED: dict[str, type] = {"vpcCidrBlock": str, "credentialsEndpoint": bool}
_NETWORK: dict[str, type] = {
    **_SHARED,
    "availabilityZones": list,
    "availabilityZoneCount": int,
    "subnetCidrBlocks": list,
}
_PRIVATE_LINK: dict[str, type] = {
    "topicPrefix": str,
    "extraTopics": list,
    "allowAllIotActions": bool,
    "credentialsEndpoint": bool,
}
_CLIENT_VPN: dict[str, type] = {
    "vpcCidrBlock": str,
    "clientCidrBlock": str,
    "dnsServers": list,
    "transportProtocol": str,
    "vpnPort": int,
    "splitTunnel": bool,
    "sessionTimeoutHours": int,
    "disconnectOnSessionTimeout": bool,
    "connectionLog": bool,
    "logRetentionDays": int,
    "loginBanner": str,
    "serverName": str,
    "caValidityDays": int,
    "certificateValidityDays": int,
}
_DEVICE: dict[str, type] = {"rootCaPem": str}
KEYS = frozenset({"devices", *_NETWORK, *_PRIVATE_LINK, *_CLIENT_VPN, *_DEVICE})
"""Every key that the program reads."""
_EMPTY_MEANS_ABSENT = frozenset(
    {
        "availabilityZones",
        "availabilityZoneCount",
        "subnetCidrBlocks",
        "dnsServers",
        "extraTopics",
        "loginBanner",
        "rootCaPem",
    }
)
"""Optional keys without a default of their own: Pulumi.yaml has to give them one, and gives an empty one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What one environment is like.

    Attributes:
        devices: Names of the devices.
        network: Arguments of the network.
        private_link: The plain arguments of the private link; those that other components give are still missing.
        client_vpn: The plain arguments of the VPN; those that other components give are still missing.
        device: The plain arguments of every device; those that other components give are still missing.
    """

    devices: tuple[str, ...]
    network: PrivateIotNetworkArgs
    private_link: IotPrivateLinkArgs
    client_vpn: ClientVpnAccessArgs
    device: IotDeviceArgs

    @classmethod
    def load(cls) -> Self:
        """Read the stack's configuration and refuse what AWS would refuse.

        Returns:
            The settings.

        Raises:
            pulumi.RunError: A value is missing, or a key or a value is refused.
        """
        config = pulumi.Config(NAMESPACE)
        _refuse_unknown_keys()
        network = _arguments(config, _NETWORK)
        private_link = _arguments(config, _PRIVATE_LINK)
        client_vpn = _arguments(config, _CLIENT_VPN)
        try:
            devices = device_names("devices", config.require_object("devices"))
            PrivateIotNetwork.check(network)
            IotPrivateLink.check(private_link)
            ClientVpnAccess.check(client_vpn)
        except ArgumentError as error:
            raise refusal(error) from error
        return cls(
            devices=devices,
            network=cast("PrivateIotNetworkArgs", network),
            private_link=cast("IotPrivateLinkArgs", private_link),
            client_vpn=cast("ClientVpnAccessArgs", client_vpn),
            device=cast("IotDeviceArgs", _arguments(config, _DEVICE)),
        )


def refusal(error: ArgumentError) -> pulumi.RunError:
    """Say which configuration value a component refused, without a stack trace.

    Args:
        error: The component's refusal.

    Returns:
        What to raise.
    """
    key = re.sub(r"_(.)", lambda match: match[1].upper(), error.argument)
    return pulumi.RunError(f"configuration {NAMESPACE}:{key}: {error}")


def _refuse_unknown_keys() -> None:
    """Refuse a typing error in the stack's file, which would leave a default in force unnoticed."""
    for name in sorted({*get_config_env(), *CONFIG.get()}):
        namespace, _, key = name.partition(":")
        if namespace == NAMESPACE and key not in KEYS:
            raise pulumi.RunError(
                f"configuration {name} is unknown to this program: it knows {', '.join(sorted(KEYS))}; correct the key"
            )


def _arguments(config: pulumi.Config, kinds: Mapping[str, type]) -> dict[str, Any]:
    """Read the keys that have a value, under the names of the components' arguments."""
    readers: dict[type, Callable[[str], Any]] = {
        str: config.get,
        int: config.get_int,
        bool: config.get_bool,
        list: config.get_object,
    }
    values = {key: readers[kind](key) for key, kind in kinds.items()}
    return {
        re.sub(r"[A-Z]", lambda match: f"_{match[0].lower()}", key): value
        for key, value in values.items()
        if value is not None and (value or key not in _EMPTY_MEANS_ABSENT)
    }
