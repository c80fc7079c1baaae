"""Where the VPN's certificates come from: what each source registers, and what it leaves out.

Cannot prove that AWS issues or accepts any of it; tests/engine and tests/path show it on the lab's cloud.
"""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from private_iot import ClientVpnAccess, IotDevice
from private_iot.certificates import early_renewal_hours
from private_iot.errors import ArgumentError
from private_iot.private_ca import renewal_period

from tests.unit.components.authority import authority_pem, request_pem
from tests.unit.components.monitor import PRIVATE_KEY_MARK, Deployment, Secret, deploy, export, plain

AUTHORITY = "arn:aws:acm-pca:ap-northeast-1:123456789012:certificate-authority/7d7a"
LINK_PATH: Any = {
    "region": "ap-northeast-1",
    "iot_endpoint": "a1b2c3-ats.iot.ap-northeast-1.amazonaws.com",
    "vpc_endpoint_id": "vpce-1",
    "policy_name": "policy",
    "topic_prefix": "plant",
}
VPN: dict[str, Any] = {
    "vpc_id": "vpc-1",
    "vpc_cidr_block": "10.0.0.0/16",
    "subnet_ids": {"ap-northeast-1a": "subnet-1"},
    "security_group_ids": ["sg-1"],
    "clients": [],
    "path": LINK_PATH,
}
OWN = {"server_certificate_arn": "arn:server", "certificate_authority_pem": "authority"}
SERIAL = "AB" * 16


def requested(*devices: str) -> dict[str, str]:
    return {device: request_pem(device, "RSA 2048") for device in devices}


def deployed(vpn: dict[str, Any], *, keys_there: tuple[str, ...] = ()) -> Deployment:
    """Deploy a VPN and a device for each of its paths, and export what a program does."""

    def program() -> None:
        access = ClientVpnAccess("plant", {**VPN, **vpn})  # type: ignore[typeddict-item] # tests pass wrong ones too
        bundles = {}
        for name, path in access.paths.items():
            own = {"certificate_request_pem": request_pem(name, "P-256")} if name in keys_there else {}
            bundles[name] = IotDevice(name, {"path": path, "wait_for_detachment": False, **own}).bundle  # type: ignore[typeddict-item] # as above
        export(bundles=bundles, configs=access.client_configs, expiry=access.certificate_expiry)

    return deploy(program)


def kinds(deployment: Deployment, token: str) -> int:
    return sum(one.type.startswith(token) for one in deployment.registrations)


def test_a_device_with_keys_of_its_own_takes_two_resources_fewer_for_each_certificate() -> None:
    with_key = deployed({"clients": ["pi-1"]}).counts()
    without = deployed({"client_requests": requested("pi-1")}, keys_there=("pi-1",)).counts()
    assert dict(with_key - without) == {"tls:index/privateKey:PrivateKey": 2, "tls:index/certRequest:CertRequest": 2}
    assert without - with_key == {}


def test_of_a_device_with_keys_of_its_own_there_is_no_key_and_the_bundle_is_no_secret() -> None:
    both = deployed({"clients": ["pi-1"], "client_requests": requested("pi-2")}, keys_there=("pi-2",))
    bundles = both.stack_outputs["bundles"]
    assert isinstance(bundles["pi-1"], Secret)
    bundle = bundles["pi-2"]
    assert bundle["version"] == 2
    assert "privateKeyPem" not in bundle["iot"]
    assert "<cert>" in bundle["vpn"]["config"]
    assert "<key>" not in bundle["vpn"]["config"]
    assert PRIVATE_KEY_MARK not in json.dumps(bundle)
    assert plain(bundles["pi-1"])["version"] == 1
    assert "<key>" in plain(bundles["pi-1"])["vpn"]["config"]
    assert isinstance(both.stack_outputs["configs"], Secret)
    assert set(plain(both.stack_outputs["configs"])) == {"pi-1", "pi-2"}


def test_the_profile_of_a_device_with_keys_of_its_own_differs_in_its_key_alone() -> None:
    configs = plain(
        deployed({"clients": ["pi-1"], "client_requests": requested("pi-2")}, keys_there=("pi-2",)).stack_outputs[
            "configs"
        ]
    )
    before, _, rest = configs["pi-1"].partition("<key>")
    without_key = before + rest.partition("</key>\n")[2]
    assert without_key.replace("pi-1", "pi-2") == configs["pi-2"]


def test_the_server_s_and_the_clients_certificates_renew_themselves_and_the_authority_does_not() -> None:
    made = deployed({"clients": ["pi-1"]})
    hours = {one.name: plain(one.inputs).get("earlyRenewalHours") for one in made.of("LocallySignedCert")}
    assert hours == {"plant-server-certificate": 1440, "plant-client-pi-1-certificate": 2160}
    authority = plain(made.one("SelfSignedCert").inputs)
    assert "earlyRenewalHours" not in authority
    assert authority["subject"] == {"commonName": "Client VPN CA"}


@given(st.integers(1, 400), st.integers(1, 36_500))
def test_no_certificate_spends_more_than_a_third_of_its_life_on_waiting_to_be_renewed(ahead: int, days: int) -> None:
    hours = early_renewal_hours(ahead, days)
    assert 0 < hours <= ahead * 24
    assert hours * 3 <= days * 24


