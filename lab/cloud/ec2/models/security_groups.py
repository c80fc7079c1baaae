"""Security groups and their rules where moto's differ from AWS."""

import itertools
from collections.abc import Iterator
from typing import Any

from moto.ec2.exceptions import (
    InvalidParameterValueError,
    InvalidPermissionDuplicateError,
    InvalidSecurityGroupRuleIdNotFoundError,
)
from moto.ec2.models import EC2Backend as MotoEC2Backend
from moto.ec2.models.security_groups import SecurityGroup
from moto.ec2.models.security_groups import SecurityGroupRule as MotoSecurityGroupRule

from lab.cloud.ec2.exceptions import (
    CannotDeleteError,
    DependencyViolationError,
    NetworksDifferError,
    SecurityGroupNotFoundError,
)

ALL_PROTOCOLS = "-1"
PEERS = ("CidrIpv4", "CidrIpv6", "PrefixListId", "ReferencedGroupId")


class SecurityGroupRule(MotoSecurityGroupRule):
    """A rule whose description and identity do not depend on the kind of its peer, as moto's do."""

    __hash__ = None  # type: ignore[assignment] # equal rules may differ in their descriptions, so a rule is no key

    @property
    def description(self) -> str | None:
        """What the caller wrote, of whichever peer."""
        return self.ip_range.get("Description") or self.source_group.get("Description")

    @property
    def security_group_rule_arn(self) -> str:
        backend = self.ec2_backend
        return f"arn:aws:ec2:{backend.region_name}:{backend.account_id}:security-group-rule/{self.id}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, MotoSecurityGroupRule) and _key(self) == _key(other)


def _key(rule: MotoSecurityGroupRule) -> tuple[Any, ...]:
    """What makes two rules of a group and direction the same one on AWS: everything but the description."""
    ports = None if rule.ip_protocol == ALL_PROTOCOLS else (rule.from_port, rule.to_port)
    peer = (rule.cidr_ipv4, rule.cidr_ipv6, rule.prefix_list_id, rule.source_group.get("GroupId"))
    return (rule.is_egress, rule.ip_protocol, ports, *peer)


