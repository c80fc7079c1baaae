"""`aws:ec2/securityGroup:SecurityGroup`, `…/defaultSecurityGroup:DefaultSecurityGroup` and the rules inside them.

Source: terraform-provider-aws ``internal/service/ec2/{vpc_security_group,vpc_default_security_group}.go``. The default
group is adopted: creating it takes every rule away and then adds the program's; deleting it removes nothing.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from lab.providers.aws.clients import attempt, unless_gone
from lab.providers.aws.common import name_of, prefix_of
from lab.providers.aws.description import Answer, Description, settled
from lab.providers.aws.tags import from_list
from lab.providers.errors import ProviderError
from lab.providers.schema import (
    AutoName,
    Property,
    Timeouts,
    boolean,
    integer,
    list_of,
    object_of,
    set_of,
    string,
)
from lab.providers.values import Properties
from lab.providers.waiting import Call

GONE = ("InvalidGroup.NotFound", "InvalidGroupId.Malformed", "InvalidSecurityGroupID.NotFound")
_DUPLICATE = ("InvalidPermission.Duplicate",)
_ABSENT = ("InvalidPermission.NotFound",)
RULE = object_of(
    {
        "cidrBlocks": list_of(string()),
        "description": string(),
        "fromPort": integer(required=True),
        "ipv6CidrBlocks": list_of(string()),
        "prefixListIds": list_of(string()),
        "protocol": string(required=True),
        "securityGroups": set_of(string()),
        "self": boolean(default=False),
        "toPort": integer(required=True),
    }
)
Permission = dict[str, Any]
# (protocol, from, to, the kind of peer, the peer, its description): one rule as AWS sees it.
Atom = tuple[str, int, int, str, str, str]
_PEERS = {
    "cidr": ("IpRanges", "CidrIp"),
    "cidr6": ("Ipv6Ranges", "CidrIpv6"),
    "prefix": ("PrefixListIds", "PrefixListId"),
    "group": ("UserIdGroupPairs", "GroupId"),
}


def atoms(rules: Iterable[Mapping[str, Any]], group: str) -> set[Atom]:
    """Rules as a program writes them, taken apart into one for each peer."""
    found: set[Atom] = set()
    for rule in rules:
        protocol = protocol_name(rule["protocol"])
        start, end = (-1, -1) if protocol == "-1" else (rule["fromPort"], rule["toPort"])
        text = rule.get("description") or ""
        peers = [("cidr", block) for block in rule.get("cidrBlocks") or []]
        peers += [("cidr6", block) for block in rule.get("ipv6CidrBlocks") or []]
        peers += [("prefix", name) for name in rule.get("prefixListIds") or []]
        peers += [("group", name) for name in rule.get("securityGroups") or []]
        peers += [("group", group)] if rule.get("self") else []
        found |= {(protocol, start, end, kind, peer, text) for kind, peer in peers}
    return found


def atoms_of_permissions(permissions: Iterable[Permission]) -> set[Atom]:
    """Rules as AWS describes them, taken apart into one for each peer."""
    found: set[Atom] = set()
    for permission in permissions:
        start, end = permission.get("FromPort", -1), permission.get("ToPort", -1)
        for kind, (field, key) in _PEERS.items():
            for peer in permission.get(field) or []:
                if peer.get(key):
                    text = peer.get("Description") or ""
                    found.add((permission["IpProtocol"], start, end, kind, peer[key], text))
    return found


def rules_of_permissions(permissions: Iterable[Permission], group: str) -> list[Properties]:
    """Rules as AWS describes them, put together as a program would write them: one for each ports and description."""
    gathered: dict[tuple[str, int, int, str], Properties] = {}
    names = {"cidr": "cidrBlocks", "cidr6": "ipv6CidrBlocks", "prefix": "prefixListIds", "group": "securityGroups"}
    for protocol, start, end, kind, peer, text in sorted(atoms_of_permissions(permissions)):
        ports = (0, 0) if protocol == "-1" else (start, end)
        rule = gathered.setdefault(
            (protocol, *ports, text),
            {"protocol": protocol, "fromPort": ports[0], "toPort": ports[1], "description": text, "self": False},
        )
        if kind == "group" and peer == group:
            rule["self"] = True
        else:
            rule.setdefault(names[kind], []).append(peer)
    return list(gathered.values())


def protocol_name(protocol: str) -> str:
    """AWS's name of a protocol: `all` is `-1`, and the numbers of tcp, udp, icmp and icmpv6 have names."""
    names = {"all": "-1", "6": "tcp", "17": "udp", "1": "icmp", "58": "icmpv6"}
    return names.get(protocol.lower(), protocol.lower())


