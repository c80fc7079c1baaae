"""EC2's state: moto's backend with the lab's parts before moto's own."""

from moto.ec2 import models as moto

from lab.cloud.ec2.models.client_vpn import ClientVpnBackend
from lab.cloud.ec2.models.client_vpn_networks import ClientVpnNetworkBackend
from lab.cloud.ec2.models.network_interfaces import NetworkInterfaceBackend
from lab.cloud.ec2.models.vpc_endpoints import VpcEndpointBackend


class EC2Backend(ClientVpnNetworkBackend, VpcEndpointBackend, NetworkInterfaceBackend, moto.EC2Backend):
    """EC2 of one account and Region."""

    def __init__(self, region_name: str, account_id: str) -> None:
        # moto's constructor makes the default VPC, so the lab's parts have to be ready before it.
        ClientVpnBackend.__init__(self)
        moto.EC2Backend.__init__(self, region_name, account_id)

    def tag_items(self, resource_id: str) -> list[dict[str, str]]:
        """Return a resource's tags as a list of Key and Value."""
        return [{"Key": key, "Value": value} for key, value in self.tags.get(resource_id, {}).items()]
