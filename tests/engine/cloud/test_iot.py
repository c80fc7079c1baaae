"""AWS IoT's control plane.

Cannot prove: the names in the certificates that AWS issues for its own authorities.
"""

import hashlib
import json
import re
import urllib.error
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from lab.cloud.server import CloudServer
from tests.engine.aws import Cloud
from tests.engine.cloud.certificates import request as csr_for
from tests.engine.cloud.conftest import refused

pytestmark = pytest.mark.engine

ALLOW = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "iot:Connect", "Resource": "*"}],
}


@pytest.fixture
def certificate(iot: Any) -> dict[str, str]:
    csr = csr_for(ec.generate_private_key(ec.SECP256R1()))
    made = iot.create_certificate_from_csr(certificateSigningRequest=csr, setAsActive=True)
    return {"arn": made["certificateArn"], "id": made["certificateId"]}


@pytest.fixture
def policy(iot: Any, request: pytest.FixtureRequest) -> str:
    name: str = re.sub(r"\W", "-", request.node.name)
    iot.create_policy(policyName=name, policyDocument=json.dumps(ALLOW))
    return name


def test_an_account_has_one_address_of_each_type_in_a_region(iot: Any, client: Callable[..., Any]) -> None:
    def address(kind: str, which: Any = iot) -> str:
        found: str = which.describe_endpoint(endpointType=kind)["endpointAddress"]
        return found

    ats = address("iot:Data-ATS")
    assert re.fullmatch(r"[a-z0-9]{14}-ats\.iot\.ap-northeast-1\.amazonaws\.com", ats)
    assert address("iot:Data-ATS") == ats
    credentials = address("iot:CredentialProvider")
    assert re.fullmatch(r"[a-z0-9]{14}\.credentials\.iot\.ap-northeast-1\.amazonaws\.com", credentials)
    assert address("iot:Data") == ats.replace("-ats", "")
    elsewhere = address("iot:Data-ATS", client("iot", "eu-west-1"))
    assert elsewhere.endswith("-ats.iot.eu-west-1.amazonaws.com")
    assert elsewhere[:14] != ats[:14]
    with refused("InvalidRequestException"):
        address("iot:Nothing")


@pytest.mark.parametrize(
    "key",
    [
        rsa.generate_private_key(public_exponent=65537, key_size=2048),
        ec.generate_private_key(ec.SECP256R1()),
        ec.generate_private_key(ec.SECP384R1()),
    ],
)
def test_a_certificate_is_issued_for_the_key_of_the_request(iot: Any, cloud_directory: Path, key: Any) -> None:
    made = iot.create_certificate_from_csr(certificateSigningRequest=csr_for(key, "pi-1"), setAsActive=True)
    certificate = x509.load_pem_x509_certificate(made["certificatePem"].encode())
    assert certificate.public_key() == key.public_key()
    assert certificate.subject.rfc4514_string() == "CN=AWS IoT Certificate"
    assert certificate.not_valid_after_utc.isoformat() == "2049-12-31T23:59:59+00:00"
    der = certificate.public_bytes(serialization.Encoding.DER)
    assert made["certificateId"] == hashlib.sha256(der).hexdigest()
    assert made["certificateArn"] == f"arn:aws:iot:ap-northeast-1:123456789012:cert/{made['certificateId']}"
    root = x509.load_pem_x509_certificate((cloud_directory / "authority" / "root-ca.pem").read_bytes())
    certificate.verify_directly_issued_by(root)
    description = iot.describe_certificate(certificateId=made["certificateId"])["certificateDescription"]
    assert (description["status"], description["certificatePem"]) == ("ACTIVE", made["certificatePem"])
    assert description["validity"]["notAfter"] == certificate.not_valid_after_utc


def test_a_certificate_is_inactive_unless_asked_otherwise(iot: Any) -> None:
    csr = csr_for(ec.generate_private_key(ec.SECP256R1()))
    for parameters in ({}, {"setAsActive": False}):
        made = iot.create_certificate_from_csr(certificateSigningRequest=csr, **parameters)
        description = iot.describe_certificate(certificateId=made["certificateId"])["certificateDescription"]
        assert description["status"] == "INACTIVE"


