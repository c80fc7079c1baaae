"""`aws:ec2/securityGroup:SecurityGroup`, `…/defaultSecurityGroup:DefaultSecurityGroup` and the rules inside them.

Source: terraform-provider-aws ``internal/service/ec2/{vpc_security_group,vpc_default_security_group}.go``. The default
group is adopted: creating it takes every rule away and then adds the program's; deleting it removes nothing. Left out:
`revokeRulesOnDelete`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from lab.providers.aws.clients import tolerated
from lab.providers.aws.common import NAME_PREFIX, length, prefix_of
from lab.providers.aws.description import Description, Operation, served
from lab.providers.aws.shapes import Answer, from_pairs
from lab.providers.errors import ProviderError
from lab.providers.schema import AutoName, Property, Timeouts, boolean, integer, list_of, object_of, set_of, string
from lab.providers.values import Properties

GONE = ("InvalidGroup.NotFound", "InvalidGroupId.Malformed", "InvalidSecurityGroupID.NotFound")
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
# Input → how a permission has the peers of that kind.
_PEERS = {
    "cidrBlocks": ("IpRanges", "CidrIp"),
    "ipv6CidrBlocks": ("Ipv6Ranges", "CidrIpv6"),
    "prefixListIds": ("PrefixListIds", "PrefixListId"),
    "securityGroups": ("UserIdGroupPairs", "GroupId"),
}


def atoms(rules: Iterable[Mapping[str, Any]], group: str) -> set[Atom]:
    """Rules as a program writes them, taken apart into one for each peer."""
    found: set[Atom] = set()
    for rule in rules:
        protocol = protocol_name(rule["protocol"])
        start, end = (-1, -1) if protocol == "-1" else (rule["fromPort"], rule["toPort"])
        text = rule.get("description") or ""
        peers = [(kind, peer) for kind in _PEERS for peer in rule.get(kind) or []]
        peers += [("securityGroups", group)] if rule.get("self") else []
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
    for protocol, start, end, kind, peer, text in sorted(atoms_of_permissions(permissions)):
        ports = (0, 0) if protocol == "-1" else (start, end)
        rule = gathered.setdefault(
            (protocol, *ports, text),
            {"protocol": protocol, "fromPort": ports[0], "toPort": ports[1], "description": text, "self": False},
        )
        if kind == "securityGroups" and peer == group:
            rule["self"] = True
        else:
            rule.setdefault(kind, []).append(peer)
    return list(gathered.values())


def protocol_name(protocol: str) -> str:
    """AWS's name of a protocol: `all` is `-1`, and the numbers of tcp, udp, icmp and icmpv6 have names."""
    names = {"all": "-1", "6": "tcp", "17": "udp", "1": "icmp", "58": "icmpv6"}
    return names.get(protocol.lower(), protocol.lower())


def _permission(atom: Atom) -> Permission:
    protocol, start, end, kind, peer, text = atom
    field, key = _PEERS[kind]
    permission: Permission = {"IpProtocol": protocol, field: [{key: peer, **({"Description": text} if text else {})}]}
    if protocol != "-1":
        permission.update(FromPort=start, ToPort=end)
    return permission


_DIRECTIONS = (("ingress", "IpPermissions"), ("egress", "IpPermissionsEgress"))


def _seen(op: Operation, group: Answer) -> Properties:
    """The rules; those that the state has in another order or grouping keep the state's form."""
    seen: Properties = {"namePrefix": prefix_of(group.get("GroupName", ""))}
    for name, field in _DIRECTIONS:
        known, permissions = op.state.get(name), group.get(field) or []
        same = known is not None and atoms(known, op.id) == atoms_of_permissions(permissions)
        seen[name] = list(known or []) if same else rules_of_permissions(permissions, op.id)
    return seen


