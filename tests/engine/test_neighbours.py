"""Devices without a tunnel, as the engine makes them: their bundle, and nothing of the VPN's.

Cannot prove that they reach AWS IoT; the path tests do.
"""

from typing import Any

import pytest

from tests.engine.aws import Cloud
from tests.engine.conftest import StackFactory
from tests.engine.stack import Stack

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def stack(new_stack: StackFactory, cloud: Cloud) -> Stack:
    stack = new_stack(cloud, config={"private-iot:devices": ["pi-1"]})
    stack.up()
    # The provider sends `disconnectOnSessionTimeout: false` with the second one.
    stack.up()
    return stack


def bundles(stack: Stack) -> dict[str, Any]:
    found: dict[str, Any] = stack.outputs(show_secrets=True)["devices"]
    return found


def _signed(stack: Stack) -> dict[str, str]:
    """The certificates of the VPN by their resources; secrets are encrypted anew with each export."""
    return {one["urn"]: one["id"] for one in stack.resources() if "LocallySignedCert" in one["type"]}


def test_neighbours_come_and_go_without_a_change_of_the_devices(stack: Stack, cloud: Cloud) -> None:
    device, outputs, resources = bundles(stack)["pi-1"], stack.outputs(), len(stack.resources())
    signed = _signed(stack)
    certificates = len(cloud.client("acm").list_certificates()["CertificateSummaryList"])

    stack.configure(neighbours=["press-1", "press-2"])
    outcome = stack.up()
    assert outcome.ops <= {"create", "same"}
    assert {name.split("-")[0] for name in outcome.names("create")} == {"press"}
    found = bundles(stack)
    assert found["pi-1"] == device, "a bundle of version 1 stays as it is, to the byte"
    assert (found["pi-1"]["version"], found["press-1"]["version"]) == (1, 2)
    assert "vpn" not in found["press-1"]
    assert found["press-1"]["network"] == device["network"]
    assert "PRIVATE KEY" in found["press-1"]["iot"]["privateKeyPem"]
    changed = stack.outputs()
    assert {name for name in outputs if outputs[name] != changed[name]} <= {"devices"}
    assert _signed(stack) == signed, "no certificate of the VPN"
    assert len(cloud.client("acm").list_certificates()["CertificateSummaryList"]) == certificates
    iot = cloud.client("iot")
    assert {thing["thingName"] for thing in iot.list_things()["things"]} == {"pi-1", "press-1", "press-2"}
    [principal] = iot.list_thing_principals(thingName="press-1")["principals"]
    assert (
        iot.list_attached_policies(target=principal)["policies"]
        == iot.list_attached_policies(target=iot.list_thing_principals(thingName="pi-1")["principals"][0])["policies"]
    ), "the same policy, bound to the endpoint"

    stack.configure(revoked=["press-1"])
    assert stack.up().names("update") == {"press-1-certificate"}
    assert iot.describe_certificate(certificateId=principal.rpartition("/")[2])["certificateDescription"]["status"] == (
        "INACTIVE"
    )

    stack.configure(neighbours=[], revoked=[])
    outcome = stack.up()
    assert {name.split("-")[0] for name in outcome.names("delete")} == {"press"}
    assert outcome.ops <= {"delete", "same"}
    assert bundles(stack) == {"pi-1": device}
    assert len(stack.resources()) == resources
