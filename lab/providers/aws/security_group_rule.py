"""`aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule` and its egress twin.

Source: terraform-provider-aws ``internal/service/ec2/vpc_security_group_ingress_rule.go``: a change is a call of
ModifySecurityGroupRules, except that another kind of peer (an address, a group, a list) takes a new rule.
"""

import ipaddress
from collections.abc import Callable

from lab.providers.aws.clients import attempt
from lab.providers.aws.description import Answer, Description, settled
from lab.providers.aws.security_group import GONE, protocol_name
from lab.providers.schema import Resource, integer, string
from lab.providers.values import Properties
from lab.providers.waiting import Call

# Input → the list in a permission, and the name of the peer in an item of it.
_PEERS = {
    "cidrIpv4": ("IpRanges", "CidrIp"),
    "cidrIpv6": ("Ipv6Ranges", "CidrIpv6"),
    "prefixListId": ("PrefixListIds", "PrefixListId"),
    "referencedSecurityGroupId": ("UserIdGroupPairs", "GroupId"),
}


def _arguments(call: Call, inputs: Properties) -> Answer:
    del call
    permission: Answer = {"IpProtocol": protocol_name(inputs["ipProtocol"]), **_ports(inputs)}
    for name, (field, key) in _PEERS.items():
        if inputs.get(name):
            # `sg-…` of this account, or `ACCOUNT/sg-…` of another
            account, _, peer = inputs[name].rpartition("/") if field == "UserIdGroupPairs" else ("", "", inputs[name])
            item = {key: peer, **({"UserId": account} if account else {})}
            permission[field] = [item | ({"Description": inputs["description"]} if inputs.get("description") else {})]
    return {"GroupId": inputs["securityGroupId"], "IpPermissions": [permission]}


def _ports(inputs: Properties) -> dict[str, int]:
    names = {"FromPort": "fromPort", "ToPort": "toPort"}
    return {argument: inputs[name] for argument, name in names.items() if inputs.get(name) is not None}


def _seen(call: Call, rule: Answer, state: Properties) -> Properties:
    info = rule.get("ReferencedGroupInfo") or {}
    group, owner = info.get("GroupId"), info.get("UserId")
    foreign = owner and owner != call.session.account
    # AWS answers -1 for a rule of all protocols where the program says nothing.
    unsaid = {name: None for name in ("fromPort", "toPort") if state.get(name) is None and rule.get("FromPort") == -1}
    return {
        **unsaid,
        "referencedSecurityGroupId": f"{owner}/{group}" if group and foreign else group,
        "description": rule.get("Description") or None,
    }


def _modify(call: Call, identifier: str, state: Properties, inputs: Properties, changed: frozenset[str]) -> None:
    del state
    if not changed - {"tags", "tagsAll"}:
        return
    names = {
        "cidrIpv4": "CidrIpv4",
        "cidrIpv6": "CidrIpv6",
        "description": "Description",
        "prefixListId": "PrefixListId",
    }
    request: Answer = {argument: inputs[name] for name, argument in names.items() if inputs.get(name)}
    request.update(IpProtocol=protocol_name(inputs["ipProtocol"]), **_ports(inputs))
    if inputs.get("referencedSecurityGroupId"):
        request["ReferencedGroupId"] = inputs["referencedSecurityGroupId"].rpartition("/")[2]
    ec2 = call.client("ec2")
    attempt(
        f"updating VPC Security Group Rule ({identifier})",
        lambda: ec2.modify_security_group_rules(
            GroupId=inputs["securityGroupId"],
            SecurityGroupRules=[{"SecurityGroupRuleId": identifier, "SecurityGroupRule": request}],
        ),
    )


def _another_kind_of_peer(state: Properties, inputs: Properties, changed: frozenset[str]) -> frozenset[str]:
    """When you modify a rule, you cannot change the rule's source type (ModifyPlan in the provider's file)."""
    before, after = (frozenset(name for name in _PEERS if given.get(name)) for given in (state, inputs))
    return (before ^ after) & changed


def _network(version: int) -> Callable[[str], str | None]:
    def validate(value: str) -> str | None:
        try:
            network = ipaddress.ip_network(value)
        except ValueError as error:
            return f"Invalid Attribute Value: {value}: {error}"
        if network.version != version or "/" not in value:
            return (
                f"Invalid Attribute Value: {value}: value must be a valid IPv{version} CIDR that represents a network"
            )
        return None

    return validate


def _resource(direction: str) -> Resource:
    name, egress = f"SecurityGroup{direction}Rule", direction == "Egress"

    def find(call: Call, identifier: str, _known: Properties) -> Answer | None:
        found = call.client("ec2").describe_security_group_rules(SecurityGroupRuleIds=[identifier])[
            "SecurityGroupRules"
        ]
        return found[0] if found and bool(found[0].get("IsEgress")) == egress else None

    def revoke(call: Call, identifier: str, state: Properties) -> None:
        operation = getattr(call.client("ec2"), f"revoke_security_group_{direction.lower()}")
        operation(GroupId=state["securityGroupId"], SecurityGroupRuleIds=[identifier])

    description = Description(
        type=f"aws:vpc/s{name[1:]}:{name}",
        title=f"VPC Security Group {direction} Rule",
        service="ec2",
        inputs={
            "cidrIpv4": string(validate=_network(4)),
            "cidrIpv6": string(validate=_network(6)),
            "description": string(),
            "fromPort": integer(minimum=-1, maximum=65535),
            "ipProtocol": string(required=True, same=lambda old, new: protocol_name(old) == protocol_name(new)),
            "prefixListId": string(),
            "referencedSecurityGroupId": string(),
            "securityGroupId": string(required=True, force_new=True),
            "toPort": integer(minimum=-1, maximum=65535),
        },
        outputs={"securityGroupRuleId": string()},
        find=find,
        gone=(
            "InvalidSecurityGroupRuleId.NotFound",
            "InvalidSecurityGroupRuleId.Malformed",
            "InvalidPermission.NotFound",
            *GONE,
        ),
        create=(f"authorize_security_group_{direction.lower()}", "SecurityGroupRules[].SecurityGroupRuleId"),
        fields={"securityGroupId": "GroupId", "arn": "SecurityGroupRuleArn"},
        arn="security-group-rule/{id}",
        tags="ec2",
        key="securityGroupRuleId",
        arguments=_arguments,
        # The provider tags a rule by a call of its own, once it is there.
        settle=lambda call, identifier, inputs: description.change_tags(call, identifier, {}, inputs),
        seen=_seen,
        more=_modify,
        delete=revoke,
    )
    return description.resource(exactly_one_of=(tuple(_PEERS),), framework=True, also_replaces=_another_kind_of_peer)


RESOURCES = settled(_resource(direction) for direction in ("Ingress", "Egress"))
