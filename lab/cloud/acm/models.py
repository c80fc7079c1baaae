"""ACM's state where moto's differs from AWS."""

from typing import Any

from cryptography import x509
from moto.acm import models as moto
from moto.acm.exceptions import CertificateNotFound
from moto.acmpca.models import acmpca_backends
from moto.ec2.models import ec2_backends

from lab.cloud.acm.exceptions import ResourceInUseError, ValidationError
from lab.cloud.acm.pem import check_import, extended_key_usages

EXTENDED_KEY_USAGES = {
    "1.3.6.1.5.5.7.3.1": "TLS_WEB_SERVER_AUTHENTICATION",
    "1.3.6.1.5.5.7.3.2": "TLS_WEB_CLIENT_AUTHENTICATION",
}
KEY_USAGES = ("digital_signature", "key_encipherment", "key_agreement", "key_cert_sign", "crl_sign")
KEY_USAGE_NAMES = {"key_cert_sign": "CERTIFICATE_SIGNING", "crl_sign": "CRL_SIGNING"}


class CertBundle(moto.CertBundle):
    """An imported certificate whose chain is what was imported; moto adds a root of Amazon's to it."""

    def __init__(  # noqa: PLR0917 - moto's signature
        self,
        account_id: str,
        certificate: bytes,
        private_key: bytes,
        chain: bytes | None,
        region: str,
        arn: str | None,
    ) -> None:
        super().__init__(account_id, certificate, private_key, chain=chain, region=region, arn=arn)
        self.chain = chain or b""

    def validate_certificate(self) -> x509.Certificate:
        """Read the certificate, which `check_import` has judged by the lab's date; moto has the machine's."""
        return x509.load_pem_x509_certificate(self.cert)

    def validate_chain(self) -> None:
        """Take the chain as it is, for the same reason."""

    def describe(self) -> dict[str, Any]:
        """Return the description that DescribeCertificate gives."""
        description = super().describe()
        certificate = self._cert
        extended = sorted(extended_key_usages(certificate))
        serial = f"{certificate.serial_number:x}"
        serial = serial.zfill(len(serial) + len(serial) % 2)
        description["Certificate"] |= {
            "Serial": ":".join(serial[index : index + 2] for index in range(0, len(serial), 2)),
            "Subject": certificate.subject.rfc4514_string(),
            "InUseBy": self.users(),
            "ExtendedKeyUsages": [{"OID": oid, "Name": EXTENDED_KEY_USAGES.get(oid, "CUSTOM")} for oid in extended],
            "KeyUsages": [{"Name": name} for name in _key_usages(certificate)],
        }
        # ACM user guide, "Managed certificate renewal": what ACM requested itself, and something uses.
        if self.type == "PRIVATE" and description["Certificate"]["InUseBy"]:
            description["Certificate"]["RenewalEligibility"] = "ELIGIBLE"
        return description

    def users(self) -> list[str]:
        """Return the ARNs of what uses the certificate: Client VPN endpoints, here."""
        _, _, _, region, account_id, _ = self.arn.split(":", 5)
        backends = ec2_backends[account_id]
        # Asking for a Region's backend makes one, with a default VPC: a Region that nobody used has no endpoints.
        if region not in list(backends):
            return []
        backend: Any = backends[region]
        users: list[str] = backend.client_vpn_endpoints_using_certificate(self.arn)
        return users


def _key_usages(certificate: x509.Certificate) -> list[str]:
    try:
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return []
    return [KEY_USAGE_NAMES.get(name, name.upper()) for name in KEY_USAGES if getattr(usage, name)]


class CertificateManagerBackend(moto.AWSCertificateManagerBackend):
    """ACM of one account and Region."""

    def import_certificate(
        self,
        certificate: bytes,
        private_key: bytes,
        chain: bytes | None,
        arn: str | None,
        tags: list[dict[str, str]] | None,
    ) -> str:
        """Import a certificate, or put it in the place of the one that an ARN names.

        Args:
            certificate: PEM.
            private_key: PEM.
            chain: PEM.
            arn: of a certificate that was imported before; its tags stay.
            tags: of a new certificate.

        Returns:
            The ARN.
        """
        known = self._certificates.get(arn) if arn is not None else None
        if arn is not None and known is None:
            raise CertificateNotFound(arn=arn, account_id=self.account_id)
        if known is not None and tags:
            # ImportCertificate: "You cannot apply tags when reimporting a certificate."
            raise ValidationError("You cannot apply tags when reimporting a certificate.")
        check_import(certificate, private_key, chain)
        bundle = CertBundle(self.account_id, certificate, private_key, chain, self.region_name, arn)
        if known is not None:
            added = extended_key_usages(bundle._cert) - extended_key_usages(known._cert)
            if extended_key_usages(known._cert) and added:
                raise ValidationError(
                    f"A reimport cannot add the extended key usages {', '.join(sorted(added))}; import it as a "
                    f"new certificate."
                )
            bundle.tags = known.tags
        self._certificates[bundle.arn] = bundle
        if tags:
            self.add_tags_to_certificate(bundle.arn, tags)
        return bundle.arn

    def request_certificate(  # noqa: PLR0917 - moto's signature
        self,
        domain_name: str,
        idempotency_token: str,
        subject_alt_names: list[str],
        tags: list[dict[str, str]],
        cert_authority_arn: str | None = None,
        cert_options: dict[str, Any] | None = None,
    ) -> str:
        """Request a certificate: of a private authority one that it signs, with a key that stays in ACM.

        Args:
            domain_name: Its common name.
            idempotency_token: Of a certificate without a private authority.
            subject_alt_names: Further names.
            tags: Its tags.
            cert_authority_arn: An authority of AWS Private CA.
            cert_options: Its options.

        Returns:
            The ARN.
        """
        if cert_authority_arn is None:
            return super().request_certificate(
                domain_name, idempotency_token, subject_alt_names, tags, cert_authority_arn, cert_options
            )
        authorities: Any = acmpca_backends[self.account_id][self.region_name]
        certificate, private_key, chain = authorities.issue_managed(
            cert_authority_arn, domain_name, subject_alt_names or []
        )
        bundle = CertBundle(self.account_id, certificate, private_key, chain, self.region_name, None)
        bundle.type, bundle.cert_authority_arn = "PRIVATE", cert_authority_arn
        bundle.cert_options |= cert_options or {}
        bundle.tags.add(tags or [])
        self._certificates[bundle.arn] = bundle
        return bundle.arn

    def delete_certificate(self, arn: str) -> None:
        """Delete a certificate that nothing uses."""
        bundle = self._certificates.get(arn)
        if isinstance(bundle, CertBundle) and bundle.users():
            raise ResourceInUseError(arn)
        super().delete_certificate(arn)
