"""Imported certificates.

Cannot prove: ACM's wording, except that about chains.
"""

from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.engine.cloud.certificates import DAY, NOW, Pair, import_into, issue, private_key_pem
from tests.engine.cloud.conftest import refused

pytestmark = pytest.mark.engine


def describe(acm: Any, arn: str) -> dict[str, Any]:
    certificate: dict[str, Any] = acm.describe_certificate(CertificateArn=arn)["Certificate"]
    return certificate


def test_an_imported_certificate_is_described_by_what_it_says(acm: Any, authority: Pair) -> None:
    pair = issue("server.vpn.example.com", authority, dns_names=("server.vpn.example.com", "vpn.example.com"))
    certificate = describe(acm, import_into(acm, pair, authority))
    assert (certificate["DomainName"], certificate["KeyAlgorithm"]) == ("server.vpn.example.com", "RSA_2048")
    assert certificate["SubjectAlternativeNames"] == ["server.vpn.example.com", "vpn.example.com"]
    assert (certificate["Status"], certificate["Type"]) == ("ISSUED", "IMPORTED")
    assert certificate["NotAfter"].timestamp() == int(pair.certificate.not_valid_after_utc.timestamp())
    assert certificate["Issuer"] == "vpn-ca.example.com"
    assert certificate["Subject"] == "CN=server.vpn.example.com"
    assert int(certificate["Serial"].replace(":", ""), 16) == pair.certificate.serial_number
    assert [usage["Name"] for usage in certificate["ExtendedKeyUsages"]] == ["TLS_WEB_SERVER_AUTHENTICATION"]
    assert certificate["InUseBy"] == []


def test_the_certificate_and_chain_come_back_as_they_were_imported(acm: Any, authority: Pair) -> None:
    pair = issue("server.vpn.example.com", authority)
    answer = acm.get_certificate(CertificateArn=import_into(acm, pair, authority))
    assert answer["Certificate"] == pair.pem.decode()
    assert answer["CertificateChain"] == authority.pem.decode()
    alone = acm.get_certificate(CertificateArn=import_into(acm, authority))
    assert "CertificateChain" not in alone


@pytest.mark.parametrize(
    ("make_key", "algorithm"),
    [
        (lambda: rsa.generate_private_key(public_exponent=65537, key_size=3072), "RSA_3072"),
        (lambda: ec.generate_private_key(ec.SECP256R1()), "EC_prime256v1"),
        (lambda: ec.generate_private_key(ec.SECP384R1()), "EC_secp384r1"),
    ],
)
def test_keys_are_named_as_acm_names_them(
    acm: Any, authority: Pair, make_key: Callable[[], Any], algorithm: str
) -> None:
    pair = issue("server.vpn.example.com", authority, key=make_key())
    assert describe(acm, import_into(acm, pair, authority))["KeyAlgorithm"] == algorithm


def test_what_is_not_pem_is_refused_by_part(acm: Any, authority: Pair) -> None:
    pair = issue("server.vpn.example.com", authority)
    good = {"Certificate": pair.pem, "PrivateKey": pair.key_pem, "CertificateChain": authority.pem}
    for part, word in {"Certificate": "certificate", "PrivateKey": "private key", "CertificateChain": "chain"}.items():
        with refused("ValidationException", word, "PEM"):
            acm.import_certificate(**good | {part: b"nonsense"})
    with refused("ValidationException", "more than one certificate"):
        acm.import_certificate(**good | {"Certificate": pair.pem + authority.pem})
    with refused("ValidationException", "encrypted"):
        acm.import_certificate(**good | {"PrivateKey": private_key_pem(pair.key, b"secret")})
    with refused("ValidationException", "does not belong"):
        acm.import_certificate(**good | {"PrivateKey": authority.key_pem})


def test_a_key_that_acm_does_not_take_is_refused(acm: Any, authority: Pair) -> None:
    odd: Any = ed25519.Ed25519PrivateKey.generate()
    with refused("ValidationException", "not supported"):
        import_into(acm, issue("server.vpn.example.com", authority, key=odd), authority)


