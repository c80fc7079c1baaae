"""The address rule of commands: what systemd is asked for, and that each connection is made under it.

What a real systemd and kernel make of it is seen in a virtual machine (tests/device/test_sandbox.py).
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from ipaddress import IPv4Network

import pytest
from device_agent.address_rule import address_rule
from device_agent.installation import AGENT_SERVICE
from device_agent.system import Completed, System

from device_agent import address_rule as module

from .material import FakeSystem
from .test_install import Pi, pi, second_bundle

__all__ = ["pi"]
VPC = IPv4Network("10.0.0.0/16")


def calls(system: FakeSystem) -> list[list[str]]:
    return [words for words in system.state["commands"] if words[0] == "busctl"]


def test_systemd_is_asked_for_a_scope_with_this_process_and_the_rule_and_then_for_one_without(
    system: FakeSystem, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "_numbers", itertools.count(1))
    number = str(os.getpid())
    with address_rule(system, VPC) as answer:
        assert (answer, system.state["kept"]) == ("EPERM", True)
    assert system.state["kept"] is False
    described = ["Description", "s", "A command of device-agent", "PIDs", "au", "1", number]
    # org.freedesktop.systemd1(5): family, address and prefix of each network, as `busctl introspect` shows a(iayu).
    deny = ["IPAddressDeny", "a(iayu)", "2", *["2", "4", "0", "0", "0", "0", "0"], *["10", "16", *["0"] * 16, "0"]]
    local = [*["2", "4", "127", "0", "0", "0", "8"], *["10", "16", *["0"] * 15, "1", "128"]]
    allow = ["IPAddressAllow", "a(iayu)", "3", *local, *["2", "4", "10", "0", "0", "0", "16"]]
    first, second = calls(system)
    tail = [f"private-iot-{number}-1.scope", "fail", "4", *described, *deny, *allow, "0"]
    assert first[-len(tail) :] == tail
    tail = [f"private-iot-{number}-2.scope", "fail", "2", *described, "0"]
    assert second[-len(tail) :] == tail
    assert capsys.readouterr().err == ""


def test_where_systemd_does_not_run_the_machine_the_command_goes_on_and_says_so(
    system: FakeSystem, capsys: pytest.CaptureFixture[str]
) -> None:
    system.state["fail"]["busctl"] = Completed(1, "", "Failed to connect to bus: No such file or directory\n")
    with address_rule(system, VPC) as answer:
        assert answer == "sent"
    said = capsys.readouterr().err
    assert said.startswith("no rule of the kernel keeps it from other addresses: Failed to connect to bus")
    assert said.count("\n") == 1
    assert len(calls(system)) == 1


def test_a_kernel_without_the_filter_is_waited_for_no_longer_than_some_seconds(
    system: FakeSystem, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(FakeSystem, "try_forbidden_address", lambda _self: "sent")
    with address_rule(system, VPC) as answer:
        assert answer == "sent"
    assert capsys.readouterr().err == "no rule of the kernel keeps it from other addresses\n"
    assert system.monotonic() == pytest.approx(module.MOVED_WITHIN, abs=0.1)


def test_a_process_that_has_the_rule_from_its_unit_asks_for_nothing(system: FakeSystem) -> None:
    system.state["kept"] = True
    with address_rule(system, VPC):
        pass
    assert (calls(system), system.state["kept"]) == ([], True)


def test_the_probe_never_leaves_the_machine() -> None:
    # 192.0.2.1 through the loopback interface: whatever this machine's routes and filters are, it is one of these.
    assert System().try_forbidden_address() in ("sent", "EPERM")


@pytest.mark.parametrize("command", [("pubsub",), ("pubsub", "--mqtt3"), ("install",)])
def test_every_command_that_connects_itself_does_so_under_the_rule(
    pi: Pi, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    assert pi.install() == 0, pi.err
    state = pi.system.state
    state["active"].discard(AGENT_SERVICE)
    session = state["session"]
    kept: list[bool] = []
    connect: Callable[[], list[str]] = session.connect

    def seen() -> list[str]:
        kept.append(state["kept"])
        return connect()

    monkeypatch.setattr(session, "connect", seen)
    if command == ("install",):
        assert pi.install(second_bundle()) == 0, pi.err
    else:
        assert pi(*command) == 0, pi.err
    assert kept
    assert all(kept), command
