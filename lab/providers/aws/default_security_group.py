"""`aws:ec2/defaultSecurityGroup:DefaultSecurityGroup`: adopts a VPC's default group, with the rules written.

Source: terraform-provider-aws ``internal/service/ec2/vpc_default_security_group.go``: creating it takes every rule away
and then adds the program's; deleting it removes nothing.
"""

from lab.providers.aws.common import REGION, TAGS, attempt, update_ec2_tags
from lab.providers.aws.security_group import RULES, atoms, atoms_of_permissions, change_rules, read_group, update_group
from lab.providers.aws.tags import from_list
from lab.providers.errors import ProviderError
from lab.providers.schema import Resource, boolean, string
from lab.providers.values import Properties
from lab.providers.waiting import Call


def _create(call: Call, inputs: Properties) -> str:
    ec2 = call.client("ec2")
    vpc = inputs.get("vpcId")
    filters = [{"Name": "group-name", "Values": ["default"]}]
    if vpc:
        filters.append({"Name": "vpc-id", "Values": [vpc]})
    what = f"reading Default Security Group of VPC ({vpc or 'default'})"
    groups = attempt(what, lambda: ec2.describe_security_groups(Filters=filters)["SecurityGroups"])
    if len(groups) != 1:
        raise ProviderError(f"{what}: found {len(groups)}, expected one; give vpcId")
    return str(groups[0]["GroupId"])


def _settle(call: Call, identifier: str, inputs: Properties) -> None:
    ec2 = call.client("ec2")
    what = f"reading Default Security Group ({identifier})"
    group = attempt(what, lambda: ec2.describe_security_groups(GroupIds=[identifier])["SecurityGroups"][0])
    for name, field in (("ingress", "IpPermissions"), ("egress", "IpPermissionsEgress")):
        present = atoms_of_permissions(group.get(field) or [])
        wanted = atoms(inputs.get(name) or [], identifier)
        change_rules(call, identifier, egress=name == "egress", present=present, wanted=wanted)
    update_ec2_tags(call, identifier, "Default Security Group", {"tagsAll": from_list(group.get("Tags"))}, inputs)


def _delete(call: Call, identifier: str, state: Properties) -> None:
    """Nothing: AWS does not let the default group go; the provider only forgets it."""
    del call, identifier, state


RESOURCES = {
    "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup": Resource(
        type="aws:ec2/defaultSecurityGroup:DefaultSecurityGroup",
        title="Default Security Group",
        inputs={
            **REGION,
            **TAGS,
            # Creation takes every rule away. After it, rules that the program leaves out are left alone, as computed
            # ones are; `ingress=[]` and `egress=[]` keep them away.
            **RULES,
            "revokeRulesOnDelete": boolean(default=False),
            "vpcId": string(computed=True, force_new=True),
        },
        outputs={
            "arn": string(),
            "description": string(),
            "name": string(),
            "namePrefix": string(),
            "ownerId": string(),
        },
        create=_create,
        settle=_settle,
        read=read_group,
        update=update_group,
        delete=_delete,
    )
}
