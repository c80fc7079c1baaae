"""`aws:route53/resolverFirewall*`: domain list, rule group, rule, association and configuration of DNS Firewall.

Source: terraform-provider-aws ``internal/service/route53resolver/firewall_*.go``. A rule has no id of its own: it is
`GROUP:DOMAINLIST`.
"""

import secrets

from lab.providers.aws.clients import attempt
from lab.providers.aws.common import split_id
from lab.providers.aws.description import Answer, Description, State, settled
from lab.providers.schema import AutoName, integer, set_of, string
from lab.providers.values import Properties
from lab.providers.waiting import Call

_SERVICE = "route53resolver"
_GONE = ("ResourceNotFoundException",)
_WAIT = State("Status", wanted=("complete",), failed=("complete_import_failed",), reason="StatusMessage")


def _request_id(call: Call, inputs: Properties) -> Answer:
    del call, inputs
    return {"CreatorRequestId": secrets.token_hex(16)}


def _put_domains(call: Call, identifier: str, inputs: Properties) -> None:
    if inputs.get("domains"):
        _change_domains(call, identifier, {}, inputs, frozenset({"domains"}))


def _change_domains(
    call: Call, identifier: str, state: Properties, inputs: Properties, changed: frozenset[str]
) -> None:
    if "domains" in changed:
        domains, operation = inputs.get("domains") or [], "REPLACE" if state else "ADD"
        if not domains:
            domains, operation = state["domains"], "REMOVE"
        client = call.client(_SERVICE)
        attempt(
            f"updating Route53 Resolver Firewall Domain List ({identifier}) domains",
            lambda: client.update_firewall_domains(
                FirewallDomainListId=identifier, Domains=domains, Operation=operation
            ),
        )
        _DOMAIN_LIST.wait(call, identifier, inputs, "update")


def _domains(call: Call, found: Answer, state: Properties) -> Properties:
    del state
    client, what = call.client(_SERVICE), f"listing Route53 Resolver Firewall Domain List ({found['Id']}) domains"
    pages = client.get_paginator("list_firewall_domains").paginate(FirewallDomainListId=found["Id"])
    names = attempt(what, lambda: [name for page in pages for name in page["Domains"]])
    # Route 53 answers with the final dot, whatever it was given.
    return {"domains": sorted(name.removesuffix(".") or name for name in names)}


_DOMAIN_LIST = Description(
    type="aws:route53/resolverFirewallDomainList:ResolverFirewallDomainList",
    title="Route53 Resolver Firewall Domain List",
    service=_SERVICE,
    inputs={"domains": set_of(string()), "name": string(force_new=True)},
    find=("get_firewall_domain_list", "FirewallDomainListId", "FirewallDomainList"),
    gone=_GONE,
    create=("create_firewall_domain_list", "FirewallDomainList.Id"),
    sent=("name",),
    fields={"arn": "Arn"},
    state=_WAIT,
    tags=_SERVICE,
    arguments=_request_id,
    settle=_put_domains,
    seen=_domains,
    more=_change_domains,
    delete=("delete_firewall_domain_list", "FirewallDomainListId"),
)
_RULE_GROUP = Description(
    type="aws:route53/resolverFirewallRuleGroup:ResolverFirewallRuleGroup",
    title="Route53 Resolver Firewall Rule Group",
    service=_SERVICE,
    inputs={"name": string(force_new=True)},
    outputs={"ownerId": string(), "shareStatus": string()},
    find=("get_firewall_rule_group", "FirewallRuleGroupId", "FirewallRuleGroup"),
    gone=_GONE,
    create=("create_firewall_rule_group", "FirewallRuleGroup.Id"),
    sent=("name",),
    fields={"arn": "Arn"},
    tags=_SERVICE,
    arguments=_request_id,
    delete=("delete_firewall_rule_group", "FirewallRuleGroupId"),
)
_ASSOCIATION = Description(
    type="aws:route53/resolverFirewallRuleGroupAssociation:ResolverFirewallRuleGroupAssociation",
    title="Route53 Resolver Firewall Rule Group Association",
    service=_SERVICE,
    inputs={
        "firewallRuleGroupId": string(required=True, force_new=True),
        "mutationProtection": string(computed=True, allowed=("ENABLED", "DISABLED")),
        "name": string(),
        "priority": integer(required=True),
        "vpcId": string(required=True, force_new=True),
    },
    find=("get_firewall_rule_group_association", "FirewallRuleGroupAssociationId", "FirewallRuleGroupAssociation"),
    gone=_GONE,
    create=("associate_firewall_rule_group", "FirewallRuleGroupAssociation.Id"),
    sent=("firewallRuleGroupId", "mutationProtection", "name", "priority", "vpcId"),
    modify=("update_firewall_rule_group_association", "FirewallRuleGroupAssociationId"),
    modified=("mutationProtection", "name", "priority"),
    fields={"arn": "Arn"},
    state=_WAIT,
    tags=_SERVICE,
    arguments=_request_id,
    delete=("disassociate_firewall_rule_group", "FirewallRuleGroupAssociationId"),
)


