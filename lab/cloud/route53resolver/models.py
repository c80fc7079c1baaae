"""DNS Firewall's state.

API is the Route 53 Resolver API reference, R53 docs.aws.amazon.com/Route53/latest/DeveloperGuide/.
"""

import re
import secrets
from collections.abc import Mapping
from typing import Any

from moto.core.utils import utcnow
from moto.route53resolver import models as moto
from moto.route53resolver.exceptions import ResourceNotFoundException

from lab.cloud.route53resolver.exceptions import ConflictError, ValidationError

Item = dict[str, Any]
DOMAIN = re.compile(r"(\*|(\*\.)?[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*)\.?")
"""API UpdateFirewallDomains: letters, digits and hyphens; `*` may stand at the start, or alone."""
MAX_DOMAIN = 255
ACTIONS = ("ALLOW", "BLOCK", "ALERT")
BLOCK_RESPONSES = ("NODATA", "NXDOMAIN", "OVERRIDE")
UPDATES = ("ADD", "REMOVE", "REPLACE")
PRIORITIES = range(101, 9901)
"""Of an association: API AssociateFirewallRuleGroup, "from 101 to 9900"; 100 and 9901 and above are AWS's own."""


class Route53ResolverBackend(moto.Route53ResolverBackend):
    """Route 53 Resolver of one account and Region."""

    def __init__(self, region_name: str, account_id: str) -> None:
        super().__init__(region_name, account_id)
        self.domain_lists: dict[str, Item] = {}
        self.domains: dict[str, list[str]] = {}
        self.rule_groups: dict[str, Item] = {}
        self.rules: dict[str, list[Item]] = {}
        self.associations: dict[str, Item] = {}
        self.configurations: dict[str, Item] = {}

    def create_domain_list(self, name: str, request_id: str, tags: list[dict[str, str]]) -> Item:
        """Make an empty list of domains."""
        made = self._made("rslvr-fdl-", "firewall-domain-list", name, request_id, tags)
        self.domains[made["Id"]] = []
        self.domain_lists[made["Id"]] = made
        return self.domain_list(made["Id"])

    def domain_list(self, list_id: str) -> Item:
        """Return a list with the number of its domains."""
        return _known(self.domain_lists, list_id) | {"DomainCount": len(self.domains[list_id])}

    def update_domains(self, list_id: str, operation: str, domains: list[str]) -> Item:
        """Add, remove or replace the domains of a list.

        Raises:
            ValidationError: A name or the operation is not valid; nothing has changed then.
        """
        _known(self.domain_lists, list_id)
        if operation not in UPDATES:
            raise ValidationError(f"Operation has to be one of {', '.join(UPDATES)}; got {operation}")
        for name in domains:
            if len(name) > MAX_DOMAIN or not DOMAIN.fullmatch(name):
                raise ValidationError(f"{name!r} is not a domain name that a firewall domain list takes")
        named = {name.lower().removesuffix(".") + "." for name in domains}
        before = set() if operation == "REPLACE" else set(self.domains[list_id])
        self.domains[list_id] = sorted(before - named if operation == "REMOVE" else before | named)
        return self.domain_list(list_id)

    def delete_domain_list(self, list_id: str) -> Item:
        """Delete a list that no rule names (R53 resolver-dns-firewall-domain-lists: "not in use")."""
        gone = self.domain_list(list_id)
        if any(rule["FirewallDomainListId"] == list_id for rules in self.rules.values() for rule in rules):
            raise ConflictError(f"The domain list {list_id} is in use by a firewall rule")
        del self.domain_lists[list_id], self.domains[list_id]
        return self._untagged(gone) | {"Status": "DELETING"}

    def create_rule_group(self, name: str, request_id: str, tags: list[dict[str, str]]) -> Item:
        """Make a group without rules."""
        made = self._made("rslvr-frg-", "firewall-rule-group", name, request_id, tags)
        self.rules[made["Id"]] = []
        self.rule_groups[made["Id"]] = made | {"OwnerId": self.account_id, "ShareStatus": "NOT_SHARED"}
        return self.rule_group(made["Id"])

    def rule_group(self, group_id: str) -> Item:
        """Return a group with the number of its rules."""
        return _known(self.rule_groups, group_id) | {"RuleCount": len(self.rules[group_id])}

    def delete_rule_group(self, group_id: str) -> Item:
        """Delete a group that no VPC has, and its rules."""
        gone = self.rule_group(group_id)
        if any(each["FirewallRuleGroupId"] == group_id for each in self.associations.values()):
            raise ConflictError(f"The rule group {group_id} is associated with a VPC")
        del self.rule_groups[group_id], self.rules[group_id]
        return self._untagged(gone) | {"Status": "DELETING"}

    def create_rule(self, group_id: str, wanted: Item) -> Item:
        """Add a rule to a group.

        Raises:
            ValidationError: Its list or priority is another rule's, or its action and response do not fit.
        """
        _known(self.rule_groups, group_id)
        _known(self.domain_lists, str(wanted.get("FirewallDomainListId")))
        rule = {"FirewallDomainRedirectionAction": "INSPECT_REDIRECTION_DOMAIN", **wanted}
        self._check_rule(group_id, rule, self.rules[group_id])
        now = utcnow().isoformat()
        rule |= {"FirewallRuleGroupId": group_id, "CreationTime": now, "ModificationTime": now}
        self.rules[group_id].append(rule)
        return rule

    def update_rule(self, group_id: str, list_id: str, wanted: Item) -> Item:
        """Change a rule, which its domain list names."""
        rule = self._rule(group_id, list_id)
        changed = rule | wanted
        self._check_rule(group_id, changed, [other for other in self.rules[group_id] if other is not rule])
        rule.update(changed, ModificationTime=utcnow().isoformat())
        return rule

    def delete_rule(self, group_id: str, list_id: str) -> Item:
        rule = self._rule(group_id, list_id)
        self.rules[group_id].remove(rule)
        return rule

    def _rule(self, group_id: str, list_id: str) -> Item:
        _known(self.rule_groups, group_id)
        for rule in self.rules[group_id]:
            if rule["FirewallDomainListId"] == list_id:
                return rule
        raise ResourceNotFoundException(f"The rule group {group_id} has no rule for the domain list {list_id}")

    def _check_rule(self, group_id: str, rule: Item, others: list[Item]) -> None:
        for name in ("Priority", "FirewallDomainListId"):
            if any(other[name] == rule.get(name) for other in others):
                raise ValidationError(f"The rule group {group_id} already has a rule with {name} {rule.get(name)}")
        if rule.get("Action") not in ACTIONS:
            raise ValidationError(f"Action has to be one of {', '.join(ACTIONS)}; got {rule.get('Action')}")
        blocks = rule["Action"] == "BLOCK"
        if blocks and rule.get("BlockResponse") not in BLOCK_RESPONSES:
            raise ValidationError(f"Action BLOCK needs BlockResponse, one of {', '.join(BLOCK_RESPONSES)}")
        if blocks and rule["BlockResponse"] == "OVERRIDE" and not rule.get("BlockOverrideDomain"):
            raise ValidationError("BlockResponse OVERRIDE needs BlockOverrideDomain")

    def associate(self, group_id: str, vpc_id: str, wanted: Item, tags: list[dict[str, str]]) -> Item:
        """Let a VPC's queries pass a group's rules.

        Raises:
            ConflictError: The VPC has the group already.
            ValidationError: The priority is out of range or another association's of the VPC.
        """
        _known(self.rule_groups, group_id)
        if vpc_id not in self.ec2_backend.vpcs:
            raise ResourceNotFoundException(f"The vpc ID '{vpc_id}' does not exist")
        if any(
            (each["FirewallRuleGroupId"], each["VpcId"]) == (group_id, vpc_id) for each in self.associations.values()
        ):
            raise ConflictError(f"The rule group {group_id} is already associated with {vpc_id}")
        self._check_priority(vpc_id, wanted["Priority"], None)
        made = self._made(
            "rslvr-frgassoc-", "firewall-rule-group-association", wanted["Name"], wanted["CreatorRequestId"], tags
        )
        made |= {
            "FirewallRuleGroupId": group_id,
            "VpcId": vpc_id,
            "Priority": wanted["Priority"],
            "MutationProtection": wanted.get("MutationProtection") or "DISABLED",
        }
        self.associations[made["Id"]] = made
        return made

    def association(self, association_id: str) -> Item:
        return _known(self.associations, association_id)

    def update_association(self, association_id: str, wanted: Item) -> Item:
        """Change the name, priority or protection of an association."""
        known = self.association(association_id)
        if "Priority" in wanted:
            self._check_priority(known["VpcId"], wanted["Priority"], association_id)
        known.update(wanted, ModificationTime=utcnow().isoformat())
        return known

    def disassociate(self, association_id: str) -> Item:
        gone = self.association(association_id)
        if gone["MutationProtection"] == "ENABLED":
            raise ValidationError(f"{association_id} is protected; set MutationProtection to DISABLED first")
        del self.associations[association_id]
        return self._untagged(gone) | {"Status": "DELETING"}

    def _check_priority(self, vpc_id: str, priority: int, itself: str | None) -> None:
        if priority not in PRIORITIES:
            raise ValidationError(f"Priority has to be from {PRIORITIES[0]} to {PRIORITIES[-1]}; got {priority}")
        for each in self.associations.values():
            if (each["VpcId"], each["Priority"]) == (vpc_id, priority) and each["Id"] != itself:
                raise ValidationError(f"{vpc_id} already has an association with priority {priority}")

    def configuration(self, vpc_id: str) -> Item:
        """Return a VPC's configuration, which fails closed until it is told else."""
        if vpc_id not in self.ec2_backend.vpcs:
            raise ResourceNotFoundException(f"The vpc ID '{vpc_id}' does not exist")
        new = {"Id": f"rslvr-fc-{vpc_id[4:]}", "OwnerId": self.account_id, "ResourceId": vpc_id}
        return self.configurations.setdefault(vpc_id, new | {"FirewallFailOpen": "DISABLED"})

    def _matched_arn(self, resource_arn: str) -> None:
        """Let moto tag what the firewall has too."""
        own = (self.domain_lists, self.rule_groups, self.associations)
        if not any(each["Arn"] == resource_arn for kind in own for each in kind.values()):
            super()._matched_arn(resource_arn)

    def _untagged(self, gone: Item) -> Item:
        self.tagger.delete_all_tags_for_resource(gone["Arn"])
        return gone

    def _made(self, prefix: str, kind: str, name: str, request_id: str, tags: list[dict[str, str]]) -> Item:
        identifier = f"{prefix}{secrets.token_hex(8)}"
        now = utcnow().isoformat()
        arn = f"arn:{self.partition}:route53resolver:{self.region_name}:{self.account_id}:{kind}/{identifier}"
        self.tagger.tag_resource(arn, tags)
        return {
            "Id": identifier,
            "Arn": arn,
            "Name": name,
            "CreatorRequestId": request_id,
            "Status": "COMPLETE",
            "CreationTime": now,
            "ModificationTime": now,
        }


def _known(things: Mapping[str, Item], identifier: str) -> Item:
    if identifier not in things:
        raise ResourceNotFoundException(f"Firewall resource with ID '{identifier}' does not exist")
    return things[identifier]
