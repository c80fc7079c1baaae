"""The walk-through's resources, made with boto3 alone, as a reader makes them by hand in the console.

It proves that the network depends on nothing but what AWS's APIs say: no Pulumi has run. The addresses and names are
the walk-through's; the private zone is the one that AWS documents.
"""

import datetime
import ipaddress
import json
from dataclasses import dataclass, field
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from lab.path.read import Aws

VPC_CIDR = "10.0.0.0/16"
SUBNET_CIDR = "10.0.1.0/24"
CLIENT_CIDR = "172.31.0.0/16"
DNS_SERVER = "10.0.0.2"
TOPIC_PREFIX = "private-iot"
_DAY = datetime.timedelta(days=1)


@dataclass
class Authority:
    """A certificate authority of the VPN."""

    name: str
    key: rsa.RSAPrivateKey = field(init=False, repr=False)
    certificate: x509.Certificate = field(init=False)

    def __post_init__(self) -> None:
        self.key = rsa.generate_private_key(65537, 2048)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.name)])
        now = datetime.datetime.now(datetime.UTC)
        self.certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _DAY)
            .not_valid_after(now + 3650 * _DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(x509.KeyUsage(False, False, False, False, False, True, True, False, False), critical=True)
            .sign(self.key, hashes.SHA256())
        )

    @property
    def pem(self) -> str:
        """Return its certificate."""
        return _pem(self.certificate)

    def issue(self, common_name: str, *, server: bool = False, expired: bool = False) -> "Issued":
        """Return a certificate and its key."""
        key = rsa.generate_private_key(65537, 2048)
        now = datetime.datetime.now(datetime.UTC)
        usage = ExtendedKeyUsageOID.SERVER_AUTH if server else ExtendedKeyUsageOID.CLIENT_AUTH
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)]))
            .issuer_name(self.certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 30 * _DAY)
            .not_valid_after(now - _DAY if expired else now + 365 * _DAY)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(x509.KeyUsage(True, False, True, False, False, False, False, False, False), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(common_name)]), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        return Issued(certificate, key)

    def revoke(self, *revoked: "Issued", valid_for: datetime.timedelta = 30 * _DAY) -> str:
        """Return a revocation list."""
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.certificate.subject)
            .last_update(now - 2 * _DAY)
            .next_update(now + valid_for)
        )
        for issued in revoked:
            entry = x509.RevokedCertificateBuilder(issued.certificate.serial_number, now - _DAY).build()
            builder = builder.add_revoked_certificate(entry)
        return builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


@dataclass
class Issued:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: rsa.RSAPrivateKey = field(repr=False)

    @property
    def pem(self) -> str:
        """Return the certificate."""
        return _pem(self.certificate)

    @property
    def key_pem(self) -> str:
        """Return the key."""
        return _key_pem(self.key)


@dataclass
class WalkThrough:
    """What was made, by AWS's own names."""

    vpc_id: str
    subnet_id: str
    vpn_group_id: str
    endpoint_group_id: str
    vpc_endpoint_id: str
    hosted_zone_id: str
    client_vpn_endpoint_id: str
    association_id: str
    server_certificate_arn: str
    iot_endpoint: str
    policy_name: str
    authority: Authority
    devices: dict[str, "Device"] = field(default_factory=dict)


