"""`aws:iam/role:Role`, `aws:iam/rolePolicy:RolePolicy` and `aws:iam/rolePolicyAttachment:RolePolicyAttachment`.

Source: terraform-provider-aws ``internal/service/iam/{role,role_policy,role_policy_attachment}.go``. Inline and managed
policies of a role are read, and set through its own calls, only where the program names them.
"""

import json
from functools import partial
from typing import Any

from lab.providers.aws.clients import attempt, unless_gone
from lab.providers.aws.common import (
    arn,
    document_of,
    json_document,
    name_of,
    normal_json,
    prefix_of,
    same_policy,
    split_id,
)
from lab.providers.aws.description import Answer, Description, settled
from lab.providers.schema import AutoName, boolean, integer, object_of, set_of, string
from lab.providers.values import Properties
from lab.providers.waiting import Call

_GONE = ("NoSuchEntity",)


def _arguments(call: Call, inputs: Properties) -> Answer:
    del call
    return {"RoleName": name_of(inputs)}


def _seen(call: Call, role: Answer, state: Properties) -> Properties:
    iam, name = call.client("iam"), role["RoleName"]
    inline = iam.list_role_policies(RoleName=name)["PolicyNames"]
    managed = iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]
    return {
        "assumeRolePolicy": document_of(role["AssumeRolePolicyDocument"], state.get("assumeRolePolicy")),
        "createDate": role["CreateDate"].strftime("%Y-%m-%dT%H:%M:%SZ"),
        "inlinePolicies": [
            {
                "name": policy,
                "policy": json.dumps(iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]),
            }
            for policy in sorted(inline)
        ],
        "managedPolicyArns": sorted(policy["PolicyArn"] for policy in managed),
        "namePrefix": prefix_of(name),
    }


def _settle(call: Call, identifier: str, inputs: Properties) -> None:
    _policies(call, identifier, {}, inputs, frozenset(inputs))


def _policies(call: Call, identifier: str, state: Properties, inputs: Properties, changed: frozenset[str]) -> None:
    """Puts and takes the policies that the role itself names, its trust, description and duration."""
    iam, what = call.client("iam"), f"updating IAM Role ({identifier})"
    if state and "assumeRolePolicy" in changed:
        document = inputs["assumeRolePolicy"]
        attempt(what, lambda: iam.update_assume_role_policy(RoleName=identifier, PolicyDocument=document))
    if state and changed & {"description", "maxSessionDuration"}:
        description, duration = inputs.get("description", ""), inputs["maxSessionDuration"]
        attempt(
            what,
            lambda: iam.update_role(RoleName=identifier, Description=description, MaxSessionDuration=duration),
        )
    if "inlinePolicies" in changed:
        old, new = (
            {policy["name"]: policy["policy"] for policy in given.get("inlinePolicies") or [] if policy.get("name")}
            for given in (state, inputs)
        )
        for name in sorted(old.keys() - new.keys()):
            attempt(what, partial(iam.delete_role_policy, RoleName=identifier, PolicyName=name))
        for name, document in new.items():
            _put(call, what, identifier, name, document)
    if "managedPolicyArns" in changed:
        before, after = (set(given.get("managedPolicyArns") or []) for given in (state, inputs))
        for policy in sorted(before - after):
            attempt(what, partial(iam.detach_role_policy, RoleName=identifier, PolicyArn=policy))
        for policy in sorted(after - before):
            attempt(what, partial(iam.attach_role_policy, RoleName=identifier, PolicyArn=policy))


def _put(call: Call, what: str, role: str, name: str, document: str) -> None:
    iam = call.client("iam")
    attempt(what, lambda: iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=document))


def _empty(call: Call, identifier: str, state: Properties) -> None:
    """The provider detaches what the state knows as the role's own; the rest keeps it from being deleted."""
    own: Properties = {name: [] for name in ("inlinePolicies", "managedPolicyArns") if state.get(name)}
    if not state.get("forceDetachPolicies"):
        own = {name: value for name, value in own.items() if name == "inlinePolicies"}
    unless_gone(
        f"deleting IAM Role ({identifier})",
        _GONE,
        lambda: _policies(call, identifier, state, own, frozenset(own)),
    )


