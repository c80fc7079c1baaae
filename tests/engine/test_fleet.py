"""A fleet's stack: claims that the cloud takes, and nothing to do for it when devices have been provisioned.

Cannot prove that AWS IoT evaluates the template so; the path tests have the agent provision a device with a claim.
"""

import json
import time
import urllib.request
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tests.engine.aws import REGION, Cloud
from tests.engine.cloud.certificates import request as csr_for
from tests.engine.conftest import StackFactory
from tests.engine.stack import Stack

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]
DEVICES = 200


@pytest.fixture(scope="module")
def stack(new_stack: StackFactory, cloud: Cloud) -> Stack:
    asked = {"devices": [], "fleetBatches": ["spring", "autumn"], "fleetThingNamePattern": "pi-{SerialNumber}"}
    stack = new_stack(cloud, config={f"private-iot:{name}": value for name, value in asked.items()})
    stack.up()
    # The provider sends `disconnectOnSessionTimeout: false` with the second one.
    stack.up()
    return stack


def ask(cloud: Cloud, template: str | None, payload: dict[str, Any]) -> dict[str, Any]:
    """What the lab's front asks the cloud on behalf of a device."""
    body = json.dumps({"region": REGION, "template": template, "payload": payload}).encode()
    request = urllib.request.Request(f"{cloud.url}/_lab/iot/provisioning", data=body, method="PUT")  # noqa: S310
    with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310 - loopback
        answer: dict[str, Any] = json.load(response)
    assert answer["accepted"], answer
    return answer


def test_the_stack_is_as_large_and_as_fast_with_its_devices_provisioned(
    stack: Stack, cloud: Cloud, record_property: Callable[[str, object], None]
) -> None:
    claims = stack.outputs(show_secrets=True)["claims"]
    template = claims["spring"]["claim"]["templateName"]
    before, calls, resources = *_timed(stack, cloud), len(stack.resources())
    key = csr_for(ec.generate_private_key(ec.SECP256R1()), "pi")
    begin = time.monotonic()
    for number in range(DEVICES):
        made = ask(cloud, None, {"certificateSigningRequest": key})["payload"]
        parameters = {"SerialNumber": f"{number:08x}"}
        payload = {"certificateOwnershipToken": made["certificateOwnershipToken"], "parameters": parameters}
        assert ask(cloud, template, payload)["payload"]["thingName"] == f"pi-{number:08x}"
    seconds = time.monotonic() - begin
    after, calls_after = _timed(stack, cloud)
    record_property("provisioned in", f"{seconds:.1f} s")
    record_property("up", f"{before:.1f} s before, {after:.1f} s after")
    assert len(stack.resources()) == resources
    assert calls
    assert calls_after == calls, "an up asks AWS what it asked before, however many devices there are"
    group = cloud.client("iot").list_thing_groups()["thingGroups"][0]["groupName"]
    assert len(cloud.client("iot").list_things_in_thing_group(thingGroupName=group)["things"]) == DEVICES


def _timed(stack: Stack, cloud: Cloud) -> tuple[float, Counter[str]]:
    """Run an up that changes nothing; return its seconds, and what AWS was asked."""
    cloud.forget_calls()
    begin = time.monotonic()
    stack.up("--expect-no-changes")
    return time.monotonic() - begin, Counter(call["operation"] for call in cloud.calls())


def test_a_template_may_change_more_often_than_aws_keeps_versions(stack: Stack, cloud: Cloud) -> None:
    iot = cloud.client("iot")
    template = stack.outputs(show_secrets=True)["claims"]["spring"]["claim"]["templateName"]
    body = iot.describe_provisioning_template(templateName=template)["templateBody"]
    for _ in range(4):
        iot.create_provisioning_template_version(templateName=template, templateBody=body)

    def versions() -> list[int]:
        found = iot.list_provisioning_template_versions(templateName=template)["versions"]
        return [one["versionId"] for one in found]

    for kept in ([1, 3, 4, 5, 6], [3, 4, 5, 6, 7]):
        stack.configure(fleetSerialNumbers=[f"{kept[-1]:02d}"])
        assert "private-iot-fleet-template" in stack.up().names("update")
        body = json.loads(iot.describe_provisioning_template(templateName=template)["templateBody"])
        assert list(body["Mappings"]["SerialNumbers"]) == [f"{kept[-1]:02d}"]
        assert versions() == kept
    stack.preview("--expect-no-changes")
    stack.configure(fleetDeleteOldVersions=False, fleetSerialNumbers=[])
    assert "VersionsLimitExceededException" in stack.up(fails=True).diagnostics(), "what the provider alone does"
    stack.configure(fleetDeleteOldVersions=True)
    # The provider has the new body in the state of the failed update, and reads the old one with the next.
    stack.up()
    stack.up()
    assert versions() == [4, 5, 6, 7, 8]
    stack.preview("--expect-no-changes")


def test_a_batch_is_revoked_alone(stack: Stack, cloud: Cloud) -> None:
    iot = cloud.client("iot")
    claims = stack.outputs(show_secrets=True)["claims"]
    stack.configure(revoked=["spring"])
    outcome = stack.up()
    assert "spring-claim" in outcome.names("update")
    assert not {name for name in outcome.names("update") if name.startswith("autumn")}
    status = {
        one["certificatePem"]: one["status"]
        for one in (
            iot.describe_certificate(certificateId=listed["certificateId"])["certificateDescription"]
            for listed in _certificates(iot)
        )
    }
    assert status[claims["spring"]["claim"]["certificatePem"]] == "INACTIVE"
    assert status[claims["autumn"]["claim"]["certificatePem"]] == "ACTIVE"
    assert len(stack.outputs()["revokedSerialNumbers"]) == 1


def _certificates(iot: Any) -> list[dict[str, Any]]:
    pages = iot.get_paginator("list_certificates").paginate()
    return [one for page in pages for one in page["certificates"] if one["status"] != "PENDING_ACTIVATION"]
