"""VPC, subnet, routes, security groups and interface endpoints against the lab's cloud.

Cannot prove what AWS itself answers: nobody has run it there.
"""

import re
from typing import Any

import pytest

from lab.providers.values import UNKNOWN
from tests.engine.aws import Cloud
from tests.engine.providers.plugin import Made, Plugin, Refused, assert_settled

pytestmark = pytest.mark.engine

VPC = "aws:ec2/vpc:Vpc"
SUBNET = "aws:ec2/subnet:Subnet"
TABLE = "aws:ec2/routeTable:RouteTable"
LINK = "aws:ec2/routeTableAssociation:RouteTableAssociation"
DEFAULT_GROUP = "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup"
GROUP = "aws:ec2/securityGroup:SecurityGroup"
INGRESS = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
EGRESS = "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule"
ENDPOINT = "aws:ec2/vpcEndpoint:VpcEndpoint"
IOT_DATA = "com.amazonaws.ap-northeast-1.iot.data"
VPC_INPUTS = {"cidrBlock": "10.0.0.0/16", "enableDnsHostnames": True, "tags": {"Name": "net"}}


@pytest.fixture(scope="module")
def vpc(aws: Plugin) -> Made:
    return aws.create(VPC, VPC_INPUTS)


@pytest.fixture(scope="module")
def subnet(aws: Plugin, vpc: Made) -> Made:
    return aws.create(SUBNET, {"vpcId": vpc.id, "cidrBlock": "10.0.1.0/24", "availabilityZone": "ap-northeast-1a"})


@pytest.fixture
def group(aws: Plugin, vpc: Made) -> Made:
    return aws.create(GROUP, {"vpcId": vpc.id, "description": "VPN"})


def test_a_vpc_is_as_it_was_asked_for(aws: Plugin, cloud: Cloud, vpc: Made) -> None:
    ec2 = cloud.client("ec2")
    [seen] = ec2.describe_vpcs(VpcIds=[vpc.id])["Vpcs"]
    assert seen["CidrBlock"] == "10.0.0.0/16"
    assert {"Key": "Name", "Value": "net"} in seen["Tags"]
    for attribute, field in (("enableDnsHostnames", "EnableDnsHostnames"), ("enableDnsSupport", "EnableDnsSupport")):
        assert ec2.describe_vpc_attribute(VpcId=vpc.id, Attribute=attribute)[field]["Value"] is True
    assert vpc.state["arn"] == f"arn:aws:ec2:ap-northeast-1:123456789012:vpc/{vpc.id}"
    assert vpc.state["tagsAll"] == {"Name": "net"}
    [table] = ec2.describe_route_tables(
        Filters=[{"Name": "vpc-id", "Values": [vpc.id]}, {"Name": "association.main", "Values": ["true"]}]
    )["RouteTables"]
    assert vpc.state["mainRouteTableId"] == table["RouteTableId"]
    assert_settled(aws, vpc, VPC_INPUTS)


@pytest.mark.parametrize(
    ("change", "replaces"),
    [
        ({"cidrBlock": "10.9.0.0/16"}, ["cidrBlock"]),
        ({"region": "eu-west-1"}, ["region"]),
        ({"enableDnsHostnames": False}, []),
        ({"enableDnsSupport": False}, []),
        ({"tags": {"Name": "other"}}, []),
        ({"tags": {}}, []),
        ({"instanceTenancy": "dedicated"}, []),
    ],
)
def test_a_vpc_is_replaced_for_its_addresses_and_region_only(
    aws: Plugin, vpc: Made, change: dict[str, Any], replaces: list[str]
) -> None:
    plan = aws.plan(vpc, {**VPC_INPUTS, **change})
    assert plan.changes
    assert plan.replaces == replaces
    assert not plan.delete_before_replace