def test_the_same_request_twice_gives_two_certificates(iot: Any) -> None:
    csr = csr_for(ec.generate_private_key(ec.SECP256R1()))
    made = {iot.create_certificate_from_csr(certificateSigningRequest=csr)["certificateId"] for _ in range(2)}
    assert len(made) == 2


def test_a_request_that_is_none_or_too_weak_is_refused(iot: Any) -> None:
    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505 - too weak on purpose
    lines = csr_for(ec.generate_private_key(ec.SECP256R1())).splitlines()
    # One letter of the signature changed: still a request, but not its signer's.
    lines[-2] = lines[-2][:-6] + ("A" if lines[-2][-6] != "A" else "B") + lines[-2][-5:]
    for csr, word in {
        "nonsense": "not valid",
        csr_for(weak): "1024 bits",
        csr_for(ec.generate_private_key(ec.SECP256K1())): "P-256",
        "\n".join(lines): "signature",
    }.items():
        with refused("InvalidRequestException", word):
            iot.create_certificate_from_csr(certificateSigningRequest=csr)


def test_keys_made_by_aws_fit_their_certificate(iot: Any) -> None:
    made = iot.create_keys_and_certificate(setAsActive=True)
    certificate = x509.load_pem_x509_certificate(made["certificatePem"].encode())
    key = serialization.load_pem_private_key(made["keyPair"]["PrivateKey"].encode(), password=None)
    assert certificate.public_key() == key.public_key()
    assert isinstance(key, rsa.RSAPrivateKey)
    assert key.key_size == 2048


def test_a_certificate_is_deleted_when_it_is_inactive_and_detached(
    iot: Any, certificate: dict[str, str], policy: str
) -> None:
    iot.create_thing(thingName="pi-delete")
    iot.attach_policy(policyName=policy, target=certificate["arn"])
    iot.attach_thing_principal(thingName="pi-delete", principal=certificate["arn"])
    with refused("CertificateStateException", certificate["id"]):
        iot.delete_certificate(certificateId=certificate["id"])
    with refused("InvalidRequestException", "PENDING_TRANSFER"):
        iot.update_certificate(certificateId=certificate["id"], newStatus="PENDING_TRANSFER")
    iot.update_certificate(certificateId=certificate["id"], newStatus="INACTIVE")
    with refused("DeleteConflictException"):
        iot.delete_certificate(certificateId=certificate["id"])
    with refused("InvalidRequestException", "pi-delete"):
        iot.delete_thing(thingName="pi-delete")
    iot.detach_thing_principal(thingName="pi-delete", principal=certificate["arn"])
    with refused("DeleteConflictException"):
        iot.delete_certificate(certificateId=certificate["id"])
    with refused("DeleteConflictException", policy):
        iot.delete_policy(policyName=policy)
    iot.detach_policy(policyName=policy, target=certificate["arn"])
    iot.delete_certificate(certificateId=certificate["id"])
    iot.delete_policy(policyName=policy)
    iot.delete_thing(thingName="pi-delete")
    with refused("ResourceNotFoundException"):
        iot.describe_certificate(certificateId=certificate["id"])


def test_statuses_change(iot: Any, certificate: dict[str, str]) -> None:
    for status in ("INACTIVE", "ACTIVE", "REVOKED"):
        iot.update_certificate(certificateId=certificate["id"], newStatus=status)
        description = iot.describe_certificate(certificateId=certificate["id"])["certificateDescription"]
        assert description["status"] == status


def document(characters: int, spaces: int = 0) -> str:
    text = json.dumps(ALLOW, separators=(",", ":"))
    return text.replace('"*"', '"' + "x" * (characters - len(text) + 1) + '"') + " " * spaces