@dataclass
class Device:
    """One device's identity and its OpenVPN profile."""

    name: str
    vpn: Issued
    config: str
    certificate_id: str
    certificate_arn: str
    certificate_pem: str
    key_pem: str = field(repr=False)


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _key_pem(key: rsa.RSAPrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def policy_document(aws: Aws, account: str, vpc_endpoint_id: str | None) -> dict[str, Any]:
    """Return the least-privilege policy, bound to an endpoint or to none."""
    base = f"arn:aws:iot:{aws.region}:{account}"
    thing = "${iot:Connection.Thing.ThingName}"
    condition = {"Condition": {"StringEquals": {"aws:SourceVpce": vpc_endpoint_id}}} if vpc_endpoint_id else {}

    def allow(actions: list[str], resource: str) -> dict[str, Any]:
        return {"Effect": "Allow", "Action": actions, "Resource": f"{base}:{resource}", **condition}

    return {
        "Version": "2012-10-17",
        "Statement": [
            allow(["iot:Connect"], f"client/{thing}"),
            allow(["iot:Publish", "iot:Receive"], f"topic/{TOPIC_PREFIX}/{thing}/*"),
            allow(["iot:Subscribe"], f"topicfilter/{TOPIC_PREFIX}/{thing}/*"),
        ],
    }


def profile(dns_name: str, authority: Authority, client: Issued, server_name: str, *, private_name: str) -> str:
    """Return a device's profile: the exported one with the inline certificates and the lines that set DNS."""
    return "\n".join(
        [
            *("client", "dev tun", "proto udp", f"remote {dns_name.removeprefix('*.')} 443", "remote-random-hostname"),
            *("resolv-retry infinite", "nobind", "remote-cert-tls server", "cipher AES-256-GCM", "verb 3"),
            f"<ca>\n{authority.pem.strip()}\n</ca>",
            f"<cert>\n{client.pem.strip()}\n</cert>",
            f"<key>\n{client.key_pem.strip()}\n</key>",
            *("reneg-sec 0", f"verify-x509-name {server_name} name", "script-security 2"),
            *("up /etc/openvpn/update-systemd-resolved", "up-restart", "down /etc/openvpn/update-systemd-resolved"),
            *("down-pre", f"dhcp-option DOMAIN-ROUTE {private_name}", ""),
        ]
    )


def make(aws: Aws, *, devices: tuple[str, ...] = ("pi-1",)) -> WalkThrough:
    """Make everything of the walk-through.

    Args:
        aws: The APIs.
        devices: Names of the devices.
    """
    ec2, acm, route53, iot = (aws.client(name) for name in ("ec2", "acm", "route53", "iot"))
    account = aws.client("sts").get_caller_identity()["Account"]
    vpc_id = ec2.create_vpc(CidrBlock=VPC_CIDR)["Vpc"]["VpcId"]
    ec2.modify_vpc_attribute(VpcId=vpc_id, EnableDnsSupport={"Value": True})
    ec2.modify_vpc_attribute(VpcId=vpc_id, EnableDnsHostnames={"Value": True})
    zone_name = f"{aws.region}a"
    subnet_id = ec2.create_subnet(VpcId=vpc_id, CidrBlock=SUBNET_CIDR, AvailabilityZone=zone_name)["Subnet"]["SubnetId"]
    vpn_group, endpoint_group = _security_groups(ec2, vpc_id)
    service = f"com.amazonaws.{aws.region}.iot.data"
    endpoint = ec2.create_vpc_endpoint(
        VpcEndpointType="Interface",
        VpcId=vpc_id,
        ServiceName=service,
        SubnetIds=[subnet_id],
        SecurityGroupIds=[endpoint_group],
        PrivateDnsEnabled=False,
    )["VpcEndpoint"]
    endpoint = _wait_for_endpoint(ec2, endpoint["VpcEndpointId"])
    iot_endpoint = iot.describe_endpoint(endpointType="iot:Data-ATS")["endpointAddress"]
    zone_id = _zone(route53, aws.region, vpc_id, iot_endpoint, endpoint)
    authority = Authority("private-iot VPN")
    server_name = "server.clientvpn.private-iot.internal"
    server = authority.issue(server_name, server=True)
    arn = acm.import_certificate(
        Certificate=server.pem.encode(), PrivateKey=server.key_pem.encode(), CertificateChain=authority.pem.encode()
    )["CertificateArn"]
    client_vpn = ec2.create_client_vpn_endpoint(
        ClientCidrBlock=CLIENT_CIDR,
        ServerCertificateArn=arn,
        AuthenticationOptions=[
            {"Type": "certificate-authentication", "MutualAuthentication": {"ClientRootCertificateChainArn": arn}}
        ],
        ConnectionLogOptions=_log_options(aws),
        DnsServers=[DNS_SERVER],
        TransportProtocol="udp",
        VpnPort=443,
        SplitTunnel=True,
        VpcId=vpc_id,
        SecurityGroupIds=[vpn_group],
    )
    client_vpn_id = client_vpn["ClientVpnEndpointId"]
    association_id = ec2.associate_client_vpn_target_network(ClientVpnEndpointId=client_vpn_id, SubnetId=subnet_id)[
        "AssociationId"
    ]
    authorize(aws, client_vpn_id)
    wait_for_client_vpn(aws, client_vpn_id)
    made = WalkThrough(
        vpc_id=vpc_id,
        subnet_id=subnet_id,
        vpn_group_id=vpn_group,
        endpoint_group_id=endpoint_group,
        vpc_endpoint_id=endpoint["VpcEndpointId"],
        hosted_zone_id=zone_id,
        client_vpn_endpoint_id=client_vpn_id,
        association_id=association_id,
        server_certificate_arn=arn,
        iot_endpoint=iot_endpoint,
        policy_name="private-iot-device",
        authority=authority,
    )
    document = policy_document(aws, account, made.vpc_endpoint_id)
    iot.create_policy(policyName=made.policy_name, policyDocument=json.dumps(document))
    for name in devices:
        made.devices[name] = _device(aws, made, name, client_vpn["DnsName"], server_name)
    return made


def _security_groups(ec2: Any, vpc_id: str) -> tuple[str, str]:
    vpn, endpoint = (
        ec2.create_security_group(GroupName=name, Description=name, VpcId=vpc_id)["GroupId"]
        for name in ("private-iot-sg-clientvpn", "private-iot-sg-privatelink")
    )
    everything = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    for group in (vpn, endpoint):
        ec2.revoke_security_group_egress(GroupId=group, IpPermissions=everything)
    ec2.authorize_security_group_egress(GroupId=vpn, IpPermissions=mqtt_permissions(endpoint))
    ec2.authorize_security_group_ingress(GroupId=endpoint, IpPermissions=mqtt_permissions(vpn))
    return vpn, endpoint


def mqtt_permissions(group_id: str) -> list[dict[str, Any]]:
    """Return the permissions for AWS IoT's ports from or to a group."""
    return [
        {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "UserIdGroupPairs": [{"GroupId": group_id}]}
        for port in (8883, 443)
    ]


def _wait_for_endpoint(ec2: Any, identifier: str) -> dict[str, Any]:
    while True:
        endpoint: dict[str, Any] = ec2.describe_vpc_endpoints(VpcEndpointIds=[identifier])["VpcEndpoints"][0]
        if endpoint["State"] == "available":
            return endpoint
        assert endpoint["State"] == "pending", endpoint


def _zone(route53: Any, region: str, vpc_id: str, name: str, endpoint: dict[str, Any]) -> str:
    zone_id: str = route53.create_hosted_zone(
        Name=name,
        CallerReference=vpc_id,
        VPC={"VPCRegion": region, "VPCId": vpc_id},
        HostedZoneConfig={"PrivateZone": True},
    )["HostedZone"]["Id"]
    regional = min(endpoint["DnsEntries"], key=lambda entry: len(entry["DnsName"]))
    route53.change_resource_record_sets(HostedZoneId=zone_id, ChangeBatch={"Changes": [alias_change(name, regional)]})
    return zone_id


def alias_change(name: str, entry: dict[str, Any], *, action: str = "UPSERT") -> dict[str, Any]:
    """Return the change that points a name at an interface endpoint."""
    target = {"HostedZoneId": entry["HostedZoneId"], "DNSName": entry["DnsName"], "EvaluateTargetHealth": False}
    return {"Action": action, "ResourceRecordSet": {"Name": name, "Type": "A", "AliasTarget": target}}


def _log_options(aws: Aws) -> dict[str, Any]:
    group = "/private-iot/client-vpn"
    aws.client("logs").create_log_group(logGroupName=group)
    return {"Enabled": True, "CloudwatchLogGroup": group}


def authorize(aws: Aws, client_vpn_id: str) -> None:
    """Let every client into the VPC."""
    aws.client("ec2").authorize_client_vpn_ingress(
        ClientVpnEndpointId=client_vpn_id, TargetNetworkCidr=VPC_CIDR, AuthorizeAllGroups=True
    )


def wait_for_client_vpn(aws: Aws, client_vpn_id: str) -> None:
    """Wait until associations and authorization rules are as they were asked for."""
    while True:
        networks = aws.pages(
            "ec2", "describe_client_vpn_target_networks", "ClientVpnTargetNetworks", ClientVpnEndpointId=client_vpn_id
        )
        rules = aws.pages(
            "ec2", "describe_client_vpn_authorization_rules", "AuthorizationRules", ClientVpnEndpointId=client_vpn_id
        )
        states = {item["Status"]["Code"] for item in [*networks, *rules]}
        if states <= {"associated", "active", "disassociated"}:
            return
        assert states <= {"associated", "active", "associating", "authorizing", "disassociating", "revoking"}, states


def _device(aws: Aws, made: WalkThrough, name: str, dns_name: str, server_name: str) -> Device:
    iot = aws.client("iot")
    key = rsa.generate_private_key(65537, 2048)
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .sign(key, hashes.SHA256())
    )
    issued = iot.create_certificate_from_csr(
        certificateSigningRequest=request.public_bytes(serialization.Encoding.PEM).decode(), setAsActive=True
    )
    iot.create_thing(thingName=name)
    iot.attach_policy(policyName=made.policy_name, target=issued["certificateArn"])
    iot.attach_thing_principal(thingName=name, principal=issued["certificateArn"])
    vpn = made.authority.issue(f"{name}.private-iot.internal")
    return Device(
        name=name,
        vpn=vpn,
        config=profile(dns_name, made.authority, vpn, server_name, private_name=made.iot_endpoint),
        certificate_id=issued["certificateId"],
        certificate_arn=issued["certificateArn"],
        certificate_pem=issued["certificatePem"],
        key_pem=_key_pem(key),
    )


def inside_vpc(address: str) -> bool:
    """Return whether an address lies in the VPC."""
    return ipaddress.ip_address(address) in ipaddress.ip_network(VPC_CIDR)


def bundle(aws: Aws, made: WalkThrough, name: str) -> dict[str, Any]:
    """Return a device's bundle, as the stack's output has it."""
    device = made.devices[name]
    return {
        "version": 1,
        "name": name,
        "region": aws.region,
        "vpn": {"config": device.config},
        "iot": {
            "endpoint": made.iot_endpoint,
            "clientId": name,
            "certificatePem": device.certificate_pem,
            "privateKeyPem": device.key_pem,
        },
        "network": {"vpcCidr": VPC_CIDR, "dnsServer": DNS_SERVER, "vpcEndpointId": made.vpc_endpoint_id},
        "topicPrefix": f"{TOPIC_PREFIX}/{name}",
    }
