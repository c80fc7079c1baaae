"""`aws:ec2clientvpn/networkAssociation:NetworkAssociation` and `…/authorizationRule:AuthorizationRule`.

Source: terraform-provider-aws ``internal/service/ec2/vpnclient_{network_association,authorization_rule}.go``: every
change replaces. An association is imported as `endpoint,association`; a rule is `endpoint,cidr`, `,group` after it.
"""

from lab.providers.aws.client_vpn_endpoint import GONE as ENDPOINT_GONE
from lab.providers.aws.common import cidr_block, split_id
from lab.providers.aws.description import Answer, Description, State, settled
from lab.providers.schema import Timeouts, boolean, string
from lab.providers.values import Properties
from lab.providers.waiting import Call


def _endpoint_of(identifier: str, known: Properties) -> str:
    """The endpoint that the state names, or that stands before the association in an import's id."""
    return str(known.get("clientVpnEndpointId") or split_id(identifier, ",", 2, "EndpointID,AssociationID")[0])


def _find_association(call: Call, identifier: str, known: Properties) -> Answer | None:
    found = call.client("ec2").describe_client_vpn_target_networks(
        ClientVpnEndpointId=_endpoint_of(identifier, known), AssociationIds=[identifier.rpartition(",")[2]]
    )["ClientVpnTargetNetworks"]
    return found[0] if found else None


_ASSOCIATION = Description(
    type="aws:ec2clientvpn/networkAssociation:NetworkAssociation",
    title="EC2 Client VPN Network Association",
    service="ec2",
    inputs={"clientVpnEndpointId": string(required=True), "subnetId": string(required=True)},
    outputs={"associationId": string(), "vpcId": string()},
    find=_find_association,
    gone=("InvalidClientVpnAssociationIdNotFound", "InvalidClientVpnAssociationId.NotFound", *ENDPOINT_GONE),
    create=("associate_client_vpn_target_network", "AssociationId"),
    sent=("clientVpnEndpointId", "subnetId"),
    state=State(
        "Status.Code",
        wanted=("associated",),
        failed=("association-failed",),
        reason="Status.Message",
        gone=("disassociated",),
    ),
    seen=lambda _call, association, _state: {
        "id": association["AssociationId"],
        "subnetId": association.get("TargetNetworkId"),
    },
    delete=lambda call, identifier, state: call.client("ec2").disassociate_client_vpn_target_network(
        ClientVpnEndpointId=state["clientVpnEndpointId"], AssociationId=identifier
    ),
)


def _parts(identifier: str) -> tuple[str, str, str | None]:
    form = "endpoint-id,target-network-cidr or …,group-id"
    endpoint, network, *group = split_id(identifier, ",", 3 if identifier.count(",") > 1 else 2, form)
    return endpoint, network, group[0] if group else None


def _find_rule(call: Call, identifier: str, known: Properties) -> Answer | None:
    del known
    endpoint, network, group = _parts(identifier)
    filters = [{"Name": "destination-cidr", "Values": [network]}]
    rules = call.client("ec2").describe_client_vpn_authorization_rules(ClientVpnEndpointId=endpoint, Filters=filters)
    for rule in rules["AuthorizationRules"]:
        if rule.get("DestinationCidr") == network and (rule.get("GroupId") or None) == group:
            return dict(rule)
    return None


def _rule_id(answer: Answer, inputs: Properties) -> str:
    del answer
    parts = (inputs[name] for name in ("clientVpnEndpointId", "targetNetworkCidr", "accessGroupId") if inputs.get(name))
    return ",".join(parts)


def _revoke(call: Call, identifier: str, state: Properties) -> None:
    endpoint, network, group = _parts(identifier)
    arguments: Answer = {"AccessGroupId": group} if group else {}
    if state.get("authorizeAllGroups"):
        arguments["RevokeAllGroups"] = True
    call.client("ec2").revoke_client_vpn_ingress(ClientVpnEndpointId=endpoint, TargetNetworkCidr=network, **arguments)


_RULE = Description(
    type="aws:ec2clientvpn/authorizationRule:AuthorizationRule",
    title="EC2 Client VPN Authorization Rule",
    service="ec2",
    inputs={
        "accessGroupId": string(),
        "authorizeAllGroups": boolean(),
        "clientVpnEndpointId": string(required=True),
        "description": string(),
        "targetNetworkCidr": string(required=True, validate=cidr_block()),
    },
    find=_find_rule,
    gone=(
        "InvalidClientVpnAuthorizationRuleNotFound",
        "InvalidClientVpnEndpointAuthorizationRuleNotFound",
        *ENDPOINT_GONE,
    ),
    create=("authorize_client_vpn_ingress", _rule_id),
    sent=("accessGroupId", "authorizeAllGroups", "clientVpnEndpointId", "description", "targetNetworkCidr"),
    state=State("Status.Code", wanted=("active",), failed=("failed",), reason="Status.Message"),
    seen=lambda _call, rule, _state: {
        "accessGroupId": rule.get("GroupId"),
        "authorizeAllGroups": rule.get("AccessAll", False),
        "targetNetworkCidr": rule.get("DestinationCidr"),
    },
    delete=_revoke,
)

RESOURCES = settled(
    (
        _ASSOCIATION.resource(timeouts=Timeouts(create=1800, delete=1800)),
        _RULE.resource(exactly_one_of=(("accessGroupId", "authorizeAllGroups"),)),
    )
)
