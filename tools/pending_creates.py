"""Take what an interrupted `pulumi up` had made in AWS into the stack's state.

    pulumi cancel --yes
    pulumi stack export | python tools/pending_creates.py > repaired.json
    pulumi stack import --file repaired.json
    pulumi refresh --yes
    pulumi up

When the engine is killed (not merely interrupted: at Ctrl-C it finishes what it began) the state keeps what it
was creating as *pending creates*, without their identifiers: AWS may have made them or not. A further `pulumi up`
would make them once more and leave the first ones behind. This looks each of them up, by its tags or by what
identifies it, with the credentials and the Region of the environment. What is found gets its place in the state,
and the refresh fills in the rest; what is not found is forgotten. Nothing is changed in AWS, and nothing in the
stack before its import.

(`pulumi refresh --import-pending-creates` is meant for this. Pulumi 3.259 forgets what it is given.)

Exit status: 0 when the repaired state covers everything, 1 when something needs a person first; standard error
says what.
"""

import json
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import cache, partial
from typing import Any

import boto3
from cryptography import x509

Inputs = Mapping[str, Any]
Finder = Callable[[Inputs], Iterable[str]]


@cache
def _client(service: str) -> Any:
    return boto3.client(service)


def _filters(inputs: Inputs) -> list[dict[str, Any]]:
    return [{"Name": f"tag:{name}", "Values": [value]} for name, value in inputs["tags"].items()]


def _tagged(operation: str, kind: str, identifier: str, *, parent: str, at: str) -> Finder:
    """Return the finder of an EC2 resource that its tags and its parent tell.

    Args:
        operation: boto3's paginated operation.
        kind: The key of its answer.
        identifier: The key of a resource's identifier.
        parent: The input that names the parent; another environment's resources have another.
        at: The key of the parent in the answer.
    """

    def find(inputs: Inputs) -> Iterable[str]:
        for page in _client("ec2").get_paginator(operation).paginate(Filters=_filters(inputs)):
            for each in page[kind]:
                state = each.get("State") or each.get("Status", {}).get("Code") or ""
                if each.get(at) == inputs[parent] and state.lower() not in {"deleting", "deleted"}:
                    yield each[identifier]

    return find


def _vpc(inputs: Inputs) -> Iterable[str]:
    """Find a VPC without subnets: one whose identifier the engine never learnt cannot have any."""
    for page in _client("ec2").get_paginator("describe_vpcs").paginate(Filters=_filters(inputs)):
        for vpc in page["Vpcs"]:
            inside = [{"Name": "vpc-id", "Values": [vpc["VpcId"]]}]
            if (
                vpc["CidrBlock"] == inputs["cidrBlock"]
                and not _client("ec2").describe_subnets(Filters=inside)["Subnets"]
            ):
                yield vpc["VpcId"]


def _route_table_association(inputs: Inputs) -> Iterable[str]:
    tables = _client("ec2").describe_route_tables(RouteTableIds=[inputs["routeTableId"]])["RouteTables"]
    for association in (each for table in tables for each in table["Associations"]):
        if association.get("SubnetId") == inputs["subnetId"]:
            yield association["RouteTableAssociationId"]


def _security_group_rule(inputs: Inputs, *, egress: bool) -> Iterable[str]:
    """Find the rule by what it allows, of which a group has one: the provider tags a rule only after it made it."""
    group = [{"Name": "group-id", "Values": [inputs["securityGroupId"]]}]
    wanted = (
        egress,
        inputs["ipProtocol"],
        *(inputs.get(key) for key in ("fromPort", "toPort", "cidrIpv4", "cidrIpv6", "prefixListId")),
        inputs.get("referencedSecurityGroupId"),
    )
    for page in _client("ec2").get_paginator("describe_security_group_rules").paginate(Filters=group):
        for each in page["SecurityGroupRules"]:
            found = (
                each["IsEgress"],
                each["IpProtocol"],
                *(each.get(key) for key in ("FromPort", "ToPort", "CidrIpv4", "CidrIpv6", "PrefixListId")),
                each.get("ReferencedGroupInfo", {}).get("GroupId"),
            )
            if found == wanted:
                yield each["SecurityGroupRuleId"]


