"""AWS Private CA, certificates of one's own, and alarms, against the engine and the lab's cloud.

Cannot prove what AWS issues, accepts or charges; the lab's authority signs for real.
"""

import json
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from tests.engine.aws import Cloud
from tests.engine.conftest import StackFactory
from tests.engine.test_certificates import BASE, unchanged, write_request
from tests.unit.components.authority import authority_pem, key_pem, signed_certificate

pytestmark = pytest.mark.engine
DETACHMENT = "pulumi-python:dynamic/private-iot:ThingDetachment"
PCA_TYPES = {
    "aws:acmpca/certificateAuthority:CertificateAuthority",
    "aws:acmpca/certificateAuthorityCertificate:CertificateAuthorityCertificate",
    "aws:acmpca/permission:Permission",
}


def authority_of(cloud: Cloud) -> x509.Certificate:
    pca = cloud.client("acm-pca")
    [authority] = pca.list_certificate_authorities()["CertificateAuthorities"]
    found = pca.get_certificate_authority_certificate(CertificateAuthorityArn=authority["Arn"])
    return x509.load_pem_x509_certificate(found["Certificate"].encode())


def test_an_authority_of_private_ca_signs_and_its_key_is_nowhere(
    new_stack: StackFactory, own_cloud: Cloud, tmp_path: Path
) -> None:
    write_request(tmp_path / "requests", "pi-1")
    config = {
        **BASE,
        "private-iot:devices": [],
        "private-iot:requestsFolder": str(tmp_path / "requests"),
        "private-iot:certificateAuthority": "acm-pca",
        "private-iot:alarmTopicArn": "arn:aws:sns:ap-northeast-1:123456789012:operators",
    }
    stack = new_stack(own_cloud, config=config)
    made = stack.up()
    assert {each for each in made.counts("create") if "acmpca" in each} == {
        *PCA_TYPES,
        "aws:acmpca/certificate:Certificate",
    }
    created = made.counts("create")
    assert [each for each in created if each.startswith(("tls:", "pulumi-python:"))] == [DETACHMENT]
    assert "PRIVATE KEY" not in json.dumps(stack.export())
    root = authority_of(own_cloud)
    bundle = stack.outputs()["deviceBundles"]["pi-1"]
    assert root.public_bytes(serialization.Encoding.PEM).decode().strip() in bundle["vpn"]["config"]
    client = x509.load_pem_x509_certificate(stack.outputs()["vpnCertificates"]["pi-1"]["certificatePem"].encode())
    client.verify_directly_issued_by(root)
    [server] = own_cloud.client("acm").list_certificates()["CertificateSummaryList"]
    found = own_cloud.client("acm").get_certificate(CertificateArn=server["CertificateArn"])
    x509.load_pem_x509_certificate(found["Certificate"].encode()).verify_directly_issued_by(root)
    [endpoint] = own_cloud.client("ec2").describe_client_vpn_endpoints()["ClientVpnEndpoints"]
    assert endpoint["ServerCertificateArn"] == server["CertificateArn"]
    alarms = own_cloud.client("cloudwatch").describe_alarms()["MetricAlarms"]
    assert {(each["MetricName"], each["Dimensions"][0]["Value"]) for each in alarms} == {
        ("DaysToExpiry", server["CertificateArn"]),
        ("CrlDaysToExpiry", endpoint["ClientVpnEndpointId"]),
        ("AuthenticationFailures", endpoint["ClientVpnEndpointId"]),
    }
    unchanged(stack)
    stack.refresh()
    unchanged(stack)
    stack.configure(revoked=["AB" * 16])
    assert "only an authority of the stack's own signs" in stack.up(fails=True).text
    stack.configure(revoked=[])
    stack.destroy()
    assert own_cloud.client("cloudwatch").describe_alarms()["MetricAlarms"] == []
    [authority] = own_cloud.client("acm-pca").list_certificate_authorities()["CertificateAuthorities"]
    assert authority["Status"] == "DELETED", "AWS keeps it restorable for a month"


def test_certificates_of_one_s_own_are_used_and_none_is_made(
    new_stack: StackFactory, own_cloud: Cloud, tmp_path: Path
) -> None:
    acm = own_cloud.client("acm")
    name = "server.private-iot.internal"
    server = acm.import_certificate(
        Certificate=signed_certificate(name, dns_name=name).encode(),
        PrivateKey=key_pem("RSA 2048").encode(),
        CertificateChain=authority_pem().encode(),
    )["CertificateArn"]
    clients = acm.import_certificate(Certificate=authority_pem().encode(), PrivateKey=key_pem("RSA 2048").encode())
    config = {
        **BASE,
        "private-iot:devices": [],
        "private-iot:requestsFolder": str(tmp_path / "requests"),
        "private-iot:serverCertificateArn": server,
        "private-iot:clientRootCertificateArn": clients["CertificateArn"],
        "private-iot:certificateAuthorityPem": authority_pem(),
    }
    stack = new_stack(own_cloud, config=config)
    made = stack.up()
    assert not [each for each in made.counts("create") if each.startswith(("tls:", "aws:acm", "pulumi-python:"))]
    [endpoint] = own_cloud.client("ec2").describe_client_vpn_endpoints()["ClientVpnEndpoints"]
    assert endpoint["ServerCertificateArn"] == server
    [option] = endpoint["AuthenticationOptions"]
    assert option["MutualAuthentication"]["ClientRootCertificateChain"] == clients["CertificateArn"]
    write_request(tmp_path / "requests", "pi-1")
    assert "the device's VPN certificate cannot be read" in stack.up(fails=True).text
    unchanged_after = own_cloud.inventory()
    (tmp_path / "requests" / "pi-1.pem").write_text(authority_pem())
    assert "its certificate has another common name" in stack.up(fails=True).text
    assert own_cloud.inventory() == unchanged_after
    (tmp_path / "requests" / "pi-1.pem").write_text(signed_certificate("pi-1"))
    stack.up()
    profile = stack.outputs()["deviceBundles"]["pi-1"]["vpn"]["config"]
    assert signed_certificate("pi-1").strip() in profile
    assert "<key>" not in profile
