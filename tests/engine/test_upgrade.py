"""A stack of the release before goes on with today's program: its resources stay, its devices notice nothing.

Cannot prove what the vendor's plugins make of a state that older plugins wrote.
"""

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from lab.engine import CHECKOUT
from tests.engine.aws import Cloud
from tests.engine.conftest import StackFactory
from tests.engine.stack import Stack

pytestmark = pytest.mark.engine
ADDED = {
    "pulumi-python:dynamic/private-iot:CertificateRegister": 1,
    "pulumi-python:dynamic/private-iot:ImportedRevocationList": 1,
}
"""What remembers and imports revoked certificates; the release before had neither."""
ADDED_FOR_A_DEVICE = "pulumi-python:dynamic/private-iot:ThingDetachment"
"""What waits for AWS before a deletion, likewise."""

RELEASE_BEFORE = "135170f914e1aa6d377f81b9c76170b8a42562bd"
"""The last commit that knew subnets by number, took eight values a device and had one topic prefix for all stacks."""


@pytest.fixture
def program_before(tmp_path: Path) -> Path:
    """The program and the components of that commit."""
    archive = ["git", "archive", RELEASE_BEFORE, "__main__.py", "settings.py", "Pulumi.yaml", "components"]
    packed = subprocess.run(archive, cwd=CHECKOUT, capture_output=True, check=True, timeout=60)
    folder = tmp_path / "before"
    folder.mkdir()
    subprocess.run(["tar", "-x", "-C", str(folder)], input=packed.stdout, check=True, timeout=60)
    return folder


def test_an_upgrade_replaces_nothing_and_changes_no_bundle(
    new_stack: StackFactory, own_cloud: Cloud, program_before: Path
) -> None:
    zones = ["ap-northeast-1a", "ap-northeast-1c"]
    config = {"private-iot:devices": ["pi-1", "pi-2"], "private-iot:availabilityZoneCount": 2}
    stack = new_stack(own_cloud, "dev", config=config)
    inherited = {**os.environ, "PYTHONPATH": str(program_before / "components")}
    before: Stack = replace(stack, project=program_before, engine=replace(stack.engine, inherited=inherited))
    before.up()
    ids = {each["id"] for each in before.resources()}
    bundles = stack.outputs(show_secrets=True)["devices"]
    names = {each["urn"].split("::")[-1] for each in before.resources()}
    assert "private-iot-vpc-subnet-2" in names, "it is today's program that ran"

    upgraded = stack.up()
    assert upgraded.ops <= {"update", "create"}
    assert upgraded.counts("create") == {**ADDED, ADDED_FOR_A_DEVICE: 2}
    assert set(upgraded.counts("update")) <= {
        "tls:index/locallySignedCert:LocallySignedCert",
        "aws:iot/thing:Thing",
        "aws:ec2clientvpn/endpoint:Endpoint",
        "aws:route53/zone:Zone",
    }
    kept = {each["id"] for each in stack.resources() if each["type"] != ADDED_FOR_A_DEVICE}
    assert kept == ids | {"register"}
    for name, bundle in stack.outputs(show_secrets=True)["devices"].items():
        assert {**bundle, "vpn": None} == {**bundles[name], "vpn": None}
        # Who it connects to and as whom; what follows is how the agent's own release reconnects.
        old, new = (each["vpn"]["config"].partition("</key>")[0] for each in (bundles[name], bundle))
        assert new == old
    assert {bundle["topicPrefix"] for bundle in bundles.values()} == {"private-iot/pi-1", "private-iot/pi-2"}
    names = {each["urn"].split("::")[-1] for each in stack.resources()}
    for zone in zones:
        assert {f"private-iot-vpc-subnet-{zone}", f"private-iot-clientvpn-association-{zone}"} <= names
    stack.preview("--expect-no-changes")


def test_an_upgrade_together_with_a_change_of_zones_keeps_what_is_there(
    new_stack: StackFactory, own_cloud: Cloud, program_before: Path
) -> None:
    stack = new_stack(
        own_cloud,
        config={
            "private-iot:devices": ["pi-1"],
            "private-iot:availabilityZones": ["ap-northeast-1a", "ap-northeast-1c"],
        },
    )
    inherited = {**os.environ, "PYTHONPATH": str(program_before / "components")}
    replace(stack, project=program_before, engine=replace(stack.engine, inherited=inherited)).up()
    kept = {each["id"] for each in stack.resources() if each["urn"].endswith(("subnet-2", "association-2"))}
    assert len(kept) == 2
    stack.configure(availabilityZones=["ap-northeast-1c"])
    outcome = stack.up()
    assert outcome.ops == {"create", "update", "delete"}
    assert outcome.counts("create") == {**ADDED, ADDED_FOR_A_DEVICE: 1}
    assert kept <= {each["id"] for each in stack.resources()}
