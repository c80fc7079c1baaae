"""`aws:ec2/securityGroup:SecurityGroup` and the rules inside it, which the default security group shares.

Source: terraform-provider-aws ``internal/service/ec2/vpc_security_group.go``.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from lab.providers.aws.common import (
    REGION,
    TAGS,
    attempt,
    has_code,
    name_of,
    prefix_of,
    tag_specifications,
    unless_gone,
    update_ec2_tags,
)
from lab.providers.aws.tags import from_list
from lab.providers.schema import (
    AutoName,
    Property,
    Resource,
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


def find_security_group(call: Call, identifier: str) -> dict[str, Any] | None:
    """A security group as DescribeSecurityGroups gives it, or None."""
    ec2 = call.client("ec2")
    found = unless_gone(
        f"reading Security Group ({identifier})",
        GONE,
        lambda: ec2.describe_security_groups(GroupIds=[identifier])["SecurityGroups"],
    )
    return found[0] if found else None


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


def read_group(call: Call, identifier: str, state: Properties) -> Properties | None:
    """A group with its rules; rules that the state has in another order or grouping keep the state's form."""
    group = find_security_group(call, identifier)
    if group is None:
        return None
    owner = group.get("OwnerId") or call.session.account
    region = call.region or call.session.region
    return {
        "arn": f"arn:{call.session.partition}:ec2:{region}:{owner}:security-group/{identifier}",
        "description": group.get("Description"),
        "egress": _seen(state.get("egress"), group.get("IpPermissionsEgress") or [], identifier),
        "ingress": _seen(state.get("ingress"), group.get("IpPermissions") or [], identifier),
        "name": group.get("GroupName"),
        "namePrefix": prefix_of(group.get("GroupName", "")),
        "ownerId": owner,
        "revokeRulesOnDelete": state.get("revokeRulesOnDelete", False),
        "tagsAll": from_list(group.get("Tags")),
        "vpcId": group.get("VpcId"),
    }


def _seen(known: Any, permissions: list[Permission], group: str) -> list[Properties]:
    if known is not None and atoms(known, group) == atoms_of_permissions(permissions):
        return list(known)
    return rules_of_permissions(permissions, group)


def update_group(call: Call, identifier: str, state: Properties, inputs: Properties, changed: frozenset[str]) -> None:
    """Changes rules and tags in place; whatever else can change replaces the group."""
    current = find_security_group(call, identifier) or {}
    for name, field in (("ingress", "IpPermissions"), ("egress", "IpPermissionsEgress")):
        if name in changed:
            present = atoms_of_permissions(current.get(field) or [])
            wanted = atoms(inputs.get(name) or [], identifier)
            change_rules(call, identifier, egress=name == "egress", present=present, wanted=wanted)
    if "tagsAll" in changed:
        update_ec2_tags(call, identifier, "Security Group", state, inputs)


def _create(call: Call, inputs: Properties) -> str:
    ec2 = call.client("ec2")
    name = name_of(inputs)
    arguments = {"VpcId": inputs["vpcId"]} if inputs.get("vpcId") else {}
    answer = attempt(
        f"creating Security Group ({name})",
        lambda: ec2.create_security_group(
            GroupName=name,
            Description=inputs["description"],
            **arguments,
            **tag_specifications("security-group", inputs),
        ),
    )
    return str(answer["GroupId"])


def _settle(call: Call, identifier: str, inputs: Properties) -> None:
    group = call.wait_until(f"Security Group ({identifier}) create", lambda: find_security_group(call, identifier))
    # AWS lets everything out of a new group; the provider takes that away, so that what is written is what holds.
    present = atoms_of_permissions(group.get("IpPermissionsEgress") or [])
    wanted = atoms(inputs.get("egress") or [], identifier)
    change_rules(call, identifier, egress=True, present=present, wanted=wanted)
    if inputs.get("ingress"):
        wanted = atoms(inputs["ingress"], identifier)
        change_rules(call, identifier, egress=False, present=set(), wanted=wanted)


def _delete(call: Call, identifier: str, state: Properties) -> None:
    ec2 = call.client("ec2")
    what = f"deleting Security Group ({identifier})"
    if state.get("revokeRulesOnDelete"):
        group = find_security_group(call, identifier) or {}
        for egress, field in ((False, "IpPermissions"), (True, "IpPermissionsEgress")):
            present = atoms_of_permissions(group.get(field) or [])
            change_rules(call, identifier, egress=egress, present=present, wanted=set())
    unless_gone(
        what,
        GONE,
        lambda: call.retry(
            what,
            lambda: ec2.delete_security_group(GroupId=identifier),
            while_error=has_code("DependencyViolation", "InvalidGroup.InUse"),
        ),
    )
    call.wait_until(
        f"Security Group ({identifier}) delete", lambda: None if find_security_group(call, identifier) else True
    )


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

RESOURCES = {
    "aws:ec2/securityGroup:SecurityGroup": Resource(
        type="aws:ec2/securityGroup:SecurityGroup",
        title="Security Group",
        inputs={
            **REGION,
            **TAGS,
            **RULES,
            # pulumi-aws provider/resources.go says "Managed by Pulumi" where Terraform says "Managed by Terraform".
            "description": string(default="Managed by Pulumi", force_new=True, validate=_description),
            "name": string(computed=True, force_new=True, conflicts=("namePrefix",), validate=_name),
            "namePrefix": string(computed=True, force_new=True, conflicts=("name",)),
            "revokeRulesOnDelete": boolean(default=False),
            "vpcId": string(computed=True, force_new=True),
        },
        outputs={"arn": string(), "ownerId": string()},
        autoname=AutoName(),
        create=_create,
        settle=_settle,
        read=read_group,
        update=update_group,
        delete=_delete,
        timeouts=Timeouts(create=600, delete=900),
    )
}
