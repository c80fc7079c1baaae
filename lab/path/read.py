"""Read the model of the path from AWS's APIs.

Only what `Describe…`, `Get…`, `List…` and `Export…` return counts: nothing is taken from Pulumi, so that a rule that
the program forgot is missing here as it would be missing on AWS. One thing AWS never gives out is the private key of a
certificate in ACM, which its own data plane has; the lab's cloud hands it over at ``/_lab/acm/private-key``.
"""

import json
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from lab.path.model import (
    AcmCertificate,
    Association,
    AuthorizationRule,
    ClientVpnEndpoint,
    ClientVpnRoute,
    Cloud,
    ConnectionLog,
    FirewallRule,
    Iot,
    IotCertificate,
    NetworkInterface,
    PrivateHostedZone,
    Record,
    RoleAlias,
    RouteTable,
    SecurityGroup,
    SecurityGroupRule,
    Subnet,
    Thing,
    Vpc,
    VpcEndpoint,
)


class Aws:
    """AWS's APIs of one Region, as a client sees them.

    Args:
        url: Where every service answers, such as ``http://127.0.0.1:4566``.
    """

    def __init__(self, url: str, region: str) -> None:
        self.url = url
        self.region = region
        self._session = boto3.session.Session(
            aws_access_key_id="lab",
            aws_secret_access_key="lab",  # noqa: S106 (the lab checks no signature)
            region_name=region,
        )
        self._clients: dict[str, Any] = {}

    def client(self, service: str) -> Any:
        if service not in self._clients:
            config = Config(retries={"max_attempts": 4, "mode": "standard"}, connect_timeout=5, read_timeout=20)
            self._clients[service] = self._session.client(service, endpoint_url=self.url, config=config)
        return self._clients[service]

    def pages(self, service: str, operation: str, key: str, **arguments: Any) -> Iterator[Any]:
        """Yield every item below `key` of a listing operation, page after page."""
        client = self.client(service)
        if client.can_paginate(operation):
            for page in client.get_paginator(operation).paginate(**arguments):
                yield from page.get(key, ())
        else:
            yield from getattr(client, operation)(**arguments).get(key, ())

    def lab(self, path: str, body: Any = None) -> Any:
        """Call one of the lab's own paths: GET, or PUT where there is a body.

        Args:
            path: Path and query below ``/_lab/``.
            body: What to send as JSON.
        """
        request = urllib.request.Request(  # noqa: S310 (the URL is the lab's own, on the loopback)
            f"{self.url}/_lab/{path}",
            data=None if body is None else json.dumps(body).encode(),
            method="GET" if body is None else "PUT",
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=20) as response:  # noqa: S310 (as above)
            return json.loads(response.read() or b"null")


def read(aws: Aws) -> Cloud:
    """Read everything that the path is made from."""
    return Cloud(
        region=aws.region,
        vpcs=tuple(_vpcs(aws)),
        subnets=tuple(_subnets(aws)),
        route_tables=tuple(_route_tables(aws)),
        security_groups=tuple(_security_groups(aws)),
        network_interfaces=tuple(_network_interfaces(aws)),
        vpc_endpoints=tuple(_vpc_endpoints(aws)),
        hosted_zones=tuple(_hosted_zones(aws)),
        client_vpn_endpoints=tuple(_client_vpn_endpoints(aws)),
        iot=_iot(aws),
        firewall_rules=tuple(_firewall_rules(aws)),
    )


def _vpcs(aws: Aws) -> Iterator[Vpc]:
    ec2 = aws.client("ec2")
    for vpc in aws.pages("ec2", "describe_vpcs", "Vpcs"):
        attribute = {
            name: ec2.describe_vpc_attribute(VpcId=vpc["VpcId"], Attribute=name)[name[0].upper() + name[1:]]["Value"]
            for name in ("enableDnsSupport", "enableDnsHostnames")
        }
        blocks = [
            block["CidrBlock"]
            for block in vpc.get("CidrBlockAssociationSet", ())
            if block["CidrBlockState"]["State"] == "associated"
        ]
        yield Vpc(
            vpc["VpcId"],
            # The primary block first: the resolver's address is its base plus two.
            tuple(sorted(set(blocks) | {vpc["CidrBlock"]}, key=lambda block: (block != vpc["CidrBlock"], block))),
            attribute["enableDnsSupport"],
            attribute["enableDnsHostnames"],
        )


