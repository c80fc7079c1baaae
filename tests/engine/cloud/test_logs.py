"""CloudWatch Logs as the provider of a log group calls it; moto's own but for the class.

Cannot prove: when AWS removes what is past its retention.
"""

from collections.abc import Callable
from typing import Any

import pytest

from tests.engine.cloud.conftest import REGION, refused

pytestmark = pytest.mark.engine

NAME = "/private-iot/vpn"


def test_a_log_group_has_a_retention_and_tags(client: Callable[..., Any]) -> None:
    logs = client("logs")
    logs.create_log_group(logGroupName=NAME, tags={"Environment": "dev"})
    with refused("ResourceAlreadyExistsException"):
        logs.create_log_group(logGroupName=NAME)
    logs.put_retention_policy(logGroupName=NAME, retentionInDays=30)
    (group,) = logs.describe_log_groups(logGroupNamePrefix=NAME)["logGroups"]
    assert (group["retentionInDays"], group["logGroupClass"]) == (30, "STANDARD")
    arn = f"arn:aws:logs:{REGION}:123456789012:log-group:{NAME}"
    assert group["arn"] == f"{arn}:*"
    logs.tag_resource(resourceArn=arn, tags={"Name": "vpn"})
    logs.untag_resource(resourceArn=arn, tagKeys=["Environment"])
    assert logs.list_tags_for_resource(resourceArn=arn)["tags"] == {"Name": "vpn"}
    logs.delete_retention_policy(logGroupName=NAME)
    assert "retentionInDays" not in logs.describe_log_groups(logGroupNamePrefix=NAME)["logGroups"][0]
    logs.delete_log_group(logGroupName=NAME)
    assert logs.describe_log_groups(logGroupNamePrefix=NAME)["logGroups"] == []
    with refused("ResourceNotFoundException"):
        logs.delete_log_group(logGroupName=NAME)


def test_a_log_group_has_the_class_that_was_asked_for(client: Callable[..., Any]) -> None:
    logs = client("logs")
    logs.create_log_group(logGroupName="rare", logGroupClass="INFREQUENT_ACCESS")
    (group,) = logs.describe_log_groups(logGroupNamePrefix="rare")["logGroups"]
    assert group["logGroupClass"] == "INFREQUENT_ACCESS"
