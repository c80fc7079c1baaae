"""Interface endpoints and their services.

Cannot prove: which zones offer AWS IoT today; the order of an endpoint's names on AWS.
"""

import ipaddress
import json
from typing import Any

import pytest

from tests.engine.cloud.conftest import REGION, Network, make_group, make_subnet, refused

pytestmark = pytest.mark.engine

IOT_DATA = f"com.amazonaws.{REGION}.iot.data"
IOT_CREDENTIALS = f"com.amazonaws.{REGION}.iot.credentials"
LOGS = f"com.amazonaws.{REGION}.logs"


def create(ec2: Any, network: Network, **parameters: Any) -> dict[str, Any]:
    parameters = {
        "VpcId": network.vpc_id,
        "ServiceName": IOT_DATA,
        "VpcEndpointType": "Interface",
        "SubnetIds": [network.subnet_a],
        "PrivateDnsEnabled": False,
    } | parameters
    endpoint: dict[str, Any] = ec2.create_vpc_endpoint(**parameters)["VpcEndpoint"]
    return endpoint


def describe(ec2: Any, endpoint: dict[str, Any]) -> dict[str, Any]:
    answer = ec2.describe_vpc_endpoints(VpcEndpointIds=[endpoint["VpcEndpointId"]])
    (found,) = answer["VpcEndpoints"]
    described: dict[str, Any] = found
    return described


def interfaces(ec2: Any, endpoint: dict[str, Any]) -> list[dict[str, Any]]:
    answer = ec2.describe_network_interfaces(NetworkInterfaceIds=endpoint["NetworkInterfaceIds"])
    found: list[dict[str, Any]] = answer["NetworkInterfaces"]
    return found


@pytest.mark.parametrize(("name", "dns"), [(IOT_DATA, "data.iot"), (IOT_CREDENTIALS, "credentials.iot")])
def test_the_services_of_iot_are_offered_in_the_zones_that_have_them(ec2: Any, name: str, dns: str) -> None:
    zones = [zone["ZoneName"] for zone in ec2.describe_availability_zones()["AvailabilityZones"]]
    assert zones == ["ap-northeast-1a", "ap-northeast-1c", "ap-northeast-1d"]
    answer = ec2.describe_vpc_endpoint_services(ServiceNames=[name])
    assert answer["ServiceNames"] == [name]
    (service,) = answer["ServiceDetails"]
    assert service["ServiceType"] == [{"ServiceType": "Interface"}]
    assert service["AvailabilityZones"] == ["ap-northeast-1a", "ap-northeast-1c"]
    assert service["BaseEndpointDnsNames"] == [f"{dns}.{REGION}.vpce.amazonaws.com"]
    assert "PrivateDnsName" not in service
    assert not service["VpcEndpointPolicySupported"]


def test_services_are_found_by_filter_and_in_pages(ec2: Any) -> None:
    filters = [{"Name": "service-name", "Values": [IOT_DATA]}, {"Name": "service-type", "Values": ["Interface"]}]
    assert ec2.describe_vpc_endpoint_services(Filters=filters)["ServiceNames"] == [IOT_DATA]
    gateway = [{"Name": "service-name", "Values": [IOT_DATA]}, {"Name": "service-type", "Values": ["Gateway"]}]
    assert ec2.describe_vpc_endpoint_services(Filters=gateway)["ServiceNames"] == []
    pages = ec2.get_paginator("describe_vpc_endpoint_services").paginate(PaginationConfig={"PageSize": 50})
    names = [name for page in pages for name in page["ServiceNames"]]
    assert len(names) == len(set(names)) > 50
    assert {IOT_DATA, IOT_CREDENTIALS, f"com.amazonaws.{REGION}.iot.api", LOGS} <= set(names)
    with refused("InvalidServiceName", "com.amazonaws.nowhere"):
        ec2.describe_vpc_endpoint_services(ServiceNames=["com.amazonaws.nowhere"])
    with refused("InvalidParameterValue", "colour"):
        ec2.describe_vpc_endpoint_services(Filters=[{"Name": "colour", "Values": ["blue"]}])


