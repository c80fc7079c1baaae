"""The program with the configuration of a stack file. That the engine runs it is proven in the engine tier."""

import importlib
import json
import re
import runpy
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml

from tests.unit.components.monitor import Deployment, Secret, deploy, plain
from tools import write_reference

ROOT = Path(__file__).parents[3]
MANIFEST = yaml.safe_load((ROOT / "Pulumi.yaml").read_text("utf-8"))
OUTPUTS = {
    "iotEndpoint",
    "vpcEndpointId",
    "vpcCidr",
    "dnsServer",
    "clientVpnEndpointId",
    "iotPolicy",
    "clientVpnConfigs",
    "devices",
    "deviceBundles",
    "vpnCertificates",
    "certificateExpiry",
    "revokedSerialNumbers",
    "revocationList",
}
PRODUCTION = """\
config:
  aws:region: eu-central-1
  private-iot:vpcCidrBlock: 10.40.0.0/20
  private-iot:availabilityZoneCount: 2
  private-iot:clientCidrBlock: 10.64.0.0/20
  private-iot:topicPrefix: plant/line-1
  private-iot:transportProtocol: tcp
  private-iot:vpnPort: 1194
  private-iot:logRetentionDays: 365
  private-iot:serverName: vpn.plant.example
  private-iot:devices:
    - press-1
    - press-2
    - oven:3
"""
"""A second environment, as an operator would write Pulumi.prod.yaml."""


def as_config(value: object) -> str:
    """A configuration value as the engine hands it over: text as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value)


def run(stack_file: str, **options: Any) -> Deployment:
    """Run the program as the engine would with a stack file: Pulumi.yaml's defaults, then the file's values."""
    config = {
        f"private-iot:{key}": as_config(entry["default"])
        for key, entry in MANIFEST["config"].items()
        if "default" in entry
    }
    config |= {key: as_config(value) for key, value in (yaml.safe_load(stack_file)["config"] or {}).items()}
    region = config.pop("aws:region", "ap-northeast-1")
    return run_with(config, region=region, **options)


def run_with(config: dict[str, str], **options: Any) -> Deployment:
    """Run the program; the language host hands the configuration over in the environment."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PULUMI_CONFIG", json.dumps(config))
        return deploy(lambda: runpy.run_path(str(ROOT / "__main__.py")), config=config, **options)


def dev_with(**values: object) -> str:
    stack = yaml.safe_load((ROOT / "Pulumi.dev.yaml").read_text("utf-8"))
    stack["config"] |= {f"private-iot:{key}": value for key, value in values.items()}
    text: str = yaml.safe_dump(stack)
    return text


@pytest.fixture(scope="module")
def development() -> Deployment:
    return run((ROOT / "Pulumi.dev.yaml").read_text("utf-8"))


@pytest.fixture(scope="module")
def production() -> Deployment:
    return run(PRODUCTION)


def test_the_development_stack_is_the_walk_throughs(development: Deployment) -> None:
    outputs = plain(development.stack_outputs)
    assert outputs["vpcCidr"] == "10.0.0.0/16"
    assert outputs["dnsServer"] == "10.0.0.2"
    assert list(outputs["devices"]) == ["pi-1"]
    subnet = plain(development.one("Subnet", "private-iot-vpc-subnet-ap-northeast-1a").inputs)
    assert (subnet["availabilityZone"], subnet["cidrBlock"]) == ("ap-northeast-1a", "10.0.1.0/24")
    assert plain(development.one("Endpoint").inputs)["clientCidrBlock"] == "172.31.0.0/16"


def test_the_outputs_are_exactly_these_and_the_two_with_keys_are_secrets(development: Deployment) -> None:
    outputs = development.stack_outputs
    assert set(outputs) == OUTPUTS
    assert {name for name, value in outputs.items() if isinstance(value, Secret)} == {"clientVpnConfigs", "devices"}
    assert outputs["iotEndpoint"] == "a1b2c3-ats.iot.ap-northeast-1.amazonaws.com"
    assert outputs["vpcEndpointId"] == development.one("VpcEndpoint").state["id"]
    assert outputs["clientVpnEndpointId"] == development.one("Endpoint").state["id"]
    assert outputs["iotPolicy"] == json.loads(development.one("Policy").state["policy"])
    devices = plain(outputs["devices"])
    assert {name: bundle["vpn"]["config"] for name, bundle in devices.items()} == plain(outputs["clientVpnConfigs"])


