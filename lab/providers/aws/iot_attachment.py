"""`aws:iot/policyAttachment:PolicyAttachment` and `aws:iot/thingPrincipalAttachment:ThingPrincipalAttachment`.

Source: terraform-provider-aws ``internal/service/iot/{policy_attachment,thing_principal_attachment}.go``: every change
replaces; the ids are `policy|target` and `thing|principal`.
"""

from typing import Any

from lab.providers.aws.common import REGION, attempt, split_id, unless_gone
from lab.providers.schema import Resource, string
from lab.providers.values import Properties
from lab.providers.waiting import Call

_GONE = ("ResourceNotFoundException",)


def _attach_policy(call: Call, inputs: Properties) -> str:
    iot = call.client("iot")
    policy, target = inputs["policy"], inputs["target"]
    identifier = f"{policy}|{target}"
    attempt(
        f"creating IoT Policy Attachment ({identifier})", lambda: iot.attach_policy(policyName=policy, target=target)
    )
    return identifier


def _read_policy(call: Call, identifier: str, state: Properties) -> Properties | None:
    del state
    policy, target = split_id(identifier, "|", 2, "policy-name|target")
    iot = call.client("iot")
    pages = iot.get_paginator("list_attached_policies").paginate(target=target, recursive=False)
    names = unless_gone(
        f"reading IoT Policy Attachment ({identifier})",
        _GONE,
        lambda: [entry["policyName"] for page in pages for entry in page["policies"]],
    )
    return {"policy": policy, "target": target} if policy in (names or []) else None


def _detach_policy(call: Call, identifier: str, state: Properties) -> None:
    del state
    policy, target = split_id(identifier, "|", 2, "policy-name|target")
    iot = call.client("iot")
    unless_gone(
        f"deleting IoT Policy Attachment ({identifier})",
        _GONE,
        lambda: iot.detach_policy(policyName=policy, target=target),
    )


def _attach_principal(call: Call, inputs: Properties) -> str:
    iot = call.client("iot")
    thing, principal = inputs["thing"], inputs["principal"]
    identifier = f"{thing}|{principal}"
    kind = {"thingPrincipalType": inputs["thingPrincipalType"]} if inputs.get("thingPrincipalType") else {}
    attempt(
        f"creating IoT Thing Principal Attachment ({identifier})",
        lambda: iot.attach_thing_principal(thingName=thing, principal=principal, **kind),
    )
    return identifier


def _read_principal(call: Call, identifier: str, state: Properties) -> Properties | None:
    thing, principal = split_id(identifier, "|", 2, "thing|principal")
    iot = call.client("iot")
    pages = iot.get_paginator("list_thing_principals_v2").paginate(thingName=thing)
    found = unless_gone(
        f"reading IoT Thing Principal Attachment ({identifier})",
        _GONE,
        lambda: [entry for page in pages for entry in page["thingPrincipalObjects"]],
    )
    entry: dict[str, Any] | None = next((entry for entry in found or [] if entry["principal"] == principal), None)
    if entry is None:
        return None
    kind = entry.get("thingPrincipalType") or state.get("thingPrincipalType") or "NON_EXCLUSIVE_THING"
    return {"thing": thing, "principal": principal, "thingPrincipalType": kind}


def _detach_principal(call: Call, identifier: str, state: Properties) -> None:
    del state
    thing, principal = split_id(identifier, "|", 2, "thing|principal")
    iot = call.client("iot")
    unless_gone(
        f"deleting IoT Thing Principal Attachment ({identifier})",
        _GONE,
        lambda: iot.detach_thing_principal(thingName=thing, principal=principal),
    )


RESOURCES = {
    "aws:iot/policyAttachment:PolicyAttachment": Resource(
        type="aws:iot/policyAttachment:PolicyAttachment",
        title="IoT Policy Attachment",
        inputs={**REGION, "policy": string(required=True), "target": string(required=True)},
        outputs={},
        create=_attach_policy,
        read=_read_policy,
        delete=_detach_policy,
        import_id="policy|target",
    ),
    "aws:iot/thingPrincipalAttachment:ThingPrincipalAttachment": Resource(
        type="aws:iot/thingPrincipalAttachment:ThingPrincipalAttachment",
        title="IoT Thing Principal Attachment",
        inputs={
            **REGION,
            "principal": string(required=True),
            "thing": string(required=True),
            "thingPrincipalType": string(computed=True, allowed=("EXCLUSIVE_THING", "NON_EXCLUSIVE_THING")),
        },
        outputs={},
        create=_attach_principal,
        read=_read_principal,
        delete=_detach_principal,
        import_id="thing|principal",
    ),
}