_DOCUMENT: dict[str, Any] = {"validate": json_document, "same": same_policy, "normal": normal_json}
_ROLE = Description(
    type="aws:iam/role:Role",
    title="IAM Role",
    service="iam",
    regional=False,
    inputs={
        "assumeRolePolicy": string(required=True, **_DOCUMENT),
        "description": string(),
        "forceDetachPolicies": boolean(default=False),
        "inlinePolicies": set_of(object_of({"name": string(), "policy": string(**_DOCUMENT)}), computed=True),
        "managedPolicyArns": set_of(string(validate=arn), computed=True),
        "maxSessionDuration": integer(default=3600, minimum=3600, maximum=43200),
        "name": string(computed=True, force_new=True, conflicts=("namePrefix",)),
        "namePrefix": string(computed=True, force_new=True, conflicts=("name",)),
        "path": string(default="/", force_new=True),
        "permissionsBoundary": string(validate=arn),
    },
    outputs={"createDate": string(), "uniqueId": string()},
    find=("get_role", "RoleName", "Role"),
    gone=_GONE,
    create=("create_role", "Role.RoleName"),
    sent=("assumeRolePolicy", "description", "maxSessionDuration", "path", "permissionsBoundary"),
    fields={"assumeRolePolicy": "AssumeRolePolicyDocument", "uniqueId": "RoleId", "arn": "Arn"},
    kept=("forceDetachPolicies",),
    key="name",
    tags="iam",
    arguments=_arguments,
    settle=_settle,
    seen=_seen,
    more=_policies,
    before_delete=_empty,
    delete=("delete_role", "RoleName"),
    busy=("DeleteConflict",),
)


def _named(call: Call, identifier: str, _known: Properties) -> Answer | None:
    role, name = split_id(identifier, ":", 2, "ROLE:POLICY")
    return dict(call.client("iam").get_role_policy(RoleName=role, PolicyName=name))


def _policy_seen(call: Call, policy: Answer, state: Properties) -> Properties:
    del call
    return {
        "namePrefix": prefix_of(policy["PolicyName"]),
        "policy": document_of(policy["PolicyDocument"], state.get("policy")),
    }


def _policy_changed(
    call: Call, identifier: str, state: Properties, inputs: Properties, changed: frozenset[str]
) -> None:
    del state, changed
    role, name = split_id(identifier, ":", 2, "ROLE:POLICY")
    _put(call, f"updating IAM Role Policy ({identifier})", role, name, inputs["policy"])


def _policy_deleted(call: Call, identifier: str, state: Properties) -> None:
    del state
    role, name = split_id(identifier, ":", 2, "ROLE:POLICY")
    call.client("iam").delete_role_policy(RoleName=role, PolicyName=name)


_ROLE_POLICY = Description(
    type="aws:iam/rolePolicy:RolePolicy",
    title="IAM Role Policy",
    service="iam",
    regional=False,
    inputs={
        "name": string(computed=True, force_new=True, conflicts=("namePrefix",)),
        "namePrefix": string(computed=True, force_new=True, conflicts=("name",)),
        "policy": string(required=True, **_DOCUMENT),
        "role": string(required=True, force_new=True),
    },
    find=_named,
    gone=_GONE,
    create=("put_role_policy", lambda _answer, inputs: f"{inputs['role']}:{inputs['name']}"),
    sent=("name", "policy", "role"),
    fields={"name": "PolicyName", "policy": "PolicyDocument", "role": "RoleName"},
    seen=_policy_seen,
    more=_policy_changed,
    delete=_policy_deleted,
)


def _find_attached(call: Call, identifier: str, known: Properties) -> Answer | None:
    """The id is a unique name that says nothing (role_policy_attachment.go), so what is known has to."""
    del identifier
    role, policy = known["role"], known["policyArn"]
    for page in call.client("iam").get_paginator("list_attached_role_policies").paginate(RoleName=role):
        if any(entry["PolicyArn"] == policy for entry in page["AttachedPolicies"]):
            return {"RoleName": role, "PolicyArn": policy}
    return None


def _attached_id(_answer: Answer, inputs: Properties) -> str:
    return name_of({"namePrefix": f"{inputs['role']}-"})


def _detach(call: Call, identifier: str, state: Properties) -> None:
    del identifier
    call.client("iam").detach_role_policy(RoleName=state["role"], PolicyArn=state["policyArn"])


_ROLE_POLICY_ATTACHMENT = Description(
    type="aws:iam/rolePolicyAttachment:RolePolicyAttachment",
    title="IAM Role Policy Attachment",
    service="iam",
    regional=False,
    inputs={
        "policyArn": string(required=True, force_new=True, validate=arn),
        "role": string(required=True, force_new=True),
    },
    find=_find_attached,
    gone=_GONE,
    create=("attach_role_policy", _attached_id),
    sent=("policyArn", "role"),
    fields={"policyArn": "PolicyArn", "role": "RoleName"},
    delete=_detach,
)

RESOURCES = settled(
    (
        _ROLE.resource(autoname=AutoName(maximum=64)),
        _ROLE_POLICY.resource(autoname=AutoName(maximum=128)),
        _ROLE_POLICY_ATTACHMENT.resource(),
    )
)
