"""DNS Firewall's refusals and order, through boto3.

Last validated on AWS: never.
"""

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

pytestmark = pytest.mark.engine


@pytest.fixture
def resolver(client: Callable[..., Any]) -> Any:
    return client("route53resolver")


@pytest.fixture
def domains(resolver: Any) -> str:
    made = resolver.create_firewall_domain_list(CreatorRequestId="1", Name="list")["FirewallDomainList"]
    return str(made["Id"])


@pytest.fixture
def group(resolver: Any) -> str:
    made = resolver.create_firewall_rule_group(CreatorRequestId="1", Name="group")["FirewallRuleGroup"]
    return str(made["Id"])


def refused(code: str, action: Callable[..., Any], **arguments: Any) -> str:
    with pytest.raises(ClientError) as error:
        action(**arguments)
    assert error.value.response["Error"]["Code"] == code
    return str(error.value.response["Error"]["Message"])


def test_domains_are_added_removed_and_replaced_and_end_with_a_dot(resolver: Any, domains: str) -> None:
    def listed() -> list[str]:
        return list(resolver.list_firewall_domains(FirewallDomainListId=domains)["Domains"])

    def change(operation: str, *names: str) -> None:
        resolver.update_firewall_domains(FirewallDomainListId=domains, Operation=operation, Domains=list(names))

    change("ADD", "B.test", "*.a.test")
    change("ADD", "c.test.")
    assert listed() == ["*.a.test.", "b.test.", "c.test."]
    change("REMOVE", "b.test")
    change("REPLACE", "*")
    assert listed() == ["*."]
    found = resolver.get_firewall_domain_list(FirewallDomainListId=domains)["FirewallDomainList"]
    assert (found["DomainCount"], found["Status"]) == (1, "COMPLETE")
    for name in ("a..test", "a.*.test", "a b.test", "x" * 256):
        message = refused(
            "ValidationException",
            resolver.update_firewall_domains,
            FirewallDomainListId=domains,
            Operation="ADD",
            Domains=["good.test", name],
        )
        assert "domain name" in message
    assert listed() == ["*."], "a refused request changes nothing"


def test_a_group_has_one_rule_a_list_and_a_priority_and_lists_them_in_order(
    resolver: Any, domains: str, group: str
) -> None:
    other = resolver.create_firewall_domain_list(CreatorRequestId="2", Name="other")["FirewallDomainList"]["Id"]
    rule = {"CreatorRequestId": "1", "FirewallRuleGroupId": group, "Name": "rule"}
    blocking = {**rule, "FirewallDomainListId": other, "Priority": 2, "Action": "BLOCK"}
    assert "BlockResponse" in refused("ValidationException", resolver.create_firewall_rule, **blocking)
    assert "BlockOverrideDomain" in refused(
        "ValidationException", resolver.create_firewall_rule, **blocking, BlockResponse="OVERRIDE"
    )
    resolver.create_firewall_rule(**blocking, BlockResponse="NODATA")
    allowing = {**rule, "FirewallDomainListId": domains, "Action": "ALLOW"}
    assert "Priority 2" in refused("ValidationException", resolver.create_firewall_rule, **allowing, Priority=2)
    made = resolver.create_firewall_rule(**allowing, Priority=1)["FirewallRule"]
    assert made["FirewallDomainRedirectionAction"] == "INSPECT_REDIRECTION_DOMAIN"
    rules = resolver.list_firewall_rules(FirewallRuleGroupId=group)["FirewallRules"]
    assert [each["Priority"] for each in rules] == [1, 2]
    assert "in use" in refused("ConflictException", resolver.delete_firewall_domain_list, FirewallDomainListId=domains)
    resolver.delete_firewall_rule(FirewallRuleGroupId=group, FirewallDomainListId=domains)
    resolver.delete_firewall_domain_list(FirewallDomainListId=domains)
    refused("ResourceNotFoundException", resolver.get_firewall_domain_list, FirewallDomainListId=domains)


def test_a_vpc_has_a_group_once_and_keeps_it_while_it_is_protected(resolver: Any, ec2: Any, group: str) -> None:
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    wanted = {"CreatorRequestId": "1", "FirewallRuleGroupId": group, "VpcId": vpc, "Name": "it"}
    for priority in (100, 9901):
        assert "from 101 to 9900" in refused(
            "ValidationException", resolver.associate_firewall_rule_group, **wanted, Priority=priority
        )
    refused(
        "ResourceNotFoundException",
        resolver.associate_firewall_rule_group,
        **{**wanted, "VpcId": "vpc-1"},
        Priority=101,
    )
    made = resolver.associate_firewall_rule_group(**wanted, Priority=101, MutationProtection="ENABLED")
    identifier = {"FirewallRuleGroupAssociationId": made["FirewallRuleGroupAssociation"]["Id"]}
    refused("ConflictException", resolver.associate_firewall_rule_group, **wanted, Priority=102)
    refused("ConflictException", resolver.delete_firewall_rule_group, FirewallRuleGroupId=group)
    assert "protected" in refused("ValidationException", resolver.disassociate_firewall_rule_group, **identifier)
    resolver.update_firewall_rule_group_association(**identifier, MutationProtection="DISABLED")
    found = resolver.list_firewall_rule_group_associations(VpcId=vpc)["FirewallRuleGroupAssociations"]
    assert [each["MutationProtection"] for each in found] == ["DISABLED"]
    resolver.disassociate_firewall_rule_group(**identifier)
    assert resolver.list_firewall_rule_group_associations(VpcId=vpc)["FirewallRuleGroupAssociations"] == []


def test_tags_belong_to_what_the_firewall_has(resolver: Any) -> None:
    made = resolver.create_firewall_rule_group(CreatorRequestId="3", Name="t", Tags=[{"Key": "a", "Value": "1"}])
    arn = made["FirewallRuleGroup"]["Arn"]
    resolver.tag_resource(ResourceArn=arn, Tags=[{"Key": "b", "Value": "2"}])
    resolver.untag_resource(ResourceArn=arn, TagKeys=["a"])
    assert resolver.list_tags_for_resource(ResourceArn=arn)["Tags"] == [{"Key": "b", "Value": "2"}]
