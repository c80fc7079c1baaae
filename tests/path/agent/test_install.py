"""install and uninstall on a device of the lab: what they leave on disk, and how a new bundle takes over.

It cannot prove what a power cut does to a real disk; killing the process stands for it.
"""

from __future__ import annotations

import datetime
import json
import random
import sys
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from device_agent.installation import RESTART_SERVICE, TRIAL_FILE, TRIAL_SERVICE

from tests.path.agent.house import AGENT, TUNNEL, Device, House
from tests.path.agent.rotation import issue

pytestmark = [pytest.mark.path, pytest.mark.timeout(600)]
UP = {AGENT: "active", TUNNEL: "active"}


def fresh_bundle(house: House, name: str = "pi-1", *, active: bool = True) -> dict[str, Any]:
    """Issue the device another certificate, as a rotation does."""
    issued = issue(house.aws, name, house.made.policy_name, active=active)
    house.sync()
    bundle = house.bundle(name)
    bundle["iot"]["certificatePem"], bundle["iot"]["privateKeyPem"] = issued.pem, issued.key_pem
    return bundle


def certificate(device: Device) -> str:
    return device.run("cat", "/etc/private-iot/certificate.pem").stdout


def test_a_second_time_changes_nothing_and_says_so(pi: Device) -> None:
    assert pi.install().returncode == 0
    before = pi.snapshot()
    done = pi.install()
    assert (done.returncode, done.stdout) == (0, "pi-1 is installed already; nothing changed\n")
    assert pi.snapshot() == before


def test_dry_run_changes_nothing(pi: Device) -> None:
    before = pi.snapshot()
    done = pi.install(None, "--dry-run")
    assert done.returncode == 0
    assert f"would start {TUNNEL} anew\n" in done.stdout
    assert pi.snapshot() == before


def test_uninstall_leaves_the_device_as_it_was(pi: Device) -> None:
    before = pi.snapshot()
    assert pi.install().returncode == 0
    assert pi.snapshot() != before
    assert pi.agent("uninstall", "--purge").returncode == 0
    assert pi.snapshot() == before
    assert pi.units() == {AGENT: "inactive", TUNNEL: "inactive"}


def test_a_queue_that_uninstall_kept_goes_on_after_the_next_installation(pi: Device) -> None:
    """With its messages: what was accepted while there was no way out is delivered by the agent that comes after."""
    assert pi.install().returncode == 0
    pi.wait_until_healthy()
    pi.run("systemctl", "stop", TUNNEL)
    assert pi.agent("publish", "kept", "before").returncode == 0
    assert pi.agent("uninstall").returncode == 0
    assert pi.install().returncode == 0
    pi.wait_until_healthy()
    done = pi.agent("publish", "kept", "after")
    assert done.returncode == 0, done.stderr
    queue = json.loads(pi.agent("status", "--json").stdout)["queue"]
    assert (queue["error"], queue["accepted"] >= 2) == (None, True), queue


def test_a_rotated_certificate_takes_over_after_its_echo(house: House, pi: Device) -> None:
    assert pi.install().returncode == 0
    bundle = fresh_bundle(house)
    done = pi.install(bundle)
    assert done.returncode == 0, done.stderr
    assert "try /etc/private-iot/slots/b: its tunnel, then an echo over it\n" in done.stdout
    assert certificate(pi) == bundle["iot"]["certificatePem"]
    assert "slots/a" not in pi.snapshot()
    pi.wait_until_healthy()


def test_a_first_bundle_can_be_tried_too(pi: Device) -> None:
    done = pi.install(None, "--verify")
    assert done.returncode == 0, done.stderr
    assert "its tunnel, then an echo over it" in done.stdout
    pi.wait_until_healthy()


