"""Certificates for the tests: an authority, an endpoint's certificate and devices' certificates."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Credential:
    """A certificate and its key in files; ``certificate_id`` is the SHA-256 of the DER."""

    certificate_file: Path
    private_key_file: Path
    pem: str
    certificate_id: str


class Authority:
    """A certificate authority of its own."""

    def __init__(self, directory: Path, name: str = "Test Root") -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._numbers = 0
        certificate = self._sign(self._name, self._key, days=30, names=(), authority=True)
        self.root_file = directory / f"{name.replace(' ', '-').lower()}.pem"
        self.root_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def _sign(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, *, days: int, names: tuple[str, ...], authority: bool
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=60))
            .not_valid_after(now + timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        )
        if names:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False
            )
        return builder.sign(self._key, hashes.SHA256())

    def issue(self, common_name: str, *, days: int = 30, names: tuple[str, ...] = ()) -> Credential:
        """Issue a certificate; a negative number of days gives one that has expired."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
        certificate = self._sign(subject, key, days=days, names=names, authority=False)
        self._numbers += 1
        stem = self._directory / f"{self.root_file_stem()}-{self._numbers}"
        pem = certificate.public_bytes(serialization.Encoding.PEM)
        certificate_file, key_file = stem.with_suffix(".pem"), stem.with_suffix(".key")
        certificate_file.write_bytes(pem)
        key_file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        der = certificate.public_bytes(serialization.Encoding.DER)
        return Credential(certificate_file, key_file, pem.decode(), hashlib.sha256(der).hexdigest())

    def root_file_stem(self) -> str:
        """A name for files of this authority."""
        return self._name.rfc4514_string().removeprefix("CN=").replace(" ", "-").lower()
