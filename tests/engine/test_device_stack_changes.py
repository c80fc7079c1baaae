"""Stacks of devices: what is refused, a device that moves into one, and the tool that runs them side by side.

Cannot prove what a state in Pulumi Cloud makes of a move; it is one in files here.
"""

import json
import shutil
import subprocess
import sys

import pytest

from lab.engine import CHECKOUT
from tests.engine.aws import Cloud
from tests.engine.conftest import StackFactory
from tests.engine.device_stacks import BASE, base_stack, beside
from tests.engine.stack import Stack

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]


def test_what_does_not_belong_together_is_refused(new_stack: StackFactory, cloud: Cloud) -> None:
    base = base_stack(new_stack, cloud, [], "none")
    assert "private-iot:deviceStacks: device_stacks" in base.preview(fails=True).diagnostics()
    base.configure(deviceStacks=[])
    base.up()
    east = beside(base, "east", baseStack=BASE, devices=["pi-1"])
    assert "list this stack in the base's deviceStacks" in east.preview(fails=True).diagnostics()
    for name, value in {"vpcCidrBlock": "10.1.0.0/16", "fleetBatches": ["spring"], "deviceStacks": [BASE]}.items():
        east.configure(**{name: value})
        assert "and only devices: the rest is of organization/private-iot/base" in east.preview(fails=True).text, name
        del east.config[f"private-iot:{name}"]
    east.configure(baseStack="base")
    assert "ORGANIZATION/PROJECT/STACK" in east.preview(fails=True).diagnostics()


def test_a_device_moves_from_its_stack_into_a_device_stack(new_stack: StackFactory, own_cloud: Cloud) -> None:
    base = base_stack(new_stack, own_cloud, ["pi-1", "pi-2"])
    base.up()
    bundle = base.outputs(show_secrets=True)["devices"]["pi-2"]
    base.configure(deviceStacks=["organization/private-iot/east"])
    east = beside(base, "east", baseStack=BASE, devices=["pi-2"])
    base.up()
    urns = [one["urn"] for one in base.export()["resources"]]
    moved = [urn for urn in urns if urn.split("::")[-1].split("-client-")[-1].startswith("pi-2")]
    assert len(moved) == 11
    ended = base.engine.run(
        *("state", "move", "--yes", "--source", "base", "--dest", "east", *moved), cwd=base.directory
    )
    assert ended.returncode == 0, ended.stderr
    base.configure(devices=["pi-1"])

    # Too early: the device stack has said nothing, so nobody counts as gone.
    base.up()
    assert base.outputs()["revokedSerialNumbers"] == []
    ids = {one["id"] for one in east.resources()}
    outcome = east.up()
    assert outcome.ops == {"update"}
    assert outcome.counts("update") == {"aws:iot/thing:Thing": 1}, "its attributes name its stack"
    assert {one["id"] for one in east.resources()} == ids
    assert east.outputs(show_secrets=True)["devices"]["pi-2"] == bundle
    assert base.up().ops <= {"update"}
    assert base.outputs()["revokedSerialNumbers"] == []
    for stack in (base, east):
        stack.preview("--expect-no-changes")


def test_the_tool_brings_up_base_and_device_stacks_and_takes_them_away(
    new_stack: StackFactory, own_cloud: Cloud
) -> None:
    empty = own_cloud.inventory()
    base = base_stack(new_stack, own_cloud, [], "east", "west")
    for part in ("__main__.py", "settings.py", "Pulumi.yaml"):
        shutil.copy(CHECKOUT / part, base.directory)
    (base.directory / ".venv").symlink_to(sys.prefix)
    again = _tool(base, "up")
    assert again.returncode == 2
    assert "Pulumi.east.yaml is missing" in again.stderr
    for name, devices in {"east": ["pi-1"], "west": ["pi-2"]}.items():
        config = {"aws:region": base.engine.region, "private-iot:baseStack": BASE, "private-iot:devices": devices}
        file = base.directory / f"Pulumi.{name}.yaml"
        file.write_text(json.dumps({**json.loads(base.file.read_text()), "config": config}))
    ended = _tool(base, "up")
    assert ended.returncode == 0, ended.stderr
    runs = json.loads(ended.stdout)["runs"]
    assert [run["stack"] for run in runs] == ["base", "east", "west", "base"]
    assert all(run["result"] == "succeeded" for run in runs)
    assert runs[3]["changes"] == {"update": 1}, "the register"
    assert "east: " in ended.stderr
    again = _tool(base, "up")
    assert [run["changes"] for run in json.loads(again.stdout)["runs"]] == [{}, {}, {}]

    file = base.directory / "Pulumi.west.yaml"
    file.write_text(file.read_text().replace("pi-2", "no name"))
    ended = _tool(base, "up")
    assert ended.returncode == 1
    runs = json.loads(ended.stdout)["runs"]
    assert [run["result"] for run in runs] == ["succeeded", "succeeded", "failed"]
    assert "a thing's name is made of" in runs[2]["error"]

    base.unprotect()
    assert _tool(base, "destroy").returncode == 0
    assert own_cloud.inventory() == empty


def _tool(base: Stack, verb: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, str(CHECKOUT / "tools" / "device_stacks.py"), verb]
    return subprocess.run(
        [*words, "--base", "base", "--directory", str(base.directory), "--json"],
        env=base.engine.environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
    )
