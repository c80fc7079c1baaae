"""CloudWatch alarms for what would end the tunnels unseen."""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

DAYS_AHEAD = 30
"""Days: the server's certificate renews 60 days ahead, so an alarm says that nobody has run `pulumi up` for a month."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Alarm:
    """What is watched; by default the days until something of the endpoint's ends."""

    suffix: str
    metric: str
    description: str
    namespace: str = "AWS/ClientVPN"
    dimension: str = "Endpoint"
    statistic: str = "Minimum"
    comparison: str = "LessThanThreshold"
    threshold: float = DAYS_AHEAD
    period: int = 86_400


# Metrics: ACM user guide, "Supported CloudWatch metrics"; Client VPN administrator guide, "Amazon CloudWatch metrics".
_ALARMS = (
    _Alarm(
        suffix="server-expiry",
        namespace="AWS/CertificateManager",
        metric="DaysToExpiry",
        dimension="CertificateArn",
        description="The VPN server's certificate expires; run pulumi up",
    ),
    _Alarm(
        suffix="revocation-list-expiry",
        metric="CrlDaysToExpiry",
        description="The revocation list expires and will block every connection; import a new one",
    ),
    _Alarm(
        suffix="authentication-failures",
        metric="AuthenticationFailures",
        statistic="Sum",
        comparison="GreaterThanThreshold",
        threshold=0,
        period=3600,
        description="Somebody is refused at the VPN: an expired or revoked certificate, or an intruder",
    ),
)


def make_alarms(
    name: str,
    *,
    topic_arn: pulumi.Input[str] | None,
    server_certificate_arn: pulumi.Input[str],
    endpoint_id: pulumi.Input[str],
    tags: Mapping[str, pulumi.Input[str]],
    parent: pulumi.Resource,
) -> dict[str, "aws.cloudwatch.MetricAlarm"]:
    """Make the alarms, which notify an SNS topic when they are raised and when they end; none without a topic.

    Returns:
        What is watched → its alarm.
    """
    if topic_arn is None:
        return {}
    watched = {"CertificateArn": server_certificate_arn, "Endpoint": endpoint_id}
    return {
        alarm.suffix: aws.cloudwatch.MetricAlarm(
            f"{name}-alarm-{alarm.suffix}",
            namespace=alarm.namespace,
            metric_name=alarm.metric,
            dimensions={alarm.dimension: watched[alarm.dimension]},
            statistic=alarm.statistic,
            comparison_operator=alarm.comparison,
            threshold=alarm.threshold,
            period=alarm.period,
            evaluation_periods=1,
            # Nothing is published while no list was imported and nobody was refused.
            treat_missing_data="notBreaching",
            alarm_description=alarm.description,
            alarm_actions=[topic_arn],
            ok_actions=[topic_arn],
            tags={**tags, "Name": f"{name}-alarm-{alarm.suffix}"},
            opts=pulumi.ResourceOptions(parent=parent),
        )
        for alarm in _ALARMS
    }
