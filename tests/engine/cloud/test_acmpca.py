"""AWS Private CA of the lab's cloud, through boto3: real signatures, templates, validity, permissions; ACM's requests.

Last compared with AWS: never; each rule's page is named where the lab has it.
"""

import datetime
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.unit.components.authority import key, request_pem

pytestmark = pytest.mark.engine
Client = Callable[..., Any]
TEMPLATE = "arn:aws:acm-pca:::template/"
YEARS = {"Type": "YEARS", "Value": 10}
DAYS = {"Type": "DAYS", "Value": 825}


def create(client: Client, **more: Any) -> str:
    """Return the ARN of an authority that still has no certificate."""
    subject = {"CommonName": "Client VPN CA"}
    arn: str = client("acm-pca").create_certificate_authority(
        CertificateAuthorityConfiguration={
            "KeyAlgorithm": "RSA_2048",
            "SigningAlgorithm": "SHA256WITHRSA",
            "Subject": subject,
        },
        CertificateAuthorityType="ROOT",
        **more,
    )["CertificateAuthorityArn"]
    return arn


def issue(client: Client, arn: str, request: str, template: str, validity: dict[str, Any]) -> x509.Certificate:
    pca = client("acm-pca")
    certificate_arn = pca.issue_certificate(
        CertificateAuthorityArn=arn,
        Csr=request.encode(),
        SigningAlgorithm="SHA256WITHRSA",
        TemplateArn=TEMPLATE + template,
        Validity=validity,
    )["CertificateArn"]
    found = pca.get_certificate(CertificateAuthorityArn=arn, CertificateArn=certificate_arn)
    return x509.load_pem_x509_certificate(found["Certificate"].encode())


@pytest.fixture
def active(client: Client) -> tuple[Client, str, x509.Certificate]:
    """A cloud with an authority that has its own certificate."""
    return activate(client, create(client))


def activate(client: Client, arn: str) -> tuple[Client, str, x509.Certificate]:
    pca = client("acm-pca")
    request = pca.get_certificate_authority_csr(CertificateAuthorityArn=arn)["Csr"]
    root = issue(client, arn, request, "RootCACertificate/V1", YEARS)
    pem = root.public_bytes(serialization.Encoding.PEM)
    pca.import_certificate_authority_certificate(CertificateAuthorityArn=arn, Certificate=pem)
    return client, arn, root


