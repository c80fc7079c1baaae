"""`aws:ec2clientvpn/route:Route`.

Source: terraform-provider-aws ``internal/service/ec2/vpnclient_route.go``: every change replaces; the id is
`endpoint,subnet,cidr`; 4 minutes each to create and to delete.
"""

from typing import Any

from lab.providers.aws.common import cidr_block, split_id
from lab.providers.aws.description import Answer, Description, State, settled
from lab.providers.schema import Timeouts, force_new, string
from lab.providers.values import Properties
from lab.providers.waiting import Call

_FORM = "EndpointID,TargetSubnetID,DestinationCIDRBlock"


def _identifier(answer: Answer, inputs: Properties) -> str:
    del answer
    return ",".join(str(inputs[name]) for name in ("clientVpnEndpointId", "targetVpcSubnetId", "destinationCidrBlock"))


def _find(call: Call, identifier: str, _known: Properties) -> Answer | None:
    endpoint, subnet, network = split_id(identifier, ",", 3, _FORM)
    filters = [{"Name": "destination-cidr", "Values": [network]}, {"Name": "target-subnet", "Values": [subnet]}]
    routes = call.client("ec2").describe_client_vpn_routes(ClientVpnEndpointId=endpoint, Filters=filters)["Routes"]
    return routes[0] if routes else None


def _delete(call: Call, identifier: str, state: Properties) -> Any:
    del state
    endpoint, subnet, network = split_id(identifier, ",", 3, _FORM)
    call.client("ec2").delete_client_vpn_route(
        ClientVpnEndpointId=endpoint, TargetVpcSubnetId=subnet, DestinationCidrBlock=network
    )


_ROUTE = Description(
    type="aws:ec2clientvpn/route:Route",
    title="EC2 Client VPN Route",
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
    find=_find,
    gone=("InvalidClientVpnEndpointId.NotFound", "InvalidClientVpnRouteNotFound"),
    create=("create_client_vpn_route", _identifier),
    sent=("clientVpnEndpointId", "description", "destinationCidrBlock", "targetVpcSubnetId"),
    seen=lambda _call, route, _state: {
        "destinationCidrBlock": route["DestinationCidr"],
        "targetVpcSubnetId": route["TargetSubnet"],
    },
    state=State("Status.Code", wanted=("active",), failed=("failed",), reason="Status.Message"),
    delete=_delete,
)
RESOURCES = settled([_ROUTE.resource(timeouts=Timeouts(create=240, delete=240))])
