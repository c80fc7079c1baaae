"""An up that is cut off half way: the state is true after the runbook's recovery, and the next up finishes.

A cut is a SIGKILL of the engine and of every plugin at once, which is what a power cut or a lost runner does. Cannot
prove the moments between: each cut is placed after one call that the cloud has answered.
"""

import subprocess
import sys
from collections import Counter

import pytest

from lab.engine import CHECKOUT, Engine
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
    new_stack: StackFactory, cold_engine: Engine, cloud: Cloud, complete: dict[str, int], operation: str
) -> None:
    before = cloud.inventory()
    stack = new_stack(cloud, config=dict(CONFIG))
    cloud.forget_calls()
    stack.up_killed_when(cloud.called(operation), cold_engine)
    recover_as_the_runbook_says(stack)
    stack.up()
    assert Counter(each["type"] for each in stack.resources()) == complete
    assert stack.export().get("pending_operations", []) == []
    stack.preview("--expect-no-changes")
    stack.destroy()
    # Whatever the cut-off up had made beside the stack would still be here.
    assert cloud.inventory() == before


def test_without_recovery_the_next_up_names_every_resource_in_doubt(
    new_stack: StackFactory, cold_engine: Engine, own_cloud: Cloud
) -> None:
    stack = new_stack(own_cloud, config=dict(CONFIG))
    own_cloud.forget_calls()
    stack.up_killed_when(own_cloud.called("CreateVpcEndpoint"), cold_engine)
    stack.remove_torn_metadata()
    refused = stack.up(fails=None)
    assert refused.returncode != 0
    assert "lock" in refused.text
    stack.cancel()
    pending = [op["resource"]["urn"] for op in stack.export()["pending_operations"]]
    assert pending
    again = stack.up(fails=None)
    assert all(urn in again.diagnostics("warning") for urn in pending)
