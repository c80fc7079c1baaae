"""Power cut while a program publishes: the drive's cache is volatile, and goes with the power.

It cannot prove what a Pi's SD card does with what it said was flushed.
"""

from __future__ import annotations

import json
import shlex
import time

import pytest

from tests.device.pi import Pi, wait_for
from tests.path.agent_daemon.sandbox import Listener, say

pytestmark = [pytest.mark.device, pytest.mark.timeout(1500)]

_PUBLISH = "seq 1000000 | device-agent publish data --lines --json >/dev/ttyS0"


def acknowledged(console: str) -> list[str]:
    """Return the ids of the receipts that left the machine by its serial line, whole ones alone."""
    lines = (line.strip() for line in console.splitlines())
    return [json.loads(line)["id"] for line in lines if line.startswith('{"') and line.endswith("}")]


@pytest.mark.slow
def test_nothing_that_publish_acknowledged_is_lost_when_the_power_is_cut(
    pi: Pi, capsys: pytest.CaptureFixture[str]
) -> None:
    listener = Listener()
    with listener.listening(pi.sandbox()):
        pi.machine.pull_cable()
        pi.machine.shell(f"systemd-run --collect --unit=publisher bash -c {shlex.quote(_PUBLISH)}")
        wait_for(lambda: len(acknowledged(pi.machine.console())) >= 300, "300 receipts", 180, pause=0.2)
        pi.machine.cut_power()
        wanted = acknowledged(pi.machine.console())
        began = time.time()
        pi.machine.boot()
        wait_for(lambda: listener.ids() >= set(wanted), "every acknowledged message", 400)
    first = min(item["at"] for item in listener.data() if item["at"] > began) - began
    say(capsys, f"power cut: 0 of {len(wanted)} acknowledged messages lost; first message {first:.0f} s after power on")
    wait_for(pi.is_connected, "the connection", 120)
