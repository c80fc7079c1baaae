"""AWS IoT's server certificate, issued by the lab's root as Amazon Trust Services issues the real one."""

import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from lab import clock
from lab.path.parts import IotServer

_DAY = datetime.timedelta(days=1)
_RENEWED_AFTER = 335 * _DAY


class Authority:
    """The lab's root and what it issues.

    Args:
        directory: With ``root-ca.pem`` and ``root-ca.key``.
    """

    def __init__(self, directory: Path) -> None:
        self.root = (directory / "root-ca.pem").read_text(encoding="ascii")
        self._certificate = x509.load_pem_x509_certificate(self.root.encode())
        key = serialization.load_pem_private_key((directory / "root-ca.key").read_bytes(), password=None)
        if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
            raise TypeError(f"{directory / 'root-ca.key'} holds a {type(key).__name__}: RSA or EC is needed")
        self._key = key
        self._issued: dict[tuple[str, bool], tuple[IotServer, datetime.datetime]] = {}
        self.expired = False

    def server(self, region: str) -> IotServer:
        """Return the identity of AWS IoT's front in a Region, the same one until a month before its end.

        The names are those of the real certificate, ``iot.REGION.amazonaws.com`` and ``*.iot.REGION.amazonaws.com``,
        and the credential provider's.
        While `expired` is set, it is one whose validity ended yesterday.
        """
        wanted = (region, self.expired)
        if wanted not in self._issued or self._issued[wanted][1] < clock.now():
            self._issued[wanted] = (self._issue(region, expired=self.expired), clock.now() + _RENEWED_AFTER)
        return self._issued[wanted][0]

    def _issue(self, region: str, *, expired: bool) -> IotServer:
        now = clock.now()
        key = ec.generate_private_key(ec.SECP256R1())
        name = f"*.iot.{region}.amazonaws.com"
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(self._certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 30 * _DAY)
            .not_valid_after(now - _DAY if expired else now + 365 * _DAY)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(
                x509.SubjectAlternativeName(
                    # A wildcard stands for one label: the credential provider's name has one more.
                    [x509.DNSName(each) for each in (f"iot.{region}.amazonaws.com", name, f"*.credentials.{name[2:]}")]
                ),
                critical=False,
            )
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._certificate.public_key()),  # type: ignore[arg-type]  # RSA or EC, as checked
                critical=False,
            )
            .sign(self._key, hashes.SHA256())
        )
        return IotServer(
            certificate=certificate.public_bytes(serialization.Encoding.PEM).decode(),
            private_key=key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            ).decode(),
            device_roots=self.root,
        )
