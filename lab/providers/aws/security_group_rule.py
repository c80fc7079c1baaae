"""`aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule` and its egress twin.

Source: terraform-provider-aws ``internal/service/ec2/vpc_security_group_ingress_rule.go``: a change is a call of
ModifySecurityGroupRules, except that another kind of peer (an address, a group, a list) takes a new rule.
"""

import ipaddress
from collections.abc import Callable
from typing import Any

from lab.providers.aws.common import REGION, TAGS, attempt, picked, unless_gone, update_ec2_tags
from lab.providers.aws.security_group import GONE, protocol_name
from lab.providers.aws.tags import from_list
from lab.providers.schema import Resource, integer, string
from lab.providers.values import Properties
from lab.providers.waiting import Call

_GONE = ("InvalidSecurityGroupRuleId.NotFound", "InvalidSecurityGroupRuleId.Malformed", *GONE)
_PEERS = ("cidrIpv4", "cidrIpv6", "prefixListId", "referencedSecurityGroupId")


def _permission(inputs: Properties) -> dict[str, Any]:
    description = {"Description": inputs["description"]} if inputs.get("description") else {}
    permission: dict[str, Any] = {"IpProtocol": protocol_name(inputs["ipProtocol"])}
    permission.update(picked_ports(inputs))
    if inputs.get("cidrIpv4"):
        permission["IpRanges"] = [{"CidrIp": inputs["cidrIpv4"], **description}]
    if inputs.get("cidrIpv6"):
        permission["Ipv6Ranges"] = [{"CidrIpv6": inputs["cidrIpv6"], **description}]
    if inputs.get("prefixListId"):
        permission["PrefixListIds"] = [{"PrefixListId": inputs["prefixListId"], **description}]
    if inputs.get("referencedSecurityGroupId"):
        pair = _group_pair(inputs["referencedSecurityGroupId"])
        permission["UserIdGroupPairs"] = [{**pair, **description}]
    return permission


def picked_ports(inputs: Properties) -> dict[str, int]:
    """FromPort and ToPort, where they are given."""
    names = {"FromPort": "fromPort", "ToPort": "toPort"}
    return {argument: inputs[name] for argument, name in names.items() if inputs.get(name) is not None}


def _group_pair(reference: str) -> dict[str, str]:
    """`sg-…` of this account, or `ACCOUNT/sg-…` of another."""
    account, _, group = reference.rpartition("/")
    return {"UserId": account, "GroupId": group} if account else {"GroupId": group}


def _find(call: Call, identifier: str) -> dict[str, Any] | None:
    ec2 = call.client("ec2")
    found = unless_gone(
        f"reading EC2 Security Group Rule ({identifier})",
        _GONE,
        lambda: ec2.describe_security_group_rules(SecurityGroupRuleIds=[identifier])["SecurityGroupRules"],
    )
    return found[0] if found else None


def _creator(*, egress: bool) -> Callable[[Call, Properties], str]:
    def create(call: Call, inputs: Properties) -> str:
        ec2 = call.client("ec2")
        authorize = ec2.authorize_security_group_egress if egress else ec2.authorize_security_group_ingress
        group = inputs["securityGroupId"]
        answer = attempt(
            f"creating VPC Security Group {_direction(egress)} Rule in ({group})",
            lambda: authorize(GroupId=group, IpPermissions=[_permission(inputs)]),
        )
        return str(answer["SecurityGroupRules"][0]["SecurityGroupRuleId"])

    return create


def _settle(call: Call, identifier: str, inputs: Properties) -> None:
    if inputs.get("tagsAll"):
        update_ec2_tags(call, identifier, "VPC Security Group Rule", {}, inputs)