def change_rules(call: Call, group: str, *, egress: bool, present: set[Atom], wanted: set[Atom]) -> None:
    """Revokes what is not wanted and authorizes what is missing."""
    ec2 = call.client("ec2")
    direction = "egress" if egress else "ingress"
    revoke = ec2.revoke_security_group_egress if egress else ec2.revoke_security_group_ingress
    authorize = ec2.authorize_security_group_egress if egress else ec2.authorize_security_group_ingress
    gone, missing = sorted(present - wanted), sorted(wanted - present)
    if gone:
        what = f"revoking Security Group ({group}) {direction} rules"
        unless_gone(what, _ABSENT, lambda: revoke(GroupId=group, IpPermissions=[_permission(atom) for atom in gone]))
    if missing:
        what = f"authorizing Security Group ({group}) {direction} rules"
        unless_gone(
            what, _DUPLICATE, lambda: authorize(GroupId=group, IpPermissions=[_permission(atom) for atom in missing])
        )


def _permission(atom: Atom) -> Permission:
    protocol, start, end, kind, peer, text = atom
    field, key = _PEERS[kind]
    permission: Permission = {"IpProtocol": protocol, field: [{key: peer, **({"Description": text} if text else {})}]}
    if protocol != "-1":
        permission.update(FromPort=start, ToPort=end)
    return permission


_DIRECTIONS = (("ingress", "IpPermissions"), ("egress", "IpPermissionsEgress"))


def _group_seen(call: Call, group: Answer, state: Properties) -> Properties:
    """The rules; those that the state has in another order or grouping keep the state's form."""
    del call
    return {
        **{name: _seen(state.get(name), group.get(field) or [], group["GroupId"]) for name, field in _DIRECTIONS},
        "name": group.get("GroupName"),
        "namePrefix": prefix_of(group.get("GroupName", "")),
    }


def _seen(known: Any, permissions: list[Permission], group: str) -> list[Properties]:
    if known is not None and atoms(known, group) == atoms_of_permissions(permissions):
        return list(known)
    return rules_of_permissions(permissions, group)


def _change(call: Call, identifier: str, state: Properties, inputs: Properties, changed: frozenset[str]) -> None:
    """Brings the rules of the directions that change to what is wanted, from what AWS has."""
    group = _GROUP.found(call, identifier, state) or {}
    for name, field in _DIRECTIONS:
        if name in changed:
            present = atoms_of_permissions(group.get(field) or [])
            wanted = atoms(inputs.get(name) or [], identifier)
            change_rules(call, identifier, egress=name == "egress", present=present, wanted=wanted)


def _settle(call: Call, identifier: str, inputs: Properties) -> None:
    # AWS lets everything out of a new group; the provider takes that away, so that what is written is what holds.
    call.wait_until(f"Security Group ({identifier}) create", lambda: _GROUP.found(call, identifier, {}))
    _change(call, identifier, {}, inputs, frozenset({"ingress", "egress"}))


def _revoke_first(call: Call, identifier: str, state: Properties) -> None:
    if state.get("revokeRulesOnDelete"):
        _change(call, identifier, state, {}, frozenset({"ingress", "egress"}))