def test_a_second_environment_takes_a_stack_file_and_nothing_else(production: Deployment) -> None:
    outputs = plain(production.stack_outputs)
    assert set(outputs) == OUTPUTS
    assert sorted(outputs["devices"]) == ["oven:3", "press-1", "press-2"]
    assert outputs["dnsServer"] == "10.40.0.2"
    assert outputs["iotEndpoint"] == "a1b2c3-ats.iot.eu-central-1.amazonaws.com"
    subnets = [plain(one.inputs) for one in production.of("Subnet")]
    assert [(one["availabilityZone"], one["cidrBlock"]) for one in subnets] == [
        ("eu-central-1a", "10.40.1.0/24"),
        ("eu-central-1c", "10.40.2.0/24"),
    ]
    assert "arn:aws:iot:eu-central-1:" in outputs["iotPolicy"]["Statement"][0]["Resource"]
    assert outputs["devices"]["press-1"]["topicPrefix"] == "plant/line-1/press-1"
    assert "\nproto tcp\n" in outputs["clientVpnConfigs"]["oven:3"]
    assert plain(production.one("LogGroup").inputs)["retentionInDays"] == 365


def test_nothing_of_the_walk_throughs_environment_is_left_in_the_second(production: Deployment) -> None:
    text = json.dumps([plain(one.inputs) for one in production.registrations]) + json.dumps(
        plain(production.stack_outputs)
    )
    assert not re.findall(r"ap-northeast-1|10\.0\.\d+\.\d+|172\.31|\bpi-1\b|server\.private-iot", text)


def test_the_zones_may_be_left_to_the_program() -> None:
    deployed = run("config:\n  private-iot:devices: [pi-1]\n")
    assert [plain(one.inputs)["availabilityZone"] for one in deployed.of("Subnet")] == ["ap-northeast-1a"]


def test_the_defaults_of_the_manifest_are_the_components_own() -> None:
    with_defaults = run("config:\n  private-iot:devices: [pi-1]\n")
    bare = run_with({"private-iot:devices": '["pi-1"]'})
    assert {one.urn: plain(one.inputs) for one in bare.registrations} == {
        one.urn: plain(one.inputs) for one in with_defaults.registrations
    }


def test_every_key_of_the_manifest_is_described_and_has_a_default_but_the_devices() -> None:
    assert [key for key, entry in MANIFEST["config"].items() if not entry.get("description")] == []
    assert [key for key, entry in MANIFEST["config"].items() if "default" not in entry] == ["devices"]


@pytest.mark.parametrize(("component", "file"), write_reference.COMPONENTS.items())
def test_every_optional_argument_is_a_setting_whose_default_its_text_names(component: str, file: str) -> None:
    module = importlib.import_module(f"private_iot.{file.removesuffix('.py')}")
    shape = getattr(module, f"{component}Args")
    texts = write_reference.described(f"{component}Args", file)
    derived = {"private_domains"}
    assert set(module.SETTINGS) == shape.__optional_keys__ - derived
    for name, setting in module.SETTINGS.items():
        default = write_reference.documented_default(setting)
        assert texts[name].description.endswith(f" Default: {default}."), name
        if setting.default is not None:
            assert setting.read(name, setting.default) == setting.default


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"devices": []}, None),
        ({"devices": ["pi 1"]}, "configuration private-iot:devices: devices is 'pi 1': a thing's name is made of"),
        ({"devices": "pi-1"}, "devices"),
        ({"vpcCidrBlock": "10.0.0.0/8"}, "configuration private-iot:vpcCidrBlock: vpc_cidr_block is '10.0.0.0/8'"),
        ({"clientCidrBlock": "10.0.0.0/16"}, "configuration private-iot:clientCidrBlock: client_cidr_block is '10.0.0"),
        ({"topicPrefix": "#"}, "configuration private-iot:topicPrefix: topic_prefix is '#'"),
        ({"vpnPort": 80}, "configuration private-iot:vpnPort: vpn_port is 80: AWS Client VPN takes 443, 1194"),
        ({"vpnPort": "http"}, "vpnPort"),
        ({"caValidityDays": 0}, "configuration private-iot:caValidityDays: ca_validity_days is 0"),
        ({"splitTunnel": "perhaps"}, "splitTunnel"),
        (
            {"availabilityZones": ["ap-northeast-1d"]},
            "configuration private-iot:availabilityZones: availability_zones is",
        ),
        (
            {"splitTunel": False},
            "configuration private-iot:splitTunel is unknown to this program: it knows alarmTopicArn, allowAllIot",
        ),
        ({"publishTopics": [letter * 250 for letter in "uvwxyz"]}, "AWS IoT takes 2048"),
        (
            {"extraTopics": ["a"]},
            "configuration private-iot:extraTopics is unknown to this program: it knows alarmTopicArn, allowAllIot",
        ),
        ({"tags": ["plant"]}, "configuration private-iot:tags: tags is 'plant': a tag is KEY=VALUE"),
        ({"dnsServers": ["10.8.0.53"]}, "configuration private-iot:dnsServers: dns_servers is '10.8.0.53'"),
    ],
)
def test_a_bad_value_is_refused_by_its_key_before_any_component_registers_anything(
    values: dict[str, object], message: str | None
) -> None:
    if message is None:
        assert run(dev_with(**values)).of("IotDevice") == [], "an environment without devices is one to begin with"
        return
    refused = run(dev_with(**values), refused=pulumi.RunError)
    assert refused.registrations == []
    assert message in refused.logged[0]


