"""What the agent and its tunnel cost on a real Debian: memory, processor, bytes written and lines in the journal.

A machine of QEMU's is slower than a Pi and its disk is none: what is counted, bytes and lines, is the same on both.
"""

from __future__ import annotations

import time
from itertools import pairwise

import pytest

from tests.device.pi import AGENT, TUNNEL, Pi, wait_for
from tests.path.agent_daemon.sandbox import say

pytestmark = [pytest.mark.device, pytest.mark.slow, pytest.mark.timeout(2400)]

_IDLE, _EARLY, _LATER = 600, 120, 360
"""Seconds. An outage is looked at in two parts, since the agent has OpenVPN say less after a while."""
_COUNT = f"""
import re, subprocess
for unit in ("{AGENT}", "{TUNNEL}"):
    folder = "/sys/fs/cgroup" + subprocess.check_output(
        ["systemctl", "show", "-P", "ControlGroup", unit], text=True).strip()
    print(re.search(r"usage_usec (\\d+)", open(folder + "/cpu.stat").read())[1])
    number = subprocess.check_output(["systemctl", "show", "-P", "MainPID", unit], text=True).strip()
    print(number)
    print(re.search(r"^write_bytes: (\\d+)", open(f"/proc/{{number}}/io").read(), re.MULTILINE)[1])
    print(re.search(r"VmRSS:\\s+(\\d+)", open(f"/proc/{{number}}/status").read())[1])
    print(len(subprocess.check_output(["journalctl", "-o", "cat", "-u", unit]).splitlines()))
# Sectors of 512 bytes, whatever the drive's (Documentation/block/stat.rst of Linux).
print(int(open("/sys/block/vda/stat").read().split()[6]) * 512)
"""


class Counts:
    """What the two services have used since they began, and what the disk has written."""

    def __init__(self, pi: Pi) -> None:
        done = pi.machine.run("bash", "-c", "sync; exec python3 -", text=_COUNT)
        assert done.returncode == 0, done.stderr
        numbers = [int(line) for line in done.stdout.split()]
        self.cpu = (numbers[0] + numbers[5]) / 1e6
        self.own = {numbers[1]: numbers[2], numbers[6]: numbers[7]}
        self.resident = (numbers[3], numbers[8])
        self.lines = numbers[4] + numbers[9]
        self.disk = numbers[10]

    def written_since(self, before: Counts) -> int:
        """Give the bytes that the services have written; a process that is new has written all of its own since."""
        return sum(count - before.own.get(process, 0) for process, count in self.own.items())


def test_what_it_costs_to_be_idle_for_ten_minutes(pi: Pi, capsys: pytest.CaptureFixture[str]) -> None:
    pi.wait_until_healthy()
    before = Counts(pi)
    time.sleep(_IDLE)
    after = Counts(pi)
    agent, tunnel = (kibibytes / 1024 for kibibytes in after.resident)
    written, own = (after.disk - before.disk) / 1e3, after.written_since(before) / 1e3
    say(
        capsys,
        f"idle for 10 min: {agent:.0f} MiB resident (OpenVPN {tunnel:.0f}), {after.cpu - before.cpu:.1f} s of"
        f" processor, {own:.0f} kB written (all of the system: {written:.0f}), {after.lines - before.lines} line(s)",
    )
    assert agent < 60
    assert own < 200, "it begins a commit only with something to keep"
    assert after.lines - before.lines <= 2


def test_what_an_outage_writes_in_an_hour(pi: Pi, capsys: pytest.CaptureFixture[str]) -> None:
    pi.wait_until_healthy()
    counts = [Counts(pi)]
    pi.machine.pull_cable()
    for seconds in (_EARLY, _LATER):
        time.sleep(seconds)
        counts.append(Counts(pi))
    pi.machine.plug_cable()
    began = time.monotonic()
    wait_for(pi.is_connected, "the connection", 300)
    back = time.monotonic() - began
    early, later = ((then.lines - first.lines, then.written_since(first)) for first, then in pairwise(counts))
    scale = (3600 - _EARLY) / _LATER
    lines, written = (first + then * scale for first, then in zip(early, later, strict=True))
    say(
        capsys,
        f"cable out: {early[0]} lines in the first {_EARLY} s, {later[0]} in {_LATER} s more: {lines:.0f} an hour, with"
        f" {written / 1e6:.1f} MB written; connected {back:.0f} s after the cable came back",
    )
    assert lines < 200, pi.machine.shell(f"journalctl -b -o short-monotonic -u {AGENT} -u {TUNNEL} | tail -n 300")
    assert written < 2e6
