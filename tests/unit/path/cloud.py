"""A cloud made by hand: one VPC, one Client VPN endpoint, one interface endpoint, one device."""

from lab.path import model
from lab.path.parts import IotServer

ENDPOINT = "a1b2c3d4e5f6g7-ats.iot.ap-northeast-1.amazonaws.com"
CLIENT_VPN = "cvpn-endpoint-1"
VPC_ENDPOINT = "vpce-1"
REGIONAL = "vpce-1.data.iot.ap-northeast-1.vpce.amazonaws.com"
SERVER = IotServer(certificate="iot certificate", private_key="iot key", device_roots="device roots")

CLIENT_VPN_ENDPOINT = model.ClientVpnEndpoint(
    client_vpn_endpoint_id=CLIENT_VPN,
    status="available",
    dns_name="cvpn-endpoint-1.prod.clientvpn.ap-northeast-1.amazonaws.com",
    client_cidr="172.31.0.0/16",
    dns_servers=("10.0.0.2",),
    split_tunnel=True,
    transport_protocol="udp",
    port=443,
    server_certificate=model.AcmCertificate("arn", "vpn certificate", "vpn chain", "vpn key"),
    client_root_chain="vpn authority",
    associations=(model.Association("cvpn-assoc-1", "vpc-1", "subnet-1", "associated", ("sg-vpn",)),),
    authorization_rules=(model.AuthorizationRule("10.0.0.0/16", access_all=True, status="active"),),
    routes=(model.ClientVpnRoute("10.0.0.0/16", "subnet-1", "active"),),
    revocation_list=None,
    connection_log=None,
)
CLOUD = model.Cloud(
    region="ap-northeast-1",
    vpcs=(model.Vpc("vpc-1", ("10.0.0.0/16",), dns_support=True, dns_hostnames=True),),
    subnets=(model.Subnet("subnet-1", "vpc-1", "10.0.1.0/24", "ap-northeast-1a", None),),
    route_tables=(model.RouteTable("rtb-1", "vpc-1", (("10.0.0.0/16", "local"),)),),
    security_groups=(
        model.SecurityGroup(
            "sg-vpn",
            "vpn",
            "vpc-1",
            (
                model.SecurityGroupRule(
                    egress=True, protocol="tcp", from_port=8883, to_port=8883, referenced_group_id="sg-link"
                ),
            ),
        ),
        model.SecurityGroup(
            "sg-link",
            "link",
            "vpc-1",
            (
                model.SecurityGroupRule(
                    egress=False, protocol="tcp", from_port=8883, to_port=8883, referenced_group_id="sg-vpn"
                ),
            ),
        ),
    ),
    network_interfaces=(
        model.NetworkInterface("eni-1", "vpc-1", "subnet-1", "10.0.1.23", ("sg-vpn",), f"ClientVPN {CLIENT_VPN}"),
        model.NetworkInterface("eni-2", "vpc-1", "subnet-1", "10.0.1.105", ("sg-link",)),
    ),
    vpc_endpoints=(
        model.VpcEndpoint(
            VPC_ENDPOINT, "vpc-1", "com.amazonaws.ap-northeast-1.iot.data", "available", (REGIONAL,), ("eni-2",)
        ),
    ),
    hosted_zones=(model.PrivateHostedZone("Z1", ENDPOINT, ("vpc-1",), (model.Record(ENDPOINT, "A", alias=REGIONAL),)),),
    client_vpn_endpoints=(CLIENT_VPN_ENDPOINT,),
    iot=model.Iot(
        ENDPOINT,
        "123456789012",
        (model.Thing("pi-1", "pi", (("room", "1"),)),),
        (model.IotCertificate("ab" * 32, "device certificate", "ACTIVE", ("policy",), ("pi-1",)),),
        (("policy", {"Version": "2012-10-17", "Statement": []}),),
    ),
)
