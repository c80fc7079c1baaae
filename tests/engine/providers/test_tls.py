"""Keys, requests and certificates of the tls stand-in, read back by `cryptography` and by OpenSSL.

Cannot prove that the vendor's plugin writes the same bytes: names are UTF-8 here where Go prefers PrintableString.
"""

import base64
import hashlib
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from lab.providers.tls.issuing import read_certificate
from lab.providers.values import UNKNOWN, Properties, Secret, reveal
from tests.engine.providers.plugin import Made, Plugin, Refused, assert_settled

pytestmark = pytest.mark.engine

KEY = "tls:index/privateKey:PrivateKey"
REQUEST = "tls:index/certRequest:CertRequest"
SELF_SIGNED = "tls:index/selfSignedCert:SelfSignedCert"
SIGNED = "tls:index/locallySignedCert:LocallySignedCert"


@pytest.fixture(scope="module")
def ca_key(tls: Plugin) -> Made:
    return tls.create(KEY, {"algorithm": "RSA"})


@pytest.fixture(scope="module")
def ca_news(ca_key: Made) -> Properties:
    return {
        "privateKeyPem": ca_key.state["privateKeyPem"],
        "subject": {"commonName": "private-iot CA", "organization": "private-iot", "country": "JP"},
        "validityPeriodHours": 24 * 365,
        "allowedUses": ["cert_signing", "crl_signing"],
        "isCaCertificate": True,
    }


@pytest.fixture(scope="module")
def ca(tls: Plugin, ca_news: Properties) -> Made:
    return tls.create(SELF_SIGNED, ca_news)


@pytest.fixture(scope="module")
def request_(tls: Plugin, ca_key: Made) -> Made:
    return tls.create(
        REQUEST,
        {
            "privateKeyPem": ca_key.state["privateKeyPem"],
            "subject": {"commonName": "server.private-iot.internal"},
            "dnsNames": ["server.private-iot.internal"],
            "ipAddresses": ["10.0.0.2"],
            "uris": ["spiffe://private-iot/server"],
        },
    )


@pytest.fixture(scope="module")
def signed_news(ca_key: Made, ca: Made, request_: Made) -> Properties:
    return {
        "certRequestPem": request_.state["certRequestPem"],
        "caPrivateKeyPem": ca_key.state["privateKeyPem"],
        "caCertPem": ca.state["certPem"],
        "validityPeriodHours": 825 * 24,
        "allowedUses": ["digital_signature", "key_encipherment", "server_auth"],
        "setSubjectKeyId": True,
    }


@pytest.mark.parametrize(
    ("given", "header", "ssh"),
    [
        ({"algorithm": "RSA"}, "RSA PRIVATE KEY", "ssh-rsa"),
        ({"algorithm": "RSA", "rsaBits": 3072}, "RSA PRIVATE KEY", "ssh-rsa"),
        ({"algorithm": "ECDSA", "ecdsaCurve": "P256"}, "EC PRIVATE KEY", "ecdsa-sha2-nistp256"),
        ({"algorithm": "ECDSA", "ecdsaCurve": "P384"}, "EC PRIVATE KEY", "ecdsa-sha2-nistp384"),
        ({"algorithm": "ECDSA", "ecdsaCurve": "P521"}, "EC PRIVATE KEY", "ecdsa-sha2-nistp521"),
        ({"algorithm": "ECDSA"}, "EC PRIVATE KEY", ""),
        ({"algorithm": "ED25519"}, "PRIVATE KEY", "ssh-ed25519"),
    ],
)
def test_a_key_has_every_form_and_they_agree(tls: Plugin, given: dict[str, Any], header: str, ssh: str) -> None:
    made = tls.create(KEY, given)
    state = made.state
    for name in ("privateKeyPem", "privateKeyPemPkcs8", "privateKeyOpenssh"):
        assert isinstance(state[name], Secret)
    assert state["privateKeyPem"].value.startswith(f"-----BEGIN {header}-----\n")
    assert state["privateKeyPemPkcs8"].value.startswith("-----BEGIN PRIVATE KEY-----\n")
    for name in ("privateKeyPem", "privateKeyPemPkcs8"):
        key = serialization.load_pem_private_key(reveal(state[name]).encode(), None)
        public = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        assert public.decode() == state["publicKeyPem"]
    assert state["publicKeyOpenssh"].split(" ")[0].strip() == ssh
    assert (state["rsaBits"], state["ecdsaCurve"]) == (given.get("rsaBits", 2048), given.get("ecdsaCurve", "P224"))
    assert len(made.id) == 40
    assert_settled(tls, made, given)
    assert tls.plan(made, {**given, "rsaBits": 4096}).replaces == ["rsaBits"]