def test_a_device_s_request_is_signed_for_a_client_alone(active: tuple[Client, str, x509.Certificate]) -> None:
    client, arn, root = active
    made = issue(client, arn, request_pem("pi-1", "RSA 2048"), "EndEntityClientAuthCertificate/V1", DAYS)
    made.verify_directly_issued_by(root)
    assert made.subject.rfc4514_string() == "CN=pi-1"
    assert made.public_key() == key("RSA 2048").public_key()
    assert list(made.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [
        ExtendedKeyUsageOID.CLIENT_AUTH
    ]
    left = made.not_valid_after_utc - datetime.datetime.now(datetime.UTC)
    assert datetime.timedelta(days=824) < left <= datetime.timedelta(days=825)


def test_acm_requests_a_server_s_certificate_and_keeps_its_key(active: tuple[Client, str, x509.Certificate]) -> None:
    client, arn, root = active
    acm = client("acm")
    requested = acm.request_certificate(DomainName="server.private-iot.internal", CertificateAuthorityArn=arn)
    found = acm.get_certificate(CertificateArn=requested["CertificateArn"])
    made = x509.load_pem_x509_certificate(found["Certificate"].encode())
    made.verify_directly_issued_by(root)
    assert x509.load_pem_x509_certificate(found["CertificateChain"].encode()) == root
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["server.private-iot.internal"]
    described = acm.describe_certificate(CertificateArn=requested["CertificateArn"])["Certificate"]
    assert (described["Type"], described["Status"]) == ("PRIVATE", "ISSUED")
    assert described["CertificateAuthorityArn"] == arn


def test_no_certificate_outlives_its_authority(active: tuple[Client, str, x509.Certificate]) -> None:
    client, arn, _ = active
    with pytest.raises(ClientError, match="exceeds the certificate authority validity"):
        issue(client, arn, request_pem("pi-1", "RSA 2048"), "EndEntityClientAuthCertificate/V1", YEARS | {"Value": 11})


def test_a_short_lived_authority_signs_for_seven_days_at_most(client: Client) -> None:
    client, arn, _ = activate(client, create(client, UsageMode="SHORT_LIVED_CERTIFICATE"))
    request = request_pem("pi-1", "RSA 2048")
    issue(client, arn, request, "EndEntityClientAuthCertificate/V1", {"Type": "DAYS", "Value": 7})
    with pytest.raises(ClientError, match="short-lived certificate mode"):
        client("acm").request_certificate(DomainName="server.private-iot.internal", CertificateAuthorityArn=arn)
    with pytest.raises(ClientError, match="cannot exceed 7 days"):
        issue(client, arn, request, "EndEntityClientAuthCertificate/V1", {"Type": "DAYS", "Value": 8})


def test_an_authority_without_a_certificate_signs_nothing_but_its_own(client: Client) -> None:
    arn = create(client)
    with pytest.raises(ClientError, match="InvalidStateException"):
        issue(client, arn, request_pem("pi-1", "RSA 2048"), "EndEntityClientAuthCertificate/V1", DAYS)


def test_a_certificate_of_another_key_is_not_taken_as_the_authority_s(
    active: tuple[Client, str, x509.Certificate],
) -> None:
    client, _, root = active
    pem = root.public_bytes(serialization.Encoding.PEM)
    with pytest.raises(ClientError, match="MalformedCertificateException"):
        client("acm-pca").import_certificate_authority_certificate(
            CertificateAuthorityArn=create(client), Certificate=pem
        )


def test_an_active_authority_is_disabled_before_it_is_deleted(active: tuple[Client, str, x509.Certificate]) -> None:
    client, arn, _ = active
    pca = client("acm-pca")
    with pytest.raises(ClientError, match="InvalidStateException"):
        pca.delete_certificate_authority(CertificateAuthorityArn=arn)
    pca.update_certificate_authority(CertificateAuthorityArn=arn, Status="DISABLED")
    pca.delete_certificate_authority(CertificateAuthorityArn=arn)


def test_acm_s_permission_is_given_once_and_taken_back(active: tuple[Client, str, x509.Certificate]) -> None:
    client, arn, _ = active
    pca = client("acm-pca")
    permission = {"CertificateAuthorityArn": arn, "Principal": "acm.amazonaws.com"}
    pca.create_permission(**permission, Actions=["IssueCertificate", "GetCertificate", "ListPermissions"])
    with pytest.raises(ClientError, match="PermissionAlreadyExistsException"):
        pca.create_permission(**permission, Actions=["IssueCertificate"])
    assert [one["Principal"] for one in pca.list_permissions(CertificateAuthorityArn=arn)["Permissions"]] == [
        "acm.amazonaws.com"
    ]
    pca.delete_permission(**permission)
    assert pca.list_permissions(CertificateAuthorityArn=arn)["Permissions"] == []


@pytest.mark.parametrize(
    "change",
    [
        {"Csr": b"garbage"},
        {"TemplateArn": f"{TEMPLATE}CodeSigningCertificate/V1"},
        {"SigningAlgorithm": "SHA256WITHECDSA"},
        {"Validity": {"Type": "ABSOLUTE", "Value": 1}},
    ],
)
def test_what_the_service_refuses_is_refused(
    active: tuple[Client, str, x509.Certificate], change: dict[str, Any]
) -> None:
    client, arn, _ = active
    good = {
        "CertificateAuthorityArn": arn,
        "Csr": request_pem("pi-1", "RSA 2048").encode(),
        "SigningAlgorithm": "SHA256WITHRSA",
        "Validity": DAYS,
    }
    with pytest.raises(ClientError):
        client("acm-pca").issue_certificate(**good | change)
