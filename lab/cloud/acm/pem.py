"""What ACM refuses of an imported certificate, key and chain.

UG is docs.aws.amazon.com/acm/latest/userguide/import-certificate-prerequisites.html. The texts about a chain are
AWS's, as public reports quote them; the others are the lab's own words.
"""

from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from lab import clock
from lab.cloud.acm.exceptions import ValidationError

RSA_BITS = (1024, 2048, 3072, 4096)
CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)
"""UG: RSA of these sizes, and EC on P-256, P-384 and P-521."""


def check_import(certificate_pem: bytes, private_key_pem: bytes, chain_pem: bytes | None) -> None:
    """Refuse what ACM would refuse.

    Args:
        certificate_pem: one certificate.
        private_key_pem: its key, not encrypted.
        chain_pem: its authorities, each one signing the one before; None for a self-signed certificate.

    Raises:
        ValidationError: with what is wrong.
    """
    certificate = _one_certificate(certificate_pem)
    _check_key(_private_key(private_key_pem), certificate)
    chain = _chain(chain_pem) if chain_pem is not None else []
    for one in (certificate, *chain):
        _check_dates(one)
    if not chain:
        if not _issued_by(certificate, certificate):
            raise ValidationError(
                "Provided certificate is not a valid self signed. Please provide either a valid self-signed "
                "certificate or "
                "certificate chain."
            )
        return
    if certificate in chain:
        raise ValidationError("The certificate chain contains the certificate itself; leave the certificate out of it.")
    for subject, issuer in zip((certificate, *chain), chain, strict=False):
        if not _issued_by(subject, issuer):
            raise ValidationError("Could not validate the certificate with the certificate chain.")


def _one_certificate(pem: bytes) -> x509.Certificate:
    try:
        certificates = x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise ValidationError("The certificate is not PEM-encoded or is not valid.") from error
    if len(certificates) != 1:
        raise ValidationError(
            "The certificate field contains more than one certificate. You can specify only one certificate in "
            "this field."
        )
    return certificates[0]


def _chain(pem: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise ValidationError("The certificate chain is not PEM-encoded or is not valid.") from error


def _private_key(pem: bytes) -> Any:
    try:
        return serialization.load_pem_private_key(pem, password=None)
    except TypeError as error:
        raise ValidationError("The private key is encrypted; ACM takes it without a passphrase.") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ValidationError("The private key is not PEM-encoded or is not valid.") from error


def _check_key(key: Any, certificate: x509.Certificate) -> None:
    supported = (isinstance(key, rsa.RSAPrivateKey) and key.key_size in RSA_BITS) or (
        isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, CURVES)
    )
    if not supported:
        raise ValidationError(
            "The private key is not supported: it has to be RSA of 1024, 2048, 3072 or 4096 bits, or EC."
        )
    if key.public_key() != certificate.public_key():
        raise ValidationError("The private key does not belong to the certificate.")


def _check_dates(certificate: x509.Certificate) -> None:
    now = clock.now()
    if certificate.not_valid_after_utc < now:
        raise ValidationError("The certificate has expired, is not valid.")
    if certificate.not_valid_before_utc > now:
        raise ValidationError("The certificate is not in effect yet, is not valid.")


def _issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def extended_key_usages(certificate: x509.Certificate) -> set[str]:
    """Return the dotted identifiers of a certificate's extended key usages."""
    try:
        usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return set()
    return {usage.dotted_string for usage in usages}
