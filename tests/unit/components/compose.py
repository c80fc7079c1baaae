"""Composes all four components as a program does, for the tests that look at the whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from private_iot import ClientVpnAccess, IotDevice, IotPrivateLink, PrivateIotNetwork

from tests.unit.components.monitor import export

NAME = "private-iot"


def composition(
    devices: tuple[str, ...] = ("pi-1",),
    *,
    network: dict[str, Any] | None = None,
    private_link: dict[str, Any] | None = None,
    client_vpn: dict[str, Any] | None = None,
    device: dict[str, Any] | None = None,
) -> Callable[[], None]:
    """A program with the given arguments on top of those that wire the components together."""

    def program() -> None:
        net = PrivateIotNetwork(NAME, {**(network or {})})  # type: ignore[typeddict-item] # tests pass wrong ones too
        link = IotPrivateLink(
            NAME,
            {
                "vpc_id": net.vpc_id,
                "subnet_ids": [*net.subnet_ids.values()],
                "security_group_ids": [net.endpoint_security_group_id],
                **(private_link or {}),  # type: ignore[typeddict-item] # as above
            },
        )
        vpn = ClientVpnAccess(
            NAME,
            {
                "vpc_id": net.vpc_id,
                "vpc_cidr_block": net.vpc_cidr_block,
                "subnet_ids": {**net.subnet_ids},
                "security_group_ids": [net.client_vpn_security_group_id],
                "clients": [*devices],
                "path": link.path,
                **(client_vpn or {}),  # type: ignore[typeddict-item] # as above
            },
        )
        bundles = {
            name: IotDevice(
                name,
                {
                    "path": vpn.paths[name],
                    **(device or {}),  # type: ignore[typeddict-item] # as above
                },
            ).bundle
            for name in devices
        }
        export(bundles=bundles, configs=vpn.client_configs, policy=link.policy_document)

    return program
