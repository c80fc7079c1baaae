"""`aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule` and its egress twin.

Source: terraform-provider-aws ``internal/service/ec2/vpc_security_group_ingress_rule.go``: a change is a call of
ModifySecurityGroupRules, except that another kind of peer (an address, a group, a list) takes a new rule.
"""

import ipaddress
from collections.abc import Callable

from lab.providers.aws.description import Description, Operation, served
from lab.providers.aws.security_group import GONE, protocol_name
from lab.providers.aws.shapes import Answer, arguments
from lab.providers.schema import integer, string
from lab.providers.values import Properties

# Input → the list in a permission, and the name of the peer in an item of it.
_PEERS = {
    "cidrIpv4": ("IpRanges", "CidrIp"),
    "cidrIpv6": ("Ipv6Ranges", "CidrIpv6"),
    "prefixListId": ("PrefixListIds", "PrefixListId"),
    "referencedSecurityGroupId": ("UserIdGroupPairs", "GroupId"),
}


def _arguments(op: Operation) -> Answer:
    permission: Properties = {**op.inputs, "ipProtocol": protocol_name(op.inputs["ipProtocol"])}
    for name, (field, key) in _PEERS.items():
        if op.inputs.get(name):
            # `sg-…` of this account, or `ACCOUNT/sg-…` of another
            account, _, peer = op.inputs[name].rpartition("/") if key == "GroupId" else ("", "", op.inputs[name])
            permission[field] = [{key: peer, "userId": account, "description": op.inputs.get("description")}]
    # Not beside the permission, where the call has arguments of the same names for a rule without a list of peers.
    beside = dict.fromkeys(("FromPort", "ToPort", "IpProtocol"))
    operation = f"authorize_security_group_{'egress' if 'Egress' in op.kind.type else 'ingress'}"
    return {**arguments(op.api, operation, {"ipPermissions": [permission]}, {}), **beside}


def _seen(op: Operation, rule: Answer) -> Properties:
    info = rule.get("ReferencedGroupInfo") or {}
    group, owner = info.get("GroupId"), info.get("UserId")
    foreign = owner and owner != op.call.session.account
    # AWS answers -1 for a rule of all protocols where the program says nothing.
    of_all = rule.get("FromPort") == -1
    unsaid = {name: None for name in ("fromPort", "toPort") if of_all and op.state.get(name) is None}
    return {
        **unsaid,
        "referencedSecurityGroupId": f"{owner}/{group}" if group and foreign else group,
        "description": rule.get("Description") or None,
    }


def _modify(op: Operation) -> None:
    group = (op.inputs.get("referencedSecurityGroupId") or "").rpartition("/")[2]
    rule = {**op.inputs, "ipProtocol": protocol_name(op.inputs["ipProtocol"]), "referencedGroupId": group}
    asked = {
        "securityGroupId": op.inputs["securityGroupId"],
        "securityGroupRules": [{"securityGroupRuleId": op.id, "securityGroupRule": rule}],
    }
    operation = "modify_security_group_rules"
    getattr(op.api, operation)(**arguments(op.api, operation, asked, op.kind.fields))


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


def _rule(direction: str) -> Description:
    def find(op: Operation) -> Answer | None:
        [rule, *_] = op.api.describe_security_group_rules(SecurityGroupRuleIds=[op.id])["SecurityGroupRules"] or [{}]
        return rule if bool(rule.get("IsEgress")) == (direction == "Egress") else None

    return Description(
        type=f"aws:vpc/securityGroup{direction}Rule:SecurityGroup{direction}Rule",
        title=f"VPC Security Group {direction} Rule",
        exactly_one_of=(tuple(_PEERS),),
        framework=True,
        also_replaces=_another_kind_of_peer,
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
            *("InvalidSecurityGroupRuleId.NotFound", "InvalidSecurityGroupRuleId.Malformed"),
            *("InvalidPermission.NotFound", *GONE),
        ),
        create=(f"authorize_security_group_{direction.lower()}", "SecurityGroupRules[].SecurityGroupRuleId"),
        fields={"securityGroupId": "GroupId", "arn": "SecurityGroupRuleArn"},
        arn="security-group-rule/{id}",
        tags=True,
        tags_after=True,
        key="securityGroupRuleId",
        arguments=_arguments,
        seen=_seen,
        more=_modify,
        delete=lambda op: getattr(op.api, f"revoke_security_group_{direction.lower()}")(
            GroupId=op.state["securityGroupId"], SecurityGroupRuleIds=[op.id]
        ),
    )


RESOURCES = served(_rule("Ingress"), _rule("Egress"))
