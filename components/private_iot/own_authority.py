"""The VPN's certificates from an authority of the stack's own, the default.

The authority's key leaves this module for the revocation list alone. The tls provider plans a replacement on a plain
`pulumi up` as soon as a certificate is within `early_renewal_hours` of its end, and always once it has expired
(measured with pulumi-tls 5.6.2). So the server's and the clients' certificates renew themselves, with the keys that
they have; the authority never does, and replacing it takes a named act, since it locks every device out.
"""

import pulumi
import pulumi_aws as aws
import pulumi_tls as tls

from private_iot.certificates import (
    AUTHORITY_COMMON_NAME,
    CLIENT_RENEWAL_DAYS,
    SERVER_RENEWAL_DAYS,
    Authority,
    ClientCertificate,
    VpnCertificates,
    Wanted,
    early_renewal_hours,
    key_and_request,
)

_SERVER_USES = ["digital_signature", "key_encipherment", "server_auth"]
_CLIENT_USES = ["digital_signature", "client_auth"]


def own_authority(wanted: Wanted) -> VpnCertificates:
    """Make an authority, and with it the server's certificate and one a client."""
    name = wanted.name
    # What an authority that is there already was made with stays: a change of its subject or its dates would replace
    # it, and with it every client's certificate, and lock every device out.
    lasting = pulumi.ResourceOptions(
        parent=wanted.parent, protect=True, ignore_changes=["subject", "validityPeriodHours", "allowedUses"]
    )
    authority_key = tls.PrivateKey(
        f"{name}-ca-key",
        algorithm="RSA",
        rsa_bits=2048,
        opts=pulumi.ResourceOptions(parent=wanted.parent, protect=True, ignore_changes=["algorithm", "rsaBits"]),
    )
    authority = tls.SelfSignedCert(
        f"{name}-ca-certificate",
        private_key_pem=authority_key.private_key_pem,
        is_ca_certificate=True,
        subject=tls.SelfSignedCertSubjectArgs(common_name=AUTHORITY_COMMON_NAME),
        allowed_uses=["cert_signing", "crl_signing"],
        validity_period_hours=wanted.authority_validity_days * 24,
        opts=lasting,
    )

    signer = Authority(certificate_pem=authority.cert_pem, private_key_pem=authority_key.private_key_pem)
    server_key, server_request = key_and_request(
        f"{name}-server", wanted.server_name, [wanted.server_name], wanted.children
    )
    server = _signed(wanted, signer, (f"{name}-server", server_request), _SERVER_USES, SERVER_RENEWAL_DAYS)
    made = sign_clients(wanted, signer)
    # A renewed one is imported under the same ARN, which no endpoint and no profile notices; AWS takes it up within
    # 24 hours. The PEM text is passed on as it came, since the provider compares it byte by byte.
    imported = aws.acm.Certificate(
        f"{name}-server",
        certificate_body=server.cert_pem,
        private_key=server_key,
        certificate_chain=authority.cert_pem,
        tags=wanted.tagged("server"),
        opts=wanted.children,
    )
    return VpnCertificates(
        server_arn=imported.arn,
        # One authority for both: the server's ARN also is the clients' root chain (same guide).
        client_root_arn=imported.arn,
        authority_pem=authority.cert_pem,
        clients=made,
        expires={"authority": authority.validity_end_time, "server": server.validity_end_time},
        authority=signer,
        server=imported,
    )


def sign_clients(wanted: Wanted, authority: Authority) -> dict[str, ClientCertificate]:
    """Make one certificate a client, signed by an authority of this stack or of its base stack."""
    made: dict[str, ClientCertificate] = {}
    for asked in wanted.requests():
        request = (asked.prefix, asked.request_pem)
        certificate = _signed(wanted, authority, request, _CLIENT_USES, CLIENT_RENEWAL_DAYS)
        made[asked.client] = ClientCertificate(
            certificate_pem=certificate.cert_pem,
            private_key_pem=asked.private_key_pem,
            serial_number=certificate.id,
            expires=certificate.validity_end_time,
        )
    return made


def _signed(
    wanted: Wanted, authority: Authority, request: tuple[str, pulumi.Input[str]], uses: list[str], ahead: int
) -> tls.LocallySignedCert:
    prefix, request_pem = request
    return tls.LocallySignedCert(
        f"{prefix}-certificate",
        cert_request_pem=request_pem,
        ca_private_key_pem=authority.private_key_pem,
        ca_cert_pem=authority.certificate_pem,
        allowed_uses=uses,
        validity_period_hours=wanted.certificate_validity_days * 24,
        early_renewal_hours=early_renewal_hours(ahead, wanted.certificate_validity_days),
        opts=wanted.children,
    )