def _network_association(inputs: Inputs) -> Iterable[str]:
    endpoint = inputs["clientVpnEndpointId"]
    pages = _client("ec2").get_paginator("describe_client_vpn_target_networks")
    for page in pages.paginate(ClientVpnEndpointId=endpoint):
        for each in page["ClientVpnTargetNetworks"]:
            if each["TargetNetworkId"] == inputs["subnetId"] and each["Status"]["Code"] != "disassociated":
                yield each["AssociationId"]


def _authorization_rule(inputs: Inputs) -> Iterable[str]:
    endpoint = inputs["clientVpnEndpointId"]
    pages = _client("ec2").get_paginator("describe_client_vpn_authorization_rules")
    for page in pages.paginate(ClientVpnEndpointId=endpoint):
        for each in page["AuthorizationRules"]:
            if each["DestinationCidr"] == inputs["targetNetworkCidr"]:
                yield f"{endpoint},{each['DestinationCidr']}"


def _zone(inputs: Inputs) -> Iterable[str]:
    vpcs = {vpc["vpcId"] for vpc in inputs.get("vpcs", [])}
    for page in _client("route53").get_paginator("list_hosted_zones").paginate():
        for each in page["HostedZones"]:
            if each["Name"].rstrip(".") == inputs["name"].rstrip("."):
                zone = each["Id"].rsplit("/", 1)[-1]
                associated = {vpc["VPCId"] for vpc in _client("route53").get_hosted_zone(Id=zone).get("VPCs", [])}
                if associated == vpcs:
                    yield zone


def _record(inputs: Inputs) -> Iterable[str]:
    zone, name, kind = inputs["zoneId"], inputs["name"].rstrip("."), inputs["type"]
    for page in _client("route53").get_paginator("list_resource_record_sets").paginate(HostedZoneId=zone):
        for each in page["ResourceRecordSets"]:
            if (each["Name"].rstrip("."), each["Type"]) == (name, kind):
                yield f"{zone}_{name}_{kind}"


def _acm_certificate(inputs: Inputs) -> Iterable[str]:
    """Find an imported certificate by its text, a requested one by its tags."""
    for page in _client("acm").get_paginator("list_certificates").paginate():
        for each in page["CertificateSummaryList"]:
            if "certificateBody" not in inputs:
                tags = _client("acm").list_tags_for_certificate(CertificateArn=each["CertificateArn"])["Tags"]
                if {tag["Key"]: tag.get("Value", "") for tag in tags} == inputs["tags"]:
                    yield each["CertificateArn"]
                continue
            body = _client("acm").get_certificate(CertificateArn=each["CertificateArn"])["Certificate"]
            if body.strip() == inputs["certificateBody"].strip():
                yield each["CertificateArn"]


def _private_ca(inputs: Inputs) -> Iterable[str]:
    for page in _client("acm-pca").get_paginator("list_certificate_authorities").paginate():
        for each in page["CertificateAuthorities"]:
            tags = _client("acm-pca").list_tags(CertificateAuthorityArn=each["Arn"])["Tags"]
            if each["Status"] != "DELETED" and {tag["Key"]: tag.get("Value", "") for tag in tags} == inputs["tags"]:
                yield each["Arn"]


def _private_ca_permission(inputs: Inputs) -> Iterable[str]:
    arn, principal = inputs["certificateAuthorityArn"], inputs["principal"]
    found = _client("acm-pca").list_permissions(CertificateAuthorityArn=arn)["Permissions"]
    return [f"{arn},{principal}," for each in found if each["Principal"] == principal]


def _metric_alarm(inputs: Inputs) -> Iterable[str]:
    found = _client("cloudwatch").describe_alarms(AlarmNames=[inputs["name"]])["MetricAlarms"]
    return [each["AlarmName"] for each in found]


def _log_group(inputs: Inputs) -> Iterable[str]:
    found = _client("logs").describe_log_groups(logGroupNamePrefix=inputs["name"])["logGroups"]
    return [each["logGroupName"] for each in found if each["logGroupName"] == inputs["name"]]


def _iot_certificate(inputs: Inputs) -> Iterable[str]:
    """Find the certificate of the request's key."""
    wanted = x509.load_pem_x509_csr(inputs["csr"].encode()).public_key()
    for page in _client("iot").get_paginator("list_certificates").paginate():
        for each in page["certificates"]:
            described = _client("iot").describe_certificate(certificateId=each["certificateId"])
            pem = described["certificateDescription"]["certificatePem"]
            if x509.load_pem_x509_certificate(pem.encode()).public_key() == wanted:
                yield each["certificateId"]


