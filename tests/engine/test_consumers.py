"""Whoever uses the components without the program: a Python project that imports them, and other languages' schema.

Cannot prove that another language deploys: `test_other_languages.py` does.
"""

import json
import shutil
import time
from importlib import metadata
from pathlib import Path

import pytest
from device_agent.install.bundle import parse_bundle

from lab.engine import CHECKOUT
from tests.engine.aws import Cloud
from tests.engine.conftest import StackFactory
from tests.engine.workplace import Workplace

pytestmark = pytest.mark.engine


def test_the_sample_project_deploys_with_its_own_names_region_and_provider(
    new_stack: StackFactory, own_cloud: Cloud, tmp_path: Path
) -> None:
    """By its README's own commands, in a clean copy of the checkout."""
    place = Workplace(tmp_path, new_stack(own_cloud).engine, "examples/import_components")
    place.block("examples/import_components/README.md", "pulumi install")
    assert len(place.resources("aws:ec2clientvpn/networkAssociation:NetworkAssociation")) == 2
    frankfurt = own_cloud.client("ec2", "eu-central-1").describe_client_vpn_endpoints()["ClientVpnEndpoints"]
    assert [{tag["Key"]: tag["Value"] for tag in each["Tags"]}["Name"] for each in frankfurt] == [
        "greenhouse-clientvpn"
    ]
    assert own_cloud.client("ec2").describe_client_vpn_endpoints()["ClientVpnEndpoints"] == []
    devices = place.run("pulumi stack output --json --show-secrets")
    bundle = parse_bundle(devices.encode(), device="orchids", now=time.time())
    assert bundle.region == "eu-central-1"
    assert bundle.endpoint.endswith(".iot.eu-central-1.amazonaws.com")
    assert json.loads(place.run("pulumi stack output --json")) == {"devices": "[secret]"}
    place.run("pulumi preview --expect-no-changes", "pulumi state unprotect --all --yes", "pulumi destroy")
    assert own_cloud.client("ec2", "eu-central-1").describe_vpc_endpoints()["VpcEndpoints"] == []


def test_the_engine_reads_the_schema_of_the_component_package(
    new_stack: StackFactory, own_cloud: Cloud, tmp_path: Path
) -> None:
    """In a copy and from within: the pinned language host makes an environment there, and takes `.` only."""
    package = tmp_path / "components"
    shutil.copytree(CHECKOUT / "components", package, ignore=shutil.ignore_patterns(".venv", "__pycache__", "build"))
    engine = new_stack(own_cloud).engine
    answered = engine.run("package", "get-schema", ".", cwd=package, timeout=240)
    assert answered.returncode == 0, answered.stderr
    schema = json.loads(answered.stdout)
    assert (schema["name"], schema["version"]) == ("private-iot", metadata.version("private-iot"))
    assert {name.rsplit(":", 1)[-1] for name in schema["resources"]} == {
        "PrivateIotNetwork",
        "IotPrivateLink",
        "ClientVpnAccess",
        "IotDevice",
    }
    assert schema["resources"]["private-iot:index:PrivateIotNetwork"].get("requiredInputs", []) == []
    assert "clients" in schema["resources"]["private-iot:index:ClientVpnAccess"]["requiredInputs"]
