"""Certificates over the years: requests, renewal, revocation, and a stack that the release before deployed.

Time is moved in the state: the tls provider reads a certificate's end there. Cannot prove what AWS does with a list or
with a certificate that is imported again; docs/fidelity says where each rule comes from.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from tests.engine.aws import Cloud
from tests.engine.conftest import StackFactory
from tests.engine.stack import Outcome, Stack
from tests.unit.components.authority import empty_revocation_list, request_pem

pytestmark = pytest.mark.engine

BASE = {"private-iot:availabilityZones": ["ap-northeast-1a"]}
AUTHORITY = "tls:index/selfSignedCert:SelfSignedCert"
ISSUED = "tls:index/locallySignedCert:LocallySignedCert"
REGISTER = "pulumi-python:dynamic/private-iot:CertificateRegister"
IMPORT = "pulumi-python:dynamic/private-iot:ImportedRevocationList"
IMPORTED = "ImportClientVpnClientCertificateRevocationList"


@pytest.fixture
def stack(new_stack: StackFactory, own_cloud: Cloud) -> Stack:
    """A deployed stack with two devices."""
    stack = new_stack(own_cloud, config={**BASE, "private-iot:devices": ["pi-1", "pi-2"]})
    stack.up()
    return stack


def serial_text(number: int) -> str:
    return number.to_bytes((number.bit_length() + 7) // 8, "big").hex().upper()


def of_type(resources: list[dict[str, Any]], kind: str, ending: str = "") -> Iterator[dict[str, Any]]:
    return (one for one in resources if one["type"] == kind and one["urn"].endswith(ending))


def one(stack: Stack, kind: str, ending: str = "") -> dict[str, Any]:
    [found] = of_type(stack.export()["resources"], kind, ending)
    return found


def endpoint_id(cloud: Cloud) -> str:
    [endpoint] = cloud.client("ec2").describe_client_vpn_endpoints()["ClientVpnEndpoints"]
    return str(endpoint["ClientVpnEndpointId"])


def revoked(cloud: Cloud) -> set[str] | None:
    """Return the serial numbers that the endpoint refuses; None where no list was ever imported."""
    answer = cloud.client("ec2").export_client_vpn_client_certificate_revocation_list(
        ClientVpnEndpointId=endpoint_id(cloud)
    )
    pem = answer.get("CertificateRevocationList")
    return {serial_text(each.serial_number) for each in x509.load_pem_x509_crl(pem.encode())} if pem else None


def serial(stack: Stack, device: str) -> str:
    pem = stack.outputs()["vpnCertificates"][device]["certificatePem"]
    return serial_text(x509.load_pem_x509_certificate(pem.encode()).serial_number)


def unchanged(stack: Stack) -> None:
    assert stack.up().steps == []


def bundles(stack: Stack) -> dict[str, Any]:
    found: dict[str, Any] = stack.outputs(show_secrets=True)["devices"]
    return found


def as_the_release_before_left_it(resources: list[dict[str, Any]]) -> None:
    """Undo what this release adds: its subject of the authority, protection, renewal, register and import."""
    resources[:] = [each for each in resources if each["type"] not in (REGISTER, IMPORT)]
    for each in resources:
        each.pop("protect", None)
    for each in of_type(resources, AUTHORITY):
        for properties in (each["inputs"], each["outputs"]):
            properties["subject"] = {"commonName": "Client VPN CA", "organizationalUnit": "server.private-iot.internal"}
    for each in of_type(resources, ISSUED):
        each["inputs"].pop("earlyRenewalHours")
        each["outputs"]["earlyRenewalHours"] = 0


def test_a_stack_of_the_release_before_keeps_its_authority_and_every_bundle(stack: Stack, own_cloud: Cloud) -> None:
    stack.edit(as_the_release_before_left_it)
    before, resets = bundles(stack), own_cloud.calls(IMPORTED)
    upgraded = stack.up()
    assert upgraded.ops == {"create", "update"}
    assert upgraded.counts("create") == {REGISTER: 1, IMPORT: 1}
    assert upgraded.counts("update") == {ISSUED: 3}
    assert bundles(stack) == before
    assert own_cloud.calls(IMPORTED) == resets == [], "an import would reset every connection"
    assert one(stack, AUTHORITY)["protect"] is True
    unchanged(stack)


def test_nothing_but_a_named_act_replaces_the_authority(stack: Stack) -> None:
    before, clients = one(stack, AUTHORITY)["outputs"]["certPem"], stack.outputs()["vpnCertificates"]
    stack.configure(serverName="vpn.example.internal", caValidityDays=1000)
    outcome = stack.up()
    assert AUTHORITY not in outcome.counts("create-replacement")
    assert one(stack, AUTHORITY)["outputs"]["certPem"] == before
    assert stack.outputs()["vpnCertificates"] == clients
    assert "protect" in stack.up("--replace", one(stack, AUTHORITY)["urn"], fails=True).text
    stack.unprotect()
    stack.up("--replace", one(stack, AUTHORITY)["urn"])
    assert one(stack, AUTHORITY)["outputs"]["certPem"] != before


def test_a_device_that_is_removed_is_revoked_for_good(stack: Stack, own_cloud: Cloud) -> None:
    assert revoked(own_cloud) is None
    gone = serial(stack, "pi-2")
    stack.configure(devices=["pi-1"])
    preview = stack.preview()
    assert preview.names("update") >= {"private-iot-certificate-register"}
    own_cloud.forget_calls()
    stack.up()
    assert revoked(own_cloud) == {gone}
    assert stack.outputs()["revokedSerialNumbers"] == [gone]
    iot = [
        call["operation"] for call in own_cloud.calls("UpdateCertificate", "DeleteCertificate") if call["status"] < 300
    ]
    assert iot[:2] == ["UpdateCertificate", "DeleteCertificate"], "INACTIVE before it goes"
    own_cloud.forget_calls()
    unchanged(stack)
    stack.refresh()
    unchanged(stack)
    assert own_cloud.calls(IMPORTED) == []
    stack.configure(devices=["pi-1", "pi-2"])
    stack.up()
    assert revoked(own_cloud) == {gone}
    assert serial(stack, "pi-2") != gone


def test_a_device_that_is_named_is_locked_out_and_let_in_again(stack: Stack, own_cloud: Cloud) -> None:
    other = "AB" * 16
    stack.configure(revoked=["pi-1", other])
    stack.up()
    assert revoked(own_cloud) == {serial(stack, "pi-1"), other}
    assert statuses(own_cloud) == ["ACTIVE", "INACTIVE"]
    unchanged(stack)
    stack.configure(revoked=[])
    stack.up()
    assert revoked(own_cloud) == set(), "an empty list lets everybody in again"
    assert statuses(own_cloud) == ["ACTIVE", "ACTIVE"]
    stack.configure(revoked=["pi-3"])
    refused = stack.up(fails=True)
    assert "configuration private-iot:revoked: revoked is 'pi-3'" in refused.text
    assert refused.steps == []


def statuses(cloud: Cloud) -> list[str]:
    return sorted(each["status"] for each in cloud.client("iot").list_certificates()["certificates"])


def test_somebody_else_s_list_is_put_right_after_a_refresh(stack: Stack, own_cloud: Cloud) -> None:
    stack.configure(revoked=["pi-1"])
    stack.up()
    listed = stack.outputs()["revocationList"]
    own_cloud.client("ec2").import_client_vpn_client_certificate_revocation_list(
        ClientVpnEndpointId=endpoint_id(own_cloud),
        CertificateRevocationList=empty_revocation_list(),
    )
    assert revoked(own_cloud) == set()
    stack.refresh()
    assert stack.up().counts("update") == {IMPORT: 1}
    assert revoked(own_cloud) == {serial(stack, "pi-1")}
    assert stack.outputs()["revocationList"] == listed, "the same inputs give the same bytes"


def test_a_pipeline_of_one_s_own_imports_the_list(stack: Stack, own_cloud: Cloud) -> None:
    stack.configure(importRevocationList=False, revoked=["pi-1"])
    stack.up()
    assert revoked(own_cloud) is None
    own_cloud.client("ec2").import_client_vpn_client_certificate_revocation_list(
        ClientVpnEndpointId=endpoint_id(own_cloud), CertificateRevocationList=stack.outputs()["revocationList"]
    )
    assert revoked(own_cloud) == {serial(stack, "pi-1")}
    unchanged(stack)


def test_another_source_of_certificates_is_refused_while_the_authority_is_protected(stack: Stack) -> None:
    before = one(stack, AUTHORITY)["outputs"]["certPem"]
    stack.configure(certificateAuthority="acm-pca")
    assert "the installed devices need their new bundle" in stack.preview(fails=None).text
    assert "protect" in stack.up(fails=True).text
    assert one(stack, AUTHORITY)["outputs"]["certPem"] == before
    stack.configure(certificateAuthority="own", serverCertificateArn="arn:aws:acm:ap-northeast-1:1:certificate/1")
    assert "certificate_authority_pem is None" in stack.up(fails=True).text
    stack.configure(certificateAuthorityPem="authority")
    assert "with certificates of your own the stack signs none" in stack.up(fails=True).text


def write_request(folder: Path, name: str, *, kind: str = "RSA 2048", common_name: str = "") -> None:
    folder.mkdir(exist_ok=True)
    request = {
        "version": 1,
        "name": name,
        "vpnCertificateRequestPem": request_pem(common_name or name, kind),
        "iotCertificateRequestPem": request_pem(name, "P-256"),
    }
    (folder / f"{name}.json").write_text(json.dumps(request))


def test_a_stack_of_devices_with_their_own_keys_holds_no_key_of_theirs(
    new_stack: StackFactory, own_cloud: Cloud, tmp_path: Path
) -> None:
    folder = tmp_path / "requests"
    write_request(folder, "pi-7")
    stack = new_stack(own_cloud, config={**BASE, "private-iot:devices": [], "private-iot:requestsFolder": str(folder)})
    stack.up()
    keys = [each["urn"].split("::")[-1] for each in of_type(stack.resources(), "tls:index/privateKey:PrivateKey")]
    assert sorted(keys) == ["private-iot-ca-key", "private-iot-server-key"]
    state = json.dumps(stack.export())
    assert "PRIVATE KEY" not in state
    bundle = stack.outputs()["deviceBundles"]["pi-7"]
    assert bundle["version"] == 2
    assert "privateKeyPem" not in bundle["iot"]
    assert bundle == bundles(stack)["pi-7"]
    unchanged(stack)
    before = own_cloud.inventory()
    write_request(folder, "pi-8", kind="P-256")
    refused = stack.up(fails=True)
    assert "configuration private-iot:requestsFolder" in refused.text
    assert "RSA keys of 2048 bits" in refused.text
    assert own_cloud.inventory() == before
    write_request(folder, "pi-8", common_name="pi-9")
    assert "must be for CN=pi-8" in stack.up(fails=True).text
    write_request(folder, "pi-8")
    stack.configure(devices=["pi-8"])
    assert "keys the stack makes" in stack.up(fails=True).text
    stack.configure(devices=[])
    stack.up()
    gone = serial(stack, "pi-8")
    (folder / "pi-8.json").unlink()
    stack.up()
    assert revoked(own_cloud) == {gone}


def test_every_expiry_is_an_output(stack: Stack) -> None:
    expiry = stack.outputs()["certificateExpiry"]
    assert set(expiry) == {"authority", "server", "clients"}
    assert set(expiry["clients"]) == {"pi-1", "pi-2"}
    left = datetime.fromisoformat(expiry["clients"]["pi-1"]) - datetime.now(UTC)
    assert timedelta(days=824) < left < timedelta(days=826)


def ends_in(days: int, ending: str) -> Any:
    def change(resources: list[dict[str, Any]]) -> None:
        [certificate] = of_type(resources, ISSUED, ending)
        end = datetime.now(UTC) + timedelta(days=days)
        certificate["outputs"]["validityEndTime"] = end.strftime("%Y-%m-%dT%H:%M:%SZ")

    return change


@pytest.mark.parametrize(("days", "renewed"), [(70, False), (50, True), (-1, True)])
def test_the_server_s_certificate_renews_itself_under_its_arn(
    stack: Stack, own_cloud: Cloud, days: int, renewed: bool
) -> None:
    acm = own_cloud.client("acm")
    [before] = acm.list_certificates()["CertificateSummaryList"]
    pem, handed_out = acm.get_certificate(CertificateArn=before["CertificateArn"])["Certificate"], bundles(stack)
    stack.edit(ends_in(days, "private-iot-server-certificate"))
    outcome: Outcome = stack.up()
    assert outcome.counts("create-replacement") == ({ISSUED: 1} if renewed else {})
    assert outcome.counts("update") == ({"aws:acm/certificate:Certificate": 1} if renewed else {})
    [after] = acm.list_certificates()["CertificateSummaryList"]
    assert after["CertificateArn"] == before["CertificateArn"]
    assert (acm.get_certificate(CertificateArn=after["CertificateArn"])["Certificate"] != pem) is renewed
    assert bundles(stack) == handed_out, "no profile changes"
    unchanged(stack)


def test_a_client_s_certificate_renews_itself_with_the_same_key_and_the_one_before_stays_valid(
    stack: Stack, own_cloud: Cloud
) -> None:
    before = stack.outputs()["vpnCertificates"]
    stack.edit(ends_in(80, "private-iot-client-pi-1-certificate"))
    outcome = stack.up()
    assert outcome.counts("create-replacement") == {ISSUED: 1}
    after = stack.outputs()["vpnCertificates"]
    assert after["pi-2"] == before["pi-2"]
    old, new = (x509.load_pem_x509_certificate(each["pi-1"]["certificatePem"].encode()) for each in (before, after))
    assert new.serial_number != old.serial_number
    assert new.public_key() == old.public_key()
    assert new.subject == old.subject
    assert revoked(own_cloud) is None
    unchanged(stack)
    stack.configure(devices=["pi-2"])
    stack.up()
    assert revoked(own_cloud) == {serial_text(old.serial_number), serial_text(new.serial_number)}


def test_an_authority_that_has_expired_is_not_replaced_unasked(stack: Stack) -> None:
    def expire(resources: list[dict[str, Any]]) -> None:
        for each in of_type(resources, AUTHORITY):
            each["outputs"]["validityEndTime"] = "2026-01-01T00:00:00Z"

    stack.edit(expire)
    refused = stack.up(fails=True)
    assert "protect" in refused.text
    assert AUTHORITY not in refused.counts("create-replacement")
