"""DNS Firewall's wire format: each operation's own answer; lists come in one page."""

from collections.abc import Iterable
from typing import Any

from moto.core.responses import ActionResult
from moto.route53resolver import responses as moto

from lab.cloud.route53resolver.models import Item, Route53ResolverBackend

RULE_FIELDS = (
    "Action",
    "BlockOverrideDnsType",
    "BlockOverrideDomain",
    "BlockOverrideTtl",
    "BlockResponse",
    "CreatorRequestId",
    "FirewallDomainListId",
    "FirewallDomainRedirectionAction",
    "Name",
    "Priority",
    "Qtype",
)
METADATA = ("Id", "Arn", "Name", "CreatorRequestId", "OwnerId", "ShareStatus")


class Route53ResolverResponse(moto.Route53ResolverResponse):
    @property
    def backend(self) -> Route53ResolverBackend:
        """Route 53 Resolver of the request's account and Region."""
        backend = self.route53resolver_backend
        assert isinstance(backend, Route53ResolverBackend)  # noqa: S101 - extensions.register puts it there
        return backend

    def create_firewall_domain_list(self) -> ActionResult:
        made = self.backend.create_domain_list(*self._named())
        return ActionResult({"FirewallDomainList": made})

    def get_firewall_domain_list(self) -> ActionResult:
        return ActionResult({"FirewallDomainList": self.backend.domain_list(self._param("FirewallDomainListId"))})

    def list_firewall_domain_lists(self) -> ActionResult:
        return ActionResult({"FirewallDomainLists": _metadata(self.backend.domain_lists.values())})

    def update_firewall_domains(self) -> ActionResult:
        changed = self.backend.update_domains(
            self._param("FirewallDomainListId"), self._param("Operation"), self._get_param("Domains", [])
        )
        return ActionResult({name: changed[name] for name in ("Id", "Name", "Status")})

    def list_firewall_domains(self) -> ActionResult:
        list_id = self.backend.domain_list(self._param("FirewallDomainListId"))["Id"]
        return ActionResult({"Domains": self.backend.domains[list_id]})

    def delete_firewall_domain_list(self) -> ActionResult:
        return ActionResult(
            {"FirewallDomainList": self.backend.delete_domain_list(self._param("FirewallDomainListId"))}
        )

    def create_firewall_rule_group(self) -> ActionResult:
        return ActionResult({"FirewallRuleGroup": self.backend.create_rule_group(*self._named())})

    def get_firewall_rule_group(self) -> ActionResult:
        return ActionResult({"FirewallRuleGroup": self.backend.rule_group(self._param("FirewallRuleGroupId"))})

    def list_firewall_rule_groups(self) -> ActionResult:
        return ActionResult({"FirewallRuleGroups": _metadata(self.backend.rule_groups.values())})

    def delete_firewall_rule_group(self) -> ActionResult:
        return ActionResult({"FirewallRuleGroup": self.backend.delete_rule_group(self._param("FirewallRuleGroupId"))})

    def create_firewall_rule(self) -> ActionResult:
        return ActionResult(
            {"FirewallRule": self.backend.create_rule(self._param("FirewallRuleGroupId"), self._given(*RULE_FIELDS))}
        )

    def update_firewall_rule(self) -> ActionResult:
        changed = self.backend.update_rule(
            self._param("FirewallRuleGroupId"), self._param("FirewallDomainListId"), self._given(*RULE_FIELDS)
        )
        return ActionResult({"FirewallRule": changed})

    def list_firewall_rules(self) -> ActionResult:
        """Answer ListFirewallRules, in the order in which they are applied."""
        group = self.backend.rule_group(self._param("FirewallRuleGroupId"))["Id"]
        return ActionResult({"FirewallRules": sorted(self.backend.rules[group], key=lambda rule: rule["Priority"])})

    def delete_firewall_rule(self) -> ActionResult:
        gone = self.backend.delete_rule(self._param("FirewallRuleGroupId"), self._param("FirewallDomainListId"))
        return ActionResult({"FirewallRule": gone})

    def associate_firewall_rule_group(self) -> ActionResult:
        made = self.backend.associate(
            self._param("FirewallRuleGroupId"),
            self._param("VpcId"),
            self._given("Name", "Priority", "MutationProtection", "CreatorRequestId"),
            self._get_param("Tags", []),
        )
        return ActionResult({"FirewallRuleGroupAssociation": made})

    def get_firewall_rule_group_association(self) -> ActionResult:
        found = self.backend.association(self._param("FirewallRuleGroupAssociationId"))
        return ActionResult({"FirewallRuleGroupAssociation": found})

    def list_firewall_rule_group_associations(self) -> ActionResult:
        """Answer ListFirewallRuleGroupAssociations, in the order in which they are applied."""
        wanted = self._given("FirewallRuleGroupId", "Priority", "VpcId")
        found = [each for each in self.backend.associations.values() if wanted.items() <= each.items()]
        return ActionResult({"FirewallRuleGroupAssociations": sorted(found, key=lambda each: each["Priority"])})

    def update_firewall_rule_group_association(self) -> ActionResult:
        changed = self.backend.update_association(
            self._param("FirewallRuleGroupAssociationId"), self._given("Name", "Priority", "MutationProtection")
        )
        return ActionResult({"FirewallRuleGroupAssociation": changed})

    def disassociate_firewall_rule_group(self) -> ActionResult:
        gone = self.backend.disassociate(self._param("FirewallRuleGroupAssociationId"))
        return ActionResult({"FirewallRuleGroupAssociation": gone})

    def get_firewall_config(self) -> ActionResult:
        return ActionResult({"FirewallConfig": self.backend.configuration(self._param("ResourceId"))})

    def update_firewall_config(self) -> ActionResult:
        configuration = self.backend.configuration(self._param("ResourceId"))
        configuration.update(self._given("FirewallFailOpen"))
        return ActionResult({"FirewallConfig": configuration})

    def list_firewall_configs(self) -> ActionResult:
        return ActionResult({"FirewallConfigs": list(self.backend.configurations.values())})

    def _param(self, name: str) -> str:
        return str(self._get_param(name))

    def _named(self) -> tuple[str, str, list[dict[str, str]]]:
        return self._param("Name"), self._param("CreatorRequestId"), self._get_param("Tags", [])

    def _given(self, *names: str) -> Item:
        values: dict[str, Any] = {name: self._get_param(name) for name in names}
        return {name: value for name, value in values.items() if value is not None}


def _metadata(things: Iterable[Item]) -> list[Item]:
    return [{name: thing[name] for name in METADATA if name in thing} for thing in things]