def test_a_chain_has_the_signers_in_order_and_not_the_certificate(acm: Any, authority: Pair) -> None:
    middle = issue("middle.example.com", authority, is_authority=True)
    pair = issue("server.vpn.example.com", middle)
    import_into(acm, pair, middle, authority)
    import_into(acm, pair, middle)
    for chain in ((authority, middle), (authority,), (issue("other.example.com", is_authority=True),)):
        with refused("ValidationException", "Could not validate the certificate with the certificate chain."):
            import_into(acm, pair, *chain)
    with refused("ValidationException", "contains the certificate itself"):
        import_into(acm, pair, pair, middle, authority)
    with refused("ValidationException", "not a valid self signed"):
        import_into(acm, pair)


def test_only_currently_valid_certificates_are_taken(acm: Any, authority: Pair) -> None:
    expired = issue("server.vpn.example.com", authority, not_before=NOW - 9 * DAY, not_after=NOW - DAY)
    with refused("ValidationException", "expired"):
        import_into(acm, expired, authority)
    early = issue("server.vpn.example.com", authority, not_before=NOW + DAY)
    with refused("ValidationException", "not in effect yet"):
        import_into(acm, early, authority)
    old_authority = issue("old.example.com", is_authority=True, not_before=NOW - 9 * DAY, not_after=NOW - DAY)
    with refused("ValidationException", "expired"):
        import_into(acm, issue("server.vpn.example.com", old_authority), old_authority)


def test_a_reimport_keeps_the_arn_and_the_tags(acm: Any, authority: Pair) -> None:
    arn = import_into(
        acm, issue("server.vpn.example.com", authority), authority, Tags=[{"Key": "Name", "Value": "server"}]
    )
    renewed = issue("server.vpn.example.com", authority)
    assert import_into(acm, renewed, authority, CertificateArn=arn) == arn
    assert acm.get_certificate(CertificateArn=arn)["Certificate"] == renewed.pem.decode()
    assert acm.list_tags_for_certificate(CertificateArn=arn)["Tags"] == [{"Key": "Name", "Value": "server"}]
    with refused("ValidationException", "cannot apply tags"):
        import_into(acm, renewed, authority, CertificateArn=arn, Tags=[{"Key": "a", "Value": "b"}])
    with refused("ResourceNotFoundException"):
        import_into(acm, renewed, authority, CertificateArn=f"{arn[:-1]}g")
    both = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)
    with refused("ValidationException", "1.3.6.1.5.5.7.3.2"):
        import_into(acm, issue("server.vpn.example.com", authority, usages=both), authority, CertificateArn=arn)


def test_a_reimport_that_is_refused_leaves_the_certificate(acm: Any, authority: Pair) -> None:
    pair = issue("server.vpn.example.com", authority)
    arn = import_into(acm, pair, authority)
    with refused("ValidationException"):
        import_into(acm, issue("server.vpn.example.com", authority), CertificateArn=arn)
    assert acm.get_certificate(CertificateArn=arn)["Certificate"] == pair.pem.decode()


def test_a_certificate_in_use_by_a_client_vpn_endpoint_cannot_be_deleted(
    acm: Any, ec2: Any, authority: Pair, make_endpoint: Callable[..., str]
) -> None:
    server, root = import_into(acm, issue("a.example.com", authority), authority), import_into(acm, authority)
    endpoint_id = make_endpoint(
        ServerCertificateArn=server,
        AuthenticationOptions=[
            {"Type": "certificate-authentication", "MutualAuthentication": {"ClientRootCertificateChainArn": root}}
        ],
    )
    for arn in (server, root):
        assert describe(acm, arn)["InUseBy"] == [
            f"arn:aws:ec2:ap-northeast-1:123456789012:client-vpn-endpoint/{endpoint_id}"
        ]
        with refused("ResourceInUseException", arn):
            acm.delete_certificate(CertificateArn=arn)
    ec2.delete_client_vpn_endpoint(ClientVpnEndpointId=endpoint_id)
    for arn in (server, root):
        assert describe(acm, arn)["InUseBy"] == []
        acm.delete_certificate(CertificateArn=arn)
        with refused("ResourceNotFoundException", arn):
            describe(acm, arn)
