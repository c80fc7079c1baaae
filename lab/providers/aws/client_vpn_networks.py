"""`aws:ec2clientvpn/…`: `networkAssociation:NetworkAssociation`, `authorizationRule:AuthorizationRule`, `route:Route`.

Source: terraform-provider-aws ``internal/service/ec2/vpnclient_{network_association,authorization_rule,route}.go``.
Every change replaces. An association is imported as `endpoint,association`; a rule is `endpoint,cidr`, `,group` after
it; a route is `endpoint,subnet,cidr`, and takes 4 minutes each to create and to delete.
"""

from lab.providers.aws.client_vpn_endpoint import GONE as ENDPOINT_GONE
from lab.providers.aws.common import cidr_block
from lab.providers.aws.description import Description, Operation, State, served
from lab.providers.schema import Timeouts, boolean, force_new, string

_ASSOCIATION = Description(
    type="aws:ec2clientvpn/networkAssociation:NetworkAssociation",
    title="EC2 Client VPN Network Association",
    timeouts=Timeouts(create=1800, delete=1800),
    service="ec2",
    inputs={"clientVpnEndpointId": string(required=True), "subnetId": string(required=True)},
    outputs={"associationId": string(), "vpcId": string()},
    find=("describe_client_vpn_target_networks", "AssociationIds[]", "ClientVpnTargetNetworks[]"),
    gone=("InvalidClientVpnAssociationIdNotFound", "InvalidClientVpnAssociationId.NotFound", *ENDPOINT_GONE),
    create=("associate_client_vpn_target_network", "AssociationId"),
    identity=(",", "clientVpnEndpointId", "id"),
    form="EndpointID,AssociationID",
    fields={"subnetId": "TargetNetworkId"},
    state=State(
        "Status.Code",
        wanted=("associated",),
        failed=("association-failed",),
        reason="Status.Message",
        gone=("disassociated",),
    ),
    delete=("disassociate_client_vpn_target_network", "AssociationId"),
)


def _revoke(op: Operation) -> None:
    group, everybody = op.known.get("accessGroupId"), op.state.get("authorizeAllGroups")
    op.api.revoke_client_vpn_ingress(
        ClientVpnEndpointId=op.known["clientVpnEndpointId"],
        TargetNetworkCidr=op.known["targetNetworkCidr"],
        **({"AccessGroupId": group} if group else {}),
        **({"RevokeAllGroups": True} if everybody else {}),
    )


_RULE = Description(
    type="aws:ec2clientvpn/authorizationRule:AuthorizationRule",
    title="EC2 Client VPN Authorization Rule",
    exactly_one_of=(("accessGroupId", "authorizeAllGroups"),),
    service="ec2",
    inputs={
        "accessGroupId": string(),
        "authorizeAllGroups": boolean(),
        "clientVpnEndpointId": string(required=True),
        "description": string(),
        "targetNetworkCidr": string(required=True, validate=cidr_block()),
    },
    find=("describe_client_vpn_authorization_rules", "", "AuthorizationRules"),
    match={"DestinationCidr": "targetNetworkCidr", "GroupId": "accessGroupId"},
    gone=(
        *("InvalidClientVpnAuthorizationRuleNotFound", "InvalidClientVpnEndpointAuthorizationRuleNotFound"),
        *ENDPOINT_GONE,
    ),
    create=("authorize_client_vpn_ingress", ""),
    identity=(",", "clientVpnEndpointId", "targetNetworkCidr", "accessGroupId"),
    form="endpoint-id,target-network-cidr or …,group-id",
    fields={"accessGroupId": "GroupId", "authorizeAllGroups": "AccessAll"},
    state=State("Status.Code", wanted=("active",), failed=("failed",), reason="Status.Message"),
    delete=_revoke,
)
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
    gone=("InvalidClientVpnRouteNotFound", *ENDPOINT_GONE),
    create=("create_client_vpn_route", ""),
    identity=(",", "clientVpnEndpointId", "targetVpcSubnetId", "destinationCidrBlock"),
    state=State("Status.Code", wanted=("active",), failed=("failed",), reason="Status.Message"),
    delete=("delete_client_vpn_route", ""),
)

RESOURCES = served(_ASSOCIATION, _RULE, _ROUTE)
