"""`aws:ec2clientvpn/authorizationRule:AuthorizationRule`.

Source: terraform-provider-aws ``internal/service/ec2/vpnclient_authorization_rule.go``: every change replaces; the id
is `endpoint,cidr` or `endpoint,cidr,group`; 10 minutes each to create and to delete.
"""

from typing import Any

from lab.providers.aws.client_vpn_endpoint import GONE as ENDPOINT_GONE
from lab.providers.aws.common import REGION, attempt, cidr_block, split_id, unless_gone
from lab.providers.errors import ProviderError
from lab.providers.schema import Resource, Timeouts, boolean, string
from lab.providers.values import Properties
from lab.providers.waiting import Call

_GONE = (
    "InvalidClientVpnAuthorizationRuleNotFound",
    "InvalidClientVpnEndpointAuthorizationRuleNotFound",
    *ENDPOINT_GONE,
)


def _parts(identifier: str) -> tuple[str, str, str | None]:
    if identifier.count(",") == 1:
        endpoint, network = split_id(identifier, ",", 2, "endpoint-id,target-network-cidr or …,group-id")
        return endpoint, network, None
    endpoint, network, group = split_id(identifier, ",", 3, "endpoint-id,target-network-cidr or …,group-id")
    return endpoint, network, group


def _find(call: Call, identifier: str) -> dict[str, Any] | None:
    endpoint, network, group = _parts(identifier)
    ec2 = call.client("ec2")
    filters = [{"Name": "destination-cidr", "Values": [network]}]
    if group:
        filters.append({"Name": "group-id", "Values": [group]})
    rules = unless_gone(
        f"reading EC2 Client VPN Authorization Rule ({identifier})",
        _GONE,
        lambda: ec2.describe_client_vpn_authorization_rules(ClientVpnEndpointId=endpoint, Filters=filters)[
            "AuthorizationRules"
        ],
    )
    for rule in rules or []:
        if rule.get("DestinationCidr") == network and (rule.get("GroupId") or None) == group:
            return dict(rule)
    return None


def _status(rule: dict[str, Any]) -> str:
    return str((rule.get("Status") or {}).get("Code", ""))


def _create(call: Call, inputs: Properties) -> str:
    ec2 = call.client("ec2")
    endpoint, network, group = inputs["clientVpnEndpointId"], inputs["targetNetworkCidr"], inputs.get("accessGroupId")
    identifier = ",".join(part for part in (endpoint, network, group) if part)
    arguments: dict[str, Any] = {"AccessGroupId": group} if group else {}
    if inputs.get("authorizeAllGroups"):
        arguments["AuthorizeAllGroups"] = True
    if inputs.get("description"):
        arguments["Description"] = inputs["description"]
    attempt(
        f"creating EC2 Client VPN Authorization Rule ({identifier})",
        lambda: ec2.authorize_client_vpn_ingress(ClientVpnEndpointId=endpoint, TargetNetworkCidr=network, **arguments),
    )
    return identifier


def _settle(call: Call, identifier: str, inputs: Properties) -> None:
    del inputs

    def active() -> dict[str, Any] | None:
        rule = _find(call, identifier)
        if _status(rule or {}) == "failed":
            reason = ((rule or {}).get("Status") or {}).get("Message", "no reason given")
            raise ProviderError(
                f"waiting for EC2 Client VPN Authorization Rule ({identifier}) create: failed: {reason}"
            )
        return rule if _status(rule or {}) == "active" else None

    call.wait_until(f"EC2 Client VPN Authorization Rule ({identifier}) create", active)


def _read(call: Call, identifier: str, state: Properties) -> Properties | None:
    del state
    rule = _find(call, identifier)
    if rule is None or _status(rule) == "revoking":
        return None
    return {
        "accessGroupId": rule.get("GroupId") or None,
        "authorizeAllGroups": rule.get("AccessAll", False),
        "clientVpnEndpointId": rule.get("ClientVpnEndpointId") or _parts(identifier)[0],
        "description": rule.get("Description") or None,
        "targetNetworkCidr": rule.get("DestinationCidr"),
    }


def _delete(call: Call, identifier: str, state: Properties) -> None:
    ec2 = call.client("ec2")
    endpoint, network, group = _parts(identifier)
    arguments: dict[str, Any] = {"AccessGroupId": group} if group else {}
    if state.get("authorizeAllGroups"):
        arguments["RevokeAllGroups"] = True
    unless_gone(
        f"deleting EC2 Client VPN Authorization Rule ({identifier})",
        _GONE,
        lambda: ec2.revoke_client_vpn_ingress(ClientVpnEndpointId=endpoint, TargetNetworkCidr=network, **arguments),
    )
    call.wait_until(
        f"EC2 Client VPN Authorization Rule ({identifier}) delete", lambda: None if _find(call, identifier) else True
    )


RESOURCES = {
    "aws:ec2clientvpn/authorizationRule:AuthorizationRule": Resource(
        type="aws:ec2clientvpn/authorizationRule:AuthorizationRule",
        title="EC2 Client VPN Authorization Rule",
        inputs={
            **REGION,
            "accessGroupId": string(),
            "authorizeAllGroups": boolean(),
            "clientVpnEndpointId": string(required=True),
            "description": string(),
            "targetNetworkCidr": string(required=True, validate=cidr_block()),
        },
        outputs={},
        exactly_one_of=(("accessGroupId", "authorizeAllGroups"),),
        create=_create,
        settle=_settle,
        read=_read,
        delete=_delete,
        timeouts=Timeouts(create=600, delete=600),
        import_id="endpoint-id,target-network-cidr",
    )
}
