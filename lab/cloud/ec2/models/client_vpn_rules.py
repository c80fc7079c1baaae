"""What AWS refuses of a Client VPN endpoint. Pure functions: what a rule needs to know is passed in.

CVPN is docs.aws.amazon.com/vpn/latest/clientvpn-admin/, API the EC2 API reference of CreateClientVpnEndpoint.
"""

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from lab.cloud.ec2.exceptions import (
    ClientVpnRevocationListLimitExceededError,
    InvalidParameterValueError,
    MissingParameterError,
    UnsupportedOperationError,
)

MAX_ENDPOINTS = 5
MAX_AUTHORIZATION_RULES = 200
MAX_ROUTES_PER_TARGET_NETWORK = 100
MAX_REVOKED_CERTIFICATES = 20_000
"""CVPN/limits.html: endpoints a Region, rules an endpoint, routes an association, entries of a revocation list."""
LARGEST_CLIENT_CIDR = 12
SMALLEST_CLIENT_CIDR = 22
"""Prefix lengths: "at least /22 and must not be greater than /12" (API, ClientCidrBlock)."""
SMALLEST_SUBNET = 27
FREE_ADDRESSES = 20
"""A target network is "at least a /27" and "has at least 20 available IP addresses" (CVPN/cvpn-working-target.html)."""
RSA_BITS = (1024, 2048)
"""CVPN/mutual.html: "We only support 1024-bit and 2048-bit RSA keys"."""
MAX_DNS_SERVERS = 2
PORTS = (443, 1194)
SESSION_TIMEOUT_HOURS = (8, 10, 12, 24)
MAX_BANNER_CHARACTERS = 1400
MAX_SECURITY_GROUPS = 5
DOMAIN = re.compile(r"(\*\.)?([A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?\.)+[A-Za-z0-9-]+")


@dataclass(frozen=True)
class AcmCertificate:
    """What the rules need to know of a certificate in ACM."""

    arn: str
    certificate: x509.Certificate


def check_client_cidr(client_cidr: str | None, vpc_cidrs: Iterable[str]) -> None:
    """Refuse a client CIDR of the wrong size or one that overlaps the VPC's.

    Raises:
        MissingParameterError: there is none.
        InvalidParameterValueError: it is not a block, too large, too small, or overlaps.
    """
    if not client_cidr:
        raise MissingParameterError("The request must contain the parameter ClientCidrBlock")
    network = parse_cidr(client_cidr, "ClientCidrBlock")
    if not LARGEST_CLIENT_CIDR <= network.prefixlen <= SMALLEST_CLIENT_CIDR:
        raise InvalidParameterValueError(
            f"ClientCidrBlock {client_cidr} is a /{network.prefixlen}; it has to be between /{LARGEST_CLIENT_CIDR} and "
            f"/{SMALLEST_CLIENT_CIDR}"
        )
    overlap = overlapping(client_cidr, vpc_cidrs)
    if overlap is not None:
        raise InvalidParameterValueError(f"ClientCidrBlock {client_cidr} overlaps {overlap} of the VPC")


def parse_cidr(cidr: str, parameter: str) -> ipaddress.IPv4Network:
    """Read an IPv4 block.

    Raises:
        InvalidParameterValueError: it is none, or has bits set outside its prefix.
    """
    try:
        return ipaddress.IPv4Network(cidr)
    except ValueError as error:
        raise InvalidParameterValueError(f"Value ({cidr}) for parameter {parameter} is invalid. {error}") from error


def overlapping(cidr: str, others: Iterable[str]) -> str | None:
    """Return the first of the other blocks that overlaps this one."""
    network = ipaddress.IPv4Network(cidr)
    return next((other for other in others if network.overlaps(ipaddress.IPv4Network(other, strict=False))), None)


def check_server_certificate(arn: str | None, found: AcmCertificate | None) -> None:
    """Refuse a server certificate that Client VPN cannot use.

    Raises:
        MissingParameterError: there is none.
        InvalidParameterValueError: ACM does not know it, its key is not RSA of 1024 or 2048 bits, or it has no domain.
    """
    if not arn:
        raise MissingParameterError("The request must contain the parameter ServerCertificateArn")
    certificate = _known_rsa(arn, found)
    if domain_of(certificate) is None:
        # Seen in cloudposse/terraform-aws-ec2-client-vpn #57, #78, #117, #126: a name without a dot is no domain.
        raise InvalidParameterValueError(f"Certificate {arn} does not have a domain")


def check_client_root(arn: str | None, found: AcmCertificate | None) -> None:
    """Refuse a client root that Client VPN cannot use.

    Raises:
        MissingParameterError: there is none.
        InvalidParameterValueError: ACM does not know it, or its key is not RSA of 1024 or 2048 bits.
    """
    if not arn:
        raise MissingParameterError(
            "certificate-authentication needs MutualAuthentication.ClientRootCertificateChainArn"
        )
    _known_rsa(arn, found)


def _known_rsa(arn: str, found: AcmCertificate | None) -> x509.Certificate:
    if found is None:
        raise InvalidParameterValueError(f"Certificate {arn} does not exist")
    key = found.certificate.public_key()
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size not in RSA_BITS:
        size = f"RSA of {key.key_size} bits" if isinstance(key, rsa.RSAPublicKey) else type(key).__name__
        raise InvalidParameterValueError(
            f"Certificate {arn} has a key that is not supported ({size}); it has to be RSA of 1024 or 2048 bits"
        )
    return found.certificate


