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
        "subnet_ids": [*network.subnet_ids],
        "security_group_ids": [network.endpoint_security_group_id],
        "topic_prefix": "greenhouse",
        "extra_topics": ["weather/forecast"],
    },
    there,
)

vpn = ClientVpnAccess(
    "greenhouse",
    {
        "vpc_id": network.vpc_id,
        "vpc_cidr_block": network.vpc_cidr_block,
        "subnet_ids": [*network.subnet_ids],
        "security_group_ids": [network.client_vpn_security_group_id],
        "clients": SENSORS,
        "private_domains": [link.iot_endpoint],
        "server_name": "vpn.greenhouse.example",
    },
    there,
)

bundles = {
    sensor: IotDevice(
        sensor,
        {
            "policy_name": link.policy_name,
            "region": link.region,
            "iot_endpoint": link.iot_endpoint,
            "topic_prefix": link.topic_prefix,
            "vpc_cidr_block": network.vpc_cidr_block,
            "vpc_endpoint_id": link.vpc_endpoint_id,
            "dns_server": network.dns_server,
            "vpn_config": vpn.client_configs[sensor],
        },
        there,
    ).bundle
    for sensor in SENSORS
}

pulumi.export("devices", pulumi.Output.secret(bundles))
