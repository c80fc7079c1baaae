"""IAM roles, IoT role aliases, flow logs and DNS Firewall through the provider protocol.

Cannot prove what AWS itself answers: nobody has run it there.
"""

import json
from typing import Any

import pytest

from tests.engine.aws import REGION, Cloud
from tests.engine.providers.plugin import Made, Plugin, Refused, assert_settled
from tools.pending_creates import repair

pytestmark = pytest.mark.engine

ROLE = "aws:iam/role:Role"
ROLE_POLICY = "aws:iam/rolePolicy:RolePolicy"
ROLE_ALIAS = "aws:iot/roleAlias:RoleAlias"
FLOW_LOG = "aws:ec2/flowLog:FlowLog"
DOMAIN_LIST = "aws:route53/resolverFirewallDomainList:ResolverFirewallDomainList"
RULE_GROUP = "aws:route53/resolverFirewallRuleGroup:ResolverFirewallRuleGroup"
RULE = "aws:route53/resolverFirewallRule:ResolverFirewallRule"
ASSOCIATION = "aws:route53/resolverFirewallRuleGroupAssociation:ResolverFirewallRuleGroupAssociation"
CONFIGURATION = "aws:route53/resolverFirewallConfig:ResolverFirewallConfig"


def trust(service: str) -> str:
    statement = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def allowing(action: str) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": action, "Resource": "*"}]})


@pytest.fixture(scope="module")
def vpc(aws: Plugin) -> Made:
    return aws.create("aws:ec2/vpc:Vpc", {"cidrBlock": "10.0.0.0/16"})


@pytest.fixture
def role(aws: Plugin) -> Made:
    return aws.create(ROLE, {"assumeRolePolicy": trust("credentials.iot.amazonaws.com")}, name="device")


def test_a_role_changes_its_trust_and_duration_in_place(aws: Plugin, cloud: Cloud, role: Made) -> None:
    assert role.id == role.state["name"]
    assert role.state["arn"] == f"arn:aws:iam::123456789012:role/{role.id}"
    assert_settled(aws, role, {"assumeRolePolicy": trust("credentials.iot.amazonaws.com")})
    news = {"assumeRolePolicy": trust("vpc-flow-logs.amazonaws.com"), "maxSessionDuration": 7200, "tags": {"Name": "a"}}
    plan = aws.plan(role, news)
    assert plan.changes
    assert plan.replaces == []
    role = aws.update(role, news)
    seen = cloud.client("iam").get_role(RoleName=role.id)["Role"]
    assert seen["AssumeRolePolicyDocument"]["Statement"][0]["Principal"] == {"Service": "vpc-flow-logs.amazonaws.com"}
    assert (seen["MaxSessionDuration"], seen["Tags"]) == (7200, [{"Key": "Name", "Value": "a"}])
    assert_settled(aws, role, news)
    assert aws.plan(role, {**news, "path": "/other/"}).replaces == ["path"]
    aws.delete(role)
    assert aws.refresh(role) is None
    aws.delete(role)


def test_a_roles_policy_is_put_again_when_it_changes(aws: Plugin, cloud: Cloud, role: Made) -> None:
    news: dict[str, Any] = {"role": role.id, "name": "upload", "policy": allowing("s3:PutObject")}
    made = aws.create(ROLE_POLICY, news)
    assert made.id == f"{role.id}:upload"
    assert_settled(aws, made, news)
    wider = {**news, "policy": allowing("s3:*")}
    made = aws.update(made, wider)
    seen = cloud.client("iam").get_role_policy(RoleName=role.id, PolicyName="upload")["PolicyDocument"]
    assert seen["Statement"][0]["Action"] == "s3:*"
    assert_settled(aws, made, wider)
    for change in ({"role": "other"}, {"name": "other"}):
        assert aws.plan(made, {**wider, **change}).replaces == list(change)
    with pytest.raises(Refused, match="DeleteConflict"):
        aws.delete(role, timeout=0.2)
    aws.delete(made)
    assert aws.refresh(made) is None
    aws.delete(role)


