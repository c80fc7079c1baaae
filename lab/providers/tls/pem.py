"""Reading keys, requests and certificates; errors name the input and what is wrong, never the text itself."""

from collections.abc import Callable
from typing import TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from lab.providers.errors import ProviderError

T = TypeVar("T")
PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey

CURVES: dict[str, type[ec.EllipticCurve]] = {
    "P224": ec.SECP224R1,
    "P256": ec.SECP256R1,
    "P384": ec.SECP384R1,
    "P521": ec.SECP521R1,
}


KNOWN: dict[str, PrivateKey] = {}
"""Keys by their PEM: one signs for several resources, and OpenSSL examines an RSA key for 50 ms when it is loaded."""


def private_key(text: str, name: str) -> PrivateKey:
    """A private key out of PEM.

    Args:
        text: The PEM.
        name: The input that holds it, for the message.

    Raises:
        ProviderError: When it is no key, an encrypted one, or of a kind that certificates are not made with.
    """
    if text in KNOWN:
        return KNOWN[text]
    try:
        key = serialization.load_pem_private_key(text.encode(), password=None)
    except (ValueError, TypeError):
        raise ProviderError(f"Failed to parse private key PEM: {name} is not an unencrypted PEM private key") from None
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey):
        raise ProviderError(f"Failed to parse private key PEM: {name} is neither RSA nor ECDSA nor Ed25519")
    KNOWN[text] = key
    return key


def certificate(text: str, name: str) -> x509.Certificate:
    """A certificate out of PEM; it raises as `private_key` does."""
    return _loaded(x509.load_pem_x509_certificate, text, name, "certificate")


def request(text: str, name: str) -> x509.CertificateSigningRequest:
    """A certificate request out of PEM; it raises as `private_key` does."""
    return _loaded(x509.load_pem_x509_csr, text, name, "certificate request")


def _loaded(load: Callable[[bytes], T], text: str, name: str, kind: str) -> T:
    try:
        return load(text.encode())
    except ValueError:
        raise ProviderError(f"Failed to parse {kind} PEM: {name} is not a PEM {kind}") from None


def algorithm(key: PrivateKey) -> str:
    """`RSA`, `ECDSA` or `ED25519`."""
    if isinstance(key, rsa.RSAPrivateKey):
        return "RSA"
    return "ECDSA" if isinstance(key, ec.EllipticCurvePrivateKey) else "ED25519"


def digest(key: PrivateKey) -> hashes.SHA256 | hashes.SHA384 | hashes.SHA512 | None:
    """The hash that Go's crypto/x509 signs with for that key."""
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return None
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.key_size == 384:
        return hashes.SHA384()
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.key_size == 521:
        return hashes.SHA512()
    return hashes.SHA256()
