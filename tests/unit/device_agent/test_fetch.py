"""`fetch`: what it asks the Pulumi CLI for, and what it does with the answer. The path tier runs the real CLI."""

from __future__ import annotations

import json
from typing import Any

import pytest
from device_agent.installation import FETCH_TIMER, FETCH_UNIT
from device_agent.system import Completed

from .material import FakeSystem, bundle
from .test_install import Pi, pi

__all__ = ["pi"]
STACK = "organization/private-iot/dev"


class Cli:
    """The Pulumi CLI with one stack's outputs."""

    def __init__(self, pi: Pi, monkeypatch: pytest.MonkeyPatch) -> None:
        self.outputs: dict[str, Any] = {"deviceBundles": {}, "devices": {"pi-1": bundle(), "pi-2": bundle(name="pi-2")}}
        self.calls: list[list[str]] = []
        self.error = ""
        fake = FakeSystem.run

        def run(system: FakeSystem, argv: list[str], **more: Any) -> Completed:
            if argv[0] != "pulumi":
                return fake(system, argv, **more)
            self.calls.append(argv)
            if self.error:
                return Completed(255, "", self.error)
            if argv[3] not in self.outputs:
                return Completed(1, "", f"error: current stack does not have output property '{argv[3]}'")
            return Completed(0, json.dumps(self.outputs[argv[3]]), "")

        monkeypatch.setattr(FakeSystem, "run", run)


@pytest.fixture
def cli(pi: Pi, monkeypatch: pytest.MonkeyPatch) -> Cli:
    hostname = pi.system.path("/proc/sys/kernel/hostname")
    hostname.parent.mkdir(parents=True)
    hostname.write_text("pi-1\n")
    return Cli(pi, monkeypatch)


def test_the_devices_bundle_is_taken_and_installed_and_then_nothing_changes(pi: Pi, cli: Cli) -> None:
    assert pi("fetch", "--stack", STACK) == 0, pi.err
    assert pi.out.endswith("pi-1 is installed; `device-agent doctor` proves the path\n")
    assert cli.calls[0] == [
        "pulumi",
        "stack",
        "output",
        "deviceBundles",
        "--stack",
        STACK,
        "--json",
        "--non-interactive",
    ]
    assert cli.calls[1][3:] == ["devices", "--stack", STACK, "--json", "--non-interactive", "--show-secrets"]
    assert pi("fetch", "--stack", STACK) == 0
    assert pi.out == "pi-1 is installed already; nothing changed\n"


def test_a_device_whose_bundle_is_no_secret_asks_for_none(pi: Pi, cli: Cli) -> None:
    cli.outputs["deviceBundles"] = {"pi-1": bundle()}
    assert pi("fetch", "--stack", STACK) == 0, pi.err
    assert len(cli.calls) == 1
    assert "--show-secrets" not in cli.calls[0]


def test_the_installed_name_counts_before_the_hosts(pi: Pi, cli: Cli) -> None:
    assert pi("fetch", "--stack", STACK, "--device", "pi-2") == 0, pi.err
    pi.system.path("/proc/sys/kernel/hostname").write_text("raspberrypi\n")
    assert pi("fetch", "--stack", STACK) == 0, pi.err
    assert pi.out == "pi-2 is installed already; nothing changed\n"


def test_a_cli_that_fails_or_is_missing_is_one_line_and_changes_nothing(pi: Pi, cli: Cli) -> None:
    before = pi.files
    cli.error = "error: no stack named 'dev' found\n"
    assert pi("fetch", "--stack", STACK) == 2
    assert pi.err == (
        "device-agent: `pulumi stack output` failed: error: no stack named 'dev' found; is root logged in to the"
        " state's backend (`sudo pulumi whoami`)?\n"
    )
    cli.error = ""
    cli.outputs["devices"] = {}
    assert pi("fetch", "--stack", STACK) == 2
    assert "the input holds no device pi-1; it holds none" in pi.err
    assert pi("fetch", "--stack", "--show-secrets x") == 2
    assert pi.files == before


def test_the_timer_comes_and_goes_on_request(pi: Pi, cli: Cli) -> None:
    assert pi("fetch", "--stack", STACK) == 0
    before = pi.files
    assert pi("fetch", "--stack", STACK, "--timer") == 0, pi.err
    assert f"device_agent fetch --stack {STACK} --device pi-1\n" in pi.read(FETCH_UNIT)
    assert "private-iot-fetch.timer" in pi.system.state["active"]
    assert pi("fetch", "--stack", STACK, "--no-timer") == 0
    assert pi.files == before
    assert "private-iot-fetch.timer" not in pi.system.state["enabled"] | pi.system.state["active"]
    assert pi("fetch", "--stack", STACK, "--timer") == 0
    assert pi("uninstall", "--purge") == 0
    assert not pi.system.path(FETCH_TIMER).exists()
    assert pi.system.state["active"] == set()