def test_a_bundle_with_an_inactive_certificate_leaves_the_old_one_at_work(house: House, pi: Device) -> None:
    assert pi.install().returncode == 0
    pi.wait_until_healthy()
    before = pi.snapshot()
    done = pi.install(fresh_bundle(house, active=False))
    assert done.returncode == 2
    assert "the new bundle did not pass its trial and was not installed: no echo over the path" in done.stderr
    assert pi.snapshot() == before
    assert pi.units() == UP
    pi.wait_until_healthy()


def _start_trial(pi: Device, bundle: dict[str, Any]) -> tuple[Any, str]:
    """Begin the installation of a bundle, and go on when its trial begins."""
    process = pi.start("device-agent", "install", "-")
    assert process.stdin is not None
    assert process.stdout is not None
    number = process.stdout.readline().strip()
    process.stdin.write(json.dumps(bundle))
    process.stdin.close()
    process.stdin = None
    while "its tunnel, then an echo" not in process.stdout.readline():
        assert process.poll() is None
    return process, number


def _wait_until_tunnel(process: Any) -> None:
    """The first reason to wait shows that the trial's tunnel has been started."""
    assert process.stderr.readline().startswith("waiting: ")


def hopeless_bundle(house: House) -> dict[str, Any]:
    bundle = house.bundle("pi-1")
    bundle["vpn"]["config"] = bundle["vpn"]["config"].replace("443\n", "444\n", 1)
    return bundle


def test_an_interrupted_trial_leaves_the_old_bundle_at_work(house: House, pi: Device) -> None:
    assert pi.install().returncode == 0
    before = pi.snapshot()
    process, number = _start_trial(pi, hopeless_bundle(house))
    _wait_until_tunnel(process)
    pi.run("kill", "-TERM", number)
    _out, error = process.communicate(timeout=150)
    assert (process.returncode, error) == (143, "device-agent: ended by SIGTERM\n")
    assert pi.snapshot() == before
    pi.wait_until_healthy()


def _wait_until_restarted(pi: Device) -> None:
    """Wait until the restart unit, if it had been started, has put everything back; nobody else does anything."""
    done = pi.run(
        *("timeout", "150", "sh", "-c"),
        f"until ! systemctl is-active -q {RESTART_SERVICE} && systemctl is-active -q {AGENT}"
        f" && systemctl is-active -q {TUNNEL}; do"
        " sleep 0.1; done",
    )
    assert done.returncode == 0, pi.run("systemctl", "status", AGENT, TUNNEL, RESTART_SERVICE).stdout
    assert pi.units() == UP
    assert pi.run("systemctl", "is-active", TRIAL_SERVICE).stdout == "inactive\n"
    assert pi.run("test", "-L", TRIAL_FILE).returncode == 1


def test_a_trial_that_is_killed_at_any_point_lets_the_old_bundle_go_on_by_itself(
    house: House, pi: Device, capsys: pytest.CaptureFixture[str]
) -> None:
    assert pi.install().returncode == 0
    before, old = pi.snapshot(), certificate(pi)
    seed = random.randrange(1_000_000)  # noqa: S311 - no secret
    with capsys.disabled():
        sys.stdout.write(f"\nkilling with seed {seed}\n")
    moments = random.Random(seed)  # noqa: S311 - no secret
    for delay in (0.0, *(moments.uniform(0.0, 1.5) for _kill in range(3)), None):
        process, number = _start_trial(pi, hopeless_bundle(house))
        if delay is None:
            _wait_until_tunnel(process)
        pi.run("sh", "-c", f"sleep {delay or 0:f}; kill -KILL {number}")
        process.communicate(timeout=150)
        _wait_until_restarted(pi)
        assert certificate(pi) == old
    pi.wait_until_healthy()
    done = pi.install()
    assert done.returncode == 0, done.stderr
    assert "remove /etc/private-iot/slots/b, which an installation that was cut off left\n" in done.stdout
    assert pi.snapshot() == before