def test_an_endpoint_has_an_address_in_each_subnet_and_its_groups(ec2: Any, network: Network) -> None:
    group_id = make_group(ec2, network.vpc_id, "iot")
    endpoint = create(ec2, network, SubnetIds=[network.subnet_a, network.subnet_c], SecurityGroupIds=[group_id])
    assert endpoint["State"] == "pending"
    assert [describe(ec2, endpoint)["State"] for _ in range(3)] == ["pending", "available", "available"]
    assert endpoint["Groups"] == [{"GroupId": group_id, "GroupName": "iot"}]
    found = interfaces(ec2, endpoint)
    assert {one["SubnetId"] for one in found} == {network.subnet_a, network.subnet_c}
    cidrs = {network.subnet_a: "10.0.1.0/24", network.subnet_c: "10.0.2.0/24"}
    for one in found:
        subnet = ipaddress.IPv4Network(cidrs[one["SubnetId"]])
        reserved = {*list(subnet)[:4], subnet.broadcast_address}
        address = ipaddress.IPv4Address(one["PrivateIpAddress"])
        assert address in subnet
        assert address not in reserved
        assert one["InterfaceType"] == "vpc_endpoint"
        assert one["Description"] == f"VPC Endpoint Interface {endpoint['VpcEndpointId']}"
        assert [group["GroupId"] for group in one["Groups"]] == [group_id]


def test_addresses_are_never_given_twice(ec2: Any, network: Network) -> None:
    small = make_subnet(ec2, network.vpc_id, "10.0.5.0/28", "a")
    given = [ec2.create_network_interface(SubnetId=small)["NetworkInterface"]["PrivateIpAddress"] for _ in range(11)]
    assert sorted(given, key=ipaddress.IPv4Address) == [f"10.0.5.{number}" for number in range(4, 15)]
    with refused("InsufficientFreeAddressesInSubnet", small):
        create(ec2, network, SubnetIds=[small])
    with refused("InvalidIPAddress.InUse", "10.0.5.4"):
        ec2.create_network_interface(SubnetId=small, PrivateIpAddress="10.0.5.4")
    with refused("InvalidParameterValue", "10.0.5.3"):
        ec2.create_network_interface(SubnetId=small, PrivateIpAddress="10.0.5.3")


def test_an_address_can_be_asked_for(ec2: Any, network: Network) -> None:
    wanted = [{"SubnetId": network.subnet_a, "Ipv4": "10.0.1.105"}]
    endpoint = create(ec2, network, SubnetConfigurations=wanted)
    assert [one["PrivateIpAddress"] for one in interfaces(ec2, endpoint)] == ["10.0.1.105"]


def test_an_endpoint_has_zonal_and_regional_names_and_the_regional_one_is_not_first(ec2: Any, network: Network) -> None:
    endpoint = create(ec2, network, SubnetIds=[network.subnet_a, network.subnet_c])
    names = [entry["DnsName"] for entry in endpoint["DnsEntries"]]
    prefix, _, domain = names[-1].partition(".")
    assert domain == f"data.iot.{REGION}.vpce.amazonaws.com"
    assert prefix.startswith(f"{endpoint['VpcEndpointId']}-")
    assert names == [f"{prefix}-{REGION}a.{domain}", f"{prefix}-{REGION}c.{domain}", f"{prefix}.{domain}"]
    (zone_id,) = {entry["HostedZoneId"] for entry in endpoint["DnsEntries"]}
    assert zone_id.startswith("Z")
    assert 13 <= len(zone_id) <= 32
    assert describe(ec2, endpoint)["DnsEntries"] == endpoint["DnsEntries"]


def test_without_groups_an_endpoint_has_the_vpcs_default_group(ec2: Any, network: Network) -> None:
    endpoint = create(ec2, network)
    assert [group["GroupName"] for group in endpoint["Groups"]] == ["default"]
    assert interfaces(ec2, endpoint)[0]["Groups"] == endpoint["Groups"]


@pytest.mark.parametrize("name", [IOT_DATA, IOT_CREDENTIALS])
def test_private_dns_is_refused_for_iot(ec2: Any, network: Network, name: str) -> None:
    with refused("InvalidParameter", "Private DNS can't be enabled", name):
        create(ec2, network, ServiceName=name, PrivateDnsEnabled=True)
    endpoint = create(ec2, network, ServiceName=name)
    with refused("InvalidParameter", "Private DNS can't be enabled", name):
        ec2.modify_vpc_endpoint(VpcEndpointId=endpoint["VpcEndpointId"], PrivateDnsEnabled=True)


def test_private_dns_needs_both_dns_attributes_of_the_vpc(ec2: Any, network: Network) -> None:
    with refused("InvalidParameter", "enableDnsHostnames", network.vpc_id):
        create(ec2, network, ServiceName=LOGS, PrivateDnsEnabled=True)
    ec2.modify_vpc_attribute(VpcId=network.vpc_id, EnableDnsHostnames={"Value": True})
    endpoint = create(ec2, network, ServiceName=LOGS, PrivateDnsEnabled=True)
    assert endpoint["PrivateDnsEnabled"]
    assert endpoint["DnsEntries"][-1]["DnsName"] == f"logs.{REGION}.amazonaws.com"