class SecurityGroupBackend(MotoEC2Backend):
    """A part of the EC2 backend."""

    def _iterate_security_rules(  # noqa: PLR0917 - moto's signature
        self,
        ip_protocol: str,
        group_id: str,
        from_port: Any,
        to_port: Any,
        ip_ranges: list[Any],
        source_groups: list[dict[str, Any]],
        prefix_list_ids: list[dict[str, str]],
        is_egress: bool = False,
        tags: dict[str, str] | None = None,
    ) -> Iterator[MotoSecurityGroupRule]:
        for ip_range, source_group, prefix_list_id in itertools.chain(
            ((ip_range, None, None) for ip_range in ip_ranges),
            ((None, source_group, None) for source_group in source_groups),
            ((None, None, prefix_list_id) for prefix_list_id in prefix_list_ids),
        ):
            yield SecurityGroupRule(
                self,
                ip_protocol,
                group_id,
                from_port,
                to_port,
                ip_range,
                source_group,
                prefix_list_id,
                is_egress=is_egress,
                tags=tags,
            )

    def describe_security_groups(
        self, group_ids: list[str] | None = None, groupnames: list[str] | None = None, filters: Any = None
    ) -> list[SecurityGroup]:
        """Return the groups; one that is asked for by id and does not exist is named in the error."""
        for group_id in group_ids or []:
            self.get_group(group_id)
        return super().describe_security_groups(group_ids, groupnames, filters)

    def get_group(self, group_id: str) -> SecurityGroup:
        """Return a group.

        Raises:
            SecurityGroupNotFoundError: there is none with this id.
        """
        group = self.get_security_group_from_id(group_id)
        if group is None:
            raise SecurityGroupNotFoundError(group_id)
        return group

    def authorize_permissions(
        self, group_id: str, permissions: list[dict[str, Any]], *, is_egress: bool
    ) -> list[MotoSecurityGroupRule]:
        """Add the rules of a request, all or none of them.

        Args:
            group_id: the group.
            permissions: the keyword arguments of moto's authorize methods, one for each IpPermission.
            is_egress: the direction.

        Returns:
            The rules.
        """
        group = self.get_group(group_id)
        for permission in permissions:
            for pair in permission["source_groups"] or []:
                peer = self.get_group(pair["GroupId"]) if pair.get("GroupId") else None
                if peer is not None and peer.vpc_id != group.vpc_id:
                    raise NetworksDifferError
        attribute = "egress_rules" if is_egress else "ingress_rules"
        before = list(getattr(group, attribute))
        authorize = self.authorize_security_group_egress if is_egress else self.authorize_security_group_ingress
        try:
            return [rule for permission in permissions for rule in authorize(**permission)[0]]
        except Exception:
            setattr(group, attribute, before)
            raise

    def revoke_rules(self, group_id: str, rule_ids: list[str], *, is_egress: bool) -> None:
        """Remove rules by id; one that is not the group's is named in the error, and then none goes."""
        group = self.get_group(group_id)
        rules = group.egress_rules if is_egress else group.ingress_rules
        known = {rule.id for rule in rules}
        for rule_id in rule_ids:
            if rule_id not in known:
                raise InvalidSecurityGroupRuleIdNotFoundError(rule_id)
        rules[:] = [rule for rule in rules if rule.id not in rule_ids]
        for rule_id in rule_ids:
            self.tags.pop(rule_id, None)

    def modify_security_group_rules(self, group_id: str, rules: dict[str, dict[str, Any]]) -> None:
        """Change rules in place; the kind of a rule's peer cannot change.

        Args:
            group_id: the group.
            rules: for each rule id, a SecurityGroupRuleRequest.
        """
        group = self.get_group(group_id)
        changed = {}
        for rule_id, request in rules.items():
            rule = group.get_rule(rule_id)
            if rule is None:
                raise InvalidSecurityGroupRuleIdNotFoundError(rule_id)
            changed[rule_id] = self._changed_rule(group, rule, request)
        for siblings in (group.ingress_rules, group.egress_rules):
            after = [changed.get(rule.id, rule) for rule in siblings]
            if any(one == other for one, other in itertools.combinations(after, 2)):
                raise InvalidPermissionDuplicateError
        for siblings in (group.ingress_rules, group.egress_rules):
            siblings[:] = [changed.get(rule.id, rule) for rule in siblings]

    def _changed_rule(
        self, group: SecurityGroup, rule: MotoSecurityGroupRule, request: dict[str, Any]
    ) -> MotoSecurityGroupRule:
        peers = [name for name in PEERS if request.get(name) is not None]
        if len(peers) != 1:
            raise InvalidParameterValueError(f"{rule.id} takes exactly one of {', '.join(PEERS)}")
        kind = (
            "PrefixListId"
            if rule.prefix_list_id
            else "ReferencedGroupId"
            if rule.source_group
            else "CidrIpv6"
            if rule.cidr_ipv6
            else "CidrIpv4"
        )
        # ModifySecurityGroupRules: "You cannot change the type": a CIDR block, a prefix list or a security group.
        if peers[0] != kind:
            raise InvalidParameterValueError(f"{rule.id} has {kind}; you may not specify {peers[0]} for it")
        description = request.get("Description")
        noted = {"Description": description} if description else {}
        value = request[kind]
        ip_range = source_group = prefix_list = None
        if kind == "ReferencedGroupId":
            if self.get_group(value).vpc_id != group.vpc_id:
                raise NetworksDifferError
            source_group = {"GroupId": value, "UserId": self.account_id, "OwnerId": self.account_id} | noted
        elif kind == "PrefixListId":
            prefix_list = {"PrefixListId": value}
        else:
            ip_range = {"CidrIp" if kind == "CidrIpv4" else kind: value} | noted
        made = SecurityGroupRule(
            self,
            request["IpProtocol"],
            group.id,
            request.get("FromPort"),
            request.get("ToPort"),
            ip_range,
            source_group,
            prefix_list,
            is_egress=rule.is_egress,
        )
        made.id = rule.id
        return made

    def delete_security_group(self, name: str | None = None, group_id: str | None = None) -> None:
        """Delete a group that nothing uses.

        Raises:
            CannotDeleteError: it is a VPC's default group.
            DependencyViolationError: a network interface has it, or another group's rule names it.
        """
        found = (
            self.get_security_group_from_id(group_id) if group_id else self.get_security_group_by_name_or_id(name or "")
        )
        if found is None:
            raise SecurityGroupNotFoundError(group_id or name or "")
        if found.is_default:
            raise CannotDeleteError(found.id)
        interfaces = [interface for interface in self.enis.values() if found in interface.group_set]
        referring = [
            group
            for groups in self.groups.values()
            for group in groups.values()
            for rule in (*group.ingress_rules, *group.egress_rules)
            if group.id != found.id and rule.source_group.get("GroupId") == found.id
        ]
        if interfaces or referring:
            raise DependencyViolationError(f"resource {found.id} has a dependent object")
        self.forget_security_group(found)

    def forget_security_group(self, group: SecurityGroup) -> None:
        """Drop a group, its rules and the tags of both."""
        for rule in (*group.ingress_rules, *group.egress_rules):
            self.tags.pop(rule.id, None)
        self.tags.pop(group.id, None)
        del self.groups[group.vpc_id or ""][group.id]
