"""Security groups and their rules, as the provider of the rule resources calls them.

Cannot prove: the order in which AWS lists rules.
"""

from typing import Any

import pytest

from tests.engine.cloud.conftest import Network, make_group, refused

pytestmark = pytest.mark.engine


def rules(ec2: Any, group_id: str) -> list[dict[str, Any]]:
    answer = ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": [group_id]}])
    found: list[dict[str, Any]] = answer["SecurityGroupRules"]
    return found


def allow(ec2: Any, group_id: str, peer: dict[str, Any], port: int = 8883, **parameters: Any) -> dict[str, Any]:
    permission = {"IpProtocol": "tcp", "FromPort": port, "ToPort": port} | peer
    answer = ec2.authorize_security_group_ingress(GroupId=group_id, IpPermissions=[permission], **parameters)
    (rule,) = answer["SecurityGroupRules"]
    made: dict[str, Any] = rule
    return made


def group_peer(group_id: str, description: str = "from the VPN") -> dict[str, Any]:
    return {"UserIdGroupPairs": [{"GroupId": group_id, "Description": description}]}


def test_a_rule_that_names_a_group_has_an_id_tags_and_a_description(ec2: Any, network: Network) -> None:
    vpn, iot = make_group(ec2, network.vpc_id, "vpn"), make_group(ec2, network.vpc_id, "iot")
    tags = [{"ResourceType": "security-group-rule", "Tags": [{"Key": "Name", "Value": "mqtt"}]}]
    made = allow(ec2, iot, group_peer(vpn), TagSpecifications=tags)
    (rule,) = ec2.describe_security_group_rules(SecurityGroupRuleIds=[made["SecurityGroupRuleId"]])[
        "SecurityGroupRules"
    ]
    assert rule["ReferencedGroupInfo"] == {"GroupId": vpn, "UserId": "123456789012"}
    assert (rule["Description"], rule["IsEgress"], rule["GroupId"]) == ("from the VPN", False, iot)
    assert (rule["IpProtocol"], rule["FromPort"], rule["ToPort"]) == ("tcp", 8883, 8883)
    assert rule["Tags"] == [{"Key": "Name", "Value": "mqtt"}]
    permissions = ec2.describe_security_groups(GroupIds=[iot])["SecurityGroups"][0]["IpPermissions"]
    assert permissions[0]["UserIdGroupPairs"][0]["GroupId"] == vpn


