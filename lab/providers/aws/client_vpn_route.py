"""`aws:ec2clientvpn/route:Route`.

Source: terraform-provider-aws ``internal/service/ec2/vpnclient_route.go``: every change replaces; the id is
`endpoint,subnet,cidr`; 4 minutes each to create and to delete.
"""

from lab.providers.aws.common import cidr_block
from lab.providers.aws.description import Description, State, served
from lab.providers.schema import Timeouts, force_new, string

_ROUTE = Description(
    type="aws:ec2clientvpn/route:Route",
    title="EC2 Client VPN Route",
    timeouts=Timeouts(create=240, delete=240),
    service="ec2",
    inputs=force_new(
        {
            "clientVpnEndpointId": string(required=True),
            "description": string(),
            "destinationCidrBlock": string(required=True, validate=cidr_block()),
            "targetVpcSubnetId": string(computed=True),
        }
    ),
    outputs={"origin": string(), "transitGatewayAttachmentId": string(), "type": string()},
    find=("describe_client_vpn_routes", "", "Routes"),
    match={"DestinationCidr": "destinationCidrBlock", "TargetSubnet": "targetVpcSubnetId"},
    gone=("InvalidClientVpnEndpointId.NotFound", "InvalidClientVpnRouteNotFound"),
    create=("create_client_vpn_route", ""),
    identity=(",", "clientVpnEndpointId", "targetVpcSubnetId", "destinationCidrBlock"),
    state=State("Status.Code", wanted=("active",), failed=("failed",), reason="Status.Message"),
    delete=("delete_client_vpn_route", ""),
)
RESOURCES = served(_ROUTE)