def _name(value: str) -> str | None:
    if value.startswith("sg-"):
        return f"invalid value for name (cannot begin with sg-), got {value}"
    return f"expected length of name to be in the range (0 - 255), got {len(value)}" if len(value) > 255 else None


def _description(value: str) -> str | None:
    # CreateSecurityGroup: up to 255 characters, of a-z, A-Z, 0-9, spaces, and ._-:/()#,@[]+=&;{}!$*
    if len(value) > 255:
        return f"expected length of description to be in the range (0 - 255), got {len(value)}"
    return None


RULES: Mapping[str, Property] = {
    "egress": set_of(RULE, computed=True),
    "ingress": set_of(RULE, computed=True),
}
_GROUP = Description(
    type="aws:ec2/securityGroup:SecurityGroup",
    title="Security Group",
    service="ec2",
    inputs={
        **RULES,
        # pulumi-aws provider/resources.go says "Managed by Pulumi" where Terraform says "Managed by Terraform".
        "description": string(default="Managed by Pulumi", force_new=True, validate=_description),
        "name": string(computed=True, force_new=True, conflicts=("namePrefix",), validate=_name),
        "namePrefix": string(computed=True, force_new=True, conflicts=("name",)),
        "revokeRulesOnDelete": boolean(default=False),
        "vpcId": string(computed=True, force_new=True),
    },
    outputs={"ownerId": string()},
    find=("describe_security_groups", "GroupIds[]", "SecurityGroups[]"),
    gone=GONE,
    create=("create_security_group", "GroupId"),
    sent=("description", "vpcId"),
    kept=("revokeRulesOnDelete",),
    arn="security-group/{id}",
    tags="ec2:security-group",
    arguments=lambda _call, inputs: {"GroupName": name_of(inputs)},
    settle=_settle,
    seen=_group_seen,
    more=_change,
    before_delete=_revoke_first,
    delete=("delete_security_group", "GroupId"),
    busy=("DependencyViolation", "InvalidGroup.InUse"),
)


def _adopt(call: Call, inputs: Properties) -> str:
    ec2, vpc = call.client("ec2"), inputs.get("vpcId")
    filters = [{"Name": "group-name", "Values": ["default"]}, *([{"Name": "vpc-id", "Values": [vpc]}] if vpc else [])]
    what = f"reading Default Security Group of VPC ({vpc or 'default'})"
    groups = attempt(what, lambda: ec2.describe_security_groups(Filters=filters)["SecurityGroups"])
    if len(groups) != 1:
        raise ProviderError(f"{what}: found {len(groups)}, expected one; give vpcId")
    return str(groups[0]["GroupId"])


def _empty_and_tag(call: Call, identifier: str, inputs: Properties) -> None:
    _settle(call, identifier, inputs)
    group = _DEFAULT.found(call, identifier, {}) or {}
    _DEFAULT.change_tags(call, identifier, {"tagsAll": from_list(group.get("Tags"))}, inputs)


_DEFAULT = Description(
    type="aws:ec2/defaultSecurityGroup:DefaultSecurityGroup",
    title="Default Security Group",
    service="ec2",
    inputs={
        # Creation takes every rule away. After it, rules that the program leaves out are left alone, as computed
        # ones are; `ingress=[]` and `egress=[]` keep them away.
        **RULES,
        "revokeRulesOnDelete": boolean(default=False),
        "vpcId": string(computed=True, force_new=True),
    },
    outputs={"description": string(), "name": string(), "namePrefix": string(), "ownerId": string()},
    find=_GROUP.find,
    gone=GONE,
    create=_adopt,
    kept=("revokeRulesOnDelete",),
    arn="security-group/{id}",
    tags="ec2",
    settle=_empty_and_tag,
    seen=_group_seen,
    more=_change,
    # AWS does not let the default group go; the provider only forgets it.
    delete=lambda _call, _identifier, _state: None,
    stays=True,
)

RESOURCES = settled((_GROUP.resource(autoname=AutoName(), timeouts=Timeouts(delete=900)), _DEFAULT.resource()))