def _change(op: Operation) -> None:
    """Brings the rules of the directions that change from what AWS has to what is wanted."""
    group = op.thing
    for name, field in _DIRECTIONS:
        if name not in op.changed:
            continue
        present, wanted = atoms_of_permissions(group.get(field) or []), atoms(op.inputs.get(name) or [], op.id)
        for verb, rules, code in (
            ("revoke", present - wanted, "InvalidPermission.NotFound"),
            ("authorize", wanted - present, "InvalidPermission.Duplicate"),
        ):
            if rules:
                with tolerated(code):
                    call = getattr(op.api, f"{verb}_security_group_{name}")
                    call(GroupId=op.id, IpPermissions=[_permission(atom) for atom in sorted(rules)])


def _settle(op: Operation) -> None:
    # AWS lets everything out of a new group; the provider takes that away, so that what is written is what holds.
    op.call.wait_until(f"Security Group ({op.id}) create", lambda: op.thing or None)
    _change(replace(op, changed=frozenset({"ingress", "egress"})))


def _name(value: str) -> str | None:
    return f"invalid value for name (cannot begin with sg-), got {value}" if value.startswith("sg-") else _text(value)


# CreateSecurityGroup: names and descriptions of up to 255 characters.
_text = length(0, 255)
_COMMON: dict[str, Any] = {
    "service": "ec2",
    "find": ("describe_security_groups", "GroupIds[]", "SecurityGroups[]"),
    "gone": GONE,
    "fields": {"name": "GroupName"},
    "arn": "security-group/{id}",
    "seen": _seen,
    "more": _change,
}
_RULES: Mapping[str, Property] = {"egress": set_of(RULE, computed=True), "ingress": set_of(RULE, computed=True)}
_GROUP = Description(
    type="aws:ec2/securityGroup:SecurityGroup",
    title="Security Group",
    autoname=AutoName(),
    timeouts=Timeouts(delete=900),
    **_COMMON,
    inputs={
        **_RULES,
        # pulumi-aws provider/resources.go says "Managed by Pulumi" where Terraform says "Managed by Terraform".
        "description": string(default="Managed by Pulumi", force_new=True, validate=_text),
        "name": string(computed=True, force_new=True, conflicts=("namePrefix",), validate=_name),
        "namePrefix": NAME_PREFIX,
        "vpcId": string(computed=True, force_new=True),
    },
    outputs={"ownerId": string()},
    create=("create_security_group", "GroupId"),
    tags="security-group",
    settle=_settle,
    delete=("delete_security_group", "GroupId"),
    busy=("DependencyViolation", "InvalidGroup.InUse"),
)


def _adopt(op: Operation) -> str:
    vpc = op.inputs.get("vpcId")
    filters = [{"Name": "group-name", "Values": ["default"]}, *([{"Name": "vpc-id", "Values": [vpc]}] if vpc else [])]
    groups = op.api.describe_security_groups(Filters=filters)["SecurityGroups"]
    if len(groups) != 1:
        raise ProviderError(
            f"reading Default Security Group of VPC ({vpc or 'default'}): found {len(groups)}, expected one; give vpcId"
        )
    return str(groups[0]["GroupId"])


def _empty_and_tag(op: Operation) -> None:
    _settle(op)
    op.kind.change_tags(op, from_pairs(op.thing.get("Tags")))


_DEFAULT = Description(
    type="aws:ec2/defaultSecurityGroup:DefaultSecurityGroup",
    title="Default Security Group",
    **_COMMON,
    inputs={
        # Creation takes every rule away. After it, rules that the program leaves out are left alone, as computed
        # ones are; `ingress=[]` and `egress=[]` keep them away.
        **_RULES,
        "vpcId": string(computed=True, force_new=True),
    },
    outputs={"description": string(), "name": string(), "namePrefix": string(), "ownerId": string()},
    create=_adopt,
    tags=True,
    settle=_empty_and_tag,
    # AWS does not let the default group go; the provider only forgets it.
    delete=lambda _op: None,
    stays=True,
)

RESOURCES = served(_GROUP, _DEFAULT)
