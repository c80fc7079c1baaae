"""`aws:cloudwatch/logGroup:LogGroup`. Source: terraform-provider-aws ``internal/service/logs/group.go``."""

import re
from typing import Any

from lab.providers.aws.common import REGION, TAGS, arn, attempt, has_code, name_of, prefix_of, unless_gone
from lab.providers.aws.tags import changes
from lab.providers.schema import AutoName, Resource, Timeouts, boolean, integer, string
from lab.providers.values import Properties
from lab.providers.waiting import Call

_GONE = ("ResourceNotFoundException",)
# PutRetentionPolicy: the possible values, and 0 for the provider's "never expire".
_RETENTIONS = (
    0,
    1,
    3,
    5,
    7,
    14,
    30,
    60,
    90,
    120,
    150,
    180,
    365,
    400,
    545,
    731,
    1096,
    1827,
    2192,
    2557,
    2922,
    3288,
    3653,
)


def _find(call: Call, name: str) -> dict[str, Any] | None:
    logs = call.client("logs")
    what = f"reading CloudWatch Logs Log Group ({name})"
    pages = logs.get_paginator("describe_log_groups").paginate(logGroupNamePrefix=name)
    groups = attempt(what, lambda: [group for page in pages for group in page["logGroups"]])
    return next((dict(group) for group in groups if group["logGroupName"] == name), None)


def _create(call: Call, inputs: Properties) -> str:
    logs = call.client("logs")
    name = name_of(inputs)
    arguments: dict[str, Any] = {"tags": inputs["tagsAll"]} if inputs.get("tagsAll") else {}
    if inputs.get("kmsKeyId"):
        arguments["kmsKeyId"] = inputs["kmsKeyId"]
    if inputs.get("logGroupClass"):
        arguments["logGroupClass"] = inputs["logGroupClass"]
    if inputs.get("deletionProtectionEnabled"):
        arguments["deletionProtectionEnabled"] = True
    attempt(
        f"creating CloudWatch Logs Log Group ({name})", lambda: logs.create_log_group(logGroupName=name, **arguments)
    )
    return name


def _settle(call: Call, identifier: str, inputs: Properties) -> None:
    if inputs.get("retentionInDays"):
        _retain(call, identifier, inputs["retentionInDays"])


def _retain(call: Call, name: str, days: int) -> None:
    logs = call.client("logs")
    what = f"setting CloudWatch Logs Log Group ({name}) retention policy"
    if days:
        attempt(what, lambda: logs.put_retention_policy(logGroupName=name, retentionInDays=days))
    else:
        unless_gone(what, _GONE, lambda: logs.delete_retention_policy(logGroupName=name))


def _read(call: Call, identifier: str, state: Properties) -> Properties | None:
    group = _find(call, identifier)
    if group is None:
        return None
    logs = call.client("logs")
    resource = group["arn"].removesuffix(":*")
    tags = attempt(
        f"listing tags for CloudWatch Logs Log Group ({identifier})",
        lambda: logs.list_tags_for_resource(resourceArn=resource)["tags"],
    )
    return {
        "arn": resource,
        "deletionProtectionEnabled": group.get("deletionProtectionEnabled", False),
        "kmsKeyId": group.get("kmsKeyId"),
        "logGroupClass": group.get("logGroupClass") or "STANDARD",
        "name": identifier,
        "namePrefix": prefix_of(identifier),
        "retentionInDays": group.get("retentionInDays", 0),
        "skipDestroy": state.get("skipDestroy", False),
        "tagsAll": dict(tags),
    }


def _update(call: Call, identifier: str, state: Properties, inputs: Properties, changed: frozenset[str]) -> None:
    logs = call.client("logs")
    if "retentionInDays" in changed:
        _retain(call, identifier, inputs.get("retentionInDays") or 0)
    if "kmsKeyId" in changed:
        key = inputs.get("kmsKeyId")
        what = f"setting CloudWatch Logs Log Group ({identifier}) KMS key"
        if key:
            attempt(what, lambda: logs.associate_kms_key(logGroupName=identifier, kmsKeyId=key))
        else:
            attempt(what, lambda: logs.disassociate_kms_key(logGroupName=identifier))
    if "deletionProtectionEnabled" in changed:
        protected = bool(inputs.get("deletionProtectionEnabled"))
        attempt(
            f"setting CloudWatch Logs Log Group ({identifier}) deletion protection",
            lambda: logs.put_log_group_deletion_protection(
                logGroupIdentifier=identifier, deletionProtectionEnabled=protected
            ),
        )
    if "tagsAll" in changed:
        put, removed = changes(state, inputs)
        resource, what = state["arn"], f"updating tags of CloudWatch Logs Log Group ({identifier})"
        if removed:
            attempt(what, lambda: logs.untag_resource(resourceArn=resource, tagKeys=removed))
        if put:
            attempt(what, lambda: logs.tag_resource(resourceArn=resource, tags=put))


def _delete(call: Call, identifier: str, state: Properties) -> None:
    if state.get("skipDestroy"):
        return
    logs = call.client("logs")
    what = f"deleting CloudWatch Logs Log Group ({identifier})"
    unless_gone(
        what,
        _GONE,
        lambda: call.retry(
            what,
            lambda: logs.delete_log_group(logGroupName=identifier),
            while_error=has_code("OperationAbortedException"),
        ),
    )


def _name(value: str) -> str | None:
    if not 1 <= len(value) <= 512:
        return f'"name" cannot be longer than 512 characters: {value!r} has {len(value)}'
    if not re.fullmatch(r"[0-9A-Za-z_./#-]+", value):
        allowed = "alphanumeric characters, underscores, hyphens, slashes, hash signs and dots"
        return f'"name" isn\'t a valid log group name ({allowed} are allowed): {value!r}'
    return None


RESOURCES = {
    "aws:cloudwatch/logGroup:LogGroup": Resource(
        type="aws:cloudwatch/logGroup:LogGroup",
        title="CloudWatch Logs Log Group",
        inputs={
            **REGION,
            **TAGS,
            "deletionProtectionEnabled": boolean(computed=True),
            "kmsKeyId": string(validate=arn),
            "logGroupClass": string(
                computed=True, force_new=True, allowed=("STANDARD", "INFREQUENT_ACCESS", "DELIVERY")
            ),
            "name": string(computed=True, force_new=True, conflicts=("namePrefix",), validate=_name),
            "namePrefix": string(computed=True, force_new=True, conflicts=("name",)),
            "retentionInDays": integer(default=0, allowed=_RETENTIONS),
            "skipDestroy": boolean(default=False),
        },
        outputs={"arn": string()},
        autoname=AutoName(),
        create=_create,
        settle=_settle,
        read=_read,
        update=_update,
        delete=_delete,
        timeouts=Timeouts(),
        import_id="name",
    )
}
