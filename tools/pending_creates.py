"""Find in AWS what an interrupted `pulumi up` was creating, and print the command that adopts it.

    pulumi stack export | python tools/pending_creates.py

When the engine is killed (not merely interrupted: at Ctrl-C it finishes what it began) the state keeps what it
was creating as *pending creates*, without their identifiers: AWS may have made them or not. A further `pulumi up`
would make them once more and leave the first ones behind. This looks each of them up, by its Name tag or by what
identifies it, with the credentials and the Region of the environment, and prints the `pulumi refresh` that takes
the found ones into the state and forgets the others. It changes nothing itself.

Exit status: 0 when the printed command settles everything, 1 when something needs a person first.
"""

import json
import shlex
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any

import boto3
from cryptography import x509

Inputs = Mapping[str, Any]
Finder = Callable[[Inputs], Iterable[str]]


@cache
def _client(service: str) -> Any:
    return boto3.client(service)


def _name_filter(inputs: Inputs) -> list[dict[str, Any]]:
    return [{"Name": "tag:Name", "Values": [inputs["tags"]["Name"]]}]


def _tagged(operation: str, kind: str, identifier: str) -> Finder:
    """Return the finder of an EC2 resource that its Name tag tells."""

    def find(inputs: Inputs) -> Iterable[str]:
        for page in _client("ec2").get_paginator(operation).paginate(Filters=_name_filter(inputs)):
            for each in page[kind]:
                state = each.get("State")
                if not isinstance(state, str) or state.lower() not in {"deleting", "deleted"}:
                    yield each[identifier]

    return find


def _client_vpn_endpoint(inputs: Inputs) -> Iterable[str]:
    for page in _client("ec2").get_paginator("describe_client_vpn_endpoints").paginate(Filters=_name_filter(inputs)):
        for each in page["ClientVpnEndpoints"]:
            if each["Status"]["Code"] not in {"deleting", "deleted"}:
                yield each["ClientVpnEndpointId"]


def _route_table_association(inputs: Inputs) -> Iterable[str]:
    tables = _client("ec2").describe_route_tables(RouteTableIds=[inputs["routeTableId"]])["RouteTables"]
    for association in (each for table in tables for each in table["Associations"]):
        if association.get("SubnetId") == inputs["subnetId"]:
            yield f"{inputs['subnetId']}/{inputs['routeTableId']}"


def _network_association(inputs: Inputs) -> Iterable[str]:
    endpoint = inputs["clientVpnEndpointId"]
    pages = _client("ec2").get_paginator("describe_client_vpn_target_networks")
    for page in pages.paginate(ClientVpnEndpointId=endpoint):
        for each in page["ClientVpnTargetNetworks"]:
            if each["TargetNetworkId"] == inputs["subnetId"] and each["Status"]["Code"] != "disassociated":
                yield f"{endpoint},{each['AssociationId']}"


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
    for page in _client("acm").get_paginator("list_certificates").paginate():
        for each in page["CertificateSummaryList"]:
            arn = each["CertificateArn"]
            tags = _client("acm").list_tags_for_certificate(CertificateArn=arn)["Tags"]
            if {"Key": "Name", "Value": inputs["tags"]["Name"]} in tags:
                yield arn


def _log_group(inputs: Inputs) -> Iterable[str]:
    found = _client("logs").describe_log_groups(logGroupNamePrefix=inputs["name"])["logGroups"]
    return [each["logGroupName"] for each in found if each["logGroupName"] == inputs["name"]]


def _iot_policy(inputs: Inputs) -> Iterable[str]:
    pages = _client("iot").get_paginator("list_policies").paginate()
    return [each["policyName"] for page in pages for each in page["policies"] if each["policyName"] == inputs["name"]]


def _iot_thing(inputs: Inputs) -> Iterable[str]:
    pages = _client("iot").get_paginator("list_things").paginate()
    return [each["thingName"] for page in pages for each in page["things"] if each["thingName"] == inputs["name"]]


def _iot_certificate(inputs: Inputs) -> Iterable[str]:
    """Find the certificate of the request's key: Pulumi's provider cannot adopt it, but a person can delete it."""
    wanted = x509.load_pem_x509_csr(inputs["csr"].encode()).public_key()
    for page in _client("iot").get_paginator("list_certificates").paginate():
        for each in page["certificates"]:
            described = _client("iot").describe_certificate(certificateId=each["certificateId"])
            pem = described["certificateDescription"]["certificatePem"]
            if x509.load_pem_x509_certificate(pem.encode()).public_key() == wanted:
                yield each["certificateId"]