def _subnets(aws: Aws) -> Iterator[Subnet]:
    explicit: dict[str, str] = {}
    main: dict[str, str] = {}
    for table in aws.pages("ec2", "describe_route_tables", "RouteTables"):
        for association in table.get("Associations", ()):
            if "SubnetId" in association:
                explicit[association["SubnetId"]] = table["RouteTableId"]
            elif association.get("Main"):
                main[table["VpcId"]] = table["RouteTableId"]
    for subnet in aws.pages("ec2", "describe_subnets", "Subnets"):
        table_id = explicit.get(subnet["SubnetId"], main.get(subnet["VpcId"]))
        yield Subnet(subnet["SubnetId"], subnet["VpcId"], subnet["CidrBlock"], subnet["AvailabilityZone"], table_id)


def _route_tables(aws: Aws) -> Iterator[RouteTable]:
    targets = ("GatewayId", "NatGatewayId", "TransitGatewayId", "VpcPeeringConnectionId", "NetworkInterfaceId")
    for table in aws.pages("ec2", "describe_route_tables", "RouteTables"):
        routes = tuple(
            (route["DestinationCidrBlock"], next((route[target] for target in targets if route.get(target)), "unknown"))
            for route in table.get("Routes", ())
            if "DestinationCidrBlock" in route
        )
        yield RouteTable(table["RouteTableId"], table["VpcId"], routes)


def _security_groups(aws: Aws) -> Iterator[SecurityGroup]:
    for group in aws.pages("ec2", "describe_security_groups", "SecurityGroups"):
        rules = [
            rule
            for egress, key in ((False, "IpPermissions"), (True, "IpPermissionsEgress"))
            for permission in group.get(key, ())
            for rule in _rules(permission, egress=egress)
        ]
        yield SecurityGroup(group["GroupId"], group["GroupName"], group["VpcId"], tuple(rules))


def _rules(permission: dict[str, Any], *, egress: bool) -> Iterator[SecurityGroupRule]:
    protocol = permission["IpProtocol"]
    ports = (permission.get("FromPort", -1), permission.get("ToPort", -1))
    for block in permission.get("IpRanges", ()):
        yield SecurityGroupRule(egress, protocol, *ports, cidr=block["CidrIp"])
    for pair in permission.get("UserIdGroupPairs", ()):
        yield SecurityGroupRule(egress, protocol, *ports, referenced_group_id=pair["GroupId"])


def _network_interfaces(aws: Aws) -> Iterator[NetworkInterface]:
    for interface in aws.pages("ec2", "describe_network_interfaces", "NetworkInterfaces"):
        yield NetworkInterface(
            interface["NetworkInterfaceId"],
            interface["VpcId"],
            interface["SubnetId"],
            interface["PrivateIpAddress"],
            tuple(group["GroupId"] for group in interface.get("Groups", ())),
            interface.get("Description", ""),
        )


def _vpc_endpoints(aws: Aws) -> Iterator[VpcEndpoint]:
    for endpoint in aws.pages("ec2", "describe_vpc_endpoints", "VpcEndpoints"):
        if endpoint.get("VpcEndpointType") == "Interface":
            yield VpcEndpoint(
                endpoint["VpcEndpointId"],
                endpoint["VpcId"],
                endpoint["ServiceName"],
                endpoint["State"],
                tuple(entry["DnsName"] for entry in endpoint.get("DnsEntries", ())),
                tuple(endpoint.get("NetworkInterfaceIds", ())),
            )


def _hosted_zones(aws: Aws) -> Iterator[PrivateHostedZone]:
    route53 = aws.client("route53")
    for zone in aws.pages("route53", "list_hosted_zones", "HostedZones"):
        if not zone["Config"].get("PrivateZone"):
            continue
        vpc_ids = [vpc["VPCId"] for vpc in route53.get_hosted_zone(Id=zone["Id"]).get("VPCs", ())]
        records = [
            Record(
                _name(record["Name"]),
                record["Type"],
                tuple(value["Value"] for value in record.get("ResourceRecords", ())),
                _name(record["AliasTarget"]["DNSName"]) if "AliasTarget" in record else None,
            )
            for record in aws.pages(
                "route53", "list_resource_record_sets", "ResourceRecordSets", HostedZoneId=zone["Id"]
            )
        ]
        yield PrivateHostedZone(zone["Id"].rpartition("/")[2], _name(zone["Name"]), tuple(vpc_ids), tuple(records))