def domain_of(certificate: x509.Certificate) -> str | None:
    """Return the domain of a certificate: its common name, else its first DNS name, if that has a dot."""
    names = [str(attribute.value) for attribute in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        names += extension.value.get_values_for_type(x509.DNSName)
    except x509.ExtensionNotFound:
        pass
    return next((name for name in names if DOMAIN.fullmatch(name)), None)


def check_authentication(options: list[dict[str, Any]]) -> None:
    """Refuse authentication options that do not fit together.

    Raises:
        MissingParameterError: there are none, or one lacks what its type needs.
        InvalidParameterValueError: there are too many, two of a type, or an unknown type.
    """
    needs = {
        "certificate-authentication": "MutualAuthentication",
        "directory-service-authentication": "ActiveDirectory",
        "federated-authentication": "FederatedAuthentication",
    }
    if not options:
        raise MissingParameterError("The request must contain the parameter Authentication")
    types = [option.get("Type") for option in options]
    if len(set(types)) != len(types) or len(types) > 2:
        raise InvalidParameterValueError(f"Authentication takes one or two options of different types; got {types}")
    for option in options:
        kind = option.get("Type")
        if kind not in needs:
            raise InvalidParameterValueError(f"Authentication.Type has to be one of {', '.join(needs)}; got {kind!r}")
        if needs[kind] not in option:
            raise MissingParameterError(f"{kind} needs {needs[kind]}")


def check_dns_servers(servers: list[str]) -> None:
    """Refuse more than two DNS servers, or one that is no IPv4 address."""
    if len(servers) > MAX_DNS_SERVERS:
        raise InvalidParameterValueError(f"An endpoint takes {MAX_DNS_SERVERS} DNS servers at most; got {len(servers)}")
    for server in servers:
        try:
            ipaddress.IPv4Address(server)
        except ValueError as error:
            raise InvalidParameterValueError(
                f"Value ({server}) for parameter DnsServers is invalid. {error}"
            ) from error


def check_settings(parameters: dict[str, Any]) -> None:
    """Refuse a port, protocol, time-out or banner that AWS does not take; what is absent is not looked at.

    Raises:
        InvalidParameterValueError: with the parameter, its value and what it takes.
        UnsupportedOperationError: AWS has it, the lab does not.
    """
    for name, allowed in (
        ("VpnPort", PORTS),
        ("SessionTimeoutHours", SESSION_TIMEOUT_HOURS),
        ("TransportProtocol", ("udp", "tcp")),
        ("SelfServicePortal", ("enabled", "disabled")),
    ):
        value = parameters.get(name)
        if value is not None and value not in allowed:
            raise InvalidParameterValueError(f"{name} has to be one of {', '.join(map(str, allowed))}; got {value}")
    banner = parameters.get("ClientLoginBannerOptions") or {}
    text = banner.get("BannerText") or ""
    if len(text) > MAX_BANNER_CHARACTERS:
        raise InvalidParameterValueError(
            f"BannerText takes {MAX_BANNER_CHARACTERS} characters at most; got {len(text)}"
        )
    if banner.get("Enabled") and not text:
        raise MissingParameterError("ClientLoginBannerOptions.Enabled needs BannerText")
    connect = parameters.get("ClientConnectOptions") or {}
    if connect.get("Enabled") and not connect.get("LambdaFunctionArn"):
        raise MissingParameterError("ClientConnectOptions.Enabled needs LambdaFunctionArn")
    for name in ("EndpointIpAddressType", "TrafficIpAddressType"):
        if parameters.get(name) not in (None, "ipv4"):
            raise UnsupportedOperationError(f"The lab has {name} ipv4 only; got {parameters[name]}")
    if parameters.get("TransitGatewayConfiguration"):
        raise UnsupportedOperationError("The lab does not have Transit Gateway associations of Client VPN")
    if (parameters.get("DevicePostureOptions") or {}).get("Enabled"):
        raise UnsupportedOperationError("The lab does not have device posture checks of Client VPN")


def check_security_groups(group_ids: list[str], vpc_id: str | None, vpc_of: dict[str, str]) -> None:
    """Refuse security groups that are not the VPC's.

    Args:
        group_ids: what the request names.
        vpc_id: the endpoint's VPC.
        vpc_of: the VPC of each group that exists.

    Raises:
        MissingParameterError: groups without a VPC.
        InvalidParameterValueError: too many, unknown, or of another VPC.
    """
    if group_ids and not vpc_id:
        raise MissingParameterError("SecurityGroupIds needs VpcId, the VPC that the security groups belong to")
    if len(group_ids) > MAX_SECURITY_GROUPS:
        raise InvalidParameterValueError(
            f"An endpoint takes {MAX_SECURITY_GROUPS} security groups at most; got {len(group_ids)}"
        )
    for group_id in group_ids:
        if vpc_of.get(group_id) != vpc_id:
            raise InvalidParameterValueError(f"Security group {group_id} does not exist in {vpc_id}")


def check_revocation_list(pem: str) -> None:
    """Refuse a text that is no revocation list, or one with too many entries. An expired one is taken, as on AWS.

    Raises:
        InvalidParameterValueError: not PEM, or not a list.
        ClientVpnRevocationListLimitExceededError: more than 20,000 entries.
    """
    try:
        revocations = x509.load_pem_x509_crl(pem.encode())
    except ValueError as error:
        raise InvalidParameterValueError(
            f"The certificate revocation list is not a PEM-encoded X.509 CRL: {error}"
        ) from error
    if len(revocations) > MAX_REVOKED_CERTIFICATES:
        raise ClientVpnRevocationListLimitExceededError(len(revocations), MAX_REVOKED_CERTIFICATES)