def test_an_installation_that_is_killed_as_it_promotes_leaves_either_bundle_at_work(house: House, pi: Device) -> None:
    assert pi.install().returncode == 0
    old, bundle = certificate(pi), fresh_bundle(house)
    process, number = _start_trial(pi, bundle)
    while "promote" not in process.stdout.readline():
        assert process.poll() is None
    pi.run("kill", "-KILL", number)
    process.communicate(timeout=150)
    _wait_until_restarted(pi)
    assert certificate(pi) in (old, bundle["iot"]["certificatePem"])
    pi.wait_until_healthy()
    assert pi.install(bundle).returncode == 0
    assert certificate(pi) == bundle["iot"]["certificatePem"]


@pytest.mark.parametrize("command", ["pubsub", "doctor"])
def test_a_test_that_is_killed_while_the_agent_is_paused_for_it_lets_it_go_on_by_itself(
    house: House, pi: Device, command: str
) -> None:
    assert pi.install().returncode == 0
    pi.wait_until_healthy()
    with house.fault("broker-down"):
        # The agent that is not connected is paused for doctor too.
        pi.run("systemctl", "restart", AGENT)
        process = pi.start("device-agent", command)
        assert process.stdout is not None
        assert process.stderr is not None
        number = process.stdout.readline().strip()
        assert process.stderr.readline() == f"{AGENT} is paused for this test\n"
        process.stdout.readline()
        assert pi.units()[AGENT] == "inactive"
        pi.run("kill", "-KILL", number)
        process.communicate(timeout=150)
        _wait_until_restarted(pi)
    pi.wait_until_healthy()


def broken(house: House, name: str) -> str:
    """Make an input that has to be refused."""
    bundle = house.bundle("pi-1")
    whole = json.dumps(bundle)
    config = bundle["vpn"]["config"]
    profiles = {
        "up /bin/sh": config.replace("up /etc/openvpn/update-systemd-resolved", "up /bin/sh"),
        "plugin": f"{config}plugin /tmp/evil.so\n",
        "management": f"{config}management 127.0.0.1 7505\n",
        "config": f"{config}config /etc/shadow\n",
        "a path with ..": f"{config}ca ../ca.pem\n",
    }
    if name in profiles:
        bundle["vpn"]["config"] = profiles[name]
        return json.dumps(bundle)
    changes: dict[str, dict[str, Any]] = {
        "another version": {"version": 3},
        "a field too many": {"more": 1},
        "a field too few": {"iot": {key: bundle["iot"][key] for key in ("endpoint", "clientId")}},
        "another's key": {"iot": {**bundle["iot"], "privateKeyPem": house.made.devices["pi-2"].key_pem}},
        "PEM of the wrong type": {"iot": {**bundle["iot"], "certificatePem": house.made.devices["pi-2"].key_pem}},
        "another VPN authority": {
            "vpn": {"config": config.replace(house.made.authority.pem.strip(), house.root_ca.strip())}
        },
        "an expired VPN certificate": {"vpn": {"config": _with_vpn_identity(house, config)}},
        "an expired certificate": {"iot": {**bundle["iot"], **_out_of_date(-2)}},
        "a certificate that is not valid yet": {"iot": {**bundle["iot"], **_out_of_date(2)}},
    }
    if name in changes:
        return json.dumps({**bundle, **changes[name]})
    return {"empty": "", "truncated": whole[:-50], "oversized": " " * (17 << 20), "not JSON": "hello"}[name]


