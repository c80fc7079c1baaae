"""EC2's wire format: moto's answers with the lab's before moto's own."""

from moto.ec2 import responses as moto

from lab.cloud.ec2.responses.client_vpn import ClientVpn
from lab.cloud.ec2.responses.client_vpn_networks import ClientVpnNetworks
from lab.cloud.ec2.responses.security_groups import SecurityGroups
from lab.cloud.ec2.responses.tags import Tags
from lab.cloud.ec2.responses.vpc_endpoints import VpcEndpoints


class EC2Response(ClientVpn, ClientVpnNetworks, SecurityGroups, Tags, VpcEndpoints, moto.EC2Response):
    """Answers EC2's operations."""
