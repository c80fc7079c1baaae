"""The rules of AppArmor's profile of OpenVPN, and what of the agent's they allow.

The rules are those that Ubuntu's profile has for these paths (AppArmor's `profiles/apparmor.d/openvpn`, written by
Canonical in 2025). How the kernel goes by them is seen in tests/device.
"""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

import pytest
from device_agent.__main__ import main
from device_agent.install.apparmor import LOCAL_RULES, OWN_LINES, PROFILE
from device_agent.install.openvpn_profile import RESOLVER_SCRIPT
from device_agent.install.slots import profile_file
from device_agent.installation import MANAGEMENT_SOCKET
from device_agent.system import Completed

from .material import FakeSystem, bundle, encode, snapshot

UBUNTU = (
    "r /etc/openvpn/{,**}",
    "rCx /etc/openvpn/update-resolv-conf{,.sh}",
    "w /run/systemd/notify",
    "rw /dev/net/tun",
    "rw /run/openvpn/*.{pid,status}",
)
LOADED = ["apparmor_parser", "--replace", PROFILE]
_ENABLED = "/sys/module/apparmor/parameters/enabled"


def pattern(glob: str) -> str:
    """Translate a path of a rule (apparmor.d(5), "Globbing") as far as these go."""
    parts = {"**": ".*", "*": "[^/]*", "{": "(", ",": "|", "}": ")"}
    return "".join(parts.get(part) or re.escape(part) for part in re.findall(r"\*\*|.", glob))


def allowed(rules: tuple[str, ...], access: str, path: str) -> bool:
    """Tell whether rules allow a kind of access: `r`, `w` or `x`."""
    found = (rule.split(" ", 1) for rule in rules)
    return any(access in words and re.fullmatch(pattern(glob), path) for words, glob in found)


@pytest.mark.parametrize(
    ("access", "path"),
    [
        *(("r", profile_file(slot)) for slot in ("a", "b")),
        *(("r", MANAGEMENT_SOCKET), ("w", MANAGEMENT_SOCKET), ("w", "/run/systemd/notify"), ("w", "/dev/net/tun")),
    ],
)
def test_ubuntus_profile_allows_what_openvpn_reads_and_writes_for_the_agent(access: str, path: str) -> None:
    assert allowed(UBUNTU, access, path)
    assert not allowed(UBUNTU, "w", profile_file("a"))
    assert not allowed(UBUNTU, "r", "/etc/private-iot/slots/a/clientvpn.conf")


def test_it_does_not_let_the_resolvers_script_run_and_the_agents_rule_does() -> None:
    assert allowed(UBUNTU, "x", "/etc/openvpn/update-resolv-conf")
    assert not allowed(UBUNTU, "x", RESOLVER_SCRIPT)
    path, access = OWN_LINES.splitlines()[-1].rstrip(",").split()
    assert allowed((*UBUNTU, f"{access} {path}"), "x", RESOLVER_SCRIPT)


class Ubuntu:
    """A device with the profile, whose kernel goes by AppArmor."""

    def __init__(self, system: FakeSystem, monkeypatch: pytest.MonkeyPatch) -> None:
        self.system = system
        self._monkeypatch = monkeypatch
        for path, text in ((PROFILE, "include if exists <local/openvpn>\n"), (_ENABLED, "Y\n")):
            self.path(path).parent.mkdir(parents=True)
            self.path(path).write_text(text)
        self.system.state["fail"]["apparmor_parser"] = Completed(0, "", "")

    def path(self, absolute: str) -> Path:
        return self.system.path(absolute)

    def __call__(self, *words: str) -> int:
        self._monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(encode(bundle()))))
        return main(words, self.system)

    @property
    def loads(self) -> int:
        return sum(command == LOADED for command in self.system.state["commands"])


@pytest.fixture
def ubuntu(system: FakeSystem, monkeypatch: pytest.MonkeyPatch) -> Ubuntu:
    return Ubuntu(system, monkeypatch)


@pytest.mark.parametrize("own", ["", "# Site-specific additions.\n", "/srv/keys/* r,"])
def test_install_adds_the_rule_once_and_uninstall_takes_it_back(ubuntu: Ubuntu, own: str) -> None:
    rules = ubuntu.path(LOCAL_RULES)
    if own:
        rules.parent.mkdir()
        rules.write_text(own)
    assert ubuntu("install", "-") == 0
    assert rules.read_text().startswith(own)
    assert rules.read_text().endswith(OWN_LINES)
    assert ubuntu.loads == 1
    before = snapshot(ubuntu.system.root)
    assert ubuntu("install", "-") == 0
    assert ubuntu.loads == 1
    assert snapshot(ubuntu.system.root) == before
    assert ubuntu("uninstall", "--purge") == 0
    assert ubuntu.loads == 2
    assert (rules.read_text().rstrip("\n") if own else rules.exists()) == (own.rstrip("\n") or False)


def test_upgrade_adds_the_rule_to_a_device_that_an_earlier_release_installed(ubuntu: Ubuntu) -> None:
    assert ubuntu("install", "-") == 0
    ubuntu.path(LOCAL_RULES).unlink()
    assert ubuntu("install", "--upgrade") == 0
    assert ubuntu.path(LOCAL_RULES).read_text() == OWN_LINES


@pytest.mark.parametrize("place", [PROFILE, LOCAL_RULES])
def test_a_rule_that_is_there_already_is_left_alone(ubuntu: Ubuntu, place: str) -> None:
    ubuntu.path(place).parent.mkdir(exist_ok=True)
    ubuntu.path(place).write_text(f"  {RESOLVER_SCRIPT} Ux,\n")
    assert ubuntu("install", "-") == 0
    assert ubuntu("uninstall", "--purge") == 0
    assert ubuntu.loads == 0
    assert ubuntu.path(place).read_text() == f"  {RESOLVER_SCRIPT} Ux,\n"


def test_a_profile_that_cannot_be_loaded_is_refused_and_nothing_is_installed(
    ubuntu: Ubuntu, capsys: pytest.CaptureFixture[str]
) -> None:
    before = snapshot(ubuntu.system.root)
    ubuntu.system.state["fail"]["apparmor_parser"] = Completed(1, "", "syntax error, unexpected TOK_END\n")
    assert ubuntu("install", "-") == 2
    assert "syntax error, unexpected TOK_END" in capsys.readouterr().err
    assert snapshot(ubuntu.system.root) == before


def test_a_kernel_without_apparmor_loads_nothing(ubuntu: Ubuntu) -> None:
    ubuntu.path(_ENABLED).write_text("N\n")
    assert ubuntu("install", "-") == 0
    assert ubuntu.path(LOCAL_RULES).read_text() == OWN_LINES
    assert ubuntu.loads == 0