def _firewall_rules(aws: Aws) -> Iterator[FirewallRule]:
    """Yield each VPC's rules in the order in which they are asked: by the groups' priority, then by their own."""
    service = "route53resolver"
    associations = aws.pages(service, "list_firewall_rule_group_associations", "FirewallRuleGroupAssociations")
    for association in sorted(associations, key=lambda each: int(each["Priority"])):
        group = {"FirewallRuleGroupId": association["FirewallRuleGroupId"]}
        rules = aws.pages(service, "list_firewall_rules", "FirewallRules", **group)
        for rule in sorted(rules, key=lambda each: int(each["Priority"])):
            named = {"FirewallDomainListId": rule["FirewallDomainListId"]}
            domains = aws.pages(service, "list_firewall_domains", "Domains", **named)
            yield FirewallRule(association["VpcId"], rule["Action"], tuple(_name(domain) for domain in domains))


def _name(name: str) -> str:
    return name.rstrip(".").lower().replace("\\052", "*")


def _client_vpn_endpoints(aws: Aws) -> Iterator[ClientVpnEndpoint]:
    for endpoint in aws.pages("ec2", "describe_client_vpn_endpoints", "ClientVpnEndpoints"):
        if endpoint["Status"]["Code"] in ("deleting", "deleted"):
            continue
        identifier = endpoint["ClientVpnEndpointId"]
        logging = endpoint.get("ConnectionLogOptions", {})
        yield ClientVpnEndpoint(
            client_vpn_endpoint_id=identifier,
            status=endpoint["Status"]["Code"],
            dns_name=endpoint["DnsName"].removeprefix("*."),
            client_cidr=endpoint["ClientCidrBlock"],
            dns_servers=tuple(endpoint.get("DnsServers", ())),
            split_tunnel=endpoint["SplitTunnel"],
            transport_protocol=endpoint["TransportProtocol"],
            port=endpoint["VpnPort"],
            server_certificate=_certificate(aws, endpoint["ServerCertificateArn"]),
            client_root_chain=_client_root_chain(aws, endpoint),
            associations=tuple(_associations(aws, identifier)),
            authorization_rules=tuple(
                AuthorizationRule(rule["DestinationCidr"], rule.get("AccessAll", False), rule["Status"]["Code"])
                for rule in aws.pages(
                    "ec2",
                    "describe_client_vpn_authorization_rules",
                    "AuthorizationRules",
                    ClientVpnEndpointId=identifier,
                )
            ),
            routes=tuple(
                ClientVpnRoute(route["DestinationCidr"], route["TargetSubnet"], route["Status"]["Code"])
                for route in aws.pages("ec2", "describe_client_vpn_routes", "Routes", ClientVpnEndpointId=identifier)
            ),
            revocation_list=_revocation_list(aws, identifier),
            connection_log=ConnectionLog(logging["CloudwatchLogGroup"], logging.get("CloudwatchLogStream") or None)
            if logging.get("Enabled")
            else None,
        )


def _associations(aws: Aws, identifier: str) -> Iterator[Association]:
    for network in aws.pages(
        "ec2", "describe_client_vpn_target_networks", "ClientVpnTargetNetworks", ClientVpnEndpointId=identifier
    ):
        if network["Status"]["Code"] == "associated":
            yield Association(
                network["AssociationId"],
                network["VpcId"],
                network["TargetNetworkId"],
                network["Status"]["Code"],
                tuple(network.get("SecurityGroups", ())),
            )


def _certificate(aws: Aws, arn: str) -> AcmCertificate:
    response = aws.client("acm").get_certificate(CertificateArn=arn)
    key = aws.lab(f"acm/private-key?{urllib.parse.urlencode({'arn': arn})}")["privateKeyPem"]
    return AcmCertificate(arn, response["Certificate"], response.get("CertificateChain", ""), key)


