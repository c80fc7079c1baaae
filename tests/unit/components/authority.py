"""Keys, certificate requests and an authority for tests; nothing here leaves the test's memory."""

import datetime
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NOT_BEFORE = datetime.datetime(2025, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
NOT_AFTER = NOT_BEFORE + datetime.timedelta(days=3650)


@cache
def key(kind: str) -> Any:
    """Return a key: `RSA 2048` and so on, a curve's name, or `Ed25519`."""
    if kind.startswith("RSA "):
        return rsa.generate_private_key(public_exponent=65537, key_size=int(kind.removeprefix("RSA ")))
    if kind == "Ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    curves: dict[str, type[ec.EllipticCurve]] = {
        "P-256": ec.SECP256R1,
        "P-384": ec.SECP384R1,
        "secp256k1": ec.SECP256K1,
    }
    return ec.generate_private_key(curves[kind]())


def key_pem(kind: str) -> str:
    pem: bytes = key(kind).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return pem.decode()


def name(*common_names: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, one) for one in common_names])


def request_pem(common_name: str, kind: str, *, subject: x509.Name | None = None, dns_name: str | None = None) -> str:
    builder = x509.CertificateSigningRequestBuilder().subject_name(name(common_name) if subject is None else subject)
    if dns_name:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(dns_name)]), critical=False)
    signed = builder.sign(key(kind), None if kind == "Ed25519" else hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.PEM).decode()


@cache
def authority_pem(kind: str = "RSA 2048", *, key_identifier: bytes | None = None) -> str:
    """Return the certificate of an authority with that key, PEM."""
    identifier = (
        x509.SubjectKeyIdentifier(key_identifier)
        if key_identifier
        else x509.SubjectKeyIdentifier.from_public_key(key(kind).public_key())
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name("Client VPN CA"))
        .issuer_name(name("Client VPN CA"))
        .public_key(key(kind).public_key())
        .serial_number(1)
        .not_valid_before(NOT_BEFORE)
        .not_valid_after(NOT_AFTER)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(identifier, critical=False)
        .sign(key(kind), hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def empty_revocation_list() -> str:
    """Return a list without entries, of an authority of the test's own."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(name("Client VPN CA"))
        .last_update(NOT_BEFORE)
        .next_update(NOT_AFTER)
    )
    return builder.sign(key("RSA 2048"), hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


@cache
def signed_certificate(common_name: str, *, dns_name: str = "", kind: str = "RSA 2048") -> str:
    """Return a certificate of the authority for a client, or for a server where it has a DNS name; PEM."""
    now = datetime.datetime.now(datetime.UTC)
    use = ExtendedKeyUsageOID.SERVER_AUTH if dns_name else ExtendedKeyUsageOID.CLIENT_AUTH
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(common_name))
        .issuer_name(name("Client VPN CA"))
        .public_key(key(kind).public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=100))
        .add_extension(x509.ExtendedKeyUsage([use]), critical=False)
    )
    if dns_name:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(dns_name)]), critical=False)
    return builder.sign(key("RSA 2048"), hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()