def test_a_vpc_changes_in_place(aws: Plugin, cloud: Cloud) -> None:
    made = aws.create(VPC, {"cidrBlock": "10.40.0.0/16", "tags": {"Name": "a", "old": "1"}})
    news = {"cidrBlock": "10.40.0.0/16", "enableDnsHostnames": True, "tags": {"Name": "b"}}
    changed = aws.update(made, news)
    ec2 = cloud.client("ec2")
    attribute = ec2.describe_vpc_attribute(VpcId=made.id, Attribute="enableDnsHostnames")
    assert attribute["EnableDnsHostnames"]["Value"] is True
    assert ec2.describe_vpcs(VpcIds=[made.id])["Vpcs"][0]["Tags"] == [{"Key": "Name", "Value": "b"}]
    assert_settled(aws, changed, news)
    aws.delete(changed)
    assert aws.refresh(changed) is None


def test_a_vpc_that_is_still_in_use_is_not_deleted_and_the_error_says_so(aws: Plugin, vpc: Made, subnet: Made) -> None:
    with pytest.raises(Refused, match=rf"deleting EC2 VPC \({vpc.id}\): DeleteVpc: DependencyViolation"):
        aws.delete(vpc, timeout=0.3)
    assert aws.refresh(subnet) is not None


def test_a_subnet_keeps_what_can_change_apart_from_what_cannot(aws: Plugin, vpc: Made, subnet: Made) -> None:
    news = {"vpcId": vpc.id, "cidrBlock": "10.0.1.0/24", "availabilityZone": "ap-northeast-1a"}
    assert_settled(aws, subnet, news)
    assert aws.plan(subnet, {**news, "mapPublicIpOnLaunch": True}).replaces == []
    for change in ({"cidrBlock": "10.0.2.0/24"}, {"availabilityZone": "ap-northeast-1c"}, {"vpcId": "vpc-1"}):
        assert aws.plan(subnet, {**news, **change}).replaces == list(change)


def test_a_subnet_changes_in_place(aws: Plugin, vpc: Made) -> None:
    news: dict[str, Any] = {"vpcId": vpc.id, "cidrBlock": "10.0.7.0/24", "availabilityZone": "ap-northeast-1c"}
    made = aws.create(SUBNET, news)
    news["mapPublicIpOnLaunch"] = True
    made = aws.update(made, news)
    assert made.state["mapPublicIpOnLaunch"] is True
    assert_settled(aws, made, news)
    aws.delete(made)
    aws.delete(made)


def test_a_route_table_gains_and_loses_routes_in_place(aws: Plugin, cloud: Cloud, vpc: Made) -> None:
    gateway = cloud.client("ec2").create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    cloud.client("ec2").attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc.id)
    made = aws.create(TABLE, {"vpcId": vpc.id})
    assert made.state["routes"] == []
    news = {"vpcId": vpc.id, "routes": [{"cidrBlock": "0.0.0.0/0", "gatewayId": gateway}]}
    made = aws.update(made, news)
    assert made.state["routes"] == [{"cidrBlock": "0.0.0.0/0", "gatewayId": gateway}]
    assert_settled(aws, made, news)
    assert not aws.plan(made, {"vpcId": vpc.id}).changes, "routes that are not mentioned are left alone"
    made = aws.update(made, {"vpcId": vpc.id, "routes": []})
    assert made.state["routes"] == []
    aws.delete(made)
    cloud.client("ec2").detach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc.id)


def test_an_association_of_a_route_table_moves_to_another_table_in_place(
    aws: Plugin, cloud: Cloud, vpc: Made, subnet: Made
) -> None:
    first, second = (aws.create(TABLE, {"vpcId": vpc.id}) for _ in range(2))
    made = aws.create(LINK, {"subnetId": subnet.id, "routeTableId": first.id})
    news = {"subnetId": subnet.id, "routeTableId": second.id}
    assert aws.plan(made, news).replaces == []
    moved = aws.update(made, news)
    assert moved.state["routeTableId"] == second.id
    [table] = cloud.client("ec2").describe_route_tables(RouteTableIds=[second.id])["RouteTables"]
    assert [link["SubnetId"] for link in table["Associations"]] == [subnet.id]
    imported = aws.import_(LINK, f"{subnet.id}/{second.id}")
    assert imported is not None
    assert imported.state["subnetId"] == subnet.id
    aws.delete(moved)
    [table] = cloud.client("ec2").describe_route_tables(RouteTableIds=[second.id])["RouteTables"]
    assert table["Associations"] == []
    aws.delete(first)
    aws.delete(second)