def _reader(*, egress: bool) -> Callable[[Call, str, Properties], Properties | None]:
    def read(call: Call, identifier: str, state: Properties) -> Properties | None:
        rule = _find(call, identifier)
        if rule is None or bool(rule.get("IsEgress")) != egress:
            return None
        return {
            "arn": rule.get("SecurityGroupRuleArn")
            or call.session.arn("ec2", f"security-group-rule/{identifier}", call.region),
            "cidrIpv4": rule.get("CidrIpv4"),
            "cidrIpv6": rule.get("CidrIpv6"),
            "description": rule.get("Description") or None,
            "fromPort": _port(rule.get("FromPort"), state.get("fromPort")),
            "ipProtocol": rule.get("IpProtocol"),
            "prefixListId": rule.get("PrefixListId"),
            "referencedSecurityGroupId": _reference(rule, call),
            "securityGroupId": rule.get("GroupId"),
            "securityGroupRuleId": identifier,
            "tagsAll": from_list(rule.get("Tags")),
            "toPort": _port(rule.get("ToPort"), state.get("toPort")),
        }

    return read


def _port(seen: int | None, known: int | None) -> int | None:
    """AWS answers -1 for a rule of all protocols where the program says nothing."""
    return None if seen == -1 and known is None else seen


def _reference(rule: dict[str, Any], call: Call) -> str | None:
    info = rule.get("ReferencedGroupInfo") or {}
    group, owner = info.get("GroupId"), info.get("UserId")
    if not group:
        return None
    return f"{owner}/{group}" if owner and owner != call.session.account else str(group)


def _update(call: Call, identifier: str, state: Properties, inputs: Properties, changed: frozenset[str]) -> None:
    if changed - {"tags", "tagsAll"}:
        request = picked(
            inputs,
            {
                "CidrIpv4": "cidrIpv4",
                "CidrIpv6": "cidrIpv6",
                "Description": "description",
                "PrefixListId": "prefixListId",
            },
        )
        request["IpProtocol"] = protocol_name(inputs["ipProtocol"])
        request.update(picked_ports(inputs))
        if inputs.get("referencedSecurityGroupId"):
            request["ReferencedGroupId"] = _group_pair(inputs["referencedSecurityGroupId"])["GroupId"]
        ec2 = call.client("ec2")
        attempt(
            f"updating VPC Security Group Rule ({identifier})",
            lambda: ec2.modify_security_group_rules(
                GroupId=inputs["securityGroupId"],
                SecurityGroupRules=[{"SecurityGroupRuleId": identifier, "SecurityGroupRule": request}],
            ),
        )
    if "tagsAll" in changed:
        update_ec2_tags(call, identifier, "VPC Security Group Rule", state, inputs)


def _another_kind_of_peer(state: Properties, inputs: Properties, changed: frozenset[str]) -> frozenset[str]:
    """When you modify a rule, you cannot change the rule's source type (ModifyPlan in the provider's file)."""
    before = frozenset(name for name in _PEERS if state.get(name))
    after = frozenset(name for name in _PEERS if inputs.get(name))
    return (before ^ after) & changed


def _deleter(*, egress: bool) -> Callable[[Call, str, Properties], None]:
    def delete(call: Call, identifier: str, state: Properties) -> None:
        ec2 = call.client("ec2")
        revoke = ec2.revoke_security_group_egress if egress else ec2.revoke_security_group_ingress
        group = state["securityGroupId"]
        unless_gone(
            f"deleting VPC Security Group {_direction(egress)} Rule ({identifier})",
            (*_GONE, "InvalidPermission.NotFound"),
            lambda: revoke(GroupId=group, SecurityGroupRuleIds=[identifier]),
        )

    return delete


def _direction(egress: bool) -> str:
    return "Egress" if egress else "Ingress"


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


def _resource(*, egress: bool) -> Resource:
    name = f"SecurityGroup{_direction(egress)}Rule"
    return Resource(
        type=f"aws:vpc/s{name[1:]}:{name}",
        title=f"VPC Security Group {_direction(egress)} Rule",
        inputs={
            **REGION,
            **TAGS,
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
        outputs={"arn": string(), "securityGroupRuleId": string()},
        exactly_one_of=(_PEERS,),
        also_replaces=_another_kind_of_peer,
        create=_creator(egress=egress),
        settle=_settle,
        read=_reader(egress=egress),
        update=_update,
        delete=_deleter(egress=egress),
    )


RESOURCES = {resource.type: resource for resource in (_resource(egress=False), _resource(egress=True))}