FINDERS: dict[str, Finder] = {
    "aws:ec2/vpc:Vpc": _tagged("describe_vpcs", "Vpcs", "VpcId"),
    "aws:ec2/subnet:Subnet": _tagged("describe_subnets", "Subnets", "SubnetId"),
    "aws:ec2/routeTable:RouteTable": _tagged("describe_route_tables", "RouteTables", "RouteTableId"),
    "aws:ec2/routeTableAssociation:RouteTableAssociation": _route_table_association,
    "aws:ec2/securityGroup:SecurityGroup": _tagged("describe_security_groups", "SecurityGroups", "GroupId"),
    **dict.fromkeys(
        (
            "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule",
            "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule",
        ),
        _tagged("describe_security_group_rules", "SecurityGroupRules", "SecurityGroupRuleId"),
    ),
    "aws:ec2/vpcEndpoint:VpcEndpoint": _tagged("describe_vpc_endpoints", "VpcEndpoints", "VpcEndpointId"),
    "aws:route53/zone:Zone": _zone,
    "aws:route53/record:Record": _record,
    "aws:acm/certificate:Certificate": _acm_certificate,
    "aws:cloudwatch/logGroup:LogGroup": _log_group,
    "aws:ec2clientvpn/endpoint:Endpoint": _client_vpn_endpoint,
    "aws:ec2clientvpn/networkAssociation:NetworkAssociation": _network_association,
    "aws:ec2clientvpn/authorizationRule:AuthorizationRule": _authorization_rule,
    "aws:iot/policy:Policy": _iot_policy,
    "aws:iot/thing:Thing": _iot_thing,
    "aws:iot/certificate:Certificate": _iot_certificate,
}
# Made once more without harm: nothing outside the state, or a call that AWS takes twice.
REPEATABLE = (
    "tls:",
    "pulumi:",
    "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup",
    "aws:iot/policyAttachment:PolicyAttachment",
    "aws:iot/thingPrincipalAttachment:ThingPrincipalAttachment",
)
NOT_ADOPTABLE = ("aws:iot/certificate:Certificate",)


def recover(deployment: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Look up every pending create of a deployment.

    Args:
        deployment: The ``deployment`` of `pulumi stack export`.

    Returns:
        The words of the `pulumi refresh` that settles what can be settled, and a sentence for everything that needs a
        person; each is empty where there is nothing of the kind.
    """
    pending = [op["resource"] for op in deployment.get("pending_operations") or [] if op["type"] == "creating"]
    known = {resource["id"] for resource in deployment.get("resources") or [] if resource.get("id")}
    adopted: list[str] = []
    by_hand: list[str] = []
    for resource in pending:
        urn, kind = resource["urn"], resource["type"]
        if kind.startswith(REPEATABLE):
            continue
        finder = FINDERS.get(kind)
        if finder is None:
            by_hand.append(f"{urn}: {kind} is not known here; look it up in AWS yourself")
            continue
        # One of the same name that the state knows is what this one was to replace.
        found = [each for each in finder(resource.get("inputs") or {}) if known.isdisjoint((each, each.split(",")[-1]))]
        if found and kind in NOT_ADOPTABLE:
            by_hand.append(f"{urn}: was made as {', '.join(found)} and cannot be adopted; deactivate and delete it")
        elif len(found) > 1:
            by_hand.append(f"{urn}: several fit: {', '.join(found)}; delete all but one")
        elif found:
            adopted += ["--import-pending-creates", urn, "--import-pending-creates", found[0]]
    return (["pulumi", "refresh", *adopted, "--clear-pending-creates"] if pending else []), by_hand


def main() -> int:
    """Read an exported stack on standard input and print what to do."""
    command, by_hand = recover(json.load(sys.stdin)["deployment"])
    for sentence in by_hand:
        print(sentence, file=sys.stderr)  # noqa: T201  # the command line's own output
    if command:
        print(shlex.join(command))  # noqa: T201  # the command line's own output
    return 1 if by_hand else 0


if __name__ == "__main__":
    sys.exit(main())
