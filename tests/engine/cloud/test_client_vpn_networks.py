"""Target networks, authorization rules and routes of Client VPN.

Cannot prove: that AWS's network interfaces look the same, or how long it takes to make them.
"""

from collections.abc import Callable
from typing import Any

import pytest

from tests.engine.cloud.conftest import Network, make_group, make_subnet, refused

pytestmark = pytest.mark.engine

Make = Callable[..., str]


def associate(ec2: Any, endpoint_id: str, subnet_id: str) -> str:
    answer = ec2.associate_client_vpn_target_network(ClientVpnEndpointId=endpoint_id, SubnetId=subnet_id)
    assert answer["Status"]["Code"] == "associating"
    association_id: str = answer["AssociationId"]
    return association_id


def networks(ec2: Any, endpoint_id: str, **parameters: Any) -> list[dict[str, Any]]:
    answer = ec2.describe_client_vpn_target_networks(ClientVpnEndpointId=endpoint_id, **parameters)
    found: list[dict[str, Any]] = answer["ClientVpnTargetNetworks"]
    return found


def status(ec2: Any, endpoint_id: str) -> str:
    answer = ec2.describe_client_vpn_endpoints(ClientVpnEndpointIds=[endpoint_id])
    code: str = answer["ClientVpnEndpoints"][0]["Status"]["Code"]
    return code


def interfaces(ec2: Any, subnet_id: str) -> list[dict[str, Any]]:
    answer = ec2.describe_network_interfaces(Filters=[{"Name": "subnet-id", "Values": [subnet_id]}])
    found: list[dict[str, Any]] = answer["NetworkInterfaces"]
    return found


def test_an_association_passes_through_associating_and_makes_the_endpoint_available(
    ec2: Any, make_endpoint: Make, network: Network
) -> None:
    endpoint_id = make_endpoint()
    assert [status(ec2, endpoint_id) for _ in range(3)] == ["pending-associate"] * 3
    association_id = associate(ec2, endpoint_id, network.subnet_a)
    seen = [networks(ec2, endpoint_id)[0]["Status"]["Code"] for _ in range(3)]
    assert seen == ["associating", "associated", "associated"]
    assert status(ec2, endpoint_id) == "available"
    found = networks(ec2, endpoint_id, AssociationIds=[association_id])
    default = ec2.describe_client_vpn_endpoints(ClientVpnEndpointIds=[endpoint_id])["ClientVpnEndpoints"][0]
    assert found == [
        {
            "AssociationId": association_id,
            "VpcId": network.vpc_id,
            "TargetNetworkId": network.subnet_a,
            "ClientVpnEndpointId": endpoint_id,
            "Status": {"Code": "associated"},
            "SecurityGroups": default["SecurityGroupIds"],
            "AvailabilityZones": ["ap-northeast-1a"],
            "AvailabilityZoneIds": ["apne1-az4"],
        }
    ]
    assert (default["VpcId"], len(default["SecurityGroupIds"])) == (network.vpc_id, 1)
    assert default["AssociatedTargetNetworks"] == [{"NetworkId": network.subnet_a, "NetworkType": "vpc"}]


def test_an_association_has_a_network_interface_with_the_endpoints_groups(
    ec2: Any, make_endpoint: Make, network: Network
) -> None:
    group_id, other = make_group(ec2, network.vpc_id, "vpn"), make_group(ec2, network.vpc_id, "other")
    endpoint_id = make_endpoint(VpcId=network.vpc_id, SecurityGroupIds=[group_id])
    association_id = associate(ec2, endpoint_id, network.subnet_a)
    (interface,) = interfaces(ec2, network.subnet_a)
    assert [group["GroupId"] for group in interface["Groups"]] == [group_id]
    assert (interface["RequesterManaged"], interface["Status"]) == (True, "in-use")
    assert endpoint_id in interface["Description"]

    applied = ec2.apply_security_groups_to_client_vpn_target_network(
        ClientVpnEndpointId=endpoint_id, VpcId=network.vpc_id, SecurityGroupIds=[other]
    )
    assert applied["SecurityGroupIds"] == [other]
    assert [group["GroupId"] for group in interfaces(ec2, network.subnet_a)[0]["Groups"]] == [other]
    ec2.modify_client_vpn_endpoint(
        ClientVpnEndpointId=endpoint_id, VpcId=network.vpc_id, SecurityGroupIds=[other, group_id]
    )
    assert {group["GroupId"] for group in interfaces(ec2, network.subnet_a)[0]["Groups"]} == {other, group_id}
    with refused("DependencyViolation", group_id):
        ec2.delete_security_group(GroupId=group_id)
    with refused("DependencyViolation", network.subnet_a):
        ec2.delete_subnet(SubnetId=network.subnet_a)
    with refused("OperationNotPermitted"):
        ec2.delete_network_interface(NetworkInterfaceId=interface["NetworkInterfaceId"])

    ec2.disassociate_client_vpn_target_network(ClientVpnEndpointId=endpoint_id, AssociationId=association_id)
    assert interfaces(ec2, network.subnet_a) == []
    ec2.delete_security_group(GroupId=group_id)


