"""The package as a plugin: the schema from which programs in other languages are generated.

Cannot prove that the generated SDKs build; that needs the engine and each language's tools.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import grpc
import private_iot
import pytest
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc

COMPONENTS = Path(__file__).parents[3] / "components"
NAMES = ["ClientVpnAccess", "IotDevice", "IotPrivateLink", "PrivateIotNetwork"]


@pytest.fixture(scope="module")
def schema() -> Iterator[dict[str, Any]]:
    """What the plugin answers when the engine starts it and asks for its schema."""
    command = [sys.executable, "-W", "ignore", str(COMPONENTS), "127.0.0.1:1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as plugin:
        try:
            assert plugin.stdout is not None
            port = int(plugin.stdout.readline())
            with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
                stub = provider_pb2_grpc.ResourceProviderStub(channel)
                answer = stub.GetSchema(provider_pb2.GetSchemaRequest(), timeout=30)
            yield json.loads(answer.schema)
        finally:
            plugin.kill()


def camel(name: str) -> str:
    return re.sub(r"_(.)", lambda match: match[1].upper(), name)


def test_the_plugin_serves_the_four_components(schema: dict[str, Any]) -> None:
    assert schema["name"] == "private-iot"
    assert sorted(schema["resources"]) == [f"private-iot:index:{name}" for name in NAMES]
    assert all(resource["isComponent"] for resource in schema["resources"].values())


@pytest.mark.parametrize("name", NAMES)
def test_every_argument_is_in_the_schema_with_its_description(schema: dict[str, Any], name: str) -> None:
    resource = schema["resources"][f"private-iot:index:{name}"]
    arguments = getattr(private_iot, f"{name}Args")
    assert set(resource["inputProperties"]) == {camel(key) for key in arguments.__annotations__}
    assert set(resource["requiredInputs"]) == {camel(key) for key in arguments.__required_keys__}
    properties = [*resource["inputProperties"].values(), *resource["properties"].values()]
    assert [entry for entry in properties if not entry.get("description", "").strip().endswith(".")] == []


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("ClientVpnAccess", {"clients", "subnetIds", "clientCidrBlock", "vpnPort"}),
        ("PrivateIotNetwork", {"vpcCidrBlock", "availabilityZones", "availabilityZoneCount"}),
    ],
)
def test_what_decides_the_number_of_children_or_is_checked_first_is_plain(
    schema: dict[str, Any], name: str, plain: set[str]
) -> None:
    inputs = schema["resources"][f"private-iot:index:{name}"]["inputProperties"]
    assert plain <= {key for key, entry in inputs.items() if entry.get("plain")}


def test_values_of_other_resources_are_inputs(schema: dict[str, Any]) -> None:
    inputs = schema["resources"]["private-iot:index:IotDevice"]["inputProperties"]
    assert [key for key, entry in inputs.items() if entry.get("plain")] == [
        "path",
        "thingName",
        "certificateRequestPem",
        "waitForDetachment",
    ]
    path = schema["types"]["private-iot:index:DevicePath"]
    assert [key for key, entry in path["properties"].items() if entry.get("plain")] == []
    assert "vpnConfig" not in path["required"], "a device may take another device's tunnel"


def test_the_schema_has_the_packages_version(schema: dict[str, Any]) -> None:
    assert schema["version"] == private_iot.__version__ == metadata.version("private-iot")
