"""An up that is cut off, throttled or refused half way: the error is clear, the state is true, the next up finishes.

A cut is a SIGKILL of the engine and of every plugin at once, which is what a power cut or a lost runner does. Cannot
prove the moments between: each cut is placed after one call that the cloud has answered.
"""

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
def neighbour(new_stack: StackFactory, cloud: Cloud) -> Stack:
    """Another environment in the module's cloud, with the same tags throughout: nobody may take its resources."""
    stack = new_stack(cloud, "neighbour", config={**CONFIG, "private-iot:devices": ["press-1"]})
    stack.up()
    return stack


@pytest.fixture(scope="module")
def complete(neighbour: Stack) -> dict[str, int]:
    """How many of each type an undisturbed up makes."""
    return dict(Counter(each["type"] for each in neighbour.resources()))


def recover_as_the_runbook_says(stack: Stack) -> None:
    """Release the dead engine's lock and take what it had made into the state."""
    stack.remove_torn_metadata()
    stack.cancel()
    exported = stack.engine.run("stack", "export", "--stack", stack.name, cwd=stack.project)
    tool = subprocess.run(
        [sys.executable, CHECKOUT / "tools" / "pending_creates.py"],
        input=exported.stdout,
        env=stack.engine.environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert tool.returncode == 0, tool.stderr
    repaired = stack.directory / "repaired.json"
    repaired.write_text(tool.stdout)
    imported = stack.engine.run("stack", "import", "--stack", stack.name, "--file", str(repaired), cwd=stack.project)
    assert imported.returncode == 0, imported.stderr
    stack.refresh()


@pytest.mark.parametrize(
    "operation",
    [
        "CreateVpc",
        "CreateVpcEndpoint",
        "ImportCertificate",
        "CreateClientVpnEndpoint",
        "AssociateClientVpnTargetNetwork",
        "CreateCertificateFromCsr",
    ],
)
def test_an_up_cut_off_after_this_call_is_finished_by_the_next_and_leaves_nothing_behind(
    new_stack: StackFactory, cloud: Cloud, complete: dict[str, int], operation: str
) -> None:
    before = cloud.inventory()
    stack = new_stack(cloud, config=dict(CONFIG))
    cloud.forget_calls()
    stack.up_killed_when(cloud.called(operation))
    recover_as_the_runbook_says(stack)
    stack.up()
    assert Counter(each["type"] for each in stack.resources()) == complete
    assert stack.export().get("pending_operations", []) == []
    stack.preview("--expect-no-changes")
    stack.destroy()
    # Whatever the cut-off up had made beside the stack would still be here.
    assert cloud.inventory() == before


def test_without_recovery_the_next_up_names_every_resource_in_doubt(new_stack: StackFactory, own_cloud: Cloud) -> None:
    stack = new_stack(own_cloud, config=dict(CONFIG))
    own_cloud.forget_calls()
    stack.up_killed_when(own_cloud.called("CreateVpcEndpoint"))
    stack.remove_torn_metadata()
    refused = stack.up(fails=None)
    assert refused.returncode != 0
    assert "lock" in refused.text
    stack.cancel()
    pending = [op["resource"]["urn"] for op in stack.export()["pending_operations"]]
    assert pending
    again = stack.up(fails=None)
    assert all(urn in again.diagnostics("warning") for urn in pending)


def test_a_throttled_call_is_tried_again_within_the_up(new_stack: StackFactory, own_cloud: Cloud) -> None:
    empty = own_cloud.inventory()
    stack = new_stack(own_cloud, config=dict(CONFIG))
    own_cloud.forget_calls()
    throttled = {"service": "ec2", "code": "RequestLimitExceeded", "status": 503, "times": 2}
    own_cloud.faults(
        {**throttled, "operation": "CreateVpcEndpoint"}, {**throttled, "operation": "CreateClientVpnEndpoint"}
    )
    stack.up()
    for operation in ("CreateVpcEndpoint", "CreateClientVpnEndpoint"):
        assert [call["status"] for call in own_cloud.calls(operation)] == [503, 503, 200]
    stack.destroy()
    assert own_cloud.inventory() == empty


@pytest.mark.parametrize(
    "fault",
    [
        {"service": "ec2", "operation": "CreateVpcEndpoint", "code": "VpcEndpointLimitExceeded", "status": 400},
        {"service": "ec2", "operation": "AuthorizeClientVpnIngress", "code": "UnauthorizedOperation", "status": 403},
        {"service": "iot", "operation": "CreateCertificateFromCsr", "code": "UnauthorizedException", "status": 401},
    ],
    ids=lambda fault: fault["operation"],
)
def test_a_refused_call_is_named_the_state_is_true_and_the_next_up_finishes(
    new_stack: StackFactory, own_cloud: Cloud, complete: dict[str, int], fault: dict[str, Any]
) -> None:
    empty = own_cloud.inventory()
    stack = new_stack(own_cloud, config=dict(CONFIG))
    own_cloud.faults({**fault, "times": 1000})
    refused = stack.up(fails=True)
    own_cloud.faults()
    assert fault["code"] in refused.diagnostics()
    assert stack.export().get("pending_operations", []) == []
    # True: what the state has is there, unchanged.
    assert stack.refresh().steps == []
    finished = stack.up()
    assert finished.ops == {"create"}
    assert Counter(each["type"] for each in stack.resources()) == complete
    stack.destroy()
    assert own_cloud.inventory() == empty


def test_a_refused_delete_keeps_the_resource_in_the_state(new_stack: StackFactory, own_cloud: Cloud) -> None:
    empty = own_cloud.inventory()
    stack = new_stack(own_cloud, config=dict(CONFIG))
    stack.up()
    own_cloud.faults(
        {
            "service": "ec2",
            "operation": "DeleteVpcEndpoints",
            "code": "UnauthorizedOperation",
            "status": 403,
            "times": 99,
        }
    )
    refused = stack.destroy(fails=True)
    own_cloud.faults()
    assert "UnauthorizedOperation" in refused.diagnostics()
    assert "aws:ec2/vpcEndpoint:VpcEndpoint" in {each["type"] for each in stack.resources()}
    stack.destroy()
    assert own_cloud.inventory() == empty
