"""What a stack gets on request: a VPC that is there already, further networks, DNS Firewall, flow log, credentials.

Cannot prove what AWS's own firewall answers, nor that its flow logs arrive.
"""

import json
from typing import Any

import pytest

from tests.engine.aws import Cloud
from tests.engine.conftest import StackFactory
from tests.engine.stack import Stack

pytestmark = pytest.mark.engine

ZONES = ("ap-northeast-1a", "ap-northeast-1c")


@pytest.fixture(scope="module")
def site(cloud: Cloud) -> dict[str, Any]:
    """A VPC that somebody else made, with a subnet in each of two zones."""
    ec2 = cloud.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    for attribute in ("EnableDnsSupport", "EnableDnsHostnames"):
        ec2.modify_vpc_attribute(VpcId=vpc, **{attribute: {"Value": True}})
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.9.{number}.0/24", AvailabilityZone=zone)["Subnet"]["SubnetId"]
        for number, zone in enumerate(ZONES)
    ]
    return {"vpcId": vpc, "subnetIds": subnets}


@pytest.fixture(scope="module")
def stack(new_stack: StackFactory, cloud: Cloud, site: dict[str, Any]) -> Stack:
    asked = {
        **site,
        "devices": ["pi-1"],
        "authorizedCidrBlocks": ["10.200.0.0/16"],
        "credentialsEndpoint": True,
        "dnsFirewall": True,
        "flowLog": True,
        "roleAliases": ["uploads"],
        "tags": ["owner=plant", "cost=17"],
    }
    stack = new_stack(cloud, config={f"private-iot:{name}": value for name, value in asked.items()})
    stack.up()
    # The provider sends `disconnectOnSessionTimeout: false` with the second one.
    stack.up()
    stack.preview("--expect-no-changes")
    assert stack.refresh("--expect-no-changes").steps == []
    return stack


def test_the_path_leads_through_the_vpc_that_was_there(stack: Stack, cloud: Cloud, site: dict[str, Any]) -> None:
    ec2 = cloud.client("ec2")
    kinds = {each["type"] for each in stack.resources()}
    assert not kinds & {"aws:ec2/vpc:Vpc", "aws:ec2/subnet:Subnet", "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup"}
    [vpn] = ec2.describe_client_vpn_endpoints()["ClientVpnEndpoints"]
    assert vpn["VpcId"] == site["vpcId"]
    networks = ec2.describe_client_vpn_target_networks(ClientVpnEndpointId=vpn["ClientVpnEndpointId"])
    assert {each["TargetNetworkId"] for each in networks["ClientVpnTargetNetworks"]} == set(site["subnetIds"])
    bundle = stack.outputs(show_secrets=True)["devices"]["pi-1"]
    assert bundle["network"] == {
        "vpcCidr": "10.9.0.0/16",
        "dnsServer": "10.9.0.2",
        "vpcEndpointId": stack.outputs()["vpcEndpointId"],
    }


def test_further_networks_are_authorized_routed_and_let_through(stack: Stack, cloud: Cloud) -> None:
    ec2 = cloud.client("ec2")
    [vpn] = ec2.describe_client_vpn_endpoints()["ClientVpnEndpoints"]
    identifier = {"ClientVpnEndpointId": vpn["ClientVpnEndpointId"]}
    rules = ec2.describe_client_vpn_authorization_rules(**identifier)["AuthorizationRules"]
    assert {rule["DestinationCidr"] for rule in rules} == {"10.9.0.0/16", "10.200.0.0/16"}
    routes = ec2.describe_client_vpn_routes(**identifier)["Routes"]
    added = [route for route in routes if route["DestinationCidr"] == "10.200.0.0/16"]
    assert len(added) == len(ZONES)
    [group] = ec2.describe_security_groups(GroupIds=vpn["SecurityGroupIds"])["SecurityGroups"]
    opened = [each["CidrIp"] for rule in group["IpPermissionsEgress"] for each in rule.get("IpRanges", [])]
    assert opened == ["10.200.0.0/16"]


def test_the_resolver_answers_the_private_names_and_no_other(stack: Stack, cloud: Cloud, site: dict[str, Any]) -> None:
    resolver = cloud.client("route53resolver")
    [association] = resolver.list_firewall_rule_group_associations(VpcId=site["vpcId"])["FirewallRuleGroupAssociations"]
    rules = resolver.list_firewall_rules(FirewallRuleGroupId=association["FirewallRuleGroupId"])["FirewallRules"]
    by_priority = sorted(rules, key=lambda rule: rule["Priority"])
    assert [rule["Action"] for rule in by_priority] == ["ALLOW", "BLOCK"]
    assert by_priority[1]["BlockResponse"] == "NXDOMAIN"
    listed = [
        resolver.list_firewall_domains(FirewallDomainListId=rule["FirewallDomainListId"])["Domains"]
        for rule in by_priority
    ]
    iot = cloud.client("iot")
    names = [
        iot.describe_endpoint(endpointType=kind)["endpointAddress"]
        for kind in ("iot:Data-ATS", "iot:CredentialProvider")
    ]
    assert sorted(name.rstrip(".") for name in listed[0]) == sorted(names)
    assert [name.rstrip(".") for name in listed[1]] == ["*"]


def test_the_vpcs_connections_are_recorded_by_a_role_for_that_log_alone(stack: Stack, cloud: Cloud) -> None:
    [log] = cloud.client("ec2").describe_flow_logs()["FlowLogs"]
    assert (log["TrafficType"], log["LogDestinationType"]) == ("ALL", "cloud-watch-logs")
    iam = cloud.client("iam")
    [role] = iam.list_roles()["Roles"]
    assert log["DeliverLogsPermissionArn"] == role["Arn"]
    [name] = iam.list_role_policies(RoleName=role["RoleName"])["PolicyNames"]
    document = iam.get_role_policy(RoleName=role["RoleName"], PolicyName=name)["PolicyDocument"]
    [statement] = document["Statement"]
    assert all(":log-group:private-iot-flow-log-records-" in resource for resource in statement["Resource"])


def test_credentials_come_through_their_own_endpoint_and_every_tag_is_on_it(stack: Stack, cloud: Cloud) -> None:
    endpoints = cloud.client("ec2").describe_vpc_endpoints()["VpcEndpoints"]
    [credentials] = [each for each in endpoints if each["ServiceName"].endswith(".iot.credentials")]
    assert {"Key": "owner", "Value": "plant"} in credentials["Tags"]
    assert {"Key": "cost", "Value": "17"} in credentials["Tags"]
    [policy] = cloud.client("iot").list_policies()["policies"]
    text = cloud.client("iot").get_policy(policyName=policy["policyName"])["policyDocument"]
    [statement] = [one for one in json.loads(text)["Statement"] if one["Action"] == "iot:AssumeRoleWithCertificate"]
    assert statement["Condition"] == {"StringEquals": {"aws:SourceVpce": credentials["VpcEndpointId"]}}
    assert statement["Resource"] == ["arn:aws:iot:ap-northeast-1:123456789012:rolealias/uploads"]


def test_a_destroy_leaves_the_vpc_that_was_there(stack: Stack, cloud: Cloud, site: dict[str, Any]) -> None:
    stack.destroy()
    ec2 = cloud.client("ec2")
    assert ec2.describe_vpcs(VpcIds=[site["vpcId"]])["Vpcs"]
    assert len(ec2.describe_subnets(SubnetIds=site["subnetIds"])["Subnets"]) == len(ZONES)
    assert cloud.client("iam").list_roles()["Roles"] == []
    assert cloud.client("route53resolver").list_firewall_rule_groups()["FirewallRuleGroups"] == []