def _out_of_date(days: int) -> dict[str, str]:
    """Make a certificate, with its key, whose one day of validity begins so many days from now."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "pi-1")])
    begin = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=days)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(begin).not_valid_after(begin + datetime.timedelta(days=1))
    return {
        "certificatePem": builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode(),
        "privateKeyPem": key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode(),
    }


def _with_vpn_identity(house: House, config: str) -> str:
    mine = house.made.devices["pi-1"].vpn
    expired = house.made.authority.issue("pi-1.private-iot.internal", expired=True)
    return config.replace(mine.pem.strip(), expired.pem.strip()).replace(mine.key_pem.strip(), expired.key_pem.strip())


BROKEN = [
    *("empty", "truncated", "oversized", "not JSON", "another version", "a field too many", "a field too few"),
    *("another's key", "PEM of the wrong type", "another VPN authority", "an expired VPN certificate"),
    *("an expired certificate", "a certificate that is not valid yet"),
    *("up /bin/sh", "plugin", "management", "config", "a path with .."),
]


def test_bad_input_is_one_line_and_exit_2_and_changes_nothing(house: House, pi: Device) -> None:
    assert pi.install().returncode == 0
    before, units = pi.snapshot(), pi.units()
    for name in BROKEN:
        done = pi.agent("install", "-", stdin=broken(house, name))
        assert (name, done.returncode, done.stdout) == (name, 2, ""), done
        assert done.stderr.startswith("device-agent: "), name
        assert done.stderr.count("\n") == 1, done.stderr
        assert "PRIVATE KEY-----" not in done.stderr
    assert pi.install({"pi-1": house.bundle("pi-1")}, "--device", "pi-9").returncode == 2
    assert pi.snapshot() == before
    assert pi.units() == units


DAMAGES = {
    "key that others can read": ("chmod 644 $key", "chmod 600 $key", "has mode 0644"),
    "certificate that others can change": ("chmod 666 $certificate", "chmod 644 $certificate", "has mode 0666"),
    "folder that others can change": ("chmod 777 $folder", "chmod 755 $folder", "has mode 0777"),
    "key of another owner": ("chown 12345 $key", "chown private-iot $key", "belongs to user 12345"),
    "key that is missing": ("mv $key $key.away", "mv $key.away $key", "is missing"),
}


def test_wrong_owners_and_modes_on_disk_are_one_line_and_exit_2_and_nothing_is_changed(pi: Device) -> None:
    assert pi.install().returncode == 0
    pi.wait_until_healthy()
    names = "folder=/etc/private-iot; key=$folder/current/private-key.pem; certificate=$folder/current/certificate.pem"
    for damage, (breaks, mends, said) in DAMAGES.items():
        if pi.run("sh", "-c", f"{names}; {breaks}").returncode != 0:
            # An ordinary user's container has no other owner, so that no file can have one.
            assert damage == "key of another owner"
            continue
        before, units = pi.snapshot(), pi.units()
        for command in ("pubsub", "run"):
            done = pi.agent(command)
            assert (damage, done.returncode, done.stdout) == (damage, 2, ""), done
            assert done.stderr.startswith("device-agent: /etc/private-iot"), done.stderr
            assert said in done.stderr
            assert done.stderr.count("\n") == 1, done.stderr
        assert (pi.snapshot(), pi.units()) == (before, units)
        assert pi.run("sh", "-c", f"{names}; {mends}").returncode == 0
    pi.wait_until_healthy()


def test_without_root_it_is_one_line_and_nothing_is_changed(pi: Device) -> None:
    before = pi.snapshot()
    words = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--", "device-agent", "install", "-"]
    done = pi.run(*words, stdin="{}")
    assert (done.returncode, done.stderr) == (2, "device-agent: install needs root; run it with sudo\n")
    assert pi.snapshot() == before


def test_a_full_disk_is_one_line_and_nothing_is_changed(pi: Device) -> None:
    pi.run("sh", "-ec", "mkdir /etc/private-iot; mount -t tmpfs -o size=8k,mode=755 tmpfs /etc/private-iot")
    try:
        before = pi.snapshot()
        done = pi.install()
        assert done.returncode == 2
        assert done.stderr.endswith("cannot be written: No space left on device\n")
        assert done.stderr.count("\n") == 1
        assert pi.snapshot() == before
    finally:
        pi.run("sh", "-c", "umount /etc/private-iot; rmdir /etc/private-iot")