def test_an_association_needs_a_subnet_or_a_gateway_and_not_both(aws: Plugin) -> None:
    _, none = aws.check(LINK, {"routeTableId": "rtb-1"})
    assert "one of `subnetId,gatewayId` must be specified" in none["subnetId"]
    _, both = aws.check(LINK, {"routeTableId": "rtb-1", "subnetId": "subnet-1", "gatewayId": "igw-1"})
    assert "only one of `subnetId,gatewayId` can be specified" in both["subnetId"]


def test_a_default_group_is_adopted_emptied_and_kept_empty(aws: Plugin, cloud: Cloud) -> None:
    ec2 = cloud.client("ec2")
    vpc = aws.create(VPC, {"cidrBlock": "10.41.0.0/16"})
    news = {"vpcId": vpc.id, "ingress": [], "egress": []}
    made = aws.create(DEFAULT_GROUP, news)
    assert made.id == vpc.state["defaultSecurityGroupId"]
    [group] = ec2.describe_security_groups(GroupIds=[made.id])["SecurityGroups"]
    assert (group["IpPermissions"], group["IpPermissionsEgress"]) == ([], [])
    assert_settled(aws, made, news)
    ssh = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    ec2.authorize_security_group_ingress(GroupId=made.id, IpPermissions=[ssh])
    drifted = aws.refresh(made)
    assert drifted is not None
    assert drifted.inputs["ingress"][0]["cidrBlocks"] == ["0.0.0.0/0"]
    assert not aws.plan(drifted, {"vpcId": vpc.id}).changes, "rules that are not mentioned are left alone"
    plan = aws.plan(drifted, news)
    assert plan.detail == {"ingress[0]": "DELETE"}
    mended = aws.update(drifted, news)
    assert ec2.describe_security_groups(GroupIds=[made.id])["SecurityGroups"][0]["IpPermissions"] == []
    aws.delete(mended)
    assert ec2.describe_security_groups(GroupIds=[made.id])["SecurityGroups"], "it is only forgotten"
    aws.delete(vpc)


def test_a_new_group_lets_nothing_out(aws: Plugin, cloud: Cloud, group: Made) -> None:
    [seen] = cloud.client("ec2").describe_security_groups(GroupIds=[group.id])["SecurityGroups"]
    assert seen["IpPermissionsEgress"] == []
    assert seen["GroupName"] == group.inputs["name"]
    aws.delete(group)
    assert aws.refresh(group) is None


def test_a_group_with_rules_inside_changes_them_in_place(aws: Plugin, vpc: Made) -> None:
    rule = {"protocol": "tcp", "fromPort": 443, "toPort": 443, "cidrBlocks": ["10.0.0.0/16"], "self": True}
    news = {"vpcId": vpc.id, "name": "inside", "ingress": [rule]}
    made = aws.create(GROUP, news)
    assert_settled(aws, made, news)
    wider = {**news, "ingress": [{**rule, "cidrBlocks": ["10.0.0.0/16", "192.0.2.0/24"]}]}
    plan = aws.plan(made, wider)
    assert plan.changes
    assert plan.replaces == []
    made = aws.update(made, wider)
    assert_settled(aws, made, wider)
    aws.delete(made)