def test_a_document_has_2048_characters_at_most_without_white_space(iot: Any) -> None:
    assert len(document(2048)) == 2048
    iot.create_policy(policyName="full", policyDocument=document(2048, spaces=500))
    with refused("MalformedPolicyException", "2049", "2048"):
        iot.create_policy(policyName="over", policyDocument=document(2049))
    with refused("MalformedPolicyException", "2049", "2048"):
        iot.create_policy_version(policyName="full", policyDocument=document(2049))


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ("{", "JSON"),
        ("[]", "JSON object"),
        ({"Version": "2020-01-01"}, "Version"),
        ({"Statement": []}, "Statement"),
        ({"Statement": [{"Effect": "Permit", "Action": "iot:Connect", "Resource": "*"}]}, "Effect"),
        ({"Statement": [{"Effect": "Allow", "Action": "s3cret", "Resource": "*"}]}, "s3cret"),
        ({"Statement": [{"Effect": "Allow", "Action": "iot:Connect"}]}, "Resource"),
        ({"Statement": [{"Effect": "Allow", "Resource": "*"}]}, "Action"),
        ({"Statement": [ALLOW["Statement"][0] | {"Principal": "*"}]}, "Principal"),  # type: ignore[operator]
        ({"Statement": [ALLOW["Statement"][0] | {"Condition": {"Bool": "x"}}]}, "Condition"),  # type: ignore[operator]
        ({"Comment": "x"}, "Comment"),
    ],
)
def test_a_malformed_document_is_refused_by_part(iot: Any, change: Any, word: str) -> None:
    text = change if isinstance(change, str) else json.dumps(ALLOW | change)
    with refused("MalformedPolicyException", word):
        iot.create_policy(policyName="malformed", policyDocument=text)
    with refused("ResourceNotFoundException"):
        iot.get_policy(policyName="malformed")


def test_a_policy_keeps_its_text_and_has_five_versions_at_most(iot: Any, policy: str) -> None:
    text = json.dumps(ALLOW, indent=2)
    for version in ("2", "3", "4", "5"):
        made = iot.create_policy_version(policyName=policy, policyDocument=text, setAsDefault=version == "5")
        assert (made["policyVersionId"], made["isDefaultVersion"]) == (version, version == "5")
    with refused("VersionsLimitExceededException", "5"):
        iot.create_policy_version(policyName=policy, policyDocument=text)
    assert iot.get_policy(policyName=policy)["policyDocument"] == text
    assert iot.get_policy(policyName=policy)["defaultVersionId"] == "5"
    with refused("InvalidRequestException", "default"):
        iot.delete_policy_version(policyName=policy, policyVersionId="5")
    with refused("DeleteConflictException", policy):
        iot.delete_policy(policyName=policy)
    iot.delete_policy_version(policyName=policy, policyVersionId="1")
    assert iot.create_policy_version(policyName=policy, policyDocument=text)["policyVersionId"] == "6"
    with refused("ResourceAlreadyExistsException", policy):
        iot.create_policy(policyName=policy, policyDocument=text)


def test_attachments_are_listed_from_both_ends_in_pages(iot: Any, certificate: dict[str, str]) -> None:
    names = [f"listed-{number}" for number in range(10)]
    for name in names:
        iot.create_policy(policyName=name, policyDocument=json.dumps(ALLOW))
        iot.attach_policy(policyName=name, target=certificate["arn"])
        iot.attach_policy(policyName=name, target=certificate["arn"])
    pages = list(
        iot.get_paginator("list_attached_policies").paginate(
            target=certificate["arn"], PaginationConfig={"PageSize": 4}
        )
    )
    assert [len(page["policies"]) for page in pages] == [4, 4, 2]
    assert [one["policyName"] for page in pages for one in page["policies"]] == names
    assert iot.list_targets_for_policy(policyName=names[0])["targets"] == [certificate["arn"]]
    iot.create_policy(policyName="eleventh", policyDocument=json.dumps(ALLOW))
    with refused("LimitExceededException", "10"):
        iot.attach_policy(policyName="eleventh", target=certificate["arn"])
    with refused("InvalidRequestException"):
        iot.list_attached_policies(target=certificate["arn"], marker="nonsense")


def test_things_and_principals_are_listed_from_both_ends(iot: Any, certificate: dict[str, str]) -> None:
    iot.create_thing(thingName="pi-list")
    iot.attach_thing_principal(thingName="pi-list", principal=certificate["arn"])
    assert iot.list_thing_principals(thingName="pi-list")["principals"] == [certificate["arn"]]
    assert iot.list_principal_things(principal=certificate["arn"])["things"] == ["pi-list"]
    assert iot.list_thing_principals_v2(thingName="pi-list")["thingPrincipalObjects"] == [
        {"principal": certificate["arn"], "thingPrincipalType": "NON_EXCLUSIVE_THING"}
    ]
    assert iot.list_principal_things_v2(principal=certificate["arn"])["principalThingObjects"] == [
        {"thingName": "pi-list", "thingPrincipalType": "NON_EXCLUSIVE_THING"}
    ]
    iot.detach_thing_principal(thingName="pi-list", principal=certificate["arn"])
    assert iot.list_thing_principals(thingName="pi-list")["principals"] == []
    with refused("ResourceNotFoundException"):
        iot.list_thing_principals(thingName="pi-none")


