"""Route 53 Resolver DNS Firewall around the VPC's resolver: it answers the private names, and nothing else.

Without it the resolver answers public names too, and a question for DATA.attacker.example is a way out of a VPC that
has no other (Route 53 developer guide, "Using DNS Firewall to filter outbound DNS traffic").
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi
import pulumi_aws as aws

_ASSOCIATION_PRIORITY = 101
"""The first that is not reserved (Route 53 Resolver API reference, AssociateFirewallRuleGroup)."""


def answer_only(
    prefix: str,
    names: Sequence[pulumi.Input[str]],
    *,
    vpc_id: pulumi.Input[str],
    tags: Mapping[str, pulumi.Input[str]],
    parent: pulumi.Resource,
) -> None:
    """Let the resolver of a VPC answer some names only; all others do not exist for whoever asks it.

    Args:
        prefix: The first part of every resource's name.
        names: The names to answer.
        vpc_id: The VPC.
        tags: Tags beside Name.
        parent: The component that the resources belong to.
    """
    children = pulumi.ResourceOptions(parent=parent)

    def named(suffix: str) -> dict[str, Any]:
        return {"tags": {**tags, "Name": f"{prefix}-{suffix}"}, "opts": children}

    group = aws.route53.ResolverFirewallRuleGroup(f"{prefix}-dns-firewall", **named("dns-firewall"))
    # The lower number is asked first.
    for priority, (suffix, domains, action) in enumerate(
        (("private", names, "ALLOW"), ("others", ["*"], "BLOCK")), start=1
    ):
        listed = aws.route53.ResolverFirewallDomainList(
            f"{prefix}-dns-firewall-{suffix}", domains=[*domains], **named(f"dns-firewall-{suffix}")
        )
        aws.route53.ResolverFirewallRule(
            f"{prefix}-dns-firewall-{suffix}-rule",
            action=action,
            block_response="NXDOMAIN" if action == "BLOCK" else None,
            firewall_domain_list_id=listed.id,
            firewall_rule_group_id=group.id,
            priority=priority * 100,
            opts=children,
        )
    aws.route53.ResolverFirewallRuleGroupAssociation(
        f"{prefix}-dns-firewall-association",
        firewall_rule_group_id=group.id,
        priority=_ASSOCIATION_PRIORITY,
        vpc_id=vpc_id,
        **named("dns-firewall-association"),
    )