def test_a_zone_the_service_does_not_offer_is_refused_by_subnet(ec2: Any, network: Network) -> None:
    subnet_d = make_subnet(ec2, network.vpc_id, "10.0.4.0/24", "d")
    message = f"The VPC endpoint service {IOT_DATA} does not support the availability zone of the subnet: {subnet_d}."
    with refused("InvalidParameter", message):
        create(ec2, network, SubnetIds=[network.subnet_a, subnet_d])
    endpoint = create(ec2, network)
    with refused("InvalidParameter", message):
        ec2.modify_vpc_endpoint(VpcEndpointId=endpoint["VpcEndpointId"], AddSubnetIds=[subnet_d])
    assert len(describe(ec2, endpoint)["SubnetIds"]) == 1


def test_what_does_not_fit_is_refused(ec2: Any, network: Network) -> None:
    second = make_subnet(ec2, network.vpc_id, "10.0.6.0/24", "a")
    with refused("DuplicateSubnetsInSameZone", second):
        create(ec2, network, SubnetIds=[network.subnet_a, second])
    other = ec2.create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
    elsewhere, group_id = make_subnet(ec2, other, "10.1.1.0/24", "a"), make_group(ec2, other, "other")
    with refused("InvalidParameter", elsewhere):
        create(ec2, network, SubnetIds=[elsewhere])
    with refused("InvalidParameter", group_id):
        create(ec2, network, SecurityGroupIds=[group_id])
    with refused("InvalidGroup.NotFound", "sg-0123456789abcdef0"):
        create(ec2, network, SecurityGroupIds=["sg-0123456789abcdef0"])
    with refused("InvalidVpcID.NotFound"):
        create(ec2, network, VpcId="vpc-0123456789abcdef0")
    with refused("InvalidSubnetID.NotFound"):
        create(ec2, network, SubnetIds=["subnet-0123456789abcdef0"])
    with refused("InvalidServiceName"):
        create(ec2, network, ServiceName="com.amazonaws.nowhere")
    with refused("InvalidParameter", "Gateway", "Interface"):
        create(ec2, network, VpcEndpointType="Gateway")
    with refused("InvalidParameter", "polic"):
        create(ec2, network, PolicyDocument='{"Statement": []}')
    filters = [{"Name": "vpc-id", "Values": [network.vpc_id]}]
    assert ec2.describe_vpc_endpoints(Filters=filters)["VpcEndpoints"] == []
    assert ec2.describe_network_interfaces(Filters=filters)["NetworkInterfaces"] == []


def test_groups_and_subnets_change_in_place(ec2: Any, network: Network) -> None:
    first, second = make_group(ec2, network.vpc_id, "first"), make_group(ec2, network.vpc_id, "second")
    endpoint = create(ec2, network, SecurityGroupIds=[first])
    endpoint_id = endpoint["VpcEndpointId"]
    ec2.modify_vpc_endpoint(VpcEndpointId=endpoint_id, AddSecurityGroupIds=[second], RemoveSecurityGroupIds=[first])
    ec2.modify_vpc_endpoint(VpcEndpointId=endpoint_id, AddSubnetIds=[network.subnet_c])
    changed = describe(ec2, endpoint)
    assert [group["GroupId"] for group in changed["Groups"]] == [second]
    assert changed["SubnetIds"] == [network.subnet_a, network.subnet_c]
    assert len(changed["DnsEntries"]) == 3
    assert {one["Groups"][0]["GroupId"] for one in interfaces(ec2, changed)} == {second}
    before = interfaces(ec2, changed)[0]["PrivateIpAddress"]
    ec2.modify_vpc_endpoint(VpcEndpointId=endpoint_id, RemoveSubnetIds=[network.subnet_c])
    changed = describe(ec2, endpoint)
    assert [one["PrivateIpAddress"] for one in interfaces(ec2, changed)] == [before]
    with refused("InvalidParameter", "at least one security group"):
        ec2.modify_vpc_endpoint(VpcEndpointId=endpoint_id, RemoveSecurityGroupIds=[second])
    with refused("DependencyViolation", second):
        ec2.delete_security_group(GroupId=second)
    ec2.delete_security_group(GroupId=first)


