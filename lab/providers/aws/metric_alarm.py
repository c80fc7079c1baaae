"""`aws:cloudwatch/metricAlarm:MetricAlarm`.

Source: terraform-provider-aws ``internal/service/cloudwatch/metric_alarm.go``. Left out: metric queries, extended
statistics and units.
"""

import re

from lab.providers.aws.clients import attempt
from lab.providers.aws.common import REGION, TAGS, arn, length, picked
from lab.providers.aws.tags import changes, from_list, to_list
from lab.providers.errors import Failure
from lab.providers.schema import AutoName, Resource, boolean, integer, map_of_strings, number, set_of, string
from lab.providers.values import Properties
from lab.providers.waiting import Call

_COMPARISONS = (
    "GreaterThanOrEqualToThreshold",
    "GreaterThanThreshold",
    "LessThanThreshold",
    "LessThanOrEqualToThreshold",
    "LessThanLowerOrGreaterThanUpperThreshold",
    "LessThanLowerThreshold",
    "GreaterThanUpperThreshold",
)
_SENT = {
    "ActionsEnabled": "actionsEnabled",
    "AlarmActions": "alarmActions",
    "AlarmDescription": "alarmDescription",
    "ComparisonOperator": "comparisonOperator",
    "DatapointsToAlarm": "datapointsToAlarm",
    "EvaluationPeriods": "evaluationPeriods",
    "InsufficientDataActions": "insufficientDataActions",
    "MetricName": "metricName",
    "Namespace": "namespace",
    "OKActions": "okActions",
    "Period": "period",
    "Statistic": "statistic",
    "TreatMissingData": "treatMissingData",
}
_LISTS = frozenset({"alarmActions", "insufficientDataActions", "okActions"})


def _put(call: Call, name: str, inputs: Properties) -> None:
    arguments = {
        **picked(inputs, _SENT),
        "AlarmName": name,
        "Threshold": float(inputs["threshold"]),
        "Dimensions": [
            {"Name": key, "Value": value} for key, value in sorted((inputs.get("dimensions") or {}).items())
        ],
    }
    attempt(
        f"putting CloudWatch Metric Alarm ({name})", lambda: call.client("cloudwatch").put_metric_alarm(**arguments)
    )


def _create(call: Call, inputs: Properties) -> str:
    name = str(inputs["name"])
    _put(call, name, inputs)
    return name


def _settle(call: Call, identifier: str, inputs: Properties) -> None:
    if inputs.get("tagsAll"):
        alarm = _find(call, identifier) or {}
        attempt(
            f"tagging CloudWatch Metric Alarm ({identifier})",
            lambda: call.client("cloudwatch").tag_resource(
                ResourceARN=alarm["AlarmArn"], Tags=to_list(inputs["tagsAll"])
            ),
        )


def _find(call: Call, identifier: str) -> dict[str, object] | None:
    found = call.client("cloudwatch").describe_alarms(AlarmNames=[identifier])["MetricAlarms"]
    return dict(found[0]) if found else None


def _read(call: Call, identifier: str, state: Properties) -> Properties | None:
    alarm = _find(call, identifier)
    if alarm is None:
        return None
    tags = call.client("cloudwatch").list_tags_for_resource(ResourceARN=alarm["AlarmArn"])["Tags"]
    dimensions: list[dict[str, str]] = alarm.get("Dimensions") or []  # type: ignore[assignment] # as the API has it
    return {
        **{
            name: sorted(alarm.get(member) or []) if name in _LISTS else alarm.get(member)  # type: ignore[call-overload] # lists
            for member, name in _SENT.items()
        },
        "arn": alarm["AlarmArn"],
        "dimensions": {one["Name"]: one["Value"] for one in dimensions},
        "name": identifier,
        "tagsAll": from_list(tags),
        "threshold": state.get("threshold", alarm.get("Threshold")),
    }


def _update(call: Call, identifier: str, state: Properties, inputs: Properties, changed: frozenset[str]) -> None:
    if changed - {"tags", "tagsAll"}:
        _put(call, identifier, inputs)
    if "tagsAll" in changed:
        put, removed = changes(state, inputs)
        client, what = call.client("cloudwatch"), f"updating tags of CloudWatch Metric Alarm ({identifier})"
        if removed:
            attempt(what, lambda: client.untag_resource(ResourceARN=state["arn"], TagKeys=removed))
        if put:
            attempt(what, lambda: client.tag_resource(ResourceARN=state["arn"], Tags=to_list(put)))


def _delete(call: Call, identifier: str, state: Properties) -> None:
    del state
    attempt(
        f"deleting CloudWatch Metric Alarm ({identifier})",
        lambda: call.client("cloudwatch").delete_alarms(AlarmNames=[identifier]),
    )


def _action(value: str) -> str | None:
    """An ARN, or EC2's automation (validEC2AutomateARN)."""
    automation = re.fullmatch(r"arn:[\w-]+:automate:[\w-]+:ec2:(reboot|recover|stop|terminate)", value)
    return None if automation else arn(value)


def _period(value: int) -> str | None:
    if value in (10, 20, 30) or value % 60 == 0:
        return None
    return f"expected period to be one of [10 20 30] or divisible by 60, got: {value}"


def _check(inputs: Properties) -> list[Failure]:
    """Of the provider's CustomizeDiff what has no metric queries: it refuses in the plan, which a preview makes too."""
    if inputs.get("metricName") and not inputs.get("statistic"):
        reason = "One of `statistic` or `extended_statistic` must be set for a cloudwatch metric alarm"
        return [Failure("statistic", reason)]
    return []


_ACTIONS = set_of(string(validate=_action), maximum=5)
RESOURCES = {
    "aws:cloudwatch/metricAlarm:MetricAlarm": Resource(
        type="aws:cloudwatch/metricAlarm:MetricAlarm",
        title="CloudWatch Metric Alarm",
        inputs={
            **REGION,
            **TAGS,
            "actionsEnabled": boolean(default=True),
            "alarmActions": set_of(string(validate=_action)),
            "alarmDescription": string(validate=length(0, 1024)),
            "comparisonOperator": string(required=True, allowed=_COMPARISONS),
            "datapointsToAlarm": integer(minimum=1),
            "dimensions": map_of_strings(),
            "evaluationPeriods": integer(required=True, minimum=1),
            "insufficientDataActions": _ACTIONS,
            "metricName": string(validate=length(1, 255)),
            "name": string(computed=True, force_new=True, validate=length(1, 255)),
            "namespace": string(validate=length(1, 255)),
            "okActions": _ACTIONS,
            "period": integer(validate=_period),
            "statistic": string(allowed=("SampleCount", "Average", "Sum", "Minimum", "Maximum")),
            "threshold": number(),
            "treatMissingData": string(default="missing", allowed=("breaching", "notBreaching", "ignore", "missing")),
        },
        outputs={"arn": string()},
        check=_check,
        autoname=AutoName(),
        create=_create,
        settle=_settle,
        read=_read,
        update=_update,
        delete=_delete,
    )
}
