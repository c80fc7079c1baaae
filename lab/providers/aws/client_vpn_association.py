"""`aws:ec2clientvpn/networkAssociation:NetworkAssociation`.

Source: terraform-provider-aws ``internal/service/ec2/vpnclient_network_association.go``: every change replaces; 30
minutes each to create and to delete; imported as `endpoint,association`.
"""

from typing import Any

from lab.providers.aws.client_vpn_endpoint import GONE as ENDPOINT_GONE
from lab.providers.aws.common import REGION, attempt, split_id, unless_gone
from lab.providers.errors import ProviderError
from lab.providers.schema import Resource, Timeouts, string
from lab.providers.values import Properties
from lab.providers.waiting import Call

_GONE = ("InvalidClientVpnAssociationIdNotFound", "InvalidClientVpnAssociationId.NotFound", *ENDPOINT_GONE)


def _find(call: Call, endpoint: str, identifier: str) -> dict[str, Any] | None:
    ec2 = call.client("ec2")
    found = unless_gone(
        f"reading EC2 Client VPN Network Association ({identifier})",
        _GONE,
        lambda: ec2.describe_client_vpn_target_networks(ClientVpnEndpointId=endpoint, AssociationIds=[identifier])[
            "ClientVpnTargetNetworks"
        ],
    )
    if not found or _status(found[0]) == "disassociated":
        return None
    return dict(found[0])


def _status(association: dict[str, Any]) -> str:
    return str((association.get("Status") or {}).get("Code", ""))


def _create(call: Call, inputs: Properties) -> str:
    ec2 = call.client("ec2")
    endpoint, subnet = inputs["clientVpnEndpointId"], inputs["subnetId"]
    answer = attempt(
        f"creating EC2 Client VPN Network Association of ({endpoint}) with ({subnet})",
        lambda: ec2.associate_client_vpn_target_network(ClientVpnEndpointId=endpoint, SubnetId=subnet),
    )
    return str(answer["AssociationId"])


def _settle(call: Call, identifier: str, inputs: Properties) -> None:
    def associated() -> dict[str, Any] | None:
        association = _find(call, inputs["clientVpnEndpointId"], identifier)
        status = _status(association or {})
        if status == "association-failed":
            reason = ((association or {}).get("Status") or {}).get("Message", "no reason given")
            raise ProviderError(
                f"waiting for EC2 Client VPN Network Association ({identifier}) create: {status}: {reason}"
            )
        return association if status == "associated" else None

    call.wait_until(f"EC2 Client VPN Network Association ({identifier}) create", associated)


def _read(call: Call, identifier: str, state: Properties) -> Properties | None:
    endpoint = state.get("clientVpnEndpointId")
    if endpoint is None:
        endpoint, identifier = split_id(identifier, ",", 2, "EndpointID,AssociationID")
    association = _find(call, endpoint, identifier)
    if association is None:
        return None
    return {
        "id": identifier,
        "associationId": identifier,
        "clientVpnEndpointId": association.get("ClientVpnEndpointId") or endpoint,
        "subnetId": association.get("TargetNetworkId"),
        "vpcId": association.get("VpcId"),
    }


def _delete(call: Call, identifier: str, state: Properties) -> None:
    ec2 = call.client("ec2")
    endpoint = state["clientVpnEndpointId"]
    unless_gone(
        f"deleting EC2 Client VPN Network Association ({identifier})",
        _GONE,
        lambda: ec2.disassociate_client_vpn_target_network(ClientVpnEndpointId=endpoint, AssociationId=identifier),
    )
    call.wait_until(
        f"EC2 Client VPN Network Association ({identifier}) delete",
        lambda: None if _find(call, endpoint, identifier) else True,
    )


RESOURCES = {
    "aws:ec2clientvpn/networkAssociation:NetworkAssociation": Resource(
        type="aws:ec2clientvpn/networkAssociation:NetworkAssociation",
        title="EC2 Client VPN Network Association",
        inputs={**REGION, "clientVpnEndpointId": string(required=True), "subnetId": string(required=True)},
        outputs={"associationId": string(), "vpcId": string()},
        create=_create,
        settle=_settle,
        read=_read,
        delete=_delete,
        timeouts=Timeouts(create=1800, delete=1800),
        import_id="EndpointID,AssociationID",
    )
}
