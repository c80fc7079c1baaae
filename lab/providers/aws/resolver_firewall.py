"""`aws:route53/resolverFirewall*`: domain list, rule group, rule, association and configuration of DNS Firewall.

Source: terraform-provider-aws ``internal/service/route53resolver/firewall_*.go``. A rule has no id of its own: it is
`GROUP:DOMAINLIST`. Left out: rules against threats (DNS Firewall Advanced).
"""

from typing import Any

from lab.providers.aws.description import Description, Operation, State, served
from lab.providers.aws.shapes import Answer
from lab.providers.schema import AutoName, integer, set_of, string
from lab.providers.values import Properties

_COMMON: dict[str, Any] = {"service": "route53resolver", "gone": ("ResourceNotFoundException",)}
_WAIT = State("Status", wanted=("complete",), failed=("complete_import_failed",), reason="StatusMessage")


def _change_domains(op: Operation) -> None:
    old, new = op.state.get("domains") or [], op.inputs.get("domains") or []
    if "domains" in op.changed and (old or new):
        operation = "REMOVE" if not new else "REPLACE" if op.state else "ADD"
        op.api.update_firewall_domains(FirewallDomainListId=op.id, Domains=new or old, Operation=operation)
        _DOMAIN_LIST.wait(op, "update")


def _domains(op: Operation, _found: Answer) -> Properties:
    pages = op.api.get_paginator("list_firewall_domains").paginate(FirewallDomainListId=op.id)
    # Route 53 answers with the final dot, whatever it was given.
    return {"domains": sorted(name.removesuffix(".") or name for page in pages for name in page["Domains"])}


_DOMAIN_LIST = Description(
    type="aws:route53/resolverFirewallDomainList:ResolverFirewallDomainList",
    title="Route53 Resolver Firewall Domain List",
    autoname=AutoName(maximum=64),
    **_COMMON,
    inputs={"domains": set_of(string()), "name": string(force_new=True)},
    find=("get_firewall_domain_list", "FirewallDomainListId", "FirewallDomainList"),
    create=("create_firewall_domain_list", "FirewallDomainList.Id"),
    fields={"arn": "Arn"},
    state=_WAIT,
    tags=True,
    settle=_change_domains,
    seen=_domains,
    more=_change_domains,
    delete=("delete_firewall_domain_list", "FirewallDomainListId"),
)
_RULE_GROUP = Description(
    type="aws:route53/resolverFirewallRuleGroup:ResolverFirewallRuleGroup",
    title="Route53 Resolver Firewall Rule Group",
    autoname=AutoName(maximum=64),
    **_COMMON,
    inputs={"name": string(force_new=True)},
    outputs={"ownerId": string(), "shareStatus": string()},
    find=("get_firewall_rule_group", "FirewallRuleGroupId", "FirewallRuleGroup"),
    create=("create_firewall_rule_group", "FirewallRuleGroup.Id"),
    fields={"arn": "Arn"},
    tags=True,
    delete=("delete_firewall_rule_group", "FirewallRuleGroupId"),
)
_ASSOCIATION = Description(
    type="aws:route53/resolverFirewallRuleGroupAssociation:ResolverFirewallRuleGroupAssociation",
    title="Route53 Resolver Firewall Rule Group Association",
    autoname=AutoName(maximum=64),
    **_COMMON,
    inputs={
        "firewallRuleGroupId": string(required=True, force_new=True),
        "mutationProtection": string(computed=True, allowed=("ENABLED", "DISABLED")),
        "name": string(),
        "priority": integer(required=True),
        "vpcId": string(required=True, force_new=True),
    },
    find=("get_firewall_rule_group_association", "FirewallRuleGroupAssociationId", "FirewallRuleGroupAssociation"),
    create=("associate_firewall_rule_group", "FirewallRuleGroupAssociation.Id"),
    modify=("update_firewall_rule_group_association", "FirewallRuleGroupAssociationId"),
    fields={"arn": "Arn"},
    state=_WAIT,
    tags=True,
    delete=("disassociate_firewall_rule_group", "FirewallRuleGroupAssociationId"),
)
_RULE = Description(
    type="aws:route53/resolverFirewallRule:ResolverFirewallRule",
    title="Route53 Resolver Firewall Rule",
    autoname=AutoName(maximum=64),
    **_COMMON,
    inputs={
        "action": string(required=True, allowed=("ALLOW", "BLOCK", "ALERT")),
        "blockOverrideDnsType": string(allowed=("CNAME",)),
        "blockOverrideDomain": string(),
        "blockOverrideTtl": integer(minimum=0, maximum=604800),
        "blockResponse": string(allowed=("NODATA", "NXDOMAIN", "OVERRIDE")),
        "firewallDomainListId": string(force_new=True),
        "firewallDomainRedirectionAction": string(
            default="INSPECT_REDIRECTION_DOMAIN", allowed=("INSPECT_REDIRECTION_DOMAIN", "TRUST_REDIRECTION_DOMAIN")
        ),
        "firewallRuleGroupId": string(required=True, force_new=True),
        "name": string(),
        "priority": integer(required=True),
        "qType": string(),
    },
    find=("list_firewall_rules", "", "FirewallRules"),
    match={"FirewallDomainListId": "firewallDomainListId"},
    create=("create_firewall_rule", ""),
    identity=(":", "firewallRuleGroupId", "firewallDomainListId"),
    form="RULEGROUP:DOMAINLIST",
    modify=("update_firewall_rule", ""),
    whole=True,
    delete=("delete_firewall_rule", ""),
)
_CONFIGURATION = Description(
    type="aws:route53/resolverFirewallConfig:ResolverFirewallConfig",
    title="Route53 Resolver Firewall Config",
    **_COMMON,
    inputs={
        "firewallFailOpen": string(computed=True, allowed=("ENABLED", "DISABLED")),
        "resourceId": string(required=True, force_new=True),
    },
    outputs={"ownerId": string()},
    find=("list_firewall_configs", "", "FirewallConfigs"),
    match={"Id": "id"},
    create=("update_firewall_config", "FirewallConfig.Id"),
    modify=("update_firewall_config", ""),
    whole=True,
    # A VPC always has one: the provider turns it back and forgets it.
    delete=lambda op: op.api.update_firewall_config(ResourceId=op.state["resourceId"], FirewallFailOpen="DISABLED"),
    stays=True,
)

RESOURCES = served(_DOMAIN_LIST, _RULE_GROUP, _RULE, _ASSOCIATION, _CONFIGURATION)
