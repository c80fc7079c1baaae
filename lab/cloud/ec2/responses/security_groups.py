"""Security group rules where moto's answers differ from AWS's."""

from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.responses.security_groups import SecurityGroups as MotoSecurityGroups

from lab.cloud.ec2.responses.base import LabResponse


class SecurityGroups(MotoSecurityGroups, LabResponse):
    def authorize_security_group_ingress(self) -> ActionResult:
        """Answer AuthorizeSecurityGroupIngress with every rule; moto answers with those of the last permission."""
        return self._authorize(is_egress=False)

    def authorize_security_group_egress(self) -> ActionResult:
        return self._authorize(is_egress=True)

    def revoke_security_group_ingress(self) -> ActionResult:
        return self._revoke(is_egress=False)

    def revoke_security_group_egress(self) -> ActionResult:
        return self._revoke(is_egress=True)

    def describe_security_group_rules(self) -> ActionResult:
        """Answer DescribeSecurityGroupRules, in pages."""
        self.error_on_dryrun()
        rules = self.backend.describe_security_group_rules(self._get_param("SecurityGroupRuleIds", []), self.filters())
        shown, token = self.page(rules)
        return self.result(SecurityGroupRules=shown, NextToken=token)

    def _authorize(self, *, is_egress: bool) -> ActionResult:
        self.error_on_dryrun()
        permissions: list[dict[str, Any]] = list(self._process_rules_from_querystring())
        rules = self.backend.authorize_permissions(self._group_id(), permissions, is_egress=is_egress)
        described = self.backend.describe_security_group_rules([rule.id for rule in rules], {})
        return self.result(Return=True, SecurityGroupRules=described)

    def _revoke(self, *, is_egress: bool) -> ActionResult:
        self.error_on_dryrun()
        rule_ids = self._get_param("SecurityGroupRuleIds", [])
        if rule_ids:
            self.backend.revoke_rules(self._group_id(), rule_ids, is_egress=is_egress)
            return self.result(Return=True)
        return super().revoke_security_group_egress() if is_egress else super().revoke_security_group_ingress()

    def _group_id(self) -> str:
        name = self._get_param("GroupId") or self._get_param("GroupName")
        group = self.backend.get_security_group_by_name_or_id(name)
        return group.id if group else str(name)