def test_a_group_whose_name_the_program_chose_is_deleted_before_it_is_replaced(aws: Plugin, vpc: Made) -> None:
    named = aws.create(GROUP, {"vpcId": vpc.id, "name": "chosen"})
    plan = aws.plan(named, {"vpcId": vpc.id, "name": "chosen", "description": "other"})
    assert plan.replaces == ["description"]
    assert plan.delete_before_replace
    made_up = aws.create(GROUP, {"vpcId": vpc.id})
    plan = aws.plan(made_up, {"vpcId": vpc.id, "description": "other"})
    assert plan.replaces == ["description"]
    assert not plan.delete_before_replace
    aws.delete(named)
    aws.delete(made_up)


def test_a_group_made_by_a_prefix_reports_the_prefix(aws: Plugin, vpc: Made) -> None:
    news = {"vpcId": vpc.id, "namePrefix": "pre-"}
    made = aws.create(GROUP, news)
    assert made.state["name"].startswith("pre-")
    assert made.state["namePrefix"] == "pre-"
    assert_settled(aws, made, news)
    aws.delete(made)


@pytest.mark.parametrize(("kind", "egress"), [(INGRESS, False), (EGRESS, True)])
def test_a_rule_changes_in_place_and_another_kind_of_peer_replaces_it(
    aws: Plugin, cloud: Cloud, group: Made, kind: str, egress: bool
) -> None:
    news: dict[str, Any] = {
        "securityGroupId": group.id,
        "ipProtocol": "tcp",
        "fromPort": 8883,
        "toPort": 8883,
        "referencedSecurityGroupId": group.id,
        "description": "MQTT",
        "tags": {"Name": "rule"},
    }
    made = aws.create(kind, news)
    assert made.state["securityGroupRuleId"] == made.id
    assert_settled(aws, made, news)
    wider = {**news, "toPort": 8884, "description": "more"}
    assert aws.plan(made, wider).replaces == []
    made = aws.update(made, wider)
    [rule] = cloud.client("ec2").describe_security_group_rules(SecurityGroupRuleIds=[made.id])["SecurityGroupRules"]
    assert (rule["IsEgress"], rule["ToPort"], rule["Description"]) == (egress, 8884, "more")
    assert_settled(aws, made, wider)
    assert aws.plan(made, {**wider, "toPort": 9}).detail == {}, "a framework type has no detailed difference"
    assert "tagsAll" not in made.inputs
    assert made.state["tagsAll"] == {"Name": "rule"}
    without_id = {name: value for name, value in made.state.items() if name != "id"}
    assert aws.refresh(Made(kind, made.id, made.inputs, without_id)) is None, "it is read by the id of its outputs"
    by_address = {name: value for name, value in wider.items() if name != "referencedSecurityGroupId"}
    plan = aws.plan(made, {**by_address, "cidrIpv4": "10.0.0.0/16"})
    assert set(plan.replaces) == {"cidrIpv4", "referencedSecurityGroupId"}
    assert aws.plan(made, {**wider, "securityGroupId": "sg-1"}).replaces == ["securityGroupId"]
    aws.delete(made)
    assert aws.refresh(made) is None
    aws.delete(made)
    aws.delete(group)


def test_a_rule_for_every_protocol_by_either_name_is_the_same(aws: Plugin, group: Made) -> None:
    news = {"securityGroupId": group.id, "ipProtocol": "-1", "cidrIpv4": "10.0.0.0/8"}
    made = aws.create(EGRESS, news)
    assert "fromPort" not in made.state
    assert_settled(aws, made, news)
    assert not aws.plan(made, {**news, "ipProtocol": "all"}).changes
    aws.delete(made)
    aws.delete(group)


