"""The stand-in for polkit: who may do what to which unit. It cannot prove that polkit itself reads the rule alike."""

import os
import pwd
from pathlib import Path

import pytest
from device_agent.install.units import unit_rule

from lab.path.stand_ins import polkit

AGENT, STRANGER = 991, 992
TUNNEL = "openvpn-client@clientvpn.service"


@pytest.fixture(autouse=True)
def rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    names = {AGENT: "private-iot", STRANGER: "somebody"}
    record = pwd.getpwuid(os.getuid())
    monkeypatch.setattr(pwd, "getpwuid", lambda number: pwd.struct_passwd((names[number], *tuple(record)[1:])))
    monkeypatch.setattr(polkit, "RULES", tmp_path)
    (tmp_path / "50-private-iot.rules").write_text(unit_rule())
    return tmp_path


def test_the_agents_user_may_restart_the_tunnel_and_nothing_else() -> None:
    assert polkit.allows(AGENT, "restart", [TUNNEL])
    assert not polkit.allows(AGENT, "stop", [TUNNEL])
    assert not polkit.allows(AGENT, "restart", ["ssh.service"])
    assert not polkit.allows(AGENT, "restart", [TUNNEL, "ssh.service"])
    assert not polkit.allows(AGENT, "restart", [])
    assert not polkit.allows(AGENT, "environment", [])


def test_others_may_look_and_root_may_do_all() -> None:
    assert not polkit.allows(STRANGER, "restart", [TUNNEL])
    assert polkit.allows(STRANGER, "show", [TUNNEL])
    assert polkit.allows(0, "stop", ["ssh.service"])


def test_without_the_rule_or_with_one_of_another_form_nothing_is_allowed(rules: Path) -> None:
    (rules / "50-private-iot.rules").write_text(unit_rule().replace("&&", "||"))
    assert not polkit.allows(AGENT, "restart", [TUNNEL])
    (rules / "50-private-iot.rules").unlink()
    assert not polkit.allows(AGENT, "restart", [TUNNEL])


def test_the_agents_user_may_have_a_delivered_certificate_judged() -> None:
    assert polkit.allows(AGENT, "start", ["private-iot-renewal.service"])
    assert not polkit.allows(AGENT, "restart", ["private-iot-renewal.service"])
    assert not polkit.allows(AGENT, "start", [TUNNEL])