def test_missing_devices_are_asked_for() -> None:
    refused = run("config: {}\n", refused=pulumi.RunError)
    assert refused.registrations == []
    assert "private-iot:devices" in refused.logged[0]


def test_the_broad_policy_and_the_full_tunnel_of_the_walk_through_take_one_value_each() -> None:
    deployed = run(dev_with(allowAllIotActions=True, splitTunnel=False, connectionLog=False, credentialsEndpoint=True))
    assert plain(deployed.stack_outputs)["iotPolicy"]["Statement"][0]["Action"] == "iot:*"
    assert plain(deployed.one("Endpoint").inputs)["splitTunnel"] is False
    assert deployed.of("LogGroup") == []
    profile = plain(deployed.stack_outputs)["clientVpnConfigs"]["pi-1"]
    assert profile.count("\ndhcp-option DOMAIN-ROUTE ") == 2, "the credential provider's name as well"


def test_the_program_is_about_a_screen() -> None:
    assert len((ROOT / "__main__.py").read_text("utf-8").splitlines()) < 100


def test_a_fleet_is_as_large_with_no_device_as_with_any() -> None:
    plain_stack, fleet = run(dev_with(devices=[])), run(dev_with(devices=[], fleetBatches=["spring", "autumn"]))
    assert set(fleet.stack_outputs) == {*plain_stack.stack_outputs, "claims"}
    claims = fleet.stack_outputs["claims"]
    assert isinstance(claims, Secret)
    found = plain(claims)
    assert set(found) == {"spring", "autumn"}
    assert found["spring"]["claim"]["templateName"] == "private-iot-fleet-test"
    assert found["spring"]["vpn"]["config"] != found["autumn"]["vpn"]["config"]
    assert "Thing" not in {one.type.rsplit(":", 1)[1] for one in fleet.registrations}


def test_a_revoked_batch_loses_its_claim_with_its_tunnel() -> None:
    fleet = run(dev_with(fleetBatches=["spring", "autumn"], revoked=["spring"]))
    assert fleet.one("Certificate", "spring-claim").inputs["active"] is False
    assert fleet.one("Certificate", "autumn-claim").inputs["active"] is True


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"fleetBatches": ["pi-1"], "devices": ["pi-1"]}, "private-iot:fleetBatches: fleet_batches is 'pi-1'"),
        ({"fleetThingNamePattern": "pi"}, "private-iot:fleetThingNamePattern"),
        ({"fleetExistingThing": "REPLACE"}, "private-iot:fleetExistingThing"),
    ],
)
def test_a_fleets_bad_setting_is_refused_by_its_key(values: dict[str, object], words: str) -> None:
    assert words in run(dev_with(**values), refused=pulumi.RunError).logged[-1]