def _client_root_chain(aws: Aws, endpoint: dict[str, Any]) -> str:
    """Return the authorities of client certificates: the chain of the certificate that mutual authentication names.

    Source: AWS Client VPN administrator guide, "Mutual authentication": the server certificate's ARN may be given
    when the client certificate was issued by the same authority.
    """
    for option in endpoint.get("AuthenticationOptions", ()):
        if option["Type"] == "certificate-authentication":
            arn = option["MutualAuthentication"]["ClientRootCertificateChain"]
            response = aws.client("acm").get_certificate(CertificateArn=arn)
            return str(response.get("CertificateChain") or response["Certificate"])
    return ""


def _revocation_list(aws: Aws, identifier: str) -> str | None:
    try:
        response = aws.client("ec2").export_client_vpn_client_certificate_revocation_list(
            ClientVpnEndpointId=identifier
        )
    except ClientError as error:
        # AWS documents no answer for an endpoint that never got a list: an error of any name but these means "none".
        if error.response["Error"]["Code"] in ("RequestLimitExceeded", "UnauthorizedOperation", "InternalError"):
            raise
        return None
    return response.get("CertificateRevocationList") or None


def _iot(aws: Aws) -> Iot:
    iot = aws.client("iot")
    certificates = []
    for entry in aws.pages("iot", "list_certificates", "certificates"):
        principal = entry["certificateArn"]
        certificates.append(
            IotCertificate(
                entry["certificateId"],
                iot.describe_certificate(certificateId=entry["certificateId"])["certificateDescription"][
                    "certificatePem"
                ],
                entry["status"],
                tuple(
                    sorted(
                        policy["policyName"]
                        for policy in aws.pages("iot", "list_attached_policies", "policies", target=principal)
                    )
                ),
                tuple(sorted(aws.pages("iot", "list_principal_things", "things", principal=principal))),
            )
        )
    policies = []
    for entry in aws.pages("iot", "list_policies", "policies"):
        document = iot.get_policy(policyName=entry["policyName"])["policyDocument"]
        policies.append((entry["policyName"], json.loads(document)))
    return Iot(
        endpoint=iot.describe_endpoint(endpointType="iot:Data-ATS")["endpointAddress"],
        account_id=aws.client("sts").get_caller_identity()["Account"],
        things=tuple(
            Thing(thing["thingName"], thing.get("thingTypeName"), tuple(sorted(thing.get("attributes", {}).items())))
            for thing in sorted(aws.pages("iot", "list_things", "things"), key=lambda thing: str(thing["thingName"]))
        ),
        certificates=tuple(sorted(certificates, key=lambda certificate: certificate.certificate_id)),
        policies=tuple(sorted(policies, key=lambda policy: policy[0])),
        credentials_endpoint=iot.describe_endpoint(endpointType="iot:CredentialProvider")["endpointAddress"],
        role_aliases=tuple(_role_aliases(aws)),
    )


def _role_aliases(aws: Aws) -> Iterator[RoleAlias]:
    for name in sorted(aws.pages("iot", "list_role_aliases", "roleAliases")):
        alias = aws.client("iot").describe_role_alias(roleAlias=name)["roleAliasDescription"]
        try:
            role = aws.client("iam").get_role(RoleName=alias["roleArn"].rpartition("/")[2])["Role"]
        except ClientError as error:
            if error.response["Error"]["Code"] != "NoSuchEntity":
                raise
            role = None
        trusted = role is not None and _trusts_credential_provider(role["AssumeRolePolicyDocument"])
        # A role that was made without the member allows an hour (IAM API reference, Role).
        max_session = role.get("MaxSessionDuration", 3600) if role is not None and trusted else None
        yield RoleAlias(name, alias["credentialDurationSeconds"], max_session)


def _trusts_credential_provider(document: dict[str, Any]) -> bool:
    """Whether a trust policy lets ``credentials.iot.amazonaws.com`` assume the role; conditions are not looked at.

    Source: AWS IoT developer guide, "Authorizing direct calls to AWS services".
    """
    statements = document.get("Statement", ())
    for statement in [statements] if isinstance(statements, dict) else statements:
        services = statement.get("Principal", {}).get("Service", ())
        actions = statement.get("Action", ())
        if (
            statement.get("Effect") == "Allow"
            and "credentials.iot.amazonaws.com" in ([services] if isinstance(services, str) else services)
            and "sts:AssumeRole" in ([actions] if isinstance(actions, str) else actions)
        ):
            return True
    return False
