"""install and uninstall: all of it or nothing, and how the other slot takes over.

It cannot prove that systemd, OpenVPN and AWS IoT do what the fakes say; the path tests run the real ones.
"""

from __future__ import annotations

import fcntl
import io
import json
import os
import re
import shutil
import subprocess
import sys
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest
from device_agent.__main__ import main
from device_agent._exceptions import ConnectionFailedError, RefusedError
from device_agent.install.restart_unit import restart_unit
from device_agent.installation import AGENT_SERVICE, OPENVPN_SERVICE, RESTART_SERVICE, RESTART_UNIT, Installation
from device_agent.routes import Route
from device_agent.service import RESOLVED_SERVICE
from device_agent.system import Completed

from device_agent import files

from .material import ENDPOINT, FakeSystem, amazon_root, bundle, device, encode, issue, profile, snapshot

KEY_WORDS = "PRIVATE KEY-----"


class Pi:
    """A device that a test installs on."""

    def __init__(self, system: FakeSystem, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.system = system
        self._monkeypatch = monkeypatch
        self._capsys = capsys
        self.out = self.err = ""

    def __call__(self, *words: str, stdin: bytes = b"") -> int:
        self._monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        code = main(words, self.system)
        self.out, self.err = self._capsys.readouterr()
        assert KEY_WORDS not in self.out + self.err
        return code

    def install(self, document: object = None, *words: str) -> int:
        return self("install", "-", *words, stdin=encode(bundle() if document is None else document))

    @property
    def files(self) -> dict[str, Any]:
        return snapshot(self.system.root)

    def read(self, path: str) -> str:
        return self.system.path(path).read_text()


@pytest.fixture
def pi(system: FakeSystem, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Pi:
    return Pi(system, monkeypatch, capsys)


def second_bundle() -> dict[str, Any]:
    fresh = issue("AWS IoT Certificate pi-1 anew", amazon_root())
    return bundle(iot__certificatePem=fresh.certificate_pem, iot__privateKeyPem=fresh.key_pem)


def test_a_first_installation_puts_everything_in_place_and_starts_it(pi: Pi) -> None:
    assert pi.install() == 0, pi.err
    assert pi.read("/etc/openvpn/client/clientvpn.conf") == profile()
    assert pi.read("/etc/private-iot/private-key.pem") == device().key_pem
    assert Installation.load(pi.system).endpoint == ENDPOINT
    assert pi.system.state["enabled"] == pi.system.state["active"] == {OPENVPN_SERVICE, AGENT_SERVICE}
    assert "IPAddressDeny=any" in pi.read(f"/etc/systemd/system/{AGENT_SERVICE}")
    assert "Restart=always" in pi.read(f"/etc/systemd/system/{OPENVPN_SERVICE}.d/private-iot.conf")
    assert pi.out.endswith("pi-1 is installed; `device-agent doctor` proves the path\n")


def test_keys_are_closed_to_others_and_certificates_are_not(pi: Pi) -> None:
    pi.install()
    modes = {
        path: f"{pi.system.path(path).stat().st_mode & 0o777:o}"
        for path in (
            "/etc/openvpn/client/clientvpn.conf",
            "/etc/private-iot/private-key.pem",
            "/etc/private-iot/certificate.pem",
            "/etc/private-iot/root-ca.pem",
            "/etc/private-iot/device.json",
        )
    }
    assert list(modes.values()) == ["600", "600", "644", "644", "644"]


def test_a_second_time_changes_nothing_and_says_so(pi: Pi) -> None:
    pi.install()
    before, commands = pi.files, len(pi.system.state["commands"])
    assert pi.install() == 0
    assert pi.out == "pi-1 is installed already; nothing changed\n"
    assert pi.files == before
    assert {command[1] for command in pi.system.state["commands"][commands:]} <= {"is-active", "is-enabled"}


def test_an_upgrade_brings_an_earlier_releases_units_up_to_this_one_and_keeps_the_bundle(pi: Pi) -> None:
    pi.install()
    wanted = pi.files
    unit, drop_in = f"/etc/systemd/system/{AGENT_SERVICE}", f"/etc/systemd/system/{OPENVPN_SERVICE}.d/private-iot.conf"
    pi.system.path(unit).write_text("[Service]\nExecStart=/usr/bin/earlier\n")
    pi.system.path(drop_in).unlink()
    assert pi("install", "--upgrade", "--dry-run") == 0, pi.err
    assert pi.read(unit) == "[Service]\nExecStart=/usr/bin/earlier\n"
    assert pi("install", "--upgrade") == 0, pi.err
    assert pi.files == wanted
    assert pi.out.splitlines() == [
        f"write {drop_in}",
        f"write {unit}",
        "reload systemd",
        f"start {OPENVPN_SERVICE} anew",
        f"start {AGENT_SERVICE} anew",
        "pi-1 is installed; `device-agent doctor` proves the path",
    ]
    assert pi("install", "--upgrade") == 0, pi.err
    assert pi.out == "pi-1 is installed already; nothing changed\n"


def test_an_upgrade_where_nothing_is_installed_is_refused(pi: Pi) -> None:
    before = pi.files
    assert pi("install", "--upgrade") == 2
    assert "nothing is installed on this device" in pi.err
    assert pi.files == before


@pytest.mark.parametrize("words", [("-",), ("--device", "pi-1"), ("--verify",)], ids=" ".join)
def test_an_upgrade_takes_no_bundle(pi: Pi, words: tuple[str, ...]) -> None:
    pi.install()
    assert pi("install", "--upgrade", *words) == 2
    assert "keeps the bundle" in pi.err


def test_an_installation_without_a_bundle_is_refused(pi: Pi) -> None:
    assert pi("install") == 2
    assert "install needs a bundle" in pi.err


def test_dry_run_shows_the_changes_and_makes_none(pi: Pi) -> None:
    before = pi.files
    assert pi.install(None, "--dry-run") == 0
    assert "would create the user private-iot\n" in pi.out
    assert f"would enable {OPENVPN_SERVICE} {AGENT_SERVICE}\n" in pi.out
    assert pi.files == before
    assert pi.system.state["active"] == set()


def test_json_lists_the_changes(pi: Pi) -> None:
    pi.install(None, "--json")
    done = json.loads(pi.out)
    assert done["device"] == "pi-1"
    assert "create the user private-iot" in done["changes"]
    pi.install(None, "--json")
    assert json.loads(pi.out)["changes"] == []


def test_a_new_bundle_takes_over_after_its_echo(pi: Pi) -> None:
    pi.install()
    old = pi.files
    assert pi.install(second_bundle()) == 0, pi.err
    assert "try /etc/private-iot/slots/b: its tunnel, then an echo over it\n" in pi.out
    assert pi.system.state["session"].calls == ["connect", "subscribe", "publish", "disconnect"]
    assert pi.read("/etc/private-iot/private-key.pem") == second_key(pi)
    assert not pi.system.path("/etc/private-iot/slots/a").exists()
    assert pi.system.state["active"] == {OPENVPN_SERVICE, AGENT_SERVICE}
    assert pi.files.keys() ^ old.keys() >= {"etc/private-iot/slots/b/private-key.pem"}


def second_key(pi: Pi) -> str:
    return pi.read("/etc/private-iot/slots/b/private-key.pem")


def test_the_old_bundle_counts_while_the_new_one_is_tried(pi: Pi) -> None:
    """A power cut in the trial has to boot into the old bundle."""
    pi.install()
    seen: dict[str, Any] = {}

    def look(_topic: str, _payload: bytes) -> None:
        seen["key"] = pi.read("/etc/private-iot/private-key.pem")
        seen["profile"] = pi.system.path("/etc/openvpn/client/clientvpn.conf").resolve()
        seen["active"] = set(pi.system.state["active"])

    session = pi.system.state["session"]
    publish = session.publish

    def spy(topic: str, payload: bytes) -> None:
        look(topic, payload)
        publish(topic, payload)

    session.publish = spy
    assert pi.install(second_bundle()) == 0
    assert seen["key"] == device().key_pem
    assert seen["profile"] == pi.system.path("/etc/openvpn/private-iot/a.conf")
    assert seen["active"] == {"openvpn-client@clientvpn_trial.service"}


@pytest.mark.parametrize("step", ["connect", "subscribe", "publish"])
def test_a_new_bundle_without_an_echo_leaves_the_old_one_running(pi: Pi, step: str) -> None:
    pi.install()
    before = pi.files
    pi.system.state["session"].refuse = {step: ConnectionFailedError("AWS IoT refused the connection")}
    assert pi.install(second_bundle()) == 2
    assert pi.err == (
        "waiting: AWS IoT refused the connection\n"
        "device-agent: the new bundle did not pass its trial and was not installed: no echo over the path: AWS IoT"
        " refused the connection\n"
    )
    assert pi.system.monotonic() == 90
    assert pi.files == before
    assert pi.system.state["active"] == {OPENVPN_SERVICE, AGENT_SERVICE}


def test_a_plain_refusal_ends_the_trial_early(pi: Pi) -> None:
    pi.install()
    pi.system.state["session"].refuse = {"subscribe": RefusedError("refused", 0x87)}
    assert pi.install(second_bundle()) == 2
    assert pi.system.monotonic() == 15


def test_a_service_that_is_only_busy_does_not_end_the_trial_early(pi: Pi) -> None:
    pi.install()
    pi.system.state["session"].refuse = {"connect": RefusedError("busy", 0x89)}
    assert pi.install(second_bundle()) == 2
    assert pi.system.monotonic() == 90


def test_a_trial_takes_as_long_as_the_settings_say(pi: Pi) -> None:
    pi.install()
    settings = pi.system.path("/etc/private-iot/agent.toml")
    settings.write_text("[connection]\ntrial_seconds = 300\n")
    settings.chmod(0o644)
    pi.system.state["session"].refuse = {"connect": ConnectionFailedError("no answer")}
    assert pi.install(second_bundle()) == 2
    assert pi.system.monotonic() == 300


def test_a_trial_whose_name_leads_outside_the_vpc_sends_nothing(pi: Pi) -> None:
    pi.install()
    before = pi.files
    pi.system.state["addresses"] = ["203.0.113.7"]
    assert pi.install(second_bundle()) == 2
    assert "resolves to 203.0.113.7, outside the VPC's 10.0.0.0/16; nothing was sent" in pi.err
    assert "connect" not in pi.system.state["session"].calls
    assert pi.files == before


def test_a_first_bundle_that_fails_a_wanted_trial_leaves_nothing(pi: Pi) -> None:
    before = pi.files
    pi.system.state["session"].refuse = {"connect": ConnectionFailedError("refused")}
    assert pi.install(None, "--verify") == 2
    assert pi.files == before
    assert pi.system.account("private-iot") is None
    assert pi.system.state["active"] == pi.system.state["enabled"] == set()


def test_without_verification_a_new_bundle_takes_over_at_once(pi: Pi) -> None:
    pi.install()
    assert pi.install(second_bundle(), "--no-verify") == 0
    assert pi.system.state["session"].calls == []
    assert pi.read("/etc/private-iot/private-key.pem") != device().key_pem


def test_a_bundle_without_a_root_certificate_trusts_the_systems(pi: Pi) -> None:
    pi.install()
    assert pi.install(bundle(iot__rootCaPem=...)) == 0
    assert not pi.system.path("/etc/private-iot/root-ca.pem").exists()
    assert Installation.load(pi.system).root_ca_file is None


@pytest.mark.parametrize("verb", ["enable", "restart"])
def test_a_systemd_that_fails_puts_everything_back(pi: Pi, verb: str) -> None:
    before = pi.files
    pi.system.state["fail"] = {f"systemctl {verb}": Completed(1, "", "Failed to connect to bus\n")}
    assert pi.install() == 2
    assert "failed: Failed to connect to bus\n" in pi.err
    assert pi.files == before
    assert pi.system.account("private-iot") is None


def test_a_reload_that_fails_puts_the_units_back_that_were_there(pi: Pi) -> None:
    pi.install()
    pi.system.path(f"/etc/systemd/system/{AGENT_SERVICE}").write_text("[Service]\nExecStart=/usr/bin/earlier\n")
    before = pi.files
    pi.system.state["fail"] = {"systemctl daemon-reload": Completed(1, "", "Failed to connect to bus\n")}
    assert pi.install() == 2
    assert "`systemctl daemon-reload` failed: Failed to connect to bus\n" in pi.err
    assert pi.files == before


def test_an_upgrade_whose_start_fails_comes_back_to_the_old_bundle(pi: Pi) -> None:
    pi.install()
    before = pi.files
    run = FakeSystem.run
    calls = {"restart": 0}

    def fail_once(self: FakeSystem, argv: list[str], **more: Any) -> Completed:
        if argv[:3] == ["systemctl", "restart", AGENT_SERVICE]:
            calls["restart"] += 1
            if calls["restart"] == 1:
                return Completed(1, "", "Job failed")
        return run(self, argv, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FakeSystem, "run", fail_once)
        assert pi.install(second_bundle()) == 2
    assert pi.files == before
    assert pi.system.state["active"] == {OPENVPN_SERVICE, AGENT_SERVICE}


@pytest.mark.parametrize("after", range(12))
def test_a_disk_that_fills_up_at_any_file_leaves_everything_as_it_was(
    pi: Pi, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    before = pi.files
    count = 0

    def full(self: object, *arguments: Any, **more: Any) -> None:
        nonlocal count
        count += 1
        if count == after + 1:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "sync_folder", full)
    code = pi.install()
    if count > after:
        assert code == 2
        assert "No space left on device" in pi.err
        assert pi.err.count("\n") == 1
        assert pi.files == before
    else:
        assert code == 0


def test_an_interrupted_installation_leaves_everything_as_it_was(pi: Pi, monkeypatch: pytest.MonkeyPatch) -> None:
    before = pi.files

    def interrupt(*_arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("device_agent.install.steps.promote", interrupt)
    assert pi.install() == 130
    assert pi.files == before


def test_an_installation_that_was_killed_in_its_trial_is_cleared_away_by_the_next(
    pi: Pi, monkeypatch: pytest.MonkeyPatch
) -> None:
    pi.install()
    before = pi.files
    root, state = pi.system.root, pi.system.state

    def die(_topic: str, _payload: bytes) -> None:
        # What is on disk when the power goes, before anything can be undone.
        shutil.copytree(root, root.with_name("dead"), symlinks=True)
        state["dead"] = set(state["active"])

    monkeypatch.setattr(state["session"], "publish", die)
    monkeypatch.setattr("device_agent.session.ACK_TIMEOUT", 0)
    assert pi.install(second_bundle()) == 2
    shutil.rmtree(root)
    root.with_name("dead").rename(root)
    state["active"] = state["dead"]
    assert pi.files.keys() - before.keys() >= {"etc/openvpn/client/clientvpn_trial.conf", "etc/private-iot/slots/b"}
    assert pi.install() == 0, pi.err
    assert pi.files == before
    assert state["active"] == {OPENVPN_SERVICE, AGENT_SERVICE}


def test_the_restart_unit_is_started_before_anything_is_stopped_and_is_gone_at_the_end(pi: Pi) -> None:
    pi.install()
    before = len(pi.system.state["commands"])
    assert pi.install(second_bundle()) == 0
    commands = pi.system.state["commands"][before:]
    started, stopped, dismissed = (
        commands.index(["systemctl", *words])
        for words in (["restart", RESTART_SERVICE], ["stop", AGENT_SERVICE], ["stop", RESTART_SERVICE])
    )
    assert started < stopped < dismissed == len(commands) - 1
    assert not pi.system.path(RESTART_UNIT).exists()


def test_a_restart_unit_that_cannot_be_started_leaves_everything_running(pi: Pi) -> None:
    pi.install()
    before = pi.files
    pi.system.state["fail"] = {f"systemctl restart {RESTART_SERVICE}": Completed(1, "", "Job failed.\n")}
    assert pi.install(second_bundle()) == 2
    assert pi.err == f"device-agent: `systemctl restart {RESTART_SERVICE}` failed: Job failed.\n"
    assert ["systemctl", "stop", AGENT_SERVICE] not in pi.system.state["commands"]
    assert pi.files == before
    assert pi.system.state["active"] == {OPENVPN_SERVICE, AGENT_SERVICE}


def test_two_installations_at_once_are_refused_after_a_while(pi: Pi) -> None:
    before = pi.files
    lock = os.open(pi.system.path("/etc/openvpn/client"), os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert pi.install() == 2
    finally:
        os.close(lock)
    assert pi.err == ("device-agent: another device-agent command holds the services and has not ended; wait for it\n")
    assert pi.files == before
    assert pi.install() == 0


def test_the_restart_unit_starts_only_what_ran() -> None:
    assert "systemctl --no-block start a.service b.service;" in restart_unit(["a.service", "b.service"])
    assert "systemctl --no-block start" not in restart_unit([])


def test_a_profile_that_somebody_made_by_hand_is_kept_beside_ours(pi: Pi) -> None:
    hand_made = pi.system.path("/etc/openvpn/client/clientvpn.conf")
    hand_made.write_text("client\n")
    assert pi.install() == 0
    assert pi.read("/etc/openvpn/client/clientvpn.conf.before-private-iot") == "client\n"
    assert pi.read("/etc/openvpn/client/clientvpn.conf") == profile()


@pytest.mark.parametrize(
    ("path", "damage"),
    [
        ("/etc/private-iot/slots/a/private-key.pem", lambda path: path.chmod(0o644)),
        ("/etc/private-iot/slots/a/device.json", lambda path: path.write_text("{}")),
        ("/etc/private-iot/certificate.pem", lambda path: path.unlink()),
        (f"/etc/systemd/system/{AGENT_SERVICE}", lambda path: path.write_text("[Unit]")),
        ("/etc/private-iot", lambda path: path.chmod(0o777)),
    ],
)
def test_installing_again_repairs_what_has_drifted(pi: Pi, path: str, damage: Any) -> None:
    pi.install()
    before = {name: value for name, value in pi.files.items() if not re.search(r"slots|current|/[ab]\.conf", name)}
    damage(pi.system.path(path))
    assert pi.install() == 0
    assert "nothing changed" not in pi.out
    after = {name: value for name, value in pi.files.items() if not re.search(r"slots|current|/[ab]\.conf", name)}
    assert after == before
    assert Installation.load(pi.system).name == "pi-1"


BAD_BUNDLES = {
    "empty": b"",
    "truncated": encode(bundle())[:2000],
    "not JSON": b"hello",
    "wrong version": encode(bundle(version=3)),
    "missing field": encode(bundle(iot__clientId=...)),
    "extra field": encode(bundle(iot__more=1)),
    "wrong PEM": encode(bundle(iot__certificatePem=device().key_pem)),
    "foreign key": encode(bundle(iot__privateKeyPem=amazon_root().key_pem)),
    "up /bin/sh": encode(bundle(vpn__config=profile(scripts="script-security 2\nup /bin/sh\n"))),
    "plugin": encode(bundle(vpn__config=profile(scripts="plugin /tmp/x.so\n"))),
    "management": encode(bundle(vpn__config=profile(scripts="management 127.0.0.1 1\n"))),
    "config": encode(bundle(vpn__config=profile(scripts="config /etc/x\n"))),
    "dots": encode(bundle(vpn__config=profile(scripts="up /etc/openvpn/../../bin/sh\n"))),
}


@pytest.mark.parametrize("installed", [False, True])
@pytest.mark.parametrize("name", BAD_BUNDLES)
def test_bad_input_is_one_line_and_exit_2_and_changes_nothing(pi: Pi, name: str, installed: bool) -> None:
    if installed:
        pi.install()
    before, active = pi.files, set(pi.system.state["active"])
    assert pi("install", "-", stdin=BAD_BUNDLES[name]) == 2
    assert pi.out == ""
    assert pi.err.startswith("device-agent: ")
    assert pi.err.count("\n") == 1
    assert pi.files == before
    assert pi.system.state["active"] == active


def test_a_clock_of_1970_is_named(pi: Pi) -> None:
    pi.system.state["now"] = 0
    assert pi.install() == 2
    assert "this device's clock says 1970-01-01 00:00 UTC; set the clock (`timedatectl`) or wait" in pi.err


def test_without_root_nothing_is_tried(pi: Pi) -> None:
    pi.system.state["user_id"] = 1000
    assert pi.install() == 2
    assert pi.err == "device-agent: install needs root; run it with sudo\n"


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("usr/sbin/openvpn", "OpenVPN is not installed"),
        ("etc/openvpn/update-systemd-resolved", "/etc/openvpn/update-systemd-resolved is missing or not executable"),
    ],
)
def test_a_missing_package_is_named_with_the_command_that_brings_it(pi: Pi, missing: str, message: str) -> None:
    (pi.system.root / missing).unlink()
    before = pi.files
    assert pi.install() == 2
    assert message in pi.err
    assert "`sudo apt install openvpn openvpn-systemd-resolved`" in pi.err
    assert pi.files == before


def test_a_machine_without_systemd_is_refused(pi: Pi) -> None:
    pi.system.state["fail"] = {"systemctl": Completed(127, "", "systemctl: No such file or directory")}
    assert pi.install() == 2
    assert "there is no systemctl" in pi.err


def test_a_file_that_is_not_there_is_named(pi: Pi) -> None:
    assert pi("install", "/nowhere.json") == 2
    assert pi.err == "device-agent: /nowhere.json cannot be read: No such file or directory\n"


def test_a_file_is_read_like_standard_input(pi: Pi, tmp_path: Path) -> None:
    source = tmp_path / "bundle.json"
    source.write_bytes(encode({"pi-1": bundle(), "pi-2": bundle(name="pi-2")}))
    assert pi("install", str(source), "--device", "pi-2") == 0
    assert Installation.load(pi.system).name == "pi-2"


def test_uninstall_removes_all_that_install_made_but_the_queue(pi: Pi) -> None:
    before = pi.files
    pi.install()
    pi.system.path("/var/lib/private-iot/queue.sqlite3").write_text("messages")
    assert pi("uninstall") == 0, pi.err
    kept = {name for name in pi.files if name not in before}
    assert kept == {"var/lib/private-iot", "var/lib/private-iot/queue.sqlite3"}
    assert pi.system.state["active"] == pi.system.state["enabled"] == set()
    assert pi.system.account("private-iot") is None


def test_uninstall_with_purge_leaves_the_machine_as_it_was(pi: Pi) -> None:
    before = pi.files
    pi.install()
    assert pi("uninstall", "--purge") == 0
    assert pi.files == before
    assert pi("uninstall", "--purge") == 0
    assert pi.out == "nothing is installed; nothing changed\n"


def test_uninstall_puts_a_profile_back_that_was_there_before(pi: Pi) -> None:
    pi.system.path("/etc/openvpn/client/clientvpn.conf").write_text("client\n")
    before = pi.files
    pi.install()
    assert pi("uninstall", "--dry-run") == 0
    assert "would put /etc/openvpn/client/clientvpn.conf back" in pi.out
    assert pi("uninstall", "--purge") == 0
    assert pi.files == before


def test_uninstall_leaves_a_profile_that_is_not_ours(pi: Pi) -> None:
    pi.install()
    profile_path = pi.system.path("/etc/openvpn/client/clientvpn.conf")
    profile_path.unlink()
    profile_path.write_text("client\n")
    pi("uninstall")
    assert profile_path.read_text() == "client\n"


def test_a_queue_that_was_kept_belongs_to_the_agent_again_after_the_next_installation(pi: Pi) -> None:
    """The account's number may have changed meanwhile; to root's files the agent could not write a message."""
    pi.install()
    queue = pi.system.path("/var/lib/private-iot/queue.sqlite3")
    queue.write_text("messages")
    queue.with_name("queue.sqlite3-wal").write_text("more")
    assert pi("uninstall") == 0
    owned: dict[str, tuple[int, int]] = {}
    pi.system.state["next_account"] = (4242, 4242)
    pi.system.state["owned"] = owned
    assert pi.install() == 0, pi.err
    assert "give what is in /var/lib/private-iot to private-iot\n" in pi.out
    assert owned[str(queue)] == owned[f"{queue}-wal"] == owned[str(queue.parent)] == (4242, 4242)


def test_uninstall_waits_for_another_command_and_is_refused_after_a_while(pi: Pi) -> None:
    pi.install()
    before = pi.files
    lock = os.open(pi.system.path("/etc/openvpn/client"), os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert pi("uninstall") == 2
    finally:
        os.close(lock)
    assert "another device-agent command holds the services" in pi.err
    assert pi.files == before


def test_a_group_with_members_stands_in_the_way_of_nothing(pi: Pi) -> None:
    """`usermod -aG private-iot pi` is what publish's own error advises."""
    pi.install()
    pi.system.state["members"] = True
    assert pi("uninstall") == 0
    assert pi.system.state["groups"] == set()
    # An earlier release left the group.
    pi.system.state["groups"].add("private-iot")
    assert pi.install() == 0, pi.err
    assert pi("uninstall", "--purge") == 0
    assert pi("uninstall", "--purge") == 0
    assert pi.out == "nothing is installed; nothing changed\n"


def test_uninstall_keeps_what_the_user_and_request_have_made_until_it_is_told_to_purge(pi: Pi) -> None:
    pi.install()
    settings = pi.system.path("/etc/private-iot/agent.toml")
    settings.write_text("[queue]\nmax_mib = 8\n")
    assert pi("uninstall") == 0
    assert [path.name for path in settings.parent.iterdir()] == ["agent.toml"]
    assert "/etc/private-iot/agent.toml is kept; --purge removes it\n" in pi.out
    assert pi("uninstall") == 0
    assert pi.out == "nothing is installed; nothing changed\n"
    assert pi("uninstall", "--purge") == 0
    assert not settings.parent.exists()


def _as_the_release_before(pi: Pi) -> None:
    """Lay the installed files out as 0.1.0 did: the profile in the slot, no link for a missing root certificate."""
    slot = pi.system.path("/etc/private-iot/slots/a")
    link = slot / "clientvpn.conf"
    profile_path = link.resolve()
    link.unlink()
    profile_path.rename(link)
    profile_path.parent.rmdir()


def test_a_device_of_the_release_before_keeps_identity_and_queue_without_a_trial(pi: Pi) -> None:
    pi.install()
    expected = pi.files
    queue = pi.system.path("/var/lib/private-iot/queue.sqlite3")
    queue.write_text("messages")
    _as_the_release_before(pi)
    assert Installation.load(pi.system).name == "pi-1"
    pi.system.state["session"].refuse = {"connect": ConnectionFailedError("no line today")}
    assert pi.install() == 0, pi.err
    assert "try " not in pi.out
    assert queue.read_text() == "messages"
    queue.unlink()
    assert pi.files == expected


def test_a_device_of_the_release_before_takes_a_new_bundle(pi: Pi) -> None:
    pi.install()
    _as_the_release_before(pi)
    assert pi.install(second_bundle()) == 0, pi.err
    assert pi.system.path("/etc/openvpn/client/clientvpn.conf").resolve().parent.name == "private-iot"
    assert not pi.system.path("/etc/private-iot/slots/a").exists()


def _deaf_resolved(pi: Pi, *, heals: bool) -> None:
    """resolved as it is after Debian's `apt install systemd-resolved`: it runs, but not on the bus."""
    pi.system.state["active"].add(RESOLVED_SERVICE)
    pi.system.state["resolved_deaf"] = True
    pi.system.state["resolved_heals"] = heals


def test_a_resolver_that_does_not_answer_on_the_bus_is_healed_first(pi: Pi) -> None:
    _deaf_resolved(pi, heals=True)
    assert pi.install(None, "--dry-run") == 0
    assert f"would start {RESOLVED_SERVICE} anew, which does not answer on the bus\n" in pi.out
    assert pi.install() == 0, pi.err
    assert pi.system.state["resolved_deaf"] is False
    assert pi.install() == 0
    assert pi.out == "pi-1 is installed already; nothing changed\n"


def test_a_resolver_that_cannot_be_healed_is_refused_and_nothing_is_installed(pi: Pi) -> None:
    before = pi.files
    _deaf_resolved(pi, heals=False)
    assert pi.install() == 2
    assert f"{RESOLVED_SERVICE} does not answer on the bus (`resolvectl status`); reboot the device" in pi.err
    assert pi.files == before


@pytest.mark.parametrize(
    ("mounts", "command_line", "said"),
    [
        ("overlay / overlay rw,lowerdir=/mnt 0 0", "console=tty1 boot=overlay", "is on an overlay in memory: messages"),
        ("overlayroot / overlay rw 0 0", "overlayroot=tmpfs", "is on an overlay in memory: messages that wait there"),
        ("/dev/a / ext4 rw 0 0\ntmpfs /var/lib tmpfs rw 0 0", "", "is on a tmpfs (/var/lib): messages that wait"),
        ("overlay / overlay rw 0 0", "a container has one too", ""),
        ("/dev/mmcblk0p2 / ext4 rw 0 0\ntmpfs /run tmpfs rw 0 0", "boot=overlay", ""),
    ],
)
def test_a_queue_that_would_lie_in_memory_is_warned_of(pi: Pi, mounts: str, command_line: str, said: str) -> None:
    fstab = "# comments count for nothing\ntmpfs /var/lib tmpfs defaults 0 0"
    for path, text in (("/proc/self/mounts", mounts), ("/proc/cmdline", command_line), ("/etc/fstab", fstab)):
        pi.system.path(path).parent.mkdir(parents=True, exist_ok=True)
        pi.system.path(path).write_text(f"{text}\n")
    assert pi.install() == 0
    assert said in pi.err
    assert bool(said) == ("warning: " in pi.err)


@pytest.mark.parametrize("narrow", [False, True])
def test_a_python_without_awscrt_is_one_line_with_the_remedy(
    pi: Pi, monkeypatch: pytest.MonkeyPatch, narrow: bool
) -> None:
    before = pi.files
    if narrow:
        monkeypatch.setattr(sys, "maxsize", 2**31 - 1)
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    assert pi.install() == 2
    remedy = "take 64-bit Raspberry Pi OS" if narrow else "install it beside the agent: `pip install awsiotsdk`"
    assert remedy in pi.err
    assert pi.err.count("\n") == 1
    assert pi.files == before


def test_any_command_that_needs_awscrt_says_so_in_one_line(tmp_path: Path) -> None:
    code = "import sys; sys.modules['awscrt'] = None\nfrom device_agent.__main__ import main\nsys.exit(main(['run']))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith(
        "device-agent: AWS's SDK (awscrt) is not installed for this Python; install it beside"
    )
    assert done.stderr.count("\n") == 1


def test_a_home_network_inside_the_vpc_is_warned_of_before_anything_changes(pi: Pi) -> None:
    pi.system.state["table"] = [Route(IPv4Network("10.0.0.0/24"), "wlan0")]
    assert pi.install(None, "--dry-run") == 0
    assert "warning: a route of another network covers the VPC: 10.0.0.0/24 through wlan0 lies in 10.0.0.0/16" in pi.err
