"""What a change of the configuration costs: updated in place, replaced, or only what belongs to one device.

Cannot prove what the vendor's plugins decide where the stand-ins decide otherwise; docs/fidelity.md names the sources.
"""

import pytest

from tests.engine.aws import Cloud
from tests.engine.conftest import StackFactory
from tests.engine.device_stacks import OF_A_DEVICE
from tests.engine.stack import Stack

pytestmark = pytest.mark.engine

BASE = {
    "private-iot:devices": ["pi-1"],
    "private-iot:availabilityZones": ["ap-northeast-1a"],
    "private-iot:clientCidrBlock": "172.31.0.0/16",
}
ENDPOINT = "aws:ec2clientvpn/endpoint:Endpoint"
REGISTER = "pulumi-python:dynamic/private-iot:CertificateRegister"
IMPORT = "pulumi-python:dynamic/private-iot:ImportedRevocationList"


@pytest.fixture(scope="module")
def stack(new_stack: StackFactory, cloud: Cloud) -> Stack:
    """A deployed stack. Each test makes a change of its own to whatever it finds, in any order, and leaves it."""
    stack = new_stack(cloud, config=dict(BASE))
    stack.up()
    return stack


def devices(stack: Stack) -> list[str]:
    names: list[str] = stack.config["private-iot:devices"]
    return names


def _client_vpn_endpoint_id(cloud: Cloud) -> str:
    endpoints = cloud.client("ec2").describe_client_vpn_endpoints()["ClientVpnEndpoints"]
    live = [each for each in endpoints if each["Status"]["Code"] not in {"deleting", "deleted"}]
    assert len(live) == 1
    identifier: str = live[0]["ClientVpnEndpointId"]
    return identifier


def test_a_new_device_brings_its_own_resources_and_changes_no_other(stack: Stack, cloud: Cloud) -> None:
    before = {each["urn"]: each["id"] for each in stack.resources()}
    bundle = stack.outputs(show_secrets=True)["devices"]["pi-1"]
    stack.configure(devices=[*devices(stack), "pi-2"])
    outcome = stack.up()
    assert outcome.ops == {"create", "update"}
    assert outcome.counts("create") == OF_A_DEVICE
    assert outcome.counts("update") == {REGISTER: 1}
    assert all("pi-2" in name for name in outcome.names("create"))
    after = {each["urn"]: each["id"] for each in stack.resources()}
    assert before.items() <= after.items()
    assert stack.outputs(show_secrets=True)["devices"]["pi-1"] == bundle


def test_a_device_that_is_taken_out_takes_its_own_resources_along(stack: Stack, cloud: Cloud) -> None:
    before = cloud.inventory()
    stack.configure(devices=["pi-3", *devices(stack)])
    stack.up()
    stack.configure(devices=[name for name in devices(stack) if name != "pi-3"])
    outcome = stack.up()
    assert outcome.ops == {"delete", "update"}
    assert outcome.counts("delete") == OF_A_DEVICE
    assert outcome.counts("update") == {REGISTER: 1, IMPORT: 1}
    assert all("pi-3" in name for name in outcome.names("delete"))
    assert cloud.inventory() == before


@pytest.mark.parametrize(
    ("setting", "value", "changed"),
    [
        ("splitTunnel", False, ENDPOINT),
        ("loginBanner", "Authorised devices only", ENDPOINT),
        ("sessionTimeoutHours", 8, ENDPOINT),
        ("dnsServers", ["10.0.0.2", "10.0.0.3"], ENDPOINT),
        ("vpnPort", 1194, ENDPOINT),
        ("logRetentionDays", 30, "aws:cloudwatch/logGroup:LogGroup"),
    ],
)
def test_what_can_change_in_place_does(stack: Stack, cloud: Cloud, setting: str, value: object, changed: str) -> None:
    before = _client_vpn_endpoint_id(cloud)
    stack.configure(**{setting: value})
    outcome = stack.up()
    assert outcome.ops == {"update"}
    assert outcome.counts("update") == {changed: 1}
    assert _client_vpn_endpoint_id(cloud) == before


def test_logging_is_turned_off_and_on_in_place(stack: Stack, cloud: Cloud) -> None:
    before = _client_vpn_endpoint_id(cloud)
    stack.configure(connectionLog=False)
    off = stack.up()
    assert off.counts("update") == {ENDPOINT: 1}
    assert off.counts("delete") == {"aws:cloudwatch/logGroup:LogGroup": 1}
    stack.configure(connectionLog=True)
    on = stack.up()
    assert on.counts("update") == {ENDPOINT: 1}
    assert on.counts("create") == {"aws:cloudwatch/logGroup:LogGroup": 1}
    assert _client_vpn_endpoint_id(cloud) == before


@pytest.mark.parametrize(("setting", "value"), [("clientCidrBlock", "172.30.0.0/16"), ("transportProtocol", "tcp")])
def test_what_cannot_change_in_place_replaces_the_vpn_endpoint_and_changes_every_profile(
    stack: Stack, cloud: Cloud, setting: str, value: str
) -> None:
    before = _client_vpn_endpoint_id(cloud)
    profile = stack.outputs(show_secrets=True)["clientVpnConfigs"]["pi-1"]
    certificate = stack.outputs(show_secrets=True)["devices"]["pi-1"]["iot"]["certificatePem"]
    stack.configure(**{setting: value})
    outcome = stack.up()
    assert outcome.counts("create-replacement") == {
        ENDPOINT: 1,
        "aws:ec2clientvpn/networkAssociation:NetworkAssociation": 1,
        "aws:ec2clientvpn/authorizationRule:AuthorizationRule": 1,
        IMPORT: 1,
    }
    assert outcome.counts("update") == outcome.counts("create") == outcome.counts("delete") == {}
    after = _client_vpn_endpoint_id(cloud)
    assert after != before
    outputs = stack.outputs(show_secrets=True)
    assert after in outputs["clientVpnConfigs"]["pi-1"]
    assert before in profile
    assert outputs["devices"]["pi-1"]["iot"]["certificatePem"] == certificate


def test_the_settings_schema_warns_that_these_replace_the_endpoint(stack: Stack) -> None:
    text = (stack.project / "Pulumi.yaml").read_text()
    for setting in ("clientCidrBlock", "transportProtocol"):
        description = text.split(f"  {setting}:", 1)[1].split("description:", 1)[1].splitlines()[0]
        assert "a change replaces the endpoint" in description


def test_a_bad_setting_is_refused_before_anything_changes(stack: Stack, cloud: Cloud) -> None:
    before, good = cloud.inventory(), stack.config["private-iot:clientCidrBlock"]
    stack.configure(clientCidrBlock="10.0.0.0/16")
    outcome = stack.up(fails=True)
    stack.configure(clientCidrBlock=good)
    assert "private-iot:clientCidrBlock" in outcome.text
    assert "10.0.0.0/16" in outcome.text
    assert outcome.steps == []
    assert cloud.inventory() == before
