"""The VPN's own certificate authority, and the certificates that it issues.

Client VPN takes RSA keys of 1024 or 2048 bits only, and a certificate needs a common name (Client VPN administrator
guide, "Mutual authentication in AWS Client VPN"). The authority's key stays inside this module.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_tls as tls

_SERVER_USES = ("digital_signature", "key_encipherment", "server_auth")
_CLIENT_USES = ("digital_signature", "client_auth")


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate and its private key, both PEM; the key is a secret."""

    certificate_pem: pulumi.Output[str]
    private_key_pem: pulumi.Output[str]


@dataclass(frozen=True, slots=True)
class Certificates:
    """What the authority issued, without its key.

    Attributes:
        ca_certificate_pem: The authority's certificate.
        server: The VPN server's.
        clients: Each device's, by its name.
    """

    ca_certificate_pem: pulumi.Output[str]
    server: Certificate
    clients: Mapping[str, Certificate]


def issue(
    name: str,
    *,
    server_name: str,
    clients: Sequence[str],
    ca_validity_days: int,
    certificate_validity_days: int,
    parent: pulumi.Resource,
) -> Certificates:
    """Make the authority, the server's certificate and one certificate a client.

    Nothing renews them on its own: `early_renewal_hours` acts at a refresh only (pulumi-tls #39), where it would also
    replace the authority, and with it every device's profile, unasked.

    Args:
        name: The first part of every resource's name.
        server_name: Common name and DNS name of the server.
        clients: Common names of the clients.
        ca_validity_days: Days that the authority is valid.
        certificate_validity_days: Days that the others are valid.
        parent: The component that they belong to.

    Returns:
        The certificates.
    """
    children = pulumi.ResourceOptions(parent=parent)
    ca_key = tls.PrivateKey(f"{name}-ca-key", algorithm="RSA", rsa_bits=2048, opts=children)
    ca = tls.SelfSignedCert(
        f"{name}-ca-certificate",
        private_key_pem=ca_key.private_key_pem,
        is_ca_certificate=True,
        subject=tls.SelfSignedCertSubjectArgs(common_name="Client VPN CA", organizational_unit=server_name),
        allowed_uses=["cert_signing", "crl_signing"],
        validity_period_hours=ca_validity_days * 24,
        opts=children,
    )

    def signed(prefix: str, common_name: str, uses: Sequence[str], dns_names: list[str]) -> Certificate:
        key = tls.PrivateKey(f"{prefix}-key", algorithm="RSA", rsa_bits=2048, opts=children)
        request = tls.CertRequest(
            f"{prefix}-request",
            private_key_pem=key.private_key_pem,
            subject=tls.CertRequestSubjectArgs(common_name=common_name),
            dns_names=dns_names,
            opts=children,
        )
        certificate = tls.LocallySignedCert(
            f"{prefix}-certificate",
            cert_request_pem=request.cert_request_pem,
            ca_private_key_pem=ca_key.private_key_pem,
            ca_cert_pem=ca.cert_pem,
            allowed_uses=list(uses),
            validity_period_hours=certificate_validity_days * 24,
            opts=children,
        )
        return Certificate(certificate.cert_pem, key.private_key_pem)

    return Certificates(
        ca_certificate_pem=ca.cert_pem,
        server=signed(f"{name}-server", server_name, _SERVER_USES, [server_name]),
        clients={client: signed(f"{name}-client-{client}", client, _CLIENT_USES, []) for client in clients},
    )