def _listed(service: str, operation: str, kind: str, name: str, *, at: str = "name", identifier: str = "") -> Finder:
    """Return the finder of what is the account's only one of its name.

    Args:
        service: boto3's name of the service.
        operation: boto3's operation that lists them.
        kind: The key of its answer.
        name: The key of the name in it; empty where the answer lists the names alone.
        at: The input that holds the name.
        identifier: The key of the identifier, where that is not the name.
    """

    def find(inputs: Inputs) -> Iterable[str]:
        client = _client(service)
        pages = (
            client.get_paginator(operation).paginate()
            if client.can_paginate(operation)
            else [getattr(client, operation)()]
        )
        for each in (each for page in pages for each in page[kind]):
            if (each[name] if name else each) == inputs[at]:
                yield each[identifier or name] if name else each

    return find


def _flow_log(inputs: Inputs) -> Iterable[str]:
    of = next(inputs[key] for key in ("vpcId", "subnetId", "eniId", "transitGatewayId") if inputs.get(key))
    filters = [{"Name": "resource-id", "Values": [of]}, *_filters({"tags": inputs.get("tags") or {}})]
    for page in _client("ec2").get_paginator("describe_flow_logs").paginate(Filters=filters):
        for each in page["FlowLogs"]:
            if each.get("LogDestination") == inputs.get("logDestination", each.get("LogDestination")):
                yield each["FlowLogId"]


def _firewall_rule(inputs: Inputs) -> Iterable[str]:
    group, domains = inputs["firewallRuleGroupId"], inputs["firewallDomainListId"]
    pages = _client("route53resolver").get_paginator("list_firewall_rules").paginate(FirewallRuleGroupId=group)
    return [
        f"{group}:{domains}"
        for page in pages
        for rule in page["FirewallRules"]
        if rule["FirewallDomainListId"] == domains
    ]


def _firewall_association(inputs: Inputs) -> Iterable[str]:
    pages = _client("route53resolver").get_paginator("list_firewall_rule_group_associations")
    for page in pages.paginate(FirewallRuleGroupId=inputs["firewallRuleGroupId"], VpcId=inputs["vpcId"]):
        yield from (each["Id"] for each in page["FirewallRuleGroupAssociations"])


def _role_policy(inputs: Inputs) -> Iterable[str]:
    pages = _client("iam").get_paginator("list_role_policies").paginate(RoleName=inputs["role"])
    return [f"{inputs['role']}:{name}" for page in pages for name in page["PolicyNames"] if name == inputs["name"]]