def test_the_fingerprints_are_those_of_openssh(tls: Plugin) -> None:
    """Source: ssh-keygen(1): SHA-256 in base64 without padding, MD5 in hexadecimal pairs (RFC 4716, section 4)."""
    state = tls.create(KEY, {"algorithm": "ED25519"}).state
    blob = base64.b64decode(state["publicKeyOpenssh"].split()[1])
    sha256 = base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
    md5 = hashlib.md5(blob, usedforsecurity=False).hexdigest()
    assert state["publicKeyFingerprintSha256"] == f"SHA256:{sha256}"
    assert state["publicKeyFingerprintMd5"] == ":".join(md5[place : place + 2] for place in range(0, len(md5), 2))


def test_a_preview_of_a_key_knows_only_what_is_asked_for(tls: Plugin) -> None:
    planned = tls.preview(KEY, {"algorithm": "RSA"})
    assert planned["algorithm"] == "RSA"
    assert planned["publicKeyPem"] is UNKNOWN
    assert planned["privateKeyPem"] == Secret(UNKNOWN), "unknown, and secret once it is known"


def test_a_request_names_whom_it_is_for(tls: Plugin, request_: Made) -> None:
    request = x509.load_pem_x509_csr(request_.state["certRequestPem"].encode())
    assert request.is_signature_valid
    names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["server.private-iot.internal"]
    assert str(names.get_values_for_type(x509.IPAddress)[0]) == "10.0.0.2"
    assert request_.state["keyAlgorithm"] == "RSA"
    assert isinstance(request_.state["privateKeyPem"], Secret)
    changed = {**request_.inputs, "dnsNames": ["other.test"]}
    assert tls.plan(request_, changed).replaces == ["dnsNames"]


def test_a_ca_says_that_it_is_one(tls: Plugin, ca: Made, ca_news: Properties) -> None:
    certificate = x509.load_pem_x509_certificate(ca.state["certPem"].encode())
    assert certificate.extensions.get_extension_for_class(x509.BasicConstraints).value == x509.BasicConstraints(
        True, None
    )
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical
    assert (usage.value.key_cert_sign, usage.value.crl_sign, usage.value.digital_signature) == (True, True, False)
    certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    parts = [(part.oid, part.value) for part in certificate.subject]
    assert parts == [
        (NameOID.COUNTRY_NAME, "JP"),
        (NameOID.ORGANIZATION_NAME, "private-iot"),
        (NameOID.COMMON_NAME, "private-iot CA"),
    ]
    assert ca.id == str(certificate.serial_number)
    lasts = datetime.fromisoformat(ca.state["validityEndTime"]) - datetime.fromisoformat(ca.state["validityStartTime"])
    assert lasts == timedelta(hours=24 * 365)
    assert_settled(tls, ca, ca_news)


