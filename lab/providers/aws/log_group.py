"""`aws:cloudwatch/logGroup:LogGroup`. Source: terraform-provider-aws ``internal/service/logs/group.go``."""

import re

from lab.providers.aws.clients import attempt, unless_gone
from lab.providers.aws.common import arn, name_of, prefix_of
from lab.providers.aws.description import Answer, Description, settled
from lab.providers.schema import AutoName, boolean, integer, string
from lab.providers.values import Properties
from lab.providers.waiting import Call

_GONE = ("ResourceNotFoundException",)
# PutRetentionPolicy: the possible values, and 0 for the provider's "never expire".
_RETENTIONS = (0, 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731)
_LONG_RETENTIONS = (1096, 1827, 2192, 2557, 2922, 3288, 3653)


def _find(call: Call, name: str, _known: Properties) -> Answer | None:
    pages = call.client("logs").get_paginator("describe_log_groups").paginate(logGroupNamePrefix=name)
    groups = (group for page in pages for group in page["logGroups"])
    return next((dict(group) for group in groups if group["logGroupName"] == name), None)


def _create(call: Call, inputs: Properties) -> str:
    logs, name, arguments = call.client("logs"), name_of(inputs), _GROUP.creation(call, inputs)
    what = f"creating CloudWatch Logs Log Group ({name})"
    attempt(what, lambda: logs.create_log_group(logGroupName=name, **arguments))
    return name


def _settle(call: Call, identifier: str, inputs: Properties) -> None:
    if inputs.get("retentionInDays"):
        _change(call, identifier, {}, inputs, frozenset({"retentionInDays"}))


def _seen(call: Call, group: Answer, state: Properties) -> Properties:
    del call, state
    return {
        "arn": group["arn"].removesuffix(":*"),
        "namePrefix": prefix_of(group["logGroupName"]),
        "retentionInDays": group.get("retentionInDays", 0),
    }


def _change(call: Call, identifier: str, state: Properties, inputs: Properties, changed: frozenset[str]) -> None:
    del state
    logs, what = call.client("logs"), f"updating CloudWatch Logs Log Group ({identifier})"
    days, key = inputs.get("retentionInDays") or 0, inputs.get("kmsKeyId")
    if "retentionInDays" in changed and days:
        attempt(what, lambda: logs.put_retention_policy(logGroupName=identifier, retentionInDays=days))
    elif "retentionInDays" in changed:
        unless_gone(what, _GONE, lambda: logs.delete_retention_policy(logGroupName=identifier))
    if "kmsKeyId" in changed and key:
        attempt(what, lambda: logs.associate_kms_key(logGroupName=identifier, kmsKeyId=key))
    elif "kmsKeyId" in changed:
        attempt(what, lambda: logs.disassociate_kms_key(logGroupName=identifier))
    if "deletionProtectionEnabled" in changed:
        protected = bool(inputs.get("deletionProtectionEnabled"))
        attempt(
            what,
            lambda: logs.put_log_group_deletion_protection(
                logGroupIdentifier=identifier, deletionProtectionEnabled=protected
            ),
        )


def _delete(call: Call, identifier: str, state: Properties) -> None:
    if not state.get("skipDestroy"):
        call.client("logs").delete_log_group(logGroupName=identifier)


def _name(value: str) -> str | None:
    if not 1 <= len(value) <= 512:
        return f'"name" cannot be longer than 512 characters: {value!r} has {len(value)}'
    if not re.fullmatch(r"[0-9A-Za-z_./#-]+", value):
        allowed = "alphanumeric characters, underscores, hyphens, slashes, hash signs and dots"
        return f'"name" isn\'t a valid log group name ({allowed} are allowed): {value!r}'
    return None


_GROUP = Description(
    type="aws:cloudwatch/logGroup:LogGroup",
    title="CloudWatch Logs Log Group",
    service="logs",
    inputs={
        "deletionProtectionEnabled": boolean(computed=True),
        "kmsKeyId": string(validate=arn),
        "logGroupClass": string(computed=True, force_new=True, allowed=("STANDARD", "INFREQUENT_ACCESS", "DELIVERY")),
        "name": string(computed=True, force_new=True, conflicts=("namePrefix",), validate=_name),
        "namePrefix": string(computed=True, force_new=True, conflicts=("name",)),
        "retentionInDays": integer(default=0, allowed=(*_RETENTIONS, *_LONG_RETENTIONS)),
        "skipDestroy": boolean(default=False),
    },
    find=_find,
    gone=_GONE,
    create=_create,
    sent=("kmsKeyId", "logGroupClass", "deletionProtectionEnabled"),
    fields={"arn": "arn"},
    kept=("skipDestroy",),
    tags="logs",
    key="name",
    settle=_settle,
    seen=_seen,
    more=_change,
    delete=_delete,
    busy=("OperationAbortedException",),
    stays=True,
)

RESOURCES = settled([_GROUP.resource(autoname=AutoName())])
