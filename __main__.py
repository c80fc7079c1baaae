"""One environment: a private path from devices to AWS IoT Core."""

import pulumi
from private_iot import (
    ArgumentError,
    ClientVpnAccess,
    ClientVpnClients,
    IotDevice,
    IotFleetProvisioning,
    IotPrivateLink,
    PrivateIotNetwork,
)
from private_iot.device_stacks import BASE_OUTPUT, ISSUED_OUTPUT
from private_iot.recorded_calls import innermost_calls

from settings import NAMESPACE, Settings, refusal


def deploy(settings: Settings) -> None:
    """Compose the environment and export what an operator and the device agent need."""
    network = PrivateIotNetwork(NAMESPACE, settings.network)
    link = IotPrivateLink(
        NAMESPACE,
        {
            **settings.private_link,
            "vpc_id": network.vpc_id,
            "subnet_ids": [*network.subnet_ids.values()],
            "security_group_ids": [network.endpoint_security_group_id],
        },
    )
    vpn = ClientVpnAccess(
        NAMESPACE,
        {
            **settings.client_vpn,
            "vpc_id": network.vpc_id,
            "vpc_cidr_block": network.vpc_cidr_block,
            "subnet_ids": {**network.subnet_ids},
            "security_group_ids": [network.client_vpn_security_group_id],
            "path": link.path,
        },
    )
    if settings.batches:
        fleet = IotFleetProvisioning(f"{NAMESPACE}-fleet", settings.of_fleet(vpn.paths))
        # A claim makes devices: it is a secret of the whole batch.
        pulumi.export("claims", fleet.claims)
    if vpn.for_device_stacks is not None:
        pulumi.export(BASE_OUTPUT, vpn.for_device_stacks)

    pulumi.export("iotEndpoint", link.iot_endpoint)
    pulumi.export("vpcEndpointId", link.vpc_endpoint_id)
    pulumi.export("vpcCidr", network.vpc_cidr_block)
    pulumi.export("dnsServer", vpn.dns_servers[0])
    pulumi.export("clientVpnEndpointId", vpn.client_vpn_endpoint_id)
    pulumi.export("iotPolicy", pulumi.Output.json_loads(link.policy_document))
    deploy_devices(settings, vpn)
    pulumi.export("clientVpnConfigs", vpn.client_configs)
    pulumi.export("revokedSerialNumbers", vpn.revoked_serial_numbers)
    pulumi.export("revocationList", vpn.revocation_list)


def deploy_beside(settings: Settings) -> None:
    """Deploy devices alone, on the way that the base stack has."""
    clients = ClientVpnClients(NAMESPACE, settings.of_clients())
    pulumi.export("iotEndpoint", clients.iot_endpoint)
    deploy_devices(settings, clients)
    pulumi.export(ISSUED_OUTPUT, clients.issued)


def deploy_devices(settings: Settings, vpn: ClientVpnAccess | ClientVpnClients) -> None:
    """Make the devices of this stack, and export what each of them needs."""
    tunnels = {name: path for name, path in vpn.paths.items() if name not in settings.batches}
    paths = {**tunnels, **dict.fromkeys(settings.neighbours, vpn.path)}
    devices = {name: IotDevice(name, {**settings.of_device(name), "path": path}) for name, path in paths.items()}
    pulumi.export("devices", pulumi.Output.secret({name: device.bundle for name, device in devices.items()}))
    # Without any secret: bundles of devices that made their keys themselves, and what everybody may know.
    pulumi.export("deviceBundles", {name: devices[name].bundle for name in settings.requests})
    pulumi.export(
        "vpnCertificates",
        {
            name: {
                "topicPrefix": pulumi.Output.concat(vpn.path["topic_prefix"], "/", name),
                "certificatePem": vpn.client_certificates[name],
            }
            for name in tunnels
        },
    )
    pulumi.export("certificateExpiry", vpn.certificate_expiry)


try:
    loaded = Settings.load()
    with innermost_calls():
        (deploy if loaded.base_stack is None else deploy_beside)(loaded)
except ArgumentError as error:
    raise refusal(error) from error