FINDERS: dict[str, Finder] = {
    "aws:ec2/vpc:Vpc": _vpc,
    "aws:ec2/subnet:Subnet": _tagged("describe_subnets", "Subnets", "SubnetId", parent="vpcId", at="VpcId"),
    "aws:ec2/routeTable:RouteTable": _tagged(
        "describe_route_tables", "RouteTables", "RouteTableId", parent="vpcId", at="VpcId"
    ),
    "aws:ec2/routeTableAssociation:RouteTableAssociation": _route_table_association,
    "aws:ec2/securityGroup:SecurityGroup": _tagged(
        "describe_security_groups", "SecurityGroups", "GroupId", parent="vpcId", at="VpcId"
    ),
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": partial(_security_group_rule, egress=False),
    "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule": partial(_security_group_rule, egress=True),
    "aws:ec2/vpcEndpoint:VpcEndpoint": _tagged(
        "describe_vpc_endpoints", "VpcEndpoints", "VpcEndpointId", parent="vpcId", at="VpcId"
    ),
    "aws:route53/zone:Zone": _zone,
    "aws:route53/record:Record": _record,
    "aws:acm/certificate:Certificate": _acm_certificate,
    "aws:acmpca/certificateAuthority:CertificateAuthority": _private_ca,
    "aws:acmpca/permission:Permission": _private_ca_permission,
    "aws:cloudwatch/metricAlarm:MetricAlarm": _metric_alarm,
    "aws:cloudwatch/logGroup:LogGroup": _log_group,
    "aws:ec2clientvpn/endpoint:Endpoint": _tagged(
        "describe_client_vpn_endpoints", "ClientVpnEndpoints", "ClientVpnEndpointId", parent="vpcId", at="VpcId"
    ),
    "aws:ec2clientvpn/networkAssociation:NetworkAssociation": _network_association,
    "aws:ec2clientvpn/authorizationRule:AuthorizationRule": _authorization_rule,
    "aws:iot/policy:Policy": _listed("iot", "list_policies", "policies", "policyName"),
    "aws:iot/thing:Thing": _listed("iot", "list_things", "things", "thingName"),
    "aws:iot/certificate:Certificate": _iot_certificate,
    "aws:iot/roleAlias:RoleAlias": _listed("iot", "list_role_aliases", "roleAliases", "", at="alias"),
    "aws:iam/role:Role": _listed("iam", "list_roles", "Roles", "RoleName"),
    "aws:iam/rolePolicy:RolePolicy": _role_policy,
    "aws:ec2/flowLog:FlowLog": _flow_log,
    "aws:route53/resolverFirewallDomainList:ResolverFirewallDomainList": _listed(
        "route53resolver", "list_firewall_domain_lists", "FirewallDomainLists", "Name", identifier="Id"
    ),
    "aws:route53/resolverFirewallRuleGroup:ResolverFirewallRuleGroup": _listed(
        "route53resolver", "list_firewall_rule_groups", "FirewallRuleGroups", "Name", identifier="Id"
    ),
    "aws:route53/resolverFirewallRule:ResolverFirewallRule": _firewall_rule,
    "aws:route53/resolverFirewallRuleGroupAssociation:ResolverFirewallRuleGroupAssociation": _firewall_association,
}
# Made once more without harm: nothing outside the state, or a call that AWS takes twice.
REPEATABLE = (
    "tls:",
    "pulumi:",
    "pulumi-python:",
    "aws:acmpca/certificate:Certificate",
    "aws:acmpca/certificateAuthorityCertificate:CertificateAuthorityCertificate",
    "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup",
    "aws:iot/policyAttachment:PolicyAttachment",
    "aws:iot/thingPrincipalAttachment:ThingPrincipalAttachment",
    "aws:route53/resolverFirewallConfig:ResolverFirewallConfig",
)


def repair(deployment: Mapping[str, Any]) -> tuple[dict[str, Any], list[str], list[str]]:
    """Look up every pending create of a deployment.

    Args:
        deployment: The ``deployment`` of `pulumi stack export`.

    Returns:
        The deployment without pending creates and with what was found, a sentence for each pending create, and a
        sentence for each that needs a person.
    """
    operations = deployment.get("pending_operations") or []
    resources = list(deployment.get("resources") or [])
    known = {resource["id"] for resource in resources if resource.get("id")}
    said: list[str] = []
    by_hand: list[str] = []
    for resource in (operation["resource"] for operation in operations if operation["type"] == "creating"):
        urn, kind, inputs = resource["urn"], resource["type"], resource.get("inputs") or {}
        finder = FINDERS.get(kind)
        # One that the state knows under the same tags is what this one was to replace.
        found = [each for each in finder(inputs) if each not in known] if finder else []
        if finder is None and not kind.startswith(REPEATABLE):
            by_hand.append(f"{urn}: {kind} is not known here; look it up in AWS yourself")
        elif len(found) > 1:
            by_hand.append(f"{urn}: several fit, {', '.join(found)}; delete those that are nobody's")
        elif found:
            # The inputs stand for the outputs until the refresh: what AWS never gives back has to be among them. With
            # the id: types of Terraform's plugin framework (security group rules) are refreshed by that of the outputs.
            resources.append({**resource, "id": found[0], "outputs": {**inputs, "id": found[0]}})
            said.append(f"{urn}: found as {found[0]}")
        else:
            said.append(f"{urn}: not made, or made again without harm")
    remaining = [operation for operation in operations if operation["type"] != "creating"]
    return {**deployment, "resources": resources, "pending_operations": remaining}, said, by_hand


def main() -> int:
    """Read an exported stack on standard input and write the repaired one."""
    stack = json.load(sys.stdin)
    stack["deployment"], said, by_hand = repair(stack["deployment"])
    sys.stderr.writelines(f"{sentence}\n" for sentence in [*said, *by_hand])
    json.dump(stack, sys.stdout, indent=4)
    return 1 if by_hand else 0


if __name__ == "__main__":
    sys.exit(main())
