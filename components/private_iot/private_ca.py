"""The VPN's certificates from AWS Private CA: no key of an authority is in the state.

ACM requests the server's certificate and renews it itself 60 days ahead, under its ARN (ACM user guide, "Private
certificate renewal"); for that ACM needs a permission on the authority. A client's comes from a certificate request by
the template of client authentication (AWS Private CA user guide, "Template definitions") and is not renewed by AWS: the
component replaces it, with the same key, once in each period that ends 90 days before it does. What it replaces is kept
at AWS, since the provider's delete would revoke it while its device still uses it (terraform-provider-aws,
`internal/service/acmpca/certificate.go`).
"""

import time

import pulumi
import pulumi_aws as aws
from cryptography import x509

from private_iot.certificates import (
    AUTHORITY_COMMON_NAME,
    CLIENT_RENEWAL_DAYS,
    ClientCertificate,
    VpnCertificates,
    Wanted,
    early_renewal_hours,
)

MADE_HERE = "acm-pca"
"""The value of `certificate_authority` that makes an authority."""
_ROOT = "RootCACertificate/V1"
_CLIENT = "EndEntityClientAuthCertificate/V1"


def renewal_period(validity_days: int, now: float) -> str:
    """Return the number of the period of `now`, seconds since the epoch; with the next, certificates are replaced.

    A certificate that is issued at any moment of a period is still valid for the days that it renews ahead when the
    next one begins.
    """
    lasts = validity_days * 24 - early_renewal_hours(CLIENT_RENEWAL_DAYS, validity_days)
    return f"{int(now // 3600 // lasts)} of {lasts} hours"


def private_ca(wanted: Wanted, certificate_authority: str) -> VpnCertificates:
    """Have the server's certificate and one a client issued.

    Args:
        wanted: What is asked for.
        certificate_authority: The ARN of an authority that is there and active, or `acm-pca` to make one.
    """
    parent = wanted.parent
    if certificate_authority == MADE_HERE:
        arn, authority_pem, ready = _authority(wanted)
    else:
        found = aws.acmpca.get_certificate_authority_output(
            arn=certificate_authority, opts=pulumi.InvokeOutputOptions(parent=parent)
        )
        arn = pulumi.Output.from_input(certificate_authority)
        # A subordinate authority comes with those above it, and a device needs the root.
        authority_pem = found.apply(lambda one: "\n".join(filter(None, (one.certificate, one.certificate_chain))))
        ready = []
    server = aws.acm.Certificate(
        f"{wanted.name}-server",
        domain_name=wanted.server_name,
        certificate_authority_arn=arn,
        tags=wanted.tagged("server"),
        opts=pulumi.ResourceOptions(parent=parent, depends_on=ready),
    )
    made: dict[str, ClientCertificate] = {}
    for asked in wanted.requests():
        certificate = aws.acmpca.Certificate(
            f"{asked.prefix}-certificate",
            certificate_authority_arn=arn,
            certificate_signing_request=asked.request_pem,
            signing_algorithm="SHA256WITHRSA",
            template_arn=_template(arn, _CLIENT),
            validity=_days(wanted.certificate_validity_days),
            opts=pulumi.ResourceOptions(
                parent=parent,
                depends_on=ready,
                retain_on_delete=True,
                replacement_trigger=renewal_period(wanted.certificate_validity_days, time.time()),
            ),
        )
        made[asked.client] = ClientCertificate(
            certificate_pem=certificate.certificate,
            private_key_pem=asked.private_key_pem,
            expires=certificate.certificate.apply(_not_after),
        )
    return VpnCertificates(
        server_arn=server.arn,
        client_root_arn=server.arn,
        authority_pem=authority_pem,
        clients=made,
        expires={"authority": authority_pem.apply(_not_after), "server": server.not_after},
        server=server,
    )


def _days(number: int) -> "aws.acmpca.CertificateValidityArgs":
    return aws.acmpca.CertificateValidityArgs(type="DAYS", value=str(number))


def _authority(
    wanted: Wanted,
) -> tuple[pulumi.Output[str], pulumi.Output[str], list[pulumi.Resource]]:
    """Make a root authority; return its ARN, its certificate, and what has to be there before it issues."""
    name, parent = wanted.name, wanted.parent
    authority = aws.acmpca.CertificateAuthority(
        f"{name}-ca",
        type="ROOT",
        usage_mode="GENERAL_PURPOSE",
        certificate_authority_configuration=aws.acmpca.CertificateAuthorityCertificateAuthorityConfigurationArgs(
            key_algorithm="RSA_2048",
            signing_algorithm="SHA256WITHRSA",
            subject=aws.acmpca.CertificateAuthorityCertificateAuthorityConfigurationSubjectArgs(
                common_name=AUTHORITY_COMMON_NAME
            ),
        ),
        tags=wanted.tagged("ca"),
        opts=pulumi.ResourceOptions(parent=parent, protect=True),
    )
    own = aws.acmpca.Certificate(
        f"{name}-ca-certificate",
        certificate_authority_arn=authority.arn,
        certificate_signing_request=authority.certificate_signing_request,
        signing_algorithm="SHA256WITHRSA",
        template_arn=_template(authority.arn, _ROOT),
        validity=_days(wanted.authority_validity_days),
        opts=pulumi.ResourceOptions(
            parent=parent, protect=True, ignore_changes=["validity", "certificateSigningRequest"], retain_on_delete=True
        ),
    )
    activated = aws.acmpca.CertificateAuthorityCertificate(
        f"{name}-ca-activation",
        certificate_authority_arn=authority.arn,
        certificate=own.certificate,
        opts=wanted.children,
    )
    permission = aws.acmpca.Permission(
        f"{name}-ca-permission",
        certificate_authority_arn=authority.arn,
        principal="acm.amazonaws.com",
        actions=["IssueCertificate", "GetCertificate", "ListPermissions"],
        opts=wanted.children,
    )
    return authority.arn, own.certificate, [activated, permission]


def _template(authority_arn: pulumi.Output[str], name: str) -> pulumi.Output[str]:
    """Return a template's ARN in the authority's own partition."""
    return authority_arn.apply(lambda arn: f"arn:{arn.split(':')[1]}:acm-pca:::template/{name}")


def _not_after(pem: str) -> str:
    """Return when the first certificate of a PEM text ends, as the tls provider writes it."""
    return x509.load_pem_x509_certificate(pem.encode()).not_valid_after_utc.isoformat().replace("+00:00", "Z")
