"""Each fault breaks its hop for its time and is undone, whatever becomes of who asked for it.

It cannot prove how often such faults happen, nor in which mixtures.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from lab.errors import LabError
from lab.path import lifecycle
from tests.path.conftest import HandMadeLab
from tests.path.path_lab import UP, wait_for

pytestmark = pytest.mark.path

LONG = 500.0
HANGUP = "AWS_ERROR_MQTT_UNEXPECTED_HANGUP"


def _faults(lab: HandMadeLab) -> dict[str, float]:
    answer: dict[str, float] = lifecycle.ask(lab.lab, {"command": "faults"})
    return answer


@contextmanager
def fault(lab: HandMadeLab, name: str) -> Iterator[None]:
    """Hold a fault while the block runs."""
    lifecycle.ask(lab.lab, {"command": "fault", "name": name, "seconds": LONG})
    try:
        yield
    finally:
        lifecycle.ask(lab.lab, {"command": "end-fault", "name": name})


@pytest.mark.parametrize("name", ["vpn-killed", "vpn-frozen"])
def test_a_server_that_is_away_is_missed_after_the_pushed_ping_restart(path_lab: HandMadeLab, name: str) -> None:
    with path_lab.tunnel("pi-1") as output:
        seen = len(output.lines)
        with fault(path_lab, name):
            assert path_lab.hop("client-vpn")["state"] == "down"
            output.wait_for("Inactivity timeout (--ping-restart)", after=seen)
        output.wait_for(UP, after=seen)
        assert path_lab.pubsub("pi-1", count=1)["error"] is None


def test_an_unreachable_endpoint_swallows_packets_behind_a_tunnel_that_is_up(path_lab: HandMadeLab) -> None:
    with path_lab.tunnel("pi-1"):
        (address,) = path_lab.resolve("pi-1")
        with fault(path_lab, "endpoint-unreachable"):
            assert path_lab.hop("vpc-endpoint")["state"] == "down"
            assert path_lab.resolve("pi-1") == [address]
            assert not path_lab.reaches("pi-1", address, seconds=1)
        assert path_lab.reaches("pi-1", address)


def test_with_dns_down_the_address_still_works_and_the_name_does_not(path_lab: HandMadeLab) -> None:
    with path_lab.tunnel("pi-1"):
        (address,) = path_lab.resolve("pi-1")
        with fault(path_lab, "dns-down"):
            assert path_lab.hop("vpc")["state"] == "down"
            assert path_lab.resolve("pi-1", seconds=3) == []
            assert path_lab.reaches("pi-1", address)
        assert path_lab.resolve("pi-1") == [address]


def test_with_the_broker_down_tls_works_and_mqtt_does_not(path_lab: HandMadeLab) -> None:
    with path_lab.tunnel("pi-1"):
        with fault(path_lab, "broker-down"):
            assert path_lab.hop("iot")["state"] == "degraded"
            assert path_lab.reaches("pi-1", path_lab.resolve("pi-1")[0])
            assert not path_lab.pubsub("pi-1")["connected"]
        assert path_lab.pubsub("pi-1", count=1)["error"] is None


def test_with_the_internet_down_the_tunnel_falls_and_comes_back(path_lab: HandMadeLab) -> None:
    with path_lab.tunnel("pi-1") as output:
        seen = len(output.lines)
        with fault(path_lab, "internet-down"):
            assert path_lab.hop("internet")["state"] == "down"
            output.wait_for("Inactivity timeout (--ping-restart)", after=seen)
        output.wait_for(UP, after=seen)


def test_a_device_whose_clock_is_400_days_behind_trusts_no_certificate(path_lab: HandMadeLab) -> None:
    unit = "openvpn-client@clientvpn.service"
    wall_clock = "import time; time.sleep(0.01); print(int(time.time()))"
    right = int(path_lab.run("pi-1", sys.executable, "-c", wall_clock).stdout)
    assert path_lab.run("pi-1", "systemctl", "start", unit).returncode == 0
    try:
        with fault(path_lab, "clock-skew"):
            wrong = int(path_lab.run("pi-1", sys.executable, "-c", wall_clock).stdout)
            assert (right - wrong) // 86400 in (399, 400)
            wait_for(
                lambda: "certificate is not yet valid" in path_lab.run("pi-1", "journalctl", "-u", unit).stdout,
                "OpenVPN's complaint",
            )
        again = int(path_lab.run("pi-1", sys.executable, "-c", wall_clock).stdout)
        assert again >= right
        wait_for(lambda: path_lab.hop("device")["tunnel"], "the tunnel's return")
    finally:
        path_lab.run("pi-1", "systemctl", "stop", unit)


def test_an_expired_server_certificate_is_refused_by_the_device(path_lab: HandMadeLab) -> None:
    probe = ("openssl", "s_client", "-verify_return_error", "-brief", "-servername", path_lab.iot_endpoint)
    with path_lab.tunnel("pi-1"):
        target = ("-connect", f"{path_lab.resolve('pi-1')[0]}:8883")
        with fault(path_lab, "certificate-expired"):
            assert "certificate has expired" in path_lab.run("pi-1", *probe, *target, text="").stderr
        assert "Verification: OK" in path_lab.run("pi-1", *probe, *target, text="").stderr


def test_a_fault_ends_by_itself(path_lab: HandMadeLab) -> None:
    lifecycle.ask(path_lab.lab, {"command": "fault", "name": "broker-down", "seconds": 0.2})
    wait_for(lambda: not _faults(path_lab), "the end of the fault")
    wait_for(lambda: path_lab.hop("iot")["state"] == "up", "the broker's return")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_command_that_is_interrupted_leaves_no_fault_behind(path_lab: HandMadeLab, number: signal.Signals) -> None:
    # A killed command can undo nothing: the network itself does, once the time is over.
    seconds = "600" if number == signal.SIGINT else "8"
    home = path_lab.lab.directory.parent
    labs = home / "private-iot" / "labs"
    labs.mkdir(parents=True, exist_ok=True)
    (labs / path_lab.lab.name).unlink(missing_ok=True)
    (labs / path_lab.lab.name).symlink_to(path_lab.lab.directory)
    process = subprocess.Popen(
        [sys.executable, "-m", "lab", "fault", "vpn-frozen", "--for", seconds, "--lab", path_lab.lab.name],
        env={**os.environ, "XDG_STATE_HOME": str(home)},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_for(lambda: "vpn-frozen" in _faults(path_lab), "the fault")
        process.send_signal(number)
        process.communicate(timeout=120)
        assert process.returncode == (130 if number == signal.SIGINT else -number)
        wait_for(lambda: not _faults(path_lab), "the end of the fault")
    finally:
        process.kill()
        process.communicate()
        (labs / path_lab.lab.name).unlink()


@pytest.mark.parametrize(
    ("name", "seconds", "said"),
    [("earthquake", 1, "use one of"), ("dns-down", 0, "more than 0"), ("dns-down", 1e9, "at most 86400")],
)
def test_a_fault_that_cannot_be_is_refused_and_changes_nothing(
    path_lab: HandMadeLab, name: str, seconds: float, said: str
) -> None:
    with pytest.raises(LabError, match=said):
        lifecycle.ask(path_lab.lab, {"command": "fault", "name": name, "seconds": seconds})
    assert _faults(path_lab) == {}


def test_a_fault_that_is_under_way_is_not_begun_again(path_lab: HandMadeLab) -> None:
    with fault(path_lab, "dns-down"), pytest.raises(LabError, match="under way already"):
        lifecycle.ask(path_lab.lab, {"command": "fault", "name": "dns-down", "seconds": 1})
