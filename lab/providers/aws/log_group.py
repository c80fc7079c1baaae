"""`aws:cloudwatch/logGroup:LogGroup`. Source: terraform-provider-aws ``internal/service/logs/group.go``.

Left out: keys of the program's own (KMS) and deletion protection.
"""

import re

from lab.providers.aws.clients import tolerated
from lab.providers.aws.common import NAME_PREFIX
from lab.providers.aws.description import Description, Operation, served
from lab.providers.aws.shapes import Answer
from lab.providers.schema import AutoName, boolean, integer, string
from lab.providers.values import Properties

_GONE = ("ResourceNotFoundException",)
# PutRetentionPolicy: the possible values, and 0 for the provider's "never expire".
_RETENTIONS = (0, 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731)
_LONG_RETENTIONS = (1096, 1827, 2192, 2557, 2922, 3288, 3653)


def _retain(op: Operation) -> None:
    days = op.inputs.get("retentionInDays") or 0
    if "retentionInDays" in op.changed and days:
        op.api.put_retention_policy(logGroupName=op.id, retentionInDays=days)
    elif "retentionInDays" in op.changed and op.state:
        with tolerated(*_GONE):
            op.api.delete_retention_policy(logGroupName=op.id)


def _seen(_op: Operation, group: Answer) -> Properties:
    return {"arn": group["arn"].removesuffix(":*"), "retentionInDays": group.get("retentionInDays", 0)}


def _delete(op: Operation) -> None:
    if not op.state.get("skipDestroy"):
        op.api.delete_log_group(logGroupName=op.id)


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
    autoname=AutoName(),
    service="logs",
    inputs={
        "logGroupClass": string(computed=True, force_new=True, allowed=("STANDARD", "INFREQUENT_ACCESS", "DELIVERY")),
        "name": string(computed=True, force_new=True, conflicts=("namePrefix",), validate=_name),
        "namePrefix": NAME_PREFIX,
        "retentionInDays": integer(default=0, allowed=(*_RETENTIONS, *_LONG_RETENTIONS)),
        "skipDestroy": boolean(default=False),
    },
    find=("describe_log_groups", "logGroupNamePrefix", "logGroups"),
    match={"logGroupName": "id"},
    gone=_GONE,
    create=("create_log_group", ""),
    fields={"arn": "arn", "name": "logGroupName"},
    kept=("skipDestroy",),
    tags=True,
    key="name",
    settle=_retain,
    seen=_seen,
    more=_retain,
    delete=_delete,
    busy=("OperationAbortedException",),
    stays=True,
)

RESOURCES = served(_GROUP)