def test_security_groups_are_applied_in_the_endpoints_vpc_alone(
    ec2: Any, make_endpoint: Make, network: Network
) -> None:
    endpoint_id = make_endpoint(VpcId=network.vpc_id)
    other = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    group_id = make_group(ec2, other, "other")
    for vpc_id in (other, network.vpc_id):
        with refused("InvalidParameterValue", vpc_id):
            ec2.apply_security_groups_to_client_vpn_target_network(
                ClientVpnEndpointId=endpoint_id, VpcId=vpc_id, SecurityGroupIds=[group_id]
            )


def test_an_association_adds_the_vpcs_route_and_takes_it_back(ec2: Any, make_endpoint: Make, network: Network) -> None:
    endpoint_id = make_endpoint()
    association_id = associate(ec2, endpoint_id, network.subnet_a)
    assert [status(ec2, endpoint_id) for _ in range(3)] == ["pending-associate", "available", "available"]
    (route,) = ec2.describe_client_vpn_routes(ClientVpnEndpointId=endpoint_id)["Routes"]
    assert route["Status"]["Code"] == "active"
    assert (route["DestinationCidr"], route["TargetSubnet"]) == ("10.0.0.0/16", network.subnet_a)
    assert (route["Origin"], route["Type"]) == ("associate", "Nat")
    with refused("InvalidParameterValue", "disassociate"):
        ec2.delete_client_vpn_route(
            ClientVpnEndpointId=endpoint_id, DestinationCidrBlock="10.0.0.0/16", TargetVpcSubnetId=network.subnet_a
        )
    answer = ec2.disassociate_client_vpn_target_network(ClientVpnEndpointId=endpoint_id, AssociationId=association_id)
    assert answer["Status"]["Code"] == "disassociating"
    assert ec2.describe_client_vpn_routes(ClientVpnEndpointId=endpoint_id)["Routes"] == []
    assert [one["Status"]["Code"] for one in networks(ec2, endpoint_id)] == ["disassociating"]
    assert networks(ec2, endpoint_id) == []
    assert status(ec2, endpoint_id) == "pending-associate"
    with refused("InvalidClientVpnAssociationIdNotFound", association_id):
        networks(ec2, endpoint_id, AssociationIds=[association_id])
    with refused("InvalidClientVpnAssociationIdNotFound", association_id):
        ec2.disassociate_client_vpn_target_network(ClientVpnEndpointId=endpoint_id, AssociationId=association_id)


def test_one_association_a_zone_and_one_a_subnet(ec2: Any, make_endpoint: Make, network: Network) -> None:
    endpoint_id = make_endpoint()
    associate(ec2, endpoint_id, network.subnet_a)
    second = make_subnet(ec2, network.vpc_id, "10.0.3.0/24", "a")
    with refused("InvalidClientVpnSubnetId.DuplicateAz", second, "ap-northeast-1a"):
        associate(ec2, endpoint_id, second)
    with refused("InvalidClientVpnDuplicateAssociationException", network.subnet_a):
        associate(ec2, endpoint_id, network.subnet_a)
    associate(ec2, endpoint_id, network.subnet_c)
    assert len(networks(ec2, endpoint_id)) == 2


def test_a_subnet_of_another_vpc_is_refused(ec2: Any, make_endpoint: Make, network: Network) -> None:
    endpoint_id = make_endpoint(VpcId=network.vpc_id)
    other = ec2.create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
    subnet_id = make_subnet(ec2, other, "10.1.1.0/24", "c")
    with refused("InvalidClientVpnSubnetId.NotFound", subnet_id, network.vpc_id):
        associate(ec2, endpoint_id, subnet_id)
    with refused("InvalidSubnetID.NotFound", "subnet-0123456789abcdef0"):
        associate(ec2, endpoint_id, "subnet-0123456789abcdef0")


