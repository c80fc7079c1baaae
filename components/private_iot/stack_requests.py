"""Certificate requests of keys that the stack makes: written here, so that they are no resources of the state.

A provider replaces a certificate whose request changes, and the signature of an ECDSA request is another each time. So
a key keeps the request that its certificate was made with, which the state has: also one that the tls provider wrote
for a release before.
"""

import weakref

import pulumi
import pulumi.runtime
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from private_iot import deployed
from private_iot.errors import ArgumentError

_REQUESTS = {
    deployed.SIGNED_CERTIFICATE: "certRequestPem",
    deployed.IOT_CERTIFICATE: "csr",
    deployed.PRIVATE_CA_CERTIFICATE: "certificateSigningRequest",
}
"""Which output of a certificate is its request."""
_kept: "weakref.WeakKeyDictionary[pulumi.Resource, dict[bytes, str]]" = weakref.WeakKeyDictionary()
"""By the stack under way: public key → request."""


def request_pem(
    private_key_pem: pulumi.Output[str], common_name: str, dns_names: tuple[str, ...] = ()
) -> pulumi.Output[str]:
    """Return the request of a key, PEM; it is public.

    Args:
        private_key_pem: RSA or ECDSA, in any of the forms of the tls provider.
        common_name: What it asks for.
        dns_names: Further names.
    """
    kept = _kept_requests()
    return pulumi.Output.unsecret(private_key_pem.apply(lambda key: kept_or_new(key, common_name, dns_names, kept)))


def kept_or_new(private_key_pem: str, common_name: str, dns_names: tuple[str, ...], kept: dict[bytes, str]) -> str:
    """Return the request that a key has already, if it asks for the same, or a new one.

    Args:
        private_key_pem: RSA or ECDSA.
        common_name: What it asks for.
        dns_names: Further names.
        kept: Public key as `public_key_der` gives it → its request, PEM.
    """
    key = serialization.load_pem_private_key(private_key_pem.encode(), None)
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise ArgumentError("private_key_pem", type(key).__name__, "the key is RSA or ECDSA", "make one of these")
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    before = kept.get(_der(key.public_key()))
    if before is not None:
        request = x509.load_pem_x509_csr(before.encode())
        if request.subject == subject and _dns_names(request) == dns_names:
            return before
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    if dns_names:
        names = x509.SubjectAlternativeName([x509.DNSName(name) for name in dns_names])
        builder = builder.add_extension(names, critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def _kept_requests() -> dict[bytes, str]:
    root = pulumi.runtime.get_root_resource()
    found = _kept.get(root) if root is not None else None
    if found is None:
        pems = [one.outputs.get(_REQUESTS[one.type]) for one in deployed.deployed_resources(*_REQUESTS)]
        found = requests_by_key([pem for pem in pems if isinstance(pem, str)])
        if root is not None:
            _kept[root] = found
    return found


def requests_by_key(pems: list[str]) -> dict[bytes, str]:
    """Return requests by their public key; what is no request is left out."""
    found: dict[bytes, str] = {}
    for pem in pems:
        try:
            key = x509.load_pem_x509_csr(pem.encode()).public_key()
        except ValueError:
            continue
        if isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
            found[_der(key)] = pem
    return found


def _der(key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def _dns_names(request: x509.CertificateSigningRequest) -> tuple[str, ...]:
    try:
        names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    return tuple(names.get_values_for_type(x509.DNSName))
