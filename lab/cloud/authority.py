"""The root certificate authority that stands where Amazon's does.

On AWS a device trusts Amazon's roots for the IoT endpoint, and AWS IoT signs the certificates that it issues. In the
lab one root does both.
"""

import datetime
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPublicKeyTypes
from cryptography.x509.oid import NameOID

from lab.cloud.files import write_atomically

CERTIFICATE_FILE = "root-ca.pem"
PRIVATE_KEY_FILE = "root-ca.key"

ROOT_VALIDITY = datetime.timedelta(days=20 * 365)
DEVICE_NOT_AFTER = datetime.datetime(2049, 12, 31, 23, 59, 59, tzinfo=datetime.UTC)
"""Certificates of AWS IoT end at midnight UTC of December 31, 2049 (IoT developer guide, x509-client-certs.html)."""


@dataclass(frozen=True)
class Authority:
    """The root's certificate and key.

    Attributes:
        certificate: self-signed.
        private_key: signs; never leaves the directory that it was loaded from.
    """

    certificate: x509.Certificate
    private_key: rsa.RSAPrivateKey

    @classmethod
    def load_or_create(cls, directory: Path) -> "Authority":
        """Load the root of a directory, made there the first time.

        Args:
            directory: holds ``root-ca.pem`` and ``root-ca.key`` (mode 0600).

        Returns:
            The authority.
        """
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        certificate_file, key_file = directory / CERTIFICATE_FILE, directory / PRIVATE_KEY_FILE
        if not certificate_file.exists() or not key_file.exists():
            created = cls._create()
            write_atomically(
                key_file,
                created.private_key.private_bytes(
                    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
                ),
                mode=0o600,
            )
            write_atomically(certificate_file, created.certificate.public_bytes(serialization.Encoding.PEM), mode=0o644)
        private_key = serialization.load_pem_private_key(key_file.read_bytes(), password=None)
        if not isinstance(private_key, rsa.RSAPrivateKey):
            raise TypeError(
                f"{key_file} holds a {type(private_key).__name__}; remove it and {certificate_file} to have "
                f"both made anew"
            )
        return cls(x509.load_pem_x509_certificate(certificate_file.read_bytes()), private_key)

    @classmethod
    def _create(cls) -> "Authority":
        private_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        name = x509.Name(
            [
                x509.NameAttribute(NameOID.COUNTRY_NAME, "US"),
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, "private-iot lab"),
                x509.NameAttribute(NameOID.COMMON_NAME, "Lab Root CA 1"),
            ]
        )
        now = datetime.datetime.now(datetime.UTC)
        identifier = x509.SubjectKeyIdentifier.from_public_key(private_key.public_key())
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(private_key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + ROOT_VALIDITY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=True), critical=True)
            .add_extension(identifier, critical=False)
            .sign(private_key, hashes.SHA256())
        )
        return cls(certificate, private_key)

    def issue_device_certificate(self, public_key: CertificateIssuerPublicKeyTypes) -> x509.Certificate:
        """Issue a certificate as AWS IoT does for a device's key.

        Args:
            public_key: RSA of 2048 bits or more, or EC on P-256, P-384 or P-521.

        Returns:
            A certificate for the subject ``CN=AWS IoT Certificate``, valid from now to the end of 2049, signed by
            the root.
        """
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "AWS IoT Certificate")]))
            .issuer_name(self.certificate.subject)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            # AWS IoT dates a certificate two minutes back, so that a device whose clock is a little slow can use it
            # at once.
            .not_valid_before(datetime.datetime.now(datetime.UTC) - datetime.timedelta(minutes=2))
            .not_valid_after(DEVICE_NOT_AFTER)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.private_key.public_key()), critical=False
            )
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .sign(self.private_key, hashes.SHA256())
        )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