def test_a_vpc_that_overlaps_the_client_cidr_is_refused(ec2: Any, make_endpoint: Make) -> None:
    endpoint_id = make_endpoint(ClientCidrBlock="10.8.0.0/14")
    vpc_id = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    subnet_id = make_subnet(ec2, vpc_id, "10.9.1.0/24", "a")
    with refused("InvalidClientVpnSubnetId.OverlappingCidr", "10.9.0.0/16", "10.8.0.0/14"):
        associate(ec2, endpoint_id, subnet_id)


def test_a_subnet_has_to_be_a_27_or_larger_with_20_free_addresses(
    ec2: Any, make_endpoint: Make, network: Network
) -> None:
    endpoint_id = make_endpoint()
    small = make_subnet(ec2, network.vpc_id, "10.0.8.0/28", "a")
    with refused("InvalidParameterValue", small, "/28", "/27"):
        associate(ec2, endpoint_id, small)
    crowded = make_subnet(ec2, network.vpc_id, "10.0.9.0/27", "a")
    made = [ec2.create_network_interface(SubnetId=crowded)["NetworkInterface"] for _ in range(8)]
    with refused("InvalidParameterValue", crowded, "19", "20"):
        associate(ec2, endpoint_id, crowded)
    ec2.delete_network_interface(NetworkInterfaceId=made[0]["NetworkInterfaceId"])
    associate(ec2, endpoint_id, crowded)


def test_an_authorization_rule_passes_through_authorizing_and_revoking(ec2: Any, make_endpoint: Make) -> None:
    endpoint_id = make_endpoint()
    rule = {"ClientVpnEndpointId": endpoint_id, "TargetNetworkCidr": "10.0.0.0/16"}
    answer = ec2.authorize_client_vpn_ingress(**rule, AuthorizeAllGroups=True, Description="the VPC")
    assert answer["Status"]["Code"] == "authorizing"

    def rules(**parameters: Any) -> list[dict[str, Any]]:
        answer = ec2.describe_client_vpn_authorization_rules(ClientVpnEndpointId=endpoint_id, **parameters)
        found: list[dict[str, Any]] = answer["AuthorizationRules"]
        return found

    assert [rules()[0]["Status"]["Code"] for _ in range(2)] == ["authorizing", "active"]
    assert rules() == [
        {
            "ClientVpnEndpointId": endpoint_id,
            "Description": "the VPC",
            "GroupId": "",
            "AccessAll": True,
            "DestinationCidr": "10.0.0.0/16",
            "Status": {"Code": "active"},
        }
    ]
    with refused("InvalidClientVpnDuplicateAuthorizationRule", "10.0.0.0/16"):
        ec2.authorize_client_vpn_ingress(**rule, AuthorizeAllGroups=True)
    ec2.authorize_client_vpn_ingress(**rule, AccessGroupId="S-1")
    assert len(rules(Filters=[{"Name": "destination-cidr", "Values": ["10.0.0.0/16"]}])) == 2
    assert [one["GroupId"] for one in rules(Filters=[{"Name": "group-id", "Values": ["S-*"]}])] == ["S-1"]

    revoked = ec2.revoke_client_vpn_ingress(**rule, RevokeAllGroups=True)
    assert revoked["Status"]["Code"] == "revoking"
    assert [one["Status"]["Code"] for one in rules() if one["AccessAll"]] == ["revoking"]
    assert [one["GroupId"] for one in rules()] == ["S-1"]
    with refused("InvalidClientVpnEndpointAuthorizationRuleNotFound", "10.0.0.0/16"):
        ec2.revoke_client_vpn_ingress(**rule, RevokeAllGroups=True)


def test_an_authorization_rule_is_for_a_group_or_for_all(ec2: Any, make_endpoint: Make) -> None:
    rule = {"ClientVpnEndpointId": make_endpoint(), "TargetNetworkCidr": "10.0.0.0/16"}
    with refused("MissingParameter", "AccessGroupId", "AuthorizeAllGroups"):
        ec2.authorize_client_vpn_ingress(**rule)
    with refused("InvalidParameterCombination"):
        ec2.authorize_client_vpn_ingress(**rule, AuthorizeAllGroups=True, AccessGroupId="S-1")
    with refused("InvalidParameterValue", "10.0.0.1/16"):
        ec2.authorize_client_vpn_ingress(**rule | {"TargetNetworkCidr": "10.0.0.1/16"}, AuthorizeAllGroups=True)