def test_a_principal_is_detached_late_on_request(iot: Any, cloud: CloudServer, certificate: dict[str, str]) -> None:
    """Nothing waits for it: listings show it still, and deletions are refused, until it was looked at so often."""
    account = Cloud(cloud.url)
    attachment = {"thingName": "pi-late", "principal": certificate["arn"]}
    iot.create_thing(thingName="pi-late")
    iot.attach_thing_principal(**attachment)
    account.detach_late(4)
    try:
        iot.detach_thing_principal(**attachment)
        iot.detach_thing_principal(**attachment)
        assert iot.list_thing_principals(thingName="pi-late")["principals"] == [certificate["arn"]]
        assert iot.list_principal_things_v2(principal=certificate["arn"])["principalThingObjects"]
        with refused("InvalidRequestException", "still attached"):
            iot.delete_thing(thingName="pi-late")
        iot.update_certificate(certificateId=certificate["id"], newStatus="INACTIVE")
        with refused("DeleteConflictException", "Things must be detached"):
            iot.delete_certificate(certificateId=certificate["id"])
        assert iot.list_thing_principals_v2(thingName="pi-late")["thingPrincipalObjects"] == []
        iot.delete_thing(thingName="pi-late")
        iot.delete_certificate(certificateId=certificate["id"])
    finally:
        account.detach_late(0)
    with pytest.raises(urllib.error.HTTPError):
        account.detach_late(-1)


def test_an_exclusive_attachment_is_a_certificates_only_one(iot: Any, certificate: dict[str, str]) -> None:
    for name in ("pi-x1", "pi-x2"):
        iot.create_thing(thingName=name)
    exclusive = {"principal": certificate["arn"], "thingPrincipalType": "EXCLUSIVE_THING"}
    iot.attach_thing_principal(thingName="pi-x1", **exclusive)
    with refused("InvalidRequestException", "pi-x1"):
        iot.attach_thing_principal(thingName="pi-x2", principal=certificate["arn"])
    (found,) = iot.list_thing_principals_v2(thingName="pi-x1", thingPrincipalType="EXCLUSIVE_THING")[
        "thingPrincipalObjects"
    ]
    assert found["thingPrincipalType"] == "EXCLUSIVE_THING"


def test_a_thing_is_created_once_and_counts_its_changes(iot: Any) -> None:
    first = iot.create_thing(thingName="pi-once", attributePayload={"attributes": {"site": "lab"}})
    again = iot.create_thing(thingName="pi-once", attributePayload={"attributes": {"site": "lab"}})
    assert (again["thingId"], again["thingArn"]) == (first["thingId"], first["thingArn"])
    with refused("ResourceAlreadyExistsException"):
        iot.create_thing(thingName="pi-once")
    iot.update_thing(thingName="pi-once", attributePayload={"attributes": {"site": "field"}})
    thing = iot.describe_thing(thingName="pi-once")
    assert (thing["version"], thing["attributes"], thing["defaultClientId"]) == (2, {"site": "field"}, "pi-once")


def test_policies_have_tags(iot: Any) -> None:
    arn = iot.create_policy(
        policyName="tagged", policyDocument=json.dumps(ALLOW), tags=[{"Key": "Environment", "Value": "dev"}]
    )["policyArn"]
    iot.tag_resource(resourceArn=arn, tags=[{"Key": "Name", "Value": "x"}])
    iot.untag_resource(resourceArn=arn, tagKeys=["Environment"])
    assert iot.list_tags_for_resource(resourceArn=arn)["tags"] == [{"Key": "Name", "Value": "x"}]
    with refused("ResourceNotFoundException", arn):
        iot.delete_policy(policyName="tagged")
        iot.list_tags_for_resource(resourceArn=arn)