def test_a_new_group_lets_everything_out_until_that_rule_is_revoked(ec2: Any, network: Network) -> None:
    group_id = make_group(ec2, network.vpc_id, "vpn")
    (default,) = rules(ec2, group_id)
    assert (default["IsEgress"], default["IpProtocol"], default["CidrIpv4"]) == (True, "-1", "0.0.0.0/0")
    assert (default["FromPort"], default["ToPort"]) == (-1, -1)
    ec2.revoke_security_group_egress(
        GroupId=group_id, IpPermissions=[{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    )
    assert rules(ec2, group_id) == []


def test_every_rule_of_a_request_is_answered_and_none_is_made_if_one_is_refused(ec2: Any, network: Network) -> None:
    group_id = make_group(ec2, network.vpc_id, "vpn")
    ports = [{"IpProtocol": "tcp", "FromPort": port, "ToPort": port} for port in (443, 8443)]
    permissions = [port | {"IpRanges": [{"CidrIp": "10.0.0.0/16"}]} for port in ports]
    answer = ec2.authorize_security_group_egress(GroupId=group_id, IpPermissions=permissions)
    assert [rule["FromPort"] for rule in answer["SecurityGroupRules"]] == [443, 8443]
    more = [{"IpProtocol": "udp", "FromPort": 53, "ToPort": 53, "IpRanges": [{"CidrIp": "10.0.0.2/32"}]}]
    with refused("InvalidPermission.Duplicate"):
        ec2.authorize_security_group_egress(GroupId=group_id, IpPermissions=[*more, permissions[0]])
    assert len(rules(ec2, group_id)) == 3


def test_a_rule_is_the_same_whatever_its_description(ec2: Any, network: Network) -> None:
    vpn, iot = make_group(ec2, network.vpc_id, "vpn"), make_group(ec2, network.vpc_id, "iot")
    allow(ec2, iot, group_peer(vpn, "one"))
    with refused("InvalidPermission.Duplicate"):
        allow(ec2, iot, group_peer(vpn, "other"))
    permission = {"IpProtocol": "tcp", "FromPort": 8883, "ToPort": 8883, "UserIdGroupPairs": [{"GroupId": vpn}]}
    ec2.revoke_security_group_ingress(GroupId=iot, IpPermissions=[permission])
    assert [rule for rule in rules(ec2, iot) if not rule["IsEgress"]] == []


def test_rules_are_revoked_by_id_all_or_none(ec2: Any, network: Network) -> None:
    group_id = make_group(ec2, network.vpc_id, "vpn")
    made = allow(ec2, group_id, {"IpRanges": [{"CidrIp": "10.0.0.0/16"}]})["SecurityGroupRuleId"]
    with refused("InvalidSecurityGroupRuleId.NotFound", "sgr-0123456789abcdef0"):
        ec2.revoke_security_group_ingress(GroupId=group_id, SecurityGroupRuleIds=[made, "sgr-0123456789abcdef0"])
    assert made in [rule["SecurityGroupRuleId"] for rule in rules(ec2, group_id)]
    ec2.revoke_security_group_ingress(GroupId=group_id, SecurityGroupRuleIds=[made])
    with refused("InvalidSecurityGroupRuleId.NotFound", made):
        ec2.describe_security_group_rules(SecurityGroupRuleIds=[made])


def test_a_rule_is_changed_in_place_but_not_to_another_kind(ec2: Any, network: Network) -> None:
    vpn, other, iot = (make_group(ec2, network.vpc_id, name) for name in ("vpn", "other", "iot"))
    rule_id = allow(ec2, iot, group_peer(vpn))["SecurityGroupRuleId"]

    def change(request: dict[str, Any]) -> None:
        request = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443} | request
        ec2.modify_security_group_rules(
            GroupId=iot, SecurityGroupRules=[{"SecurityGroupRuleId": rule_id, "SecurityGroupRule": request}]
        )

    change({"ReferencedGroupId": other, "Description": "changed"})
    (rule,) = ec2.describe_security_group_rules(SecurityGroupRuleIds=[rule_id])["SecurityGroupRules"]
    assert (rule["ReferencedGroupInfo"]["GroupId"], rule["FromPort"], rule["Description"]) == (other, 443, "changed")
    with refused("InvalidParameterValue", "ReferencedGroupId", "CidrIpv4"):
        change({"CidrIpv4": "10.0.0.0/16"})
    with refused("InvalidParameterValue", "exactly one"):
        change({})
    second = allow(ec2, iot, group_peer(vpn), 8443)
    with refused("InvalidPermission.Duplicate"):
        change({"ReferencedGroupId": vpn, "FromPort": 8443, "ToPort": 8443})
    assert second["SecurityGroupRuleId"] != rule_id


def test_a_rule_for_every_protocol_is_changed_without_ports(ec2: Any, network: Network) -> None:
    group_id = make_group(ec2, network.vpc_id, "vpn")
    (default,) = rules(ec2, group_id)
    rule_id = default["SecurityGroupRuleId"]
    ec2.modify_security_group_rules(
        GroupId=group_id,
        SecurityGroupRules=[
            {
                "SecurityGroupRuleId": rule_id,
                "SecurityGroupRule": {"IpProtocol": "-1", "CidrIpv4": "10.0.0.0/16", "Description": "the VPC"},
            }
        ],
    )
    (changed,) = rules(ec2, group_id)
    assert (changed["SecurityGroupRuleId"], changed["CidrIpv4"]) == (rule_id, "10.0.0.0/16")
    assert (changed["IsEgress"], changed["Description"]) == (True, "the VPC")


def test_groups_of_another_vpc_cannot_be_named(ec2: Any, network: Network) -> None:
    other = ec2.create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
    elsewhere, group_id = make_group(ec2, other, "elsewhere"), make_group(ec2, network.vpc_id, "vpn")
    with refused("InvalidGroup.NotFound", "different networks"):
        allow(ec2, group_id, group_peer(elsewhere))
    with refused("InvalidGroup.NotFound", "sg-0123456789abcdef0"):
        allow(ec2, group_id, group_peer("sg-0123456789abcdef0"))


def test_a_group_that_another_ones_rule_names_cannot_be_deleted(ec2: Any, network: Network) -> None:
    vpn, iot = make_group(ec2, network.vpc_id, "vpn"), make_group(ec2, network.vpc_id, "iot")
    rule_id = allow(ec2, iot, group_peer(vpn))["SecurityGroupRuleId"]
    with refused("DependencyViolation", vpn):
        ec2.delete_security_group(GroupId=vpn)
    ec2.revoke_security_group_ingress(GroupId=iot, SecurityGroupRuleIds=[rule_id])
    ec2.delete_security_group(GroupId=vpn)
    with refused("InvalidGroup.NotFound", vpn):
        ec2.describe_security_groups(GroupIds=[vpn])
    with refused("InvalidGroup.NotFound", vpn):
        ec2.delete_security_group(GroupId=vpn)


def test_a_group_may_name_itself_and_still_be_deleted(ec2: Any, network: Network) -> None:
    group_id = make_group(ec2, network.vpc_id, "self")
    allow(ec2, group_id, group_peer(group_id))
    ec2.delete_security_group(GroupId=group_id)


def test_the_default_group_can_be_emptied_but_not_deleted(ec2: Any, network: Network) -> None:
    filters = [{"Name": "vpc-id", "Values": [network.vpc_id]}, {"Name": "group-name", "Values": ["default"]}]
    (group,) = ec2.describe_security_groups(Filters=filters)["SecurityGroups"]
    for permission in group["IpPermissionsEgress"]:
        ec2.revoke_security_group_egress(GroupId=group["GroupId"], IpPermissions=[permission])
    assert rules(ec2, group["GroupId"]) == []
    with refused("CannotDelete", group["GroupId"]):
        ec2.delete_security_group(GroupId=group["GroupId"])


def test_rules_are_listed_in_pages(ec2: Any, network: Network) -> None:
    group_id = make_group(ec2, network.vpc_id, "vpn")
    for port in range(1, 10):
        allow(ec2, group_id, {"IpRanges": [{"CidrIp": "10.0.0.0/16"}]}, port)
    pages = list(
        ec2.get_paginator("describe_security_group_rules").paginate(
            Filters=[{"Name": "group-id", "Values": [group_id]}], PaginationConfig={"PageSize": 5}
        )
    )
    assert [len(page["SecurityGroupRules"]) for page in pages] == [5, 5]
