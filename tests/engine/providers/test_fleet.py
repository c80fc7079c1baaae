"""What a fleet needs of the aws provider: provisioning templates, thing groups, a role's managed policy.

Cannot prove what pulumi-aws 7.51.1 itself does with these types: its source was read, and it was never run.
"""

import json
from typing import Any

import pytest

from tests.engine.aws import Cloud
from tests.engine.cloud.test_provisioning import MANAGED, TRUST, template
from tests.engine.providers.plugin import Plugin, assert_settled

pytestmark = pytest.mark.engine

TEMPLATE = "aws:iot/provisioningTemplate:ProvisioningTemplate"
GROUP = "aws:iot/thingGroup:ThingGroup"
ROLE = "aws:iam/role:Role"
ATTACHMENT = "aws:iam/rolePolicyAttachment:RolePolicyAttachment"


def test_a_fleets_resources_are_made_changed_and_taken_away(aws: Plugin, cloud: Cloud) -> None:
    iot = cloud.client("iot")
    role = aws.create(ROLE, {"assumeRolePolicy": json.dumps(TRUST)}, name="provisioning")
    attached_news = {"role": role.id, "policyArn": MANAGED}
    attached = aws.create(ATTACHMENT, attached_news)
    assert_settled(aws, attached, attached_news)
    assert aws.plan(attached, {**attached_news, "policyArn": MANAGED + "2"}).replaces == ["policyArn"]
    group_news: dict[str, Any] = {"name": "fleet", "tags": {"owner": "plant"}}
    group = aws.create(GROUP, group_news)
    assert_settled(aws, group, group_news)
    described = {"properties": {"description": "all", "attributePayload": {"attributes": {"site": "a"}}}}
    group_news = {**group_news, **described}
    group = aws.update(group, group_news)
    assert iot.describe_thing_group(thingGroupName="fleet")["thingGroupProperties"]["thingGroupDescription"] == "all"
    assert_settled(aws, group, group_news)
    news: dict[str, Any] = {
        "name": "fleet",
        "type": "FLEET_PROVISIONING",
        "enabled": True,
        "provisioningRoleArn": role.state["arn"],
        "templateBody": json.dumps(template()),
    }
    made = aws.create(TEMPLATE, news)
    assert (made.id, made.state["defaultVersionId"]) == ("fleet", 1)
    assert_settled(aws, made, news)
    hook = {"preProvisioningHook": {"targetArn": "arn:aws:lambda:ap-northeast-1:123456789012:function:hook"}}
    news = {**news, **hook, "templateBody": json.dumps(template(DeviceConfiguration={"site": "a"}))}
    made = aws.update(made, news)
    assert made.state["defaultVersionId"] == 2
    assert_settled(aws, made, news)
    news = {**news, "enabled": False}
    made = aws.update(made, news)
    found = iot.describe_provisioning_template(templateName="fleet")
    assert (found["enabled"], found["defaultVersionId"]) == (False, 2), "no new version without a new body"
    assert aws.plan(made, {**news, "name": "other"}).replaces == ["name"]
    for one in (made, group, attached, role):
        aws.delete(one)
        assert aws.refresh(one) is None
        aws.delete(one)


@pytest.mark.parametrize(
    ("change", "property_"),
    [
        ({"name": "a name"}, "name"),
        ({"name": "x" * 37}, "name"),
        ({"templateBody": "{"}, "templateBody"),
        ({"templateBody": json.dumps("x" * 10_240)}, "templateBody"),
        ({"provisioningRoleArn": "role"}, "provisioningRoleArn"),
        ({"type": "OTHER"}, "type"),
    ],
)
def test_a_bad_template_is_refused(aws: Plugin, change: dict[str, str], property_: str) -> None:
    good = {"name": "fleet", "templateBody": "{}", "provisioningRoleArn": "arn:aws:iam::123456789012:role/r"}
    _, failures = aws.check(TEMPLATE, {**good, **change})
    assert list(failures) == [property_]
