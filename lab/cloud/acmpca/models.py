"""AWS Private CA's state where moto's differs from AWS."""

import base64
import datetime
import uuid
from collections.abc import Mapping
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from moto.acmpca import models as moto

from lab.cloud.acmpca.exceptions import (
    InvalidArgsError,
    InvalidStateError,
    MalformedCertificateError,
    MalformedCsrError,
    PermissionAlreadyExistsError,
    ValidationError,
)
from lab.cloud.acmpca.issuing import ROOT, SHORT_LIVED_LIMIT, extensions, not_after, template_name

PERMITTED_ACTIONS = {"IssueCertificate", "GetCertificate", "ListPermissions"}
"""API reference, CreatePermission."""
MANAGED_VALIDITY = datetime.timedelta(days=395)
"""ACM's private certificates: 13 months (ACM user guide, "Request a private certificate")."""
_HASHES: Mapping[str, hashes.SHA256 | hashes.SHA384 | hashes.SHA512] = {
    "SHA256WITHRSA": hashes.SHA256(),
    "SHA384WITHRSA": hashes.SHA384(),
    "SHA512WITHRSA": hashes.SHA512(),
}


class PrivateCaBackend(moto.ACMPCABackend):
    """AWS Private CA of one account and Region. Its authorities' keys are RSA of 2048 bits whatever was asked for."""

    def __init__(self, region_name: str, account_id: str) -> None:
        super().__init__(region_name, account_id)
        self._permissions: dict[str, dict[str, dict[str, Any]]] = {}

    def use_mode(self, arn: str, mode: str) -> None:
        """Set an authority's usage mode, GENERAL_PURPOSE or SHORT_LIVED_CERTIFICATE."""
        self.certificate_authorities[arn].usage_mode = mode

    def issue(
        self,
        arn: str,
        request_pem: bytes,
        *,
        template_arn: str | None,
        validity: Mapping[str, Any],
        signing_algorithm: str,
    ) -> str:
        """Sign a certificate request.

        Args:
            arn: The authority.
            request_pem: PKCS #10, PEM.
            template_arn: Which extensions; None is an end entity's.
            validity: `Type` and `Value`.
            signing_algorithm: Such as SHA256WITHRSA.

        Returns:
            The certificate's ARN.
        """
        authority = self.describe_certificate_authority(arn)
        template = template_name(template_arn)
        if authority.status != ("PENDING_CERTIFICATE" if template == ROOT else "ACTIVE"):
            raise InvalidStateError(arn, authority.status)
        if signing_algorithm not in _HASHES:
            raise InvalidArgsError(f"The authority's key is RSA and signs with {', '.join(_HASHES)}")
        request = _request(request_pem)
        now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
        certificate = self._sign(authority, request, template, not_after(validity, now), _HASHES[signing_algorithm])
        certificate_arn = f"{arn}/certificate/{certificate.serial_number:032x}"
        authority.issued_certificates[certificate_arn] = certificate.public_bytes(serialization.Encoding.PEM)
        if template != ROOT:
            authority.issued_certificates_certificate_chains[certificate_arn] = self._chain(authority)
        return certificate_arn

    def _sign(
        self,
        authority: moto.CertificateAuthority,
        request: x509.CertificateSigningRequest,
        template: str,
        end: datetime.datetime,
        algorithm: hashes.SHA256 | hashes.SHA384 | hashes.SHA512,
    ) -> x509.Certificate:
        own = authority.certificate
        now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
        if own is not None and end > own.not_valid_after_utc:
            raise ValidationError("The certificate validity specified exceeds the certificate authority validity")
        if authority.usage_mode == "SHORT_LIVED_CERTIFICATE" and template != ROOT and end - now > SHORT_LIVED_LIMIT:
            raise ValidationError("Certificate validity of a short-lived mode authority cannot exceed 7 days")
        builder = (
            x509.CertificateBuilder()
            .subject_name(request.subject)
            .issuer_name(authority.issuer)
            .public_key(request.public_key())
            # AWS dates a certificate an hour back (user guide, "Issue private end-entity certificates").
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(end)
            .serial_number(uuid.uuid4().int)
        )
        for extension, critical in extensions(template, request, authority.key.public_key()):
            builder = builder.add_extension(extension, critical=critical)
        return builder.sign(authority.key, algorithm)

    def issue_managed(self, arn: str, domain_name: str, names: list[str]) -> tuple[bytes, bytes, bytes]:
        """Issue what ACM requests on behalf of its user.

        Args:
            arn: The authority.
            domain_name: The common name.
            names: Further DNS names.

        Returns:
            Certificate, private key and chain, PEM.
        """
        authority = self.describe_certificate_authority(arn)
        if authority.status != "ACTIVE":
            raise InvalidStateError(arn, authority.status)
        if authority.usage_mode == "SHORT_LIVED_CERTIFICATE":
            # User guide, "Understand AWS Private CA CA modes".
            raise InvalidArgsError("ACM cannot issue certificates of an authority in short-lived certificate mode")
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        dns_names = [x509.DNSName(name) for name in dict.fromkeys((domain_name, *names))]
        request = (
            x509.CertificateSigningRequestBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, domain_name)]))
            .add_extension(x509.SubjectAlternativeName(dns_names), critical=False)
            .sign(key, hashes.SHA256())
        )
        end = datetime.datetime.now(datetime.UTC).replace(microsecond=0) + MANAGED_VALIDITY
        certificate = self._sign(authority, request, "EndEntityCertificate/V1", end, hashes.SHA256())
        return (
            certificate.public_bytes(serialization.Encoding.PEM),
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            ),
            self._chain(authority),
        )

    @staticmethod
    def _chain(authority: moto.CertificateAuthority) -> bytes:
        chain = base64.b64decode(authority.certificate_chain or b"")
        return authority.certificate_bytes.strip() + b"\n" + chain

    def import_certificate_authority_certificate(
        self, certificate_authority_arn: str, certificate: bytes, certificate_chain: bytes | None
    ) -> None:
        """Give an authority its certificate, which has to be that of its key."""
        authority = self.describe_certificate_authority(certificate_authority_arn)
        try:
            public_key = x509.load_pem_x509_certificate(certificate).public_key()
        except ValueError as error:
            raise MalformedCertificateError("The certificate is not PEM-encoded.") from error
        if public_key != authority.key.public_key():
            raise MalformedCertificateError("The certificate's key is not that of the certificate authority.")
        super().import_certificate_authority_certificate(certificate_authority_arn, certificate, certificate_chain)

    def delete_certificate_authority(self, certificate_authority_arn: str) -> None:
        """Delete an authority, which must be disabled or never have been active."""
        authority = self.describe_certificate_authority(certificate_authority_arn)
        if authority.status not in ("DISABLED", "PENDING_CERTIFICATE", "CREATING", "EXPIRED", "FAILED"):
            raise InvalidStateError(certificate_authority_arn, authority.status)
        super().delete_certificate_authority(certificate_authority_arn)

    def create_permission(self, arn: str, principal: str, actions: list[str]) -> None:
        """Let ACM issue and renew with an authority."""
        self.describe_certificate_authority(arn)
        if principal != "acm.amazonaws.com" or not set(actions) <= PERMITTED_ACTIONS:
            raise ValidationError("Only acm.amazonaws.com may have IssueCertificate, GetCertificate, ListPermissions")
        permissions = self._permissions.setdefault(arn, {})
        if principal in permissions:
            raise PermissionAlreadyExistsError(principal)
        permissions[principal] = {
            "CertificateAuthorityArn": arn,
            "CreatedAt": datetime.datetime.now(datetime.UTC).timestamp(),
            "Principal": principal,
            "SourceAccount": self.account_id,
            "Actions": actions,
        }

    def list_permissions(self, arn: str) -> list[dict[str, Any]]:
        self.describe_certificate_authority(arn)
        return list(self._permissions.get(arn, {}).values())

    def delete_permission(self, arn: str, principal: str) -> None:
        self.describe_certificate_authority(arn)
        self._permissions.get(arn, {}).pop(principal, None)


def _request(pem: bytes) -> x509.CertificateSigningRequest:
    try:
        request = x509.load_pem_x509_csr(pem)
        valid = request.is_signature_valid
    except (ValueError, InvalidSignature) as error:
        raise MalformedCsrError from error
    if not valid:
        raise MalformedCsrError
    return request