def test_a_signed_certificate_verifies_against_its_ca(
    tls: Plugin, ca: Made, signed_news: Properties, tmp_path: Path
) -> None:
    made = tls.create(SIGNED, signed_news)
    certificate = x509.load_pem_x509_certificate(made.state["certPem"].encode())
    authority = x509.load_pem_x509_certificate(ca.state["certPem"].encode())
    certificate.verify_directly_issued_by(authority)
    own = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    link = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    assert link.key_identifier == own
    extended = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(extended) == [ExtendedKeyUsageOID.SERVER_AUTH]
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["server.private-iot.internal"]
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == ["spiffe://private-iot/server"]
    (tmp_path / "ca.pem").write_text(ca.state["certPem"])
    (tmp_path / "server.pem").write_text(made.state["certPem"])
    subprocess.run(
        ["openssl", "verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", "ca.pem", "server.pem"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    assert made.state["caKeyAlgorithm"] == "RSA"
    assert isinstance(made.state["caPrivateKeyPem"], Secret)
    assert_settled(tls, made, signed_news)


@pytest.mark.parametrize(
    "change",
    [
        {"validityPeriodHours": 1},
        {"allowedUses": ["client_auth"]},
        {"caCertPem": "-----BEGIN CERTIFICATE-----\nother"},
        {"certRequestPem": UNKNOWN},
        {"isCaCertificate": True},
        {"setSubjectKeyId": False},
    ],
)
def test_any_change_replaces_a_certificate(tls: Plugin, signed_news: Properties, change: dict[str, Any]) -> None:
    made = tls.create(SIGNED, signed_news)
    assert tls.plan(made, {**signed_news, **change}).replaces == list(change)


def test_early_renewal_changes_in_place_while_it_is_not_due(tls: Plugin, signed_news: Properties) -> None:
    made = tls.create(SIGNED, {**signed_news, "validityPeriodHours": 9})
    early = {**signed_news, "validityPeriodHours": 9, "earlyRenewalHours": 3}
    plan = tls.plan(made, early)
    assert (plan.properties, plan.replaces) == (["earlyRenewalHours"], [])
    changed = tls.update(made, early)
    assert changed.state["certPem"] == made.state["certPem"]
    assert_settled(tls, changed, early)


@pytest.mark.parametrize("kind", [SELF_SIGNED, SIGNED])
@pytest.mark.parametrize(
    ("lasts", "due"),
    [((30 * 24, 0), False), ((30 * 24, 1440), True), ((0, 0), True), ((2, 1), False), ((2, 2), True)],
    ids=str,
)
def test_a_certificate_that_is_due_is_replaced_though_no_input_changed(
    request: pytest.FixtureRequest, tls: Plugin, kind: str, lasts: tuple[int, int], due: bool
) -> None:
    """As measured with pulumi-tls 5.6.2: the engine asks Diff although the inputs are equal, and an up replaces it."""
    news = request.getfixturevalue("ca_news" if kind == SELF_SIGNED else "signed_news")
    news = {**news, "validityPeriodHours": lasts[0], "earlyRenewalHours": lasts[1]}
    made = tls.create(kind, news)
    plan = tls.plan(made, news)
    assert (plan.changes, plan.replaces) == (due, ["readyForRenewal"] if due else [])
    assert not plan.delete_before_replace
    assert plan.detail == {}, "a framework type has no detailed difference"
    seen = tls.refresh(made)
    assert seen is not None
    assert seen.state["readyForRenewal"] is due


def test_an_expired_certificate_is_ready_for_renewal() -> None:
    call: Any = None
    past = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    state = read_certificate(call, "1", {"validityEndTime": past, "earlyRenewalHours": 0})
    assert state is not None
    assert state["readyForRenewal"] is True


@pytest.mark.parametrize(("length", "written"), [(-1, None), (0, None), (2, 2)])
def test_a_path_length_of_zero_is_lost_as_in_the_provider(
    tls: Plugin, ca_news: Properties, length: int, written: int | None
) -> None:
    made = tls.create(SELF_SIGNED, {**ca_news, "maxPathLength": length})
    certificate = x509.load_pem_x509_certificate(made.state["certPem"].encode())
    assert certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length == written


def test_a_self_signed_certificates_authority_key_id_is_its_own(tls: Plugin, ca_news: Properties) -> None:
    made = tls.create(SELF_SIGNED, {**ca_news, "setAuthorityKeyId": True})
    extensions = x509.load_pem_x509_certificate(made.state["certPem"].encode()).extensions
    own = extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    assert extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier == own
    with pytest.raises(Refused, match="Could not determine Authority Key Identifier"):
        tls.create(SELF_SIGNED, {**ca_news, "isCaCertificate": False, "setAuthorityKeyId": True})


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        (SELF_SIGNED, {"subject": {}}, "Must contain at least one Distinguished Name"),
        (SELF_SIGNED, {"privateKeyPem": "nonsense"}, "privateKeyPem is not an unencrypted PEM private key"),
        (SELF_SIGNED, {"validityPeriodHours": 10**9}, "past the year 9999"),
        (SELF_SIGNED, {"subject": {"country": "Japan"}}, "country"),
        (SIGNED, {"certRequestPem": "nonsense"}, "certRequestPem is not a PEM certificate request"),
        (SIGNED, {"caCertPem": "nonsense"}, "caCertPem is not a PEM certificate"),
        (SIGNED, {"caPrivateKeyPem": "nonsense"}, "caPrivateKeyPem is not an unencrypted PEM private key"),
    ],
)
def test_material_that_cannot_be_used_is_refused_by_its_name(
    request: pytest.FixtureRequest, tls: Plugin, kind: str, change: dict[str, Any], message: str
) -> None:
    news = request.getfixturevalue("ca_news" if kind == SELF_SIGNED else "signed_news")
    with pytest.raises(Refused, match=message):
        tls.create(kind, {**news, **change})


def test_a_key_that_is_not_the_cas_is_refused(tls: Plugin, signed_news: Properties) -> None:
    other = tls.create(KEY, {"algorithm": "RSA"}).state["privateKeyPem"]
    with pytest.raises(Refused, match="doesn't match the public key of caCertPem") as refused:
        tls.create(SIGNED, {**signed_news, "caPrivateKeyPem": other})
    assert "PRIVATE KEY" not in refused.value.text


@pytest.mark.parametrize(
    ("kind", "given", "property_"),
    [
        (KEY, {"algorithm": "DSA"}, "algorithm"),
        (KEY, {"algorithm": "ECDSA", "ecdsaCurve": "P-256"}, "ecdsaCurve"),
        (KEY, {}, "algorithm"),
        (REQUEST, {"privateKeyPem": "x", "ipAddresses": ["10.0.0"]}, "ipAddresses[0]"),
        (REQUEST, {"privateKeyPem": "x", "uris": ["//host"]}, "uris[0]"),
        (REQUEST, {"privateKeyPem": "x", "subject": {"common_name": "x"}}, "subject.common_name"),
        (SELF_SIGNED, {"privateKeyPem": "x", "validityPeriodHours": 1, "allowedUses": ["server"]}, "allowedUses[0]"),
        (SELF_SIGNED, {"privateKeyPem": "x", "validityPeriodHours": -1, "allowedUses": []}, "validityPeriodHours"),
    ],
)
def test_a_bad_input_is_refused_by_its_path(tls: Plugin, kind: str, given: dict[str, Any], property_: str) -> None:
    _, failures = tls.check(kind, given)
    assert list(failures) == [property_]