@pytest.mark.parametrize(
    ("given", "property_", "reason"),
    [
        ({"cidrIpv4": "10.0.0.1/8"}, "cidrIpv4", "host bits set"),
        ({"cidrIpv4": "10.0.0.0"}, "cidrIpv4", "must be a valid IPv4 CIDR"),
        ({"cidrIpv6": "10.0.0.0/8"}, "cidrIpv6", "must be a valid IPv6 CIDR"),
        ({"cidrIpv4": "10.0.0.0/8", "fromPort": 65536}, "fromPort", r"range \(-1 - 65535\), got 65536"),
        ({"cidrIpv4": "10.0.0.0/8", "prefixListId": "pl-1"}, "cidrIpv4", "only one of"),
        ({}, "cidrIpv4", "one of `cidrIpv4,cidrIpv6,prefixListId,referencedSecurityGroupId` must be specified"),
    ],
)
def test_a_bad_rule_is_refused_by_name(aws: Plugin, given: dict[str, Any], property_: str, reason: str) -> None:
    _, failures = aws.check(INGRESS, {"securityGroupId": "sg-1", "ipProtocol": "tcp", **given})
    assert list(failures) == [property_]
    assert re.search(reason, failures[property_])


def test_an_interface_endpoint_has_its_addresses_and_names(
    aws: Plugin, cloud: Cloud, vpc: Made, subnet: Made, group: Made
) -> None:
    news: dict[str, Any] = {
        "vpcId": vpc.id,
        "serviceName": IOT_DATA,
        "vpcEndpointType": "Interface",
        "privateDnsEnabled": False,
        "subnetIds": [subnet.id],
        "securityGroupIds": [group.id],
    }
    promised = aws.preview(ENDPOINT, news)
    assert promised["dnsEntries"] is UNKNOWN
    assert promised["vpcEndpointType"] == "Interface"
    made = aws.create(ENDPOINT, news)
    assert set(promised) >= set(made.state) - {"tags"}, "a preview promises every output"
    assert made.state["state"] == "available"
    assert any(entry["dnsName"].startswith(f"{made.id}-") for entry in made.state["dnsEntries"])
    assert made.state["subnetConfigurations"][0]["ipv4"].startswith("10.0.1.")
    assert len(made.state["networkInterfaceIds"]) == 1
    assert_settled(aws, made, news)
    for change in ({"serviceName": "com.amazonaws.ap-northeast-1.s3"}, {"vpcEndpointType": "Gateway"}):
        assert aws.plan(made, {**news, **change}).replaces == list(change)
    other = aws.create(GROUP, {"vpcId": vpc.id}, name="other")
    plan = aws.plan(made, {**news, "securityGroupIds": [other.id]})
    assert plan.detail == {"securityGroupIds": "UPDATE"}
    assert plan.replaces == []
    made = aws.update(made, {**news, "securityGroupIds": [other.id], "tags": {"Name": "link"}})
    [seen] = cloud.client("ec2").describe_vpc_endpoints(VpcEndpointIds=[made.id])["VpcEndpoints"]
    assert [one["GroupId"] for one in seen["Groups"]] == [other.id]
    assert made.state["tagsAll"] == {"Name": "link"}
    aws.delete(made)
    assert aws.refresh(made) is None
    aws.delete(made)
    aws.delete(other)
    aws.delete(group)


def test_private_dns_for_iot_data_is_refused_with_awss_own_words(aws: Plugin, vpc: Made, subnet: Made) -> None:
    news = {
        "vpcId": vpc.id,
        "serviceName": IOT_DATA,
        "vpcEndpointType": "Interface",
        "privateDnsEnabled": True,
        "subnetIds": [subnet.id],
    }
    with pytest.raises(Refused, match=r"creating EC2 VPC Endpoint: CreateVpcEndpoint: \w+: .*[Pp]rivate DNS"):
        aws.create(ENDPOINT, news)


def test_more_subnets_make_the_interfaces_of_an_endpoint_unknown(aws: Plugin, vpc: Made, subnet: Made) -> None:
    news: dict[str, Any] = {
        "vpcId": vpc.id,
        "serviceName": IOT_DATA,
        "vpcEndpointType": "Interface",
        "subnetIds": [subnet.id],
    }
    made = aws.create(ENDPOINT, news)
    planned = aws.update(made, {**news, "subnetIds": [subnet.id, UNKNOWN]}, preview=True)
    assert planned.state["networkInterfaceIds"] is UNKNOWN
    assert planned.state["dnsEntries"] == made.state["dnsEntries"]
    aws.delete(made)
