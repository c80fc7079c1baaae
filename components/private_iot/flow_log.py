"""A flow log of the VPC in CloudWatch Logs: which connections were let through, and which were not."""

import json
from collections.abc import Mapping

import pulumi
import pulumi_aws as aws


def record(
    prefix: str,
    *,
    vpc_id: pulumi.Input[str],
    retention_days: int,
    account_id: str,
    tags: Mapping[str, pulumi.Input[str]],
    parent: pulumi.Resource,
) -> "aws.ec2.FlowLog":
    """Record all traffic of a VPC.

    The role is the one of the Amazon VPC user guide ("IAM role for publishing flow logs to CloudWatch Logs"), for this
    one log group and this account only.

    Args:
        prefix: The first part of every resource's name.
        vpc_id: The VPC.
        retention_days: Days that the records are kept.
        account_id: The account whose flow logs may take the role.
        tags: Tags beside Name.
        parent: The component that the resources belong to.
    """
    children = pulumi.ResourceOptions(parent=parent)

    def named(suffix: str) -> dict[str, pulumi.Input[str]]:
        return {**tags, "Name": f"{prefix}-{suffix}"}

    group = aws.cloudwatch.LogGroup(
        f"{prefix}-flow-log-records",
        retention_in_days=retention_days,
        tags=named("flow-log-records"),
        opts=children,
    )
    trust = {
        "Effect": "Allow",
        "Principal": {"Service": "vpc-flow-logs.amazonaws.com"},
        "Action": "sts:AssumeRole",
        "Condition": {"StringEquals": {"aws:SourceAccount": account_id}},
    }
    role = aws.iam.Role(
        f"{prefix}-flow-log-role",
        assume_role_policy=_policy(trust),
        tags=named("flow-log-role"),
        opts=children,
    )
    actions = ["CreateLogStream", "DescribeLogGroups", "DescribeLogStreams", "PutLogEvents"]
    aws.iam.RolePolicy(
        f"{prefix}-flow-log-rights",
        role=role.id,
        policy=group.arn.apply(
            lambda arn: _policy(
                {
                    "Effect": "Allow",
                    "Action": [f"logs:{action}" for action in actions],
                    "Resource": [arn, f"{arn}:*"],
                }
            )
        ),
        opts=children,
    )
    return aws.ec2.FlowLog(
        f"{prefix}-flow-log",
        vpc_id=vpc_id,
        traffic_type="ALL",
        log_destination=group.arn,
        iam_role_arn=role.arn,
        tags=named("flow-log"),
        opts=children,
    )


def _policy(statement: Mapping[str, object]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})