def _of_rule(identifier: str) -> Answer:
    group, domains = split_id(identifier, ":", 2, "RULEGROUP:DOMAINLIST")
    return {"FirewallRuleGroupId": group, "FirewallDomainListId": domains}


def _find_rule(call: Call, identifier: str, _known: Properties) -> Answer | None:
    named = _of_rule(identifier)
    pages = call.client(_SERVICE).get_paginator("list_firewall_rules")
    for page in pages.paginate(FirewallRuleGroupId=named["FirewallRuleGroupId"]):
        for rule in page["FirewallRules"]:
            if rule["FirewallDomainListId"] == named["FirewallDomainListId"]:
                return dict(rule)
    return None


_CHANGEABLE = (
    "action",
    "blockOverrideDnsType",
    "blockOverrideDomain",
    "blockOverrideTtl",
    "blockResponse",
    "firewallDomainRedirectionAction",
    "name",
    "priority",
    "qType",
)


def _change_rule(call: Call, identifier: str, state: Properties, inputs: Properties, changed: frozenset[str]) -> None:
    del state, changed
    arguments = {_RULE.argument(name): inputs[name] for name in _CHANGEABLE if inputs.get(name) is not None}
    client = call.client(_SERVICE)
    attempt(
        f"updating Route53 Resolver Firewall Rule ({identifier})",
        lambda: client.update_firewall_rule(**_of_rule(identifier), **arguments),
    )


_RULE = Description(
    type="aws:route53/resolverFirewallRule:ResolverFirewallRule",
    title="Route53 Resolver Firewall Rule",
    service=_SERVICE,
    inputs={
        "action": string(required=True, allowed=("ALLOW", "BLOCK", "ALERT")),
        "blockOverrideDnsType": string(allowed=("CNAME",)),
        "blockOverrideDomain": string(),
        "blockOverrideTtl": integer(minimum=0, maximum=604800),
        "blockResponse": string(allowed=("NODATA", "NXDOMAIN", "OVERRIDE")),
        "confidenceThreshold": string(allowed=("LOW", "MEDIUM", "HIGH")),
        "dnsThreatProtection": string(force_new=True, allowed=("DGA", "DNS_TUNNELING", "DICTIONARY_DGA")),
        "firewallDomainListId": string(force_new=True),
        "firewallDomainRedirectionAction": string(
            default="INSPECT_REDIRECTION_DOMAIN", allowed=("INSPECT_REDIRECTION_DOMAIN", "TRUST_REDIRECTION_DOMAIN")
        ),
        "firewallRuleGroupId": string(required=True, force_new=True),
        "name": string(),
        "priority": integer(required=True),
        "qType": string(),
    },
    outputs={"firewallThreatProtectionId": string()},
    find=_find_rule,
    gone=_GONE,
    create=(
        "create_firewall_rule",
        lambda _answer, inputs: f"{inputs['firewallRuleGroupId']}:{inputs['firewallDomainListId']}",
    ),
    sent=("firewallDomainListId", "firewallRuleGroupId", *_CHANGEABLE),
    fields={"qType": "Qtype"},
    arguments=_request_id,
    more=_change_rule,
    delete=lambda call, identifier, _state: call.client(_SERVICE).delete_firewall_rule(**_of_rule(identifier)),
)


def _find_configuration(call: Call, identifier: str, _known: Properties) -> Answer | None:
    pages = call.client(_SERVICE).get_paginator("list_firewall_configs").paginate()
    return next((one for page in pages for one in page["FirewallConfigs"] if one["Id"] == identifier), None)


def _change_configuration(
    call: Call, identifier: str, state: Properties, inputs: Properties, changed: frozenset[str]
) -> None:
    del identifier, state, changed
    _fail_open(call, inputs["resourceId"], inputs.get("firewallFailOpen") or "DISABLED")


def _fail_open(call: Call, vpc: str, value: str) -> None:
    client = call.client(_SERVICE)
    attempt(
        f"updating Route53 Resolver Firewall Config of {vpc}",
        lambda: client.update_firewall_config(ResourceId=vpc, FirewallFailOpen=value),
    )


_CONFIGURATION = Description(
    type="aws:route53/resolverFirewallConfig:ResolverFirewallConfig",
    title="Route53 Resolver Firewall Config",
    service=_SERVICE,
    inputs={
        "firewallFailOpen": string(computed=True, allowed=("ENABLED", "DISABLED")),
        "resourceId": string(required=True, force_new=True),
    },
    outputs={"ownerId": string()},
    find=_find_configuration,
    gone=_GONE,
    create=("update_firewall_config", "FirewallConfig.Id"),
    sent=("firewallFailOpen", "resourceId"),
    more=_change_configuration,
    # A VPC always has one: the provider turns it back and forgets it.
    delete=lambda call, _identifier, state: _fail_open(call, state["resourceId"], "DISABLED"),
    stays=True,
)

RESOURCES = settled(
    (
        _DOMAIN_LIST.resource(autoname=AutoName(maximum=64)),
        _RULE_GROUP.resource(autoname=AutoName(maximum=64)),
        _RULE.resource(autoname=AutoName(maximum=64)),
        _ASSOCIATION.resource(autoname=AutoName(maximum=64)),
        _CONFIGURATION.resource(),
    )
)
