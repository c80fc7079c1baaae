"""Where the VPN's certificates come from, by default an authority of the stack's own.

Client VPN takes RSA keys of 1024 or 2048 bits only, and a certificate needs a common name (Client VPN administrator
guide, "Mutual authentication in AWS Client VPN"). The own authority's key leaves this module for the revocation list
alone.

The tls provider plans a replacement on a plain `pulumi up` as soon as a certificate is within `early_renewal_hours` of
its end, and always once it has expired (measured with pulumi-tls 5.6.2). So the server's and the clients' certificates
renew themselves, with the keys that they have; the authority never does, and replacing it takes a named act, since it
locks every device out.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws
import pulumi_tls as tls

SERVER_RENEWAL_DAYS = 60
"""Days ahead that the server's certificate renews itself, as ACM's own do (ACM user guide, "Managed renewal")."""
CLIENT_RENEWAL_DAYS = 90
"""Days ahead that a client's does: its device may be away for weeks, and has to fetch it."""
AUTHORITY_COMMON_NAME = "Client VPN CA"
_SERVER_USES = ["digital_signature", "key_encipherment", "server_auth"]
_CLIENT_USES = ["digital_signature", "client_auth"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientCertificate:
    """A device's VPN certificate.

    Attributes:
        certificate_pem: PEM.
        private_key_pem: PEM, secret; None where the key is on the device.
        serial_number: Decimal; None where the authority is not the stack's own, which revokes for itself.
        expires: RFC 3339; None where nobody knows it.
    """

    certificate_pem: pulumi.Output[str]
    private_key_pem: pulumi.Output[str] | None
    serial_number: pulumi.Output[str] | None = None
    expires: pulumi.Output[str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """An authority of the stack's own, which alone can sign a revocation list here."""

    certificate_pem: pulumi.Output[str]
    private_key_pem: pulumi.Output[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class VpnCertificates:
    """What a Client VPN endpoint and its profiles need.

    Attributes:
        server_arn: The server's certificate in ACM.
        client_root_arn: The certificate in ACM whose chain clients are checked against.
        authority_pem: Authorities of the server's certificate, for the profiles.
        clients: Each device's certificate, by its name.
        expires: What else expires → when, RFC 3339.
        authority: The stack's own authority, where it is one.
        server: The server's certificate in ACM, where the stack made it.
    """

    server_arn: pulumi.Output[str]
    client_root_arn: pulumi.Output[str]
    authority_pem: pulumi.Output[str]
    clients: Mapping[str, ClientCertificate]
    expires: Mapping[str, pulumi.Output[str]]
    authority: Authority | None = None
    server: aws.acm.Certificate | None = None


def early_renewal_hours(days_ahead: int, validity_days: int) -> int:
    """Return how long ahead a certificate renews itself: never more than a third of its whole life."""
    return min(days_ahead * 24, validity_days * 24 // 3)


def own_authority(
    name: str,
    *,
    server_name: str,
    clients: Mapping[str, str | None],
    authority_validity_days: int,
    certificate_validity_days: int,
    tags: Mapping[str, pulumi.Input[str]],
    parent: pulumi.Resource,
) -> VpnCertificates:
    """Make an authority, and with it the server's certificate and one a client.

    Args:
        name: The first part of every resource's name.
        server_name: Common name and DNS name of the server.
        clients: Device → its certificate request, PEM, or None to make its key here.
        authority_validity_days: Days that a new authority is valid; one that is there keeps its own.
        certificate_validity_days: Days that the others are valid.
        tags: Tags of the server's certificate in ACM.
        parent: The component that they belong to.
    """
    children = pulumi.ResourceOptions(parent=parent)
    # What an authority that is there already was made with stays: a change of its subject or its dates would replace
    # it, and with it every client's certificate, and lock every device out.
    lasting = pulumi.ResourceOptions(
        parent=parent, protect=True, ignore_changes=["subject", "validityPeriodHours", "allowedUses"]
    )
    authority_key = tls.PrivateKey(
        f"{name}-ca-key",
        algorithm="RSA",
        rsa_bits=2048,
        opts=pulumi.ResourceOptions(parent=parent, protect=True, ignore_changes=["algorithm", "rsaBits"]),
    )
    authority = tls.SelfSignedCert(
        f"{name}-ca-certificate",
        private_key_pem=authority_key.private_key_pem,
        is_ca_certificate=True,
        subject=tls.SelfSignedCertSubjectArgs(common_name=AUTHORITY_COMMON_NAME),
        allowed_uses=["cert_signing", "crl_signing"],
        validity_period_hours=authority_validity_days * 24,
        opts=lasting,
    )

    def signed(prefix: str, request_pem: pulumi.Input[str], uses: list[str], ahead: int) -> tls.LocallySignedCert:
        return tls.LocallySignedCert(
            f"{prefix}-certificate",
            cert_request_pem=request_pem,
            ca_private_key_pem=authority_key.private_key_pem,
            ca_cert_pem=authority.cert_pem,
            allowed_uses=uses,
            validity_period_hours=certificate_validity_days * 24,
            early_renewal_hours=early_renewal_hours(ahead, certificate_validity_days),
            opts=children,
        )

    server_key, server_request = key_and_request(f"{name}-server", server_name, [server_name], children)
    server = signed(f"{name}-server", server_request, _SERVER_USES, SERVER_RENEWAL_DAYS)
    made: dict[str, ClientCertificate] = {}
    for client, given in clients.items():
        prefix = f"{name}-client-{client}"
        key: pulumi.Output[str] | None = None
        request: pulumi.Input[str]
        if given is None:
            key, request = key_and_request(prefix, client, [], children)
        else:
            request = given
        certificate = signed(prefix, request, _CLIENT_USES, CLIENT_RENEWAL_DAYS)
        made[client] = ClientCertificate(
            certificate_pem=certificate.cert_pem,
            private_key_pem=key,
            serial_number=certificate.id,
            expires=certificate.validity_end_time,
        )
    # A renewed one is imported under the same ARN, which no endpoint and no profile notices; AWS takes it up within
    # 24 hours. The PEM text is passed on as it came, since the provider compares it byte by byte.
    imported = aws.acm.Certificate(
        f"{name}-server",
        certificate_body=server.cert_pem,
        private_key=server_key,
        certificate_chain=authority.cert_pem,
        tags={**tags, "Name": f"{name}-server"},
        opts=children,
    )
    return VpnCertificates(
        server_arn=imported.arn,
        # One authority for both: the server's ARN also is the clients' root chain (same guide).
        client_root_arn=imported.arn,
        authority_pem=authority.cert_pem,
        clients=made,
        expires={"authority": authority.validity_end_time, "server": server.validity_end_time},
        authority=Authority(certificate_pem=authority.cert_pem, private_key_pem=authority_key.private_key_pem),
        server=imported,
    )


def key_and_request(
    prefix: str, common_name: str, dns_names: list[str], children: pulumi.ResourceOptions
) -> tuple[pulumi.Output[str], pulumi.Output[str]]:
    """Make a key and a certificate request in the stack, PEM both."""
    key = tls.PrivateKey(f"{prefix}-key", algorithm="RSA", rsa_bits=2048, opts=children)
    request = tls.CertRequest(
        f"{prefix}-request",
        private_key_pem=key.private_key_pem,
        subject=tls.CertRequestSubjectArgs(common_name=common_name),
        dns_names=dns_names,
        opts=children,
    )
    return key.private_key_pem, request.cert_request_pem