def test_a_policy_is_set_and_reset_where_the_service_has_policies(ec2: Any, network: Network) -> None:
    endpoint = create(ec2, network, ServiceName=LOGS)
    policy = json.dumps({"Version": "2012-10-17", "Statement": []})
    ec2.modify_vpc_endpoint(VpcEndpointId=endpoint["VpcEndpointId"], PolicyDocument=policy)
    assert describe(ec2, endpoint)["PolicyDocument"] == policy
    ec2.modify_vpc_endpoint(VpcEndpointId=endpoint["VpcEndpointId"], ResetPolicy=True)
    assert describe(ec2, endpoint)["PolicyDocument"] == endpoint["PolicyDocument"]
    with refused("InvalidParameter", "JSON"):
        ec2.modify_vpc_endpoint(VpcEndpointId=endpoint["VpcEndpointId"], PolicyDocument="{")


def test_a_deleted_endpoint_takes_its_interfaces_and_tags_along(ec2: Any, network: Network) -> None:
    tags = [{"ResourceType": "vpc-endpoint", "Tags": [{"Key": "Name", "Value": "iot"}]}]
    endpoint = create(ec2, network, TagSpecifications=tags)
    endpoint_id = endpoint["VpcEndpointId"]
    assert endpoint["Tags"] == [{"Key": "Name", "Value": "iot"}]
    filters = [{"Name": "tag:Name", "Values": ["iot"]}, {"Name": "vpc-endpoint-type", "Values": ["Interface"]}]
    found = ec2.describe_vpc_endpoints(Filters=filters)["VpcEndpoints"]
    assert [one["VpcEndpointId"] for one in found] == [endpoint_id]
    with refused("DependencyViolation", network.subnet_a):
        ec2.delete_subnet(SubnetId=network.subnet_a)
    assert ec2.delete_vpc_endpoints(VpcEndpointIds=[endpoint_id])["Unsuccessful"] == []
    assert describe(ec2, endpoint)["State"] == "deleting"
    with refused("InvalidVpcEndpointId.NotFound", endpoint_id):
        describe(ec2, endpoint)
    with refused("InvalidNetworkInterfaceID.NotFound"):
        interfaces(ec2, endpoint)
    assert ec2.describe_tags(Filters=[{"Name": "resource-id", "Values": [endpoint_id]}])["Tags"] == []
    ec2.delete_subnet(SubnetId=network.subnet_a)
    (failure,) = ec2.delete_vpc_endpoints(VpcEndpointIds=[endpoint_id])["Unsuccessful"]
    assert failure["ResourceId"] == endpoint_id


def test_an_endpoint_on_its_way_out_outlives_its_subnet_and_vpc(ec2: Any) -> None:
    vpc_id = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet_id = make_subnet(ec2, vpc_id, "10.0.1.0/24", "a")
    endpoint = create(ec2, Network(vpc_id, subnet_id, subnet_id))
    ec2.delete_vpc_endpoints(VpcEndpointIds=[endpoint["VpcEndpointId"]])
    ec2.delete_subnet(SubnetId=subnet_id)
    ec2.delete_vpc(VpcId=vpc_id)
    assert describe(ec2, endpoint)["State"] == "deleting"
    assert endpoint["VpcEndpointId"] not in [
        one["VpcEndpointId"] for one in ec2.describe_vpc_endpoints()["VpcEndpoints"]
    ]


def test_the_same_client_token_gives_the_same_endpoint(ec2: Any, network: Network) -> None:
    first = create(ec2, network, ClientToken="once")
    assert create(ec2, network, ClientToken="once")["VpcEndpointId"] == first["VpcEndpointId"]
    with refused("IdempotentParameterMismatch"):
        create(ec2, network, ClientToken="once", SubnetIds=[network.subnet_c])


def test_a_gateway_endpoint_still_adds_its_route(ec2: Any, network: Network) -> None:
    table = ec2.create_route_table(VpcId=network.vpc_id)["RouteTable"]["RouteTableId"]
    endpoint = ec2.create_vpc_endpoint(
        VpcId=network.vpc_id, ServiceName=f"com.amazonaws.{REGION}.s3", RouteTableIds=[table]
    )["VpcEndpoint"]
    assert (endpoint["VpcEndpointType"], endpoint["State"]) == ("Gateway", "available")

    def targets() -> list[str]:
        routes = ec2.describe_route_tables(RouteTableIds=[table])["RouteTables"][0]["Routes"]
        return [route["GatewayId"] for route in routes]

    assert targets() == ["local", endpoint["VpcEndpointId"]]
    ec2.delete_vpc_endpoints(VpcEndpointIds=[endpoint["VpcEndpointId"]])
    assert targets() == ["local"]