def test_an_endpoint_has_200_authorization_rules_at_most_in_pages(ec2: Any, make_endpoint: Make) -> None:
    endpoint_id = make_endpoint()
    cidrs = [f"10.{number}.0.0/16" for number in range(200)]
    for cidr in cidrs:
        ec2.authorize_client_vpn_ingress(
            ClientVpnEndpointId=endpoint_id, TargetNetworkCidr=cidr, AuthorizeAllGroups=True
        )
    with refused("ClientVpnAuthorizationRuleLimitExceeded", "200"):
        ec2.authorize_client_vpn_ingress(
            ClientVpnEndpointId=endpoint_id, TargetNetworkCidr="192.168.0.0/16", AuthorizeAllGroups=True
        )
    pages = list(
        ec2.get_paginator("describe_client_vpn_authorization_rules").paginate(
            ClientVpnEndpointId=endpoint_id, PaginationConfig={"PageSize": 60}
        )
    )
    assert [len(page["AuthorizationRules"]) for page in pages] == [60, 60, 60, 20]
    assert [rule["DestinationCidr"] for page in pages for rule in page["AuthorizationRules"]] == cidrs


def test_routes_are_added_shown_and_deleted(ec2: Any, make_endpoint: Make, network: Network) -> None:
    endpoint_id = make_endpoint()
    route = {
        "ClientVpnEndpointId": endpoint_id,
        "DestinationCidrBlock": "192.168.0.0/16",
        "TargetVpcSubnetId": network.subnet_a,
    }
    with refused("InvalidClientVpnActiveAssociationNotFound", network.subnet_a):
        ec2.create_client_vpn_route(**route)
    associate(ec2, endpoint_id, network.subnet_a)
    assert ec2.create_client_vpn_route(**route, Description="office")["Status"]["Code"] == "creating"

    def added() -> list[dict[str, Any]]:
        answer = ec2.describe_client_vpn_routes(
            ClientVpnEndpointId=endpoint_id, Filters=[{"Name": "origin", "Values": ["add-route"]}]
        )
        found: list[dict[str, Any]] = answer["Routes"]
        return found

    assert [added()[0]["Status"]["Code"] for _ in range(2)] == ["creating", "active"]
    assert (added()[0]["DestinationCidr"], added()[0]["Description"]) == ("192.168.0.0/16", "office")
    with refused("InvalidClientVpnDuplicateRoute", "192.168.0.0/16"):
        ec2.create_client_vpn_route(**route)
    with refused("InvalidParameterValue", "172.31.0.0/16"):
        ec2.create_client_vpn_route(**route | {"DestinationCidrBlock": "172.31.4.0/24"})
    ec2.create_client_vpn_route(**route | {"DestinationCidrBlock": "0.0.0.0/0"})
    ec2.create_client_vpn_route(**route | {"DestinationCidrBlock": "172.31.0.0/16", "TargetVpcSubnetId": "local"})
    assert len(added()) == 3
    assert ec2.delete_client_vpn_route(**route)["Status"]["Code"] == "deleting"
    assert "deleting" in [one["Status"]["Code"] for one in added()]
    assert "192.168.0.0/16" not in [one["DestinationCidr"] for one in added()]
    with refused("InvalidClientVpnRouteNotFound", "192.168.0.0/16"):
        ec2.delete_client_vpn_route(**route)


def test_a_target_network_has_100_routes_at_most(ec2: Any, make_endpoint: Make, network: Network) -> None:
    endpoint_id = make_endpoint()
    associate(ec2, endpoint_id, network.subnet_a)
    route = {"ClientVpnEndpointId": endpoint_id, "TargetVpcSubnetId": network.subnet_a}
    for number in range(99):
        ec2.create_client_vpn_route(**route, DestinationCidrBlock=f"192.168.{number}.0/24")
    with refused("ClientVpnRouteLimitExceeded", "100"):
        ec2.create_client_vpn_route(**route, DestinationCidrBlock="192.168.99.0/24")


def test_an_endpoint_has_five_security_groups_at_most(ec2: Any, make_endpoint: Make, network: Network) -> None:
    groups = [make_group(ec2, network.vpc_id, f"vpn-{number}") for number in range(6)]
    with refused("InvalidParameterValue", "5 security groups", "6"):
        make_endpoint(VpcId=network.vpc_id, SecurityGroupIds=groups)
