"""An up that is cut off, throttled or refused half way: the error is clear, the state is true, the next up finishes.

A cut is a SIGKILL of the engine and of every plugin at once, which is what a power cut or a lost runner does. Cannot
prove the moments between: each cut is placed after one call that the cloud has answered.
"""

import json
import shlex
import subprocess
import sys
from collections import Counter
from typing import Any

import pytest

from lab.engine import CHECKOUT
from tests.engine.aws import Cloud
from tests.engine.conftest import StackFactory
from tests.engine.stack import Stack

pytestmark = pytest.mark.engine

CONFIG = {"private-iot:devices": ["pi-1"], "private-iot:availabilityZones": ["ap-northeast-1a"]}


@pytest.fixture(scope="module")
def complete(new_stack: StackFactory, cloud: Cloud) -> dict[str, int]:
    """How many of each type an undisturbed up makes, and that a destroy takes them all."""
    empty = cloud.inventory()
    stack = new_stack(config=dict(CONFIG))
    stack.up()
    counts = Counter(each["type"] for each in stack.resources())
    stack.destroy()
    assert cloud.inventory() == empty
    return dict(counts)


def recover_as_the_runbook_says(stack: Stack) -> str:
    """Release the dead engine's lock, find what it was creating, and have it adopted or forgotten.

    Returns:
        What had to be done by hand: deleted IoT certificates.
    """
    stack.cancel()
    tool = subprocess.run(
        [sys.executable, CHECKOUT / "tools" / "pending_creates.py"],
        input=json.dumps({"deployment": stack.export()}),
        env=stack.engine.environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert tool.returncode in {0, 1}, tool.stderr
    assert "Traceback" not in tool.stderr
    command = shlex.split(tool.stdout)
    if command:
        assert command[:2] == ["pulumi", "refresh"]
        stack.refresh(*command[2:])
    return tool.stderr


def delete_certificates_that_cannot_be_adopted(cloud: Cloud, sentences: str) -> None:
    iot = cloud.client("iot")
    for certificate in iot.list_certificates()["certificates"]:
        if certificate["certificateId"] in sentences:
            iot.update_certificate(certificateId=certificate["certificateId"], newStatus="INACTIVE")
            iot.delete_certificate(certificateId=certificate["certificateId"])


@pytest.mark.parametrize(
    "operation",
    [
        "CreateVpc",
        "CreateSecurityGroup",
        "CreateVpcEndpoint",
        "CreateHostedZone",
        "ImportCertificate",
        "CreateClientVpnEndpoint",
        "AssociateClientVpnTargetNetwork",
        "AuthorizeClientVpnIngress",
        "CreateCertificateFromCsr",
        "CreateThing",
    ],
)
def test_an_up_cut_off_after_this_call_is_finished_by_the_next_and_leaves_nothing_behind(
    new_stack: StackFactory, cloud: Cloud, complete: dict[str, int], operation: str
) -> None:
    empty = cloud.inventory()
    stack = new_stack(config=dict(CONFIG))
    cloud.forget_calls()
    stack.up_killed_when(cloud.called(operation))
    by_hand = recover_as_the_runbook_says(stack)
    delete_certificates_that_cannot_be_adopted(cloud, by_hand)
    stack.up()
    assert Counter(each["type"] for each in stack.resources()) == complete
    assert stack.export().get("pending_operations", []) == []
    stack.preview("--expect-no-changes")
    stack.destroy()
    # Whatever the cut-off up had made beside the stack would still be here.
    assert cloud.inventory() == empty


def test_without_recovery_the_next_up_names_every_resource_in_doubt(new_stack: StackFactory, cloud: Cloud) -> None:
    stack = new_stack(config=dict(CONFIG))
    cloud.forget_calls()
    stack.up_killed_when(cloud.called("CreateVpcEndpoint"))
    refused = stack.up(fails=None)
    assert refused.returncode != 0
    assert "lock" in refused.text
    stack.cancel()
    pending = [op["resource"]["urn"] for op in stack.export()["pending_operations"]]
    assert pending
    again = stack.up(fails=None)
    assert all(urn in again.diagnostics("warning") for urn in pending)
    stack.destroy(fails=None)


def test_a_throttled_call_is_tried_again_within_the_up(new_stack: StackFactory, cloud: Cloud) -> None:
    empty = cloud.inventory()
    stack = new_stack(config=dict(CONFIG))
    cloud.forget_calls()
    throttled = {"service": "ec2", "code": "RequestLimitExceeded", "status": 503, "times": 2}
    cloud.faults({**throttled, "operation": "CreateVpcEndpoint"}, {**throttled, "operation": "CreateClientVpnEndpoint"})
    stack.up()
    for operation in ("CreateVpcEndpoint", "CreateClientVpnEndpoint"):
        assert [call["status"] for call in cloud.calls(operation)] == [503, 503, 200]
    stack.destroy()
    assert cloud.inventory() == empty


@pytest.mark.parametrize(
    "fault",
    [
        {"service": "ec2", "operation": "CreateVpcEndpoint", "code": "VpcEndpointLimitExceeded", "status": 400},
        {"service": "ec2", "operation": "CreateClientVpnEndpoint", "code": "UnauthorizedOperation", "status": 403},
        {"service": "ec2", "operation": "AuthorizeClientVpnIngress", "code": "UnauthorizedOperation", "status": 403},
        {"service": "iot", "operation": "CreateCertificateFromCsr", "code": "UnauthorizedException", "status": 401},
        {"service": "acm", "operation": "ImportCertificate", "code": "LimitExceededException", "status": 400},
    ],
    ids=lambda fault: fault["operation"],
)
def test_a_refused_call_is_named_the_state_is_true_and_the_next_up_finishes(
    new_stack: StackFactory, cloud: Cloud, complete: dict[str, int], fault: dict[str, Any]
) -> None:
    empty = cloud.inventory()
    stack = new_stack(config=dict(CONFIG))
    cloud.faults({**fault, "times": 1000})
    refused = stack.up(fails=True)
    cloud.faults()
    assert fault["code"] in refused.diagnostics()
    assert stack.export().get("pending_operations", []) == []
    # True: what the state has is there, unchanged.
    assert stack.refresh().steps == []
    finished = stack.up()
    assert finished.ops == {"create"}
    assert Counter(each["type"] for each in stack.resources()) == complete
    stack.destroy()
    assert cloud.inventory() == empty


def test_a_refused_delete_keeps_the_resource_in_the_state(new_stack: StackFactory, cloud: Cloud) -> None:
    empty = cloud.inventory()
    stack = new_stack(config=dict(CONFIG))
    stack.up()
    cloud.faults(
        {
            "service": "ec2",
            "operation": "DeleteVpcEndpoints",
            "code": "UnauthorizedOperation",
            "status": 403,
            "times": 99,
        }
    )
    refused = stack.destroy(fails=True)
    cloud.faults()
    assert "UnauthorizedOperation" in refused.diagnostics()
    assert "aws:ec2/vpcEndpoint:VpcEndpoint" in {each["type"] for each in stack.resources()}
    stack.destroy()
    assert cloud.inventory() == empty
