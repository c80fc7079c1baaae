"""EC2's state: moto's backend with the lab's parts before moto's own.

Each part extends moto's backend by one concern, so that it sees the rest of EC2; `EC2Backend` has them all.
"""

from lab.cloud.ec2.models.client_vpn_networks import ClientVpnNetworkBackend
from lab.cloud.ec2.models.flow_logs import FlowLogBackend
from lab.cloud.ec2.models.images import ImageBackend
from lab.cloud.ec2.models.networks import NetworkBackend


class EC2Backend(ClientVpnNetworkBackend, FlowLogBackend, ImageBackend, NetworkBackend):
    """EC2 of one account and Region."""
