"""`aws:cloudwatch/metricAlarm:MetricAlarm`.

Source: terraform-provider-aws ``internal/service/cloudwatch/metric_alarm.go``. Left out: metric queries, extended
statistics and units.
"""

import re

from lab.providers.aws.common import arn, length
from lab.providers.aws.description import Description, served
from lab.providers.errors import Failure
from lab.providers.schema import AutoName, boolean, integer, map_of_strings, number, set_of, string
from lab.providers.values import Properties

_COMPARISONS = (
    *("GreaterThanOrEqualToThreshold", "GreaterThanThreshold", "LessThanThreshold", "LessThanOrEqualToThreshold"),
    *("LessThanLowerOrGreaterThanUpperThreshold", "LessThanLowerThreshold", "GreaterThanUpperThreshold"),
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


_ALARM = Description(
    type="aws:cloudwatch/metricAlarm:MetricAlarm",
    title="CloudWatch Metric Alarm",
    autoname=AutoName(),
    check=_check,
    service="cloudwatch",
    inputs={
        "actionsEnabled": boolean(default=True),
        "alarmActions": set_of(string(validate=_action)),
        "alarmDescription": string(validate=length(0, 1024)),
        "comparisonOperator": string(required=True, allowed=_COMPARISONS),
        "datapointsToAlarm": integer(minimum=1),
        "dimensions": map_of_strings(),
        "evaluationPeriods": integer(required=True, minimum=1),
        "insufficientDataActions": set_of(string(validate=_action), maximum=5),
        "metricName": string(validate=length(1, 255)),
        "name": string(computed=True, force_new=True, validate=length(1, 255)),
        "namespace": string(validate=length(1, 255)),
        "okActions": set_of(string(validate=_action), maximum=5),
        "period": integer(validate=_period),
        "statistic": string(allowed=("SampleCount", "Average", "Sum", "Minimum", "Maximum")),
        "threshold": number(),
        "treatMissingData": string(default="missing", allowed=("breaching", "notBreaching", "ignore", "missing")),
    },
    find=("describe_alarms", "AlarmNames[]", "MetricAlarms[]"),
    gone=(),
    create=("put_metric_alarm", ""),
    always=("actionsEnabled", "threshold"),
    modify=("put_metric_alarm", "AlarmName"),
    whole=True,
    delete=("delete_alarms", "AlarmNames[]"),
    fields={"arn": "AlarmArn", "name": "AlarmName"},
    key="name",
    tags=True,
    tags_after=True,
)

RESOURCES = served(_ALARM)
