"""Boots: after a power cut, in a year without certificates, without a network, after the root has failed.

The drive's cache goes with the power. It cannot prove what a Pi's SD card does with what it said was flushed.
"""

from __future__ import annotations

import re
import shlex
import time
from base64 import b64encode

import pytest

from tests.device.pi import AGENT, Pi, wait_for
from tests.path.agent_daemon.sandbox import Listener, say

pytestmark = [pytest.mark.device, pytest.mark.slow, pytest.mark.timeout(1500)]

_PUBLISH = "seq 1000000 | device-agent publish data --lines --json >/dev/ttyS0"


def acknowledged(console: str) -> list[str]:
    """Return the ids of the receipts that left the machine by its serial line, whole ones alone."""
    # The first one may stand behind a prompt for a login.
    found: list[str] = re.findall(r'\{"id": "([^"]+)", "sequence": \d+, "topic": "[^"]+"\}', console)
    return found


def test_nothing_that_publish_acknowledged_is_lost_when_the_power_is_cut(
    pi: Pi, capsys: pytest.CaptureFixture[str]
) -> None:
    listener = Listener()
    with listener.listening(pi.sandbox()):
        pi.machine.pull_cable()
        pi.machine.shell(f"systemd-run --collect --unit=publisher bash -c {shlex.quote(_PUBLISH)}")
        wait_for(lambda: len(acknowledged(pi.machine.console())) >= 300, "300 receipts", 240, pause=0.2)
        pi.machine.cut_power()
        wanted = acknowledged(pi.machine.console())
        began = time.time()
        pi.machine.boot()
        wait_for(lambda: listener.ids() >= set(wanted), "every acknowledged message", 400)
    first = min(item["at"] for item in listener.data() if item["at"] > began) - began
    say(capsys, f"power cut: 0 of {len(wanted)} acknowledged messages lost; first message {first:.0f} s after power on")
    wait_for(pi.is_connected, "the connection", 240)


def test_a_boot_without_network_in_2020_takes_messages_and_delivers_them_when_the_time_is_set(
    pi: Pi, capsys: pytest.CaptureFixture[str]
) -> None:
    machine = pi.machine
    # A device without a clock chip boots with the time that timesyncd last noted, which systemd itself goes by.
    machine.shell("systemctl stop systemd-timesyncd; rm -f /var/lib/systemd/timesync/clock")
    machine.shut_down()
    machine.network.stop_dhcp()
    listener = Listener()
    with listener.listening(pi.sandbox()):
        machine.boot(clock="2020-01-01T00:00:00", kernel_words="systemd.mask=systemd-timesyncd.service")
        up = time.monotonic()
        # OpenVPN waits for a network; the queue does not.
        words = ("publish", "data", "21.5", "--id", "before-the-network")
        # The guest agent, which runs the command, starts long before the services.
        wait_for(lambda: pi.agent(*words).returncode == 0, "a queue that takes a message", 240)
        say(
            capsys,
            f"no DHCP answer: the queue took a message {time.monotonic() - up:.0f} s after the first command could run",
        )
        assert not machine.shell("ip -4 route show default")
        ready, online = (
            int(pi.show(unit, "ActiveEnterTimestampMonotonic")) for unit in (AGENT, "network-online.target")
        )
        assert ready < online or not online, "the agent waits for a network"
        machine.network.serve_dhcp()
        wait_for(lambda: machine.shell("ip -4 route show default"), "the address", 240)
        now = float(machine.shell("date +%s"))
        assert now < time.time() - 86400, "the clock is right already"
        row = pi.doctor()["certificates"]
        assert row["result"] == "failed", row
        assert not listener.ids()
        machine.shell(f"date --set=@{time.time():.0f}")
        began = time.time()
        wait_for(lambda: "before-the-network" in listener.ids(), "the message", 240, pause=0.2)
    say(capsys, f"boot in 2020: the message {listener.data()[-1]['at'] - began:.1f} s after the time was set")
    pi.wait_until_healthy()


def test_a_root_that_fails_takes_no_message_and_all_is_well_after_the_next_boot(pi: Pi) -> None:
    machine = pi.machine
    pi.wait_until_healthy()
    # Once the root has failed no program can be started, in Linux 6.12: this one runs, and says on the serial line.
    publish = "exec device-agent publish data --lines --json <>/run/feed >/dev/ttyS0 2>&1"
    machine.shell(f"mkfifo /run/feed; systemd-run --collect --unit=publisher sh -c '{publish}'")
    # The guest agent does not wait for a reader, so it is one itself.
    feed = machine.ask("guest-file-open", path="/run/feed", mode="r+")

    def write(payload: str) -> None:
        machine.ask("guest-file-write", handle=feed, **{"buf-b64": b64encode(f"{payload}\n".encode()).decode()})
        machine.ask("guest-file-flush", handle=feed)

    write("accepted")
    wait_for(lambda: len(acknowledged(machine.console())) == 1, "its receipt", 240, pause=0.2)
    # What ext4 does at an error of the card, made by its own means (Documentation/ABI/testing/sysfs-fs-ext4 of Linux).
    machine.shell("mount -o remount,errors=remount-ro / && echo test >/sys/fs/ext4/vda/trigger_fs_error")
    listener = Listener()
    with listener.listening(pi.sandbox()):
        write("refused")
        wait_for(lambda: "device-agent: " in machine.console(), "the refusal", 240, pause=0.2)
        assert len(acknowledged(machine.console())) == 1
        machine.cut_power()
        machine.boot()
        pi.wait_until_healthy(400)
    assert "refused" not in {item["payload"] for item in listener.data()}