def test_a_roles_own_policies_come_and_go_with_it(aws: Plugin, cloud: Cloud) -> None:
    managed = cloud.client("iam").create_policy(PolicyName="read", PolicyDocument=allowing("s3:GetObject"))
    news: dict[str, Any] = {
        "assumeRolePolicy": trust("ec2.amazonaws.com"),
        "inlinePolicies": [{"name": "one", "policy": allowing("s3:PutObject")}],
        "managedPolicyArns": [managed["Policy"]["Arn"]],
        "forceDetachPolicies": True,
    }
    made = aws.create(ROLE, news)
    assert_settled(aws, made, news)
    changed = {**news, "inlinePolicies": [{"name": "two", "policy": allowing("s3:PutObject")}], "managedPolicyArns": []}
    made = aws.update(made, changed)
    assert cloud.client("iam").list_role_policies(RoleName=made.id)["PolicyNames"] == ["two"]
    assert cloud.client("iam").list_attached_role_policies(RoleName=made.id)["AttachedPolicies"] == []
    aws.delete(made)
    assert aws.refresh(made) is None


def test_a_role_alias_changes_its_role_and_duration_in_place(aws: Plugin, cloud: Cloud, role: Made) -> None:
    news: dict[str, Any] = {"alias": "uploads", "roleArn": role.state["arn"], "tags": {"Name": "alias"}}
    made = aws.create(ROLE_ALIAS, news)
    assert made.id == "uploads"
    assert made.state["arn"] == "arn:aws:iot:ap-northeast-1:123456789012:rolealias/uploads"
    assert_settled(aws, made, news)
    longer = {**news, "credentialDuration": 7200, "tags": {"Name": "other"}}
    assert aws.plan(made, longer).replaces == []
    made = aws.update(made, longer)
    seen = cloud.client("iot").describe_role_alias(roleAlias="uploads")["roleAliasDescription"]
    assert (seen["credentialDurationSeconds"], seen["roleArn"]) == (7200, role.state["arn"])
    assert_settled(aws, made, longer)
    assert aws.plan(made, {**longer, "alias": "other"}).replaces == ["alias"]
    _, failures = aws.check(ROLE_ALIAS, {**news, "credentialDuration": 60})
    assert "(900 - 43200), got 60" in failures["credentialDuration"]
    aws.delete(made)
    assert aws.refresh(made) is None
    aws.delete(made)
    aws.delete(role)


def test_a_flow_log_is_replaced_for_anything_but_its_tags(aws: Plugin, cloud: Cloud, vpc: Made, role: Made) -> None:
    group = aws.create("aws:cloudwatch/logGroup:LogGroup", {"name": "flows"})
    news: dict[str, Any] = {
        "vpcId": vpc.id,
        "trafficType": "ALL",
        "iamRoleArn": role.state["arn"],
        "logDestination": group.state["arn"],
        "tags": {"Name": "flows"},
    }
    made = aws.create(FLOW_LOG, news)
    [seen] = cloud.client("ec2").describe_flow_logs(FlowLogIds=[made.id])["FlowLogs"]
    assert (seen["ResourceId"], seen["LogDestination"]) == (vpc.id, group.state["arn"])
    assert seen["DeliverLogsStatus"] == "SUCCESS"
    assert_settled(aws, made, news)
    assert aws.plan(made, {**news, "trafficType": "REJECT"}).replaces == ["trafficType"]
    retagged = {**news, "tags": {"Name": "other"}}
    assert aws.plan(made, retagged).replaces == []
    made = aws.update(made, retagged)
    assert_settled(aws, made, retagged)
    _, failures = aws.check(FLOW_LOG, {"trafficType": "ALL"})
    assert "must be specified" in " ".join(failures.values())
    aws.delete(made)
    assert aws.refresh(made) is None
    aws.delete(made)
    for one in (group, role):
        aws.delete(one)