@given(st.integers(1, 36_500), st.floats(1.7e9, 4e9))
def test_a_private_ca_s_certificate_is_replaced_before_it_ends_whenever_it_was_issued(days: int, issued: float) -> None:
    hours = days * 24 - early_renewal_hours(90, days)
    assert renewal_period(days, issued) == renewal_period(days, issued)
    assert renewal_period(days, issued) != renewal_period(days, issued + hours * 3600)


@pytest.mark.parametrize(
    ("choice", "made"),
    [
        (AUTHORITY, set()),
        ("acm-pca", {"CertificateAuthority", "CertificateAuthorityCertificate", "Permission"}),
    ],
)
def test_with_private_ca_there_is_no_key_of_an_authority(choice: str, made: set[str]) -> None:
    private = deployed({"certificate_authority": choice, "client_requests": requested("pi-1")}, keys_there=("pi-1",))
    assert kinds(private, "tls:") == 0
    assert kinds(private, "pulumi-python:") == 0
    assert {one.type.rsplit(":", 1)[1] for one in private.registrations} >= made
    server = plain(private.one("Certificate", "plant-server").inputs)
    assert server["domainName"] == "server.private-iot.internal"
    assert "privateKey" not in server
    client = plain(private.one("Certificate", "plant-client-pi-1-certificate").inputs)
    assert client["templateArn"] == "arn:aws:acm-pca:::template/EndEntityClientAuthCertificate/V1"
    assert client["validity"] == {"type": "DAYS", "value": "825"}
    assert authority_pem().strip() in plain(private.stack_outputs["configs"])["pi-1"]


def test_with_certificates_of_one_s_own_nothing_is_made_and_the_authorities_may_differ() -> None:
    brought = deployed({**OWN, "client_root_certificate_arn": "arn:clients"})
    assert kinds(brought, "tls:") == kinds(brought, "aws:acm") == kinds(brought, "pulumi-python:") == 0
    endpoint = plain(brought.one("Endpoint").inputs)
    assert endpoint["serverCertificateArn"] == "arn:server"
    assert endpoint["authenticationOptions"][0]["rootCertificateChainArn"] == "arn:clients"


def test_alarms_watch_the_certificate_the_list_and_who_is_refused() -> None:
    alarms = {
        plain(one.inputs)["metricName"]: plain(one.inputs)
        for one in deployed({"alarm_topic_arn": "arn:topic"}).of("MetricAlarm")
    }
    assert set(alarms) == {"DaysToExpiry", "CrlDaysToExpiry", "AuthenticationFailures"}
    assert all(one["alarmActions"] == ["arn:topic"] for one in alarms.values())
    assert alarms["DaysToExpiry"]["threshold"] == 30
    assert deployed({}).of("MetricAlarm") == []


def test_a_pipeline_of_one_s_own_takes_the_place_of_each_dynamic_resource() -> None:
    neither = deployed(
        {"clients": ["pi-1"], "revoke_removed_devices": False, "import_revocation_list": False, "revoked": []}
    )
    assert kinds(neither, "pulumi-python:") == 0


ROWS: list[tuple[dict[str, Any], str]] = [
    ({"client_requests": {"pi-1": "garbage"}}, "it must be one PEM certificate request"),
    ({"client_requests": requested("pi-1"), "clients": ["pi-1"]}, "keys the stack makes"),
    ({"client_requests": ["pi-1"]}, "it must be a map"),
    ({"revoked": ["pi-9"]}, "an entry is the name of a device that there is, or a serial number"),
    ({"revoked": [f"{number:032X}" for number in range(20_001)]}, "AWS Client VPN takes 20000 entries"),
    ({"revoked": [SERIAL], "certificate_authority": AUTHORITY}, "only an authority of the stack's own signs"),
    ({"certificate_authority": "arn:aws:acm:eu-west-1:1:certificate/1"}, "ARN of an authority of AWS Private CA"),
    ({"server_certificate_arn": "arn:server"}, "certificate_authority_pem is None: it belongs to"),
    ({**OWN, "clients": ["pi-1"]}, "with certificates of your own the stack signs none"),
    ({**OWN, "client_requests": requested("pi-1")}, "with certificates of your own the stack signs none"),
    ({**OWN, "certificate_authority": "acm-pca"}, "come from an authority of yours"),
    ({**OWN, "client_certificates": {"pi-1": authority_pem()}}, "its certificate has another common name"),
    ({**OWN, "client_certificates": {"pi-1": "garbage"}}, "its certificate is not one of PEM"),
]


@pytest.mark.parametrize(("arguments", "message"), ROWS, ids=[message for _, message in ROWS])
def test_what_does_not_go_together_is_refused_before_anything_is_registered(
    arguments: dict[str, Any], message: str
) -> None:
    refused = deploy(
        lambda: ClientVpnAccess("plant", {**VPN, **arguments}),  # type: ignore[typeddict-item] # wrong ones
        refused=ArgumentError,
    )
    assert refused.registrations == []
    assert message in refused.logged[0]
    assert "\n" not in refused.logged[0]


def test_a_device_s_request_for_another_name_is_refused() -> None:
    refused = deploy(
        lambda: IotDevice("pi-1", {"path": {}, "certificate_request_pem": request_pem("pi-2", "P-256")}),  # type: ignore[typeddict-item] # as above
        refused=ArgumentError,
    )
    assert refused.registrations == []
