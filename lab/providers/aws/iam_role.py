"""`aws:iam/role:Role`, `aws:iam/rolePolicy:RolePolicy` and `aws:iam/rolePolicyAttachment:RolePolicyAttachment`.

Source: terraform-provider-aws ``internal/service/iam/{role,role_policy,role_policy_attachment}.go``. Inline and managed
policies of a role are read, and set through its own calls, only where the program names them.
"""

import json
from typing import Any

from lab.providers.aws.common import NAME_PREFIX, POLICY, arn, name_of
from lab.providers.aws.description import Description, Operation, served
from lab.providers.aws.shapes import Answer
from lab.providers.schema import AutoName, boolean, integer, object_of, set_of, string
from lab.providers.values import Properties

_COMMON: dict[str, Any] = {"service": "iam", "regional": False, "gone": ("NoSuchEntity",)}
_NAME = string(computed=True, force_new=True, conflicts=("namePrefix",))


def _seen(op: Operation, _role: Answer) -> Properties:
    inline = sorted(op.api.list_role_policies(RoleName=op.id)["PolicyNames"])
    documents = [op.api.get_role_policy(RoleName=op.id, PolicyName=name)["PolicyDocument"] for name in inline]
    managed = op.api.list_attached_role_policies(RoleName=op.id)["AttachedPolicies"]
    return {
        "inlinePolicies": [
            {"name": name, "policy": json.dumps(document)} for name, document in zip(inline, documents, strict=True)
        ],
        "managedPolicyArns": sorted(policy["PolicyArn"] for policy in managed),
    }


def _change(op: Operation) -> None:
    if "assumeRolePolicy" in op.changed:
        op.api.update_assume_role_policy(RoleName=op.id, PolicyDocument=op.inputs["assumeRolePolicy"])
    if op.changed & {"description", "maxSessionDuration"}:
        description, duration = op.inputs.get("description", ""), op.inputs["maxSessionDuration"]
        op.api.update_role(RoleName=op.id, Description=description, MaxSessionDuration=duration)
    _change_policies(op)


def _change_policies(op: Operation) -> None:
    """Puts and takes the policies that the role itself names."""
    if "inlinePolicies" in op.changed:
        gone, new = op.difference("inlinePolicies")
        staying = {policy.get("name") for policy in op.inputs.get("inlinePolicies") or []}
        _remove_inline(op, [policy for policy in gone if policy.get("name") not in staying])
        for policy in new:
            if policy.get("name"):
                op.api.put_role_policy(RoleName=op.id, PolicyName=policy["name"], PolicyDocument=policy["policy"])
    if "managedPolicyArns" in op.changed:
        gone, new = op.difference("managedPolicyArns")
        _detach(op, gone)
        for policy in new:
            op.api.attach_role_policy(RoleName=op.id, PolicyArn=policy)


def _remove_inline(op: Operation, policies: list[Properties]) -> None:
    for policy in policies:
        if policy.get("name"):
            op.api.delete_role_policy(RoleName=op.id, PolicyName=policy["name"])


def _detach(op: Operation, policies: list[str]) -> None:
    for policy in policies:
        op.api.detach_role_policy(RoleName=op.id, PolicyArn=policy)


def _empty(op: Operation) -> None:
    """The provider takes what the state knows as the role's own; the rest keeps it from being deleted."""
    _remove_inline(op, op.state.get("inlinePolicies") or [])
    if op.state.get("forceDetachPolicies"):
        _detach(op, op.state.get("managedPolicyArns") or [])


_ROLE = Description(
    type="aws:iam/role:Role",
    title="IAM Role",
    autoname=AutoName(maximum=64),
    **_COMMON,
    inputs={
        "assumeRolePolicy": string(required=True, **POLICY),
        "description": string(),
        "forceDetachPolicies": boolean(default=False),
        "inlinePolicies": set_of(object_of({"name": string(), "policy": string(**POLICY)}), computed=True),
        "managedPolicyArns": set_of(string(validate=arn), computed=True),
        "maxSessionDuration": integer(default=3600, minimum=3600, maximum=43200),
        "name": _NAME,
        "namePrefix": NAME_PREFIX,
        "path": string(default="/", force_new=True),
        "permissionsBoundary": string(validate=arn),
    },
    outputs={"createDate": string(), "uniqueId": string()},
    find=("get_role", "RoleName", "Role"),
    create=("create_role", "Role.RoleName"),
    fields={
        "assumeRolePolicy": "AssumeRolePolicyDocument",
        "uniqueId": "RoleId",
        "arn": "Arn",
        "name": "RoleName",
        "permissionsBoundary": "PermissionsBoundary.PermissionsBoundaryArn",
    },
    kept=("forceDetachPolicies",),
    key="name",
    tags=True,
    settle=_change_policies,
    seen=_seen,
    more=_change,
    before_delete=_empty,
    delete=("delete_role", "RoleName"),
    busy=("DeleteConflict",),
)
_ROLE_POLICY = Description(
    type="aws:iam/rolePolicy:RolePolicy",
    title="IAM Role Policy",
    autoname=AutoName(maximum=128),
    **_COMMON,
    inputs={
        "name": _NAME,
        "namePrefix": NAME_PREFIX,
        "policy": string(required=True, **POLICY),
        "role": string(required=True, force_new=True),
    },
    find=("get_role_policy", "", ""),
    create=("put_role_policy", ""),
    identity=(":", "role", "name"),
    form="ROLE:POLICY",
    modify=("put_role_policy", ""),
    whole=True,
    fields={"name": "PolicyName", "policy": "PolicyDocument", "role": "RoleName"},
    delete=("delete_role_policy", ""),
)
_ROLE_POLICY_ATTACHMENT = Description(
    type="aws:iam/rolePolicyAttachment:RolePolicyAttachment",
    title="IAM Role Policy Attachment",
    **_COMMON,
    inputs={
        "policyArn": string(required=True, force_new=True, validate=arn),
        "role": string(required=True, force_new=True),
    },
    find=("list_attached_role_policies", "", "AttachedPolicies"),
    match={"PolicyArn": "policyArn"},
    # The id is a unique name that says nothing (role_policy_attachment.go), so what is known has to.
    create=("attach_role_policy", lambda op, _answer: name_of({"namePrefix": f"{op.inputs['role']}-"})),
    identity=("", "role", "policyArn"),
    fields={"role": "RoleName"},
    kept=("role",),
    delete=("detach_role_policy", ""),
)

RESOURCES = served(_ROLE, _ROLE_POLICY, _ROLE_POLICY_ATTACHMENT)
