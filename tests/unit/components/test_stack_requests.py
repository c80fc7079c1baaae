"""A key that the stack made keeps its request, whoever wrote it; without one it gets one that asks for its name alone.

Cannot prove what the vendor's plugins write; the engine's tests go on from the release before.
"""

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID
from private_iot.errors import ArgumentError
from private_iot.stack_requests import kept_or_new, requests_by_key

from tests.unit.components.authority import key, key_pem

DNS = ("server.private-iot.internal",)


def written_before(kind: str, common_name: str, dns_names: tuple[str, ...] = ()) -> str:
    """A request as Go's x509 writes it: its subject is a PrintableString."""
    named = x509.NameAttribute(NameOID.COMMON_NAME, common_name, x509.name._ASN1Type.PrintableString)
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([named]))
    if dns_names:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(one) for one in dns_names]), False)
    return builder.sign(key(kind), hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


@pytest.mark.parametrize("kind", ["RSA 2048", "P-256"])
@pytest.mark.parametrize("dns_names", [(), DNS])
def test_a_key_keeps_the_request_of_its_certificate_to_the_byte(kind: str, dns_names: tuple[str, ...]) -> None:
    before = written_before(kind, "pi-1", dns_names)
    kept = requests_by_key(["request", written_before("P-384", "pi-1"), before])
    assert kept_or_new(key_pem(kind), "pi-1", dns_names, kept) == before
    made = kept_or_new(key_pem(kind), "pi-1", dns_names, {})
    assert made != before, "so that the same would say nothing"
    assert kept_or_new(key_pem(kind), "pi-1", dns_names, requests_by_key([made])) == made


@pytest.mark.parametrize("kind", ["RSA 2048", "P-256"])
def test_another_name_or_another_key_gets_another_request(kind: str) -> None:
    kept = requests_by_key([written_before(kind, "pi-1", DNS)])
    for name, dns_names in (("pi-2", DNS), ("pi-1", ()), ("pi-1", ("vpn.plant.example",))):
        request = x509.load_pem_x509_csr(kept_or_new(key_pem(kind), name, dns_names, kept).encode())
        assert request.is_signature_valid
        assert request.public_key() == key(kind).public_key()
        assert request.subject.rfc4514_string() == f"CN={name}"
        found = [one.value.get_values_for_type(x509.DNSName) for one in request.extensions]
        assert found == ([[*dns_names]] if dns_names else [])
    other = kept_or_new(key_pem("P-384"), "pi-1", DNS, kept)
    assert x509.load_pem_x509_csr(other.encode()).public_key() == key("P-384").public_key()


def test_a_key_of_another_kind_is_refused_without_being_shown() -> None:
    with pytest.raises(ArgumentError, match="the key is RSA or ECDSA") as refused:
        kept_or_new(key_pem("Ed25519"), "pi-1", (), {})
    assert "PRIVATE" not in str(refused.value)
