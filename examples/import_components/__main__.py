"""Greenhouses that report through a private path, in a Region and under names of their own."""

import pulumi
import pulumi_aws as aws
from private_iot import ClientVpnAccess, IotDevice, IotPrivateLink, PrivateIotNetwork

SENSORS = ["tomatoes", "orchids"]

frankfurt = aws.Provider("frankfurt", region="eu-central-1")
# The tls provider needs no configuration: Pulumi's default one serves beside this one.
there = pulumi.ResourceOptions(providers=[frankfurt])

network = PrivateIotNetwork("greenhouse", {"vpc_cidr_block": "10.80.0.0/20", "availability_zone_count": 2}, there)

link = IotPrivateLink(
    "greenhouse",
    {
        "vpc_id": network.vpc_id,
        "subnet_ids": [*network.subnet_ids.values()],
        "security_group_ids": [network.endpoint_security_group_id],
        "topic_prefix": "greenhouse",
        "subscribe_topics": ["weather/forecast"],
    },
    there,
)

vpn = ClientVpnAccess(
    "greenhouse",
    {
        "vpc_id": network.vpc_id,
        "vpc_cidr_block": network.vpc_cidr_block,
        "subnet_ids": {**network.subnet_ids},
        "security_group_ids": [network.client_vpn_security_group_id],
        "clients": SENSORS,
        "path": link.path,
        "transport_protocol": "tcp",
        "server_name": "vpn.greenhouse.example",
    },
    there,
)

bundles = {sensor: IotDevice(sensor, {"path": vpn.paths[sensor]}, there).bundle for sensor in SENSORS}

pulumi.export("devices", pulumi.Output.secret(bundles))