def test_a_firewall_is_built_changed_and_taken_down(aws: Plugin, cloud: Cloud, vpc: Made) -> None:
    resolver = cloud.client("route53resolver")
    list_news: dict[str, Any] = {"domains": ["abc-ats.iot.ap-northeast-1.amazonaws.com"], "tags": {"Name": "allowed"}}
    allowed = aws.create(DOMAIN_LIST, list_news, name="allowed")
    everything = aws.create(DOMAIN_LIST, {"domains": ["*"]}, name="everything")
    assert_settled(aws, allowed, list_news)
    group = aws.create(RULE_GROUP, {"tags": {"Name": "firewall"}}, name="firewall")
    assert_settled(aws, group, {"tags": {"Name": "firewall"}})
    allow_news: dict[str, Any] = {
        "firewallRuleGroupId": group.id,
        "firewallDomainListId": allowed.id,
        "action": "ALLOW",
        "priority": 100,
    }
    allow = aws.create(RULE, allow_news, name="allow")
    assert allow.id == f"{group.id}:{allowed.id}"
    assert_settled(aws, allow, {**allow_news, "name": allow.inputs["name"]})
    block_news = {**allow_news, "firewallDomainListId": everything.id, "action": "BLOCK", "priority": 200}
    with pytest.raises(Refused, match="BLOCK needs BlockResponse"):
        aws.create(RULE, block_news, name="block")
    block = aws.create(RULE, {**block_news, "blockResponse": "NXDOMAIN"}, name="block")
    block = aws.update(block, {**block_news, "blockResponse": "NODATA"})
    assert [rule["Action"] for rule in resolver.list_firewall_rules(FirewallRuleGroupId=group.id)["FirewallRules"]] == [
        "ALLOW",
        "BLOCK",
    ]
    assert aws.plan(block, {**block_news, "firewallDomainListId": allowed.id}).replaces == ["firewallDomainListId"]
    association_news = {"firewallRuleGroupId": group.id, "vpcId": vpc.id, "priority": 101}
    association = aws.create(ASSOCIATION, association_news, name="vpc")
    assert_settled(aws, association, {**association_news, "name": association.inputs["name"]})
    moved = aws.update(association, {**association_news, "priority": 102})
    assert moved.state["priority"] == 102
    list_news["domains"] = ["a.test", "*.b.test"]
    allowed = aws.update(allowed, list_news)
    assert resolver.list_firewall_domains(FirewallDomainListId=allowed.id)["Domains"] == ["*.b.test.", "a.test."]
    assert_settled(aws, allowed, list_news)
    with pytest.raises(Refused, match="DeleteFirewallDomainList: ConflictException"):
        aws.delete(allowed)
    for made in (moved, allow, block, allowed, everything, group):
        aws.delete(made)
        assert aws.refresh(made) is None
        aws.delete(made)


def test_a_firewalls_configuration_is_turned_back_when_it_is_given_up(aws: Plugin, cloud: Cloud, vpc: Made) -> None:
    news = {"resourceId": vpc.id, "firewallFailOpen": "ENABLED"}
    made = aws.create(CONFIGURATION, news)
    assert_settled(aws, made, news)
    assert made.state["ownerId"] == "123456789012"
    aws.delete(made)
    seen = cloud.client("route53resolver").get_firewall_config(ResourceId=vpc.id)["FirewallConfig"]
    assert seen["FirewallFailOpen"] == "DISABLED"


def test_what_an_interrupted_up_had_made_of_these_is_found_again(
    aws: Plugin, cloud: Cloud, vpc: Made, role: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tool that repairs a state after a kill, on each type that it looks up in AWS."""
    for name, value in (("AWS_ENDPOINT_URL", cloud.url), ("AWS_DEFAULT_REGION", REGION)):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "lab")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "lab")
    logs = aws.create("aws:cloudwatch/logGroup:LogGroup", {"name": "found"})
    domains = aws.create(DOMAIN_LIST, {"domains": ["*"]}, name="found")
    group = aws.create(RULE_GROUP, {}, name="found")
    rule = {"firewallRuleGroupId": group.id, "firewallDomainListId": domains.id, "action": "ALLOW", "priority": 1}
    flow = {"vpcId": vpc.id, "trafficType": "ALL", "iamRoleArn": role.state["arn"], "logDestination": logs.state["arn"]}
    made = [
        role,
        domains,
        group,
        aws.create(ROLE_POLICY, {"role": role.id, "name": "p", "policy": allowing("s3:PutObject")}),
        aws.create(ROLE_ALIAS, {"alias": "found", "roleArn": role.state["arn"]}),
        aws.create(FLOW_LOG, flow),
        aws.create(RULE, rule, name="found"),
        aws.create(ASSOCIATION, {"firewallRuleGroupId": group.id, "vpcId": vpc.id, "priority": 101}, name="found"),
    ]
    pending = [
        {"type": "creating", "resource": {"urn": one.type, "type": one.type, "inputs": one.inputs}} for one in made
    ]
    repaired, _, by_hand = repair({"pending_operations": pending, "resources": []})
    assert by_hand == []
    assert {each["type"]: each["id"] for each in repaired["resources"]} == {one.type: one.id for one in made}
    for one in repaired["resources"]:
        assert one["outputs"]["id"] == one["id"]
    for one in (*reversed(made[3:]), group, domains, role, logs):
        aws.delete(one)
