"""The agent on lines as homes and mobile networks have them: slow, lossy, full, with a small MTU, with a greedy LAN.

tc(8) and nftables shape the device's own link and the far end of it; everything else is as in the other tests of this
folder. Netem is missing in many kernels, so that loss is nftables' random number.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from lab.path.parts import INTERNET
from tests.path.agent_daemon.loopback import wait_until
from tests.path.agent_daemon.sandbox import (
    DEVICE,
    HOME_INTERFACE,
    TUNNEL,
    Listener,
    Publishing,
    Sandbox,
    capture,
    check,
    say,
)
from tests.path.path_lab import UP

pytestmark = [pytest.mark.path, pytest.mark.timeout(600)]

SCRIPT = "/etc/openvpn/update-systemd-resolved"
DROP_IN = f"/etc/systemd/system/{TUNNEL}.d/private-iot.conf"
FILL = """
import socket, sys, time
full = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
full.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"wlan0\\0")
end = time.monotonic() + float(sys.argv[1])
while time.monotonic() < end:
    full.sendto(bytes(1000), ("203.0.113.250", 9))
    time.sleep(1000 * 8 / float(sys.argv[2]))
"""


def must(sandbox: Sandbox, *argv: str, host: str = DEVICE, text: str | None = None) -> str:
    """Run a command that may not fail."""
    done = sandbox.run(*argv, host=host, text=text)
    assert done.returncode == 0, f"{argv}: {done.stderr}"
    return done.stdout


def far_end(sandbox: Sandbox) -> str:
    """Find the device's link on the internet's side."""
    links = json.loads(must(sandbox, "ip", "-j", "link", host=INTERNET))
    return str(next(link["ifname"] for link in links if link["ifname"].startswith("lan-")))


@contextmanager
def line(sandbox: Sandbox, *, rate: str | None = None, loss: int = 0, datagram: int = 65535) -> Iterator[None]:
    """Make the device's line slow both ways, have it lose packets in percent, and UDP datagrams beyond a size."""
    ends = ((DEVICE, HOME_INTERFACE), (INTERNET, far_end(sandbox)))
    with ExitStack() as undo:
        for host, interface in ends:
            if rate:
                # A second and more of queue, as cheap routers have it.
                tbf = ["tbf", "rate", rate, "burst", "2000", "limit", "32000"]
                undo.callback(must, sandbox, "tc", "qdisc", "delete", "dev", interface, "root", host=host)
                must(sandbox, "tc", "qdisc", "replace", "dev", interface, "root", *tbf, host=host)
            rules = [f"oifname {interface} udp length > {datagram} drop"]
            rules += [f"oifname {interface} numgen random mod 100 < {loss} drop"] if loss else []
            chain = "{ type filter hook postrouting priority 0; " + "; ".join(rules) + "; }"
            undo.callback(must, sandbox, "nft", "delete", "table", "ip", "line", host=host)
            must(sandbox, "nft", "table ip line { chain out " + chain + "; }", host=host)
        yield


def restarts(sandbox: Sandbox) -> tuple[int, int]:
    """Give how often the agent has connected and has restarted the tunnel."""
    status = sandbox.status()
    return status["connection"]["connections"], status["tunnel"]["restarts"]


def deliver(sandbox: Sandbox, listener: Listener, payloads: list[str], patience: float) -> tuple[float, int]:
    """Publish messages, wait until all have come, and give the seconds that took and how many came twice."""
    before, start = len(listener.ids()), time.monotonic()
    done = sandbox.run("device-agent", "publish", "data", "--lines", text="\n".join(payloads) + "\n")
    assert done.returncode == 0, done.stderr
    wait_until(lambda: len(listener.ids()) >= before + len(payloads), "every message", patience)
    took = time.monotonic() - start
    wait_until(lambda: sandbox.status()["queue"]["depth"] == 0, "an empty queue", patience)
    return took, len(listener.data()) - len(listener.ids())


def test_a_message_of_128_kib_passes_a_line_of_32_kbit_s(sandbox: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    sandbox.wait_connected()
    with Listener().listening(sandbox) as listener:
        before = restarts(sandbox)
        with line(sandbox, rate="32kbit"):
            took, twice = deliver(sandbox, listener, ["x" * 130_000], 200)
            after = restarts(sandbox)
    say(capsys, f"130,000 bytes at 32 kbit/s: {took:.0f} s")
    assert (twice, after) == (0, before)


def test_a_backlog_takes_as_long_as_the_line_needs_and_nothing_is_sent_twice(
    sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    sandbox.wait_connected()
    with Listener().listening(sandbox) as listener:
        before = restarts(sandbox)
        with line(sandbox, rate="128kbit"):
            took, twice = deliver(sandbox, listener, ["x" * 1000] * 400, 200)
            after = restarts(sandbox)
    arrived = [float(item["at"]) for item in listener.data()]
    say(capsys, f"400 messages of 1,000 bytes at 128 kbit/s: {took:.0f} s; the line alone needs 25 s")
    assert (twice, after) == (0, before)
    # From the first to the last: how long the publishing program takes to start is no matter of the line's.
    assert arrived[-1] - arrived[0] < 3 * 25


def test_nothing_is_lost_and_the_tunnel_stays_on_a_line_that_loses_five_in_a_hundred(
    sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    sandbox.wait_connected()
    with Listener().listening(sandbox) as listener:
        before = restarts(sandbox)[1]
        with line(sandbox, rate="256kbit", loss=5), Publishing().running(sandbox, every=0.05) as publishing:
            time.sleep(40)
        duplicates = check(listener, publishing)
    say(capsys, f"256 kbit/s, 5 % lost: {publishing.sent} messages, {duplicates} twice")
    assert restarts(sandbox)[1] == before


def test_the_paths_probe_that_drowns_in_a_full_line_restarts_nothing(sandbox: Sandbox) -> None:
    """Another program fills the line: every answer takes four seconds, far longer than the probe's 0.9 s."""
    sandbox.wait_connected()
    before = restarts(sandbox)[1]
    with line(sandbox, rate="64kbit"):
        must(sandbox, "/usr/bin/env", sys.executable, "-c", FILL, "45", "60000")
        assert restarts(sandbox)[1] == before
    sandbox.wait_connected()


def test_a_resolver_whose_settings_are_taken_away_is_set_anew(sandbox: Sandbox) -> None:
    sandbox.wait_connected()
    before = restarts(sandbox)
    must(sandbox, "resolvectl", "revert", "tun0")
    must(sandbox, "systemctl", "restart", "private-iot-agent.service")
    sandbox.wait_connected()
    assert restarts(sandbox)[1] == 1, f"one restart of the tunnel sets it anew; before: {before}"


def test_a_tunnel_is_known_by_its_kind_of_link_and_not_by_sysfs(sandbox: Sandbox) -> None:
    """With data channel offload the interface has no tun_flags: here nothing has."""
    sandbox.wait_connected()
    before = restarts(sandbox)
    must(sandbox, "mount", "-t", "tmpfs", "none", "/sys/class/net")
    try:
        time.sleep(15)
        assert restarts(sandbox) == before
        assert sandbox.status()["tunnel"]["interface"] == "tun0"
    finally:
        must(sandbox, "umount", "/sys/class/net")


@pytest.mark.parametrize("datagram", [1452, 1260])
def test_a_line_that_drops_large_datagrams_without_a_word_is_passed(sandbox: Sandbox, datagram: int) -> None:
    """1,260 bytes of UDP are a line whose MTU is 1,280."""
    sandbox.wait_connected()
    with Listener().listening(sandbox) as listener, line(sandbox, datagram=datagram):
        must(sandbox, "systemctl", "restart", "private-iot-agent.service")
        sandbox.wait_connected()
        deliver(sandbox, listener, ["x" * 60_000], 120)


def test_a_home_network_that_covers_the_vpc_is_named_and_nothing_is_restarted(sandbox: Sandbox) -> None:
    sandbox.wait_connected()
    before = restarts(sandbox)[1]
    must(sandbox, "ip", "address", "add", "10.0.0.57/24", "dev", HOME_INTERFACE)
    said = "a route of another network covers the VPC: 10.0.0.0/24 through wlan0 lies in 10.0.0.0/16"
    try:
        with capture(sandbox) as outside:
            wait_until(lambda: said in sandbox.status()["tunnel"]["reason"], "the finding")
            time.sleep(30)
            assert restarts(sandbox)[1] == before
        assert not [packet for packet in outside if "10.0." in packet.partition(" > ")[2]]
        found = json.loads(sandbox.run("device-agent", "doctor", "--json", "--no-public-way").stdout)["checks"]
        assert next(row for row in found if row["result"] == "failed")["seen"] == said
    finally:
        must(sandbox, "ip", "address", "delete", "10.0.0.57/24", "dev", HOME_INTERFACE)
    sandbox.wait_connected()


def test_a_drop_in_of_an_earlier_release_goes_on_working_without_openvpns_word(sandbox: Sandbox) -> None:
    sandbox.wait_connected()
    new = must(sandbox, "cat", DROP_IN)
    old = "[Unit]\nStartLimitIntervalSec=0\n\n[Service]\nRestart=always\nRestartSec=5\n"
    try:
        write(sandbox, DROP_IN, old)
        # An agent that has heard OpenVPN's word would wait for it to come back: this one has never had it.
        must(sandbox, "systemctl", "restart", "private-iot-agent.service")
        sandbox.wait_connected()
        assert sandbox.status()["tunnel"]["state"] is None
        before = restarts(sandbox)[1]
        with sandbox.fault("vpn-frozen", 300, end_early=True):
            wait_until(lambda: restarts(sandbox)[1] > before, "a restart of the tunnel")
        sandbox.wait_connected()
    finally:
        write(sandbox, DROP_IN, new)
    sandbox.wait_connected()
    wait_until(lambda: sandbox.status()["tunnel"]["state"] == "CONNECTED", "OpenVPN's word")


def write(sandbox: Sandbox, path: str, text: str) -> None:
    """Put a drop-in in place, and start OpenVPN with it."""
    must(sandbox, "sh", "-c", f"cat > {path}", text=text)
    must(sandbox, "systemctl", "daemon-reload")
    must(sandbox, "systemctl", "restart", TUNNEL)


@contextmanager
def slow_script(sandbox: Sandbox, seconds: int) -> Iterator[None]:
    """Let the resolver's script take its time, as on a loaded device: OpenVPN waits for it."""
    must(sandbox, "cp", "-a", SCRIPT, f"{SCRIPT}.real")
    text = f'#!/bin/sh\nsleep {seconds}\nexec {SCRIPT}.real "$@"\n'
    must(sandbox, "sh", "-c", f"cat > {SCRIPT}.slow && chmod 755 {SCRIPT}.slow && mv {SCRIPT}.slow {SCRIPT}", text=text)
    try:
        yield
    finally:
        must(sandbox, "mv", f"{SCRIPT}.real", SCRIPT)


def openvpn_log(sandbox: Sandbox) -> list[str]:
    return must(sandbox, "journalctl", "-u", TUNNEL, "-o", "cat", "--no-pager").splitlines()


def restart_tunnel(sandbox: Sandbox) -> list[str]:
    """Start OpenVPN anew, wait until its tunnel is up and the agent is connected, and give its lines before."""
    before = openvpn_log(sandbox)
    must(sandbox, "systemctl", "restart", TUNNEL)
    # The agent's own word may still be of the tunnel before.
    wait_until(lambda: any(UP in item for item in openvpn_log(sandbox)[len(before) :]), "OpenVPN")
    wait_until(lambda: sandbox.status()["tunnel"]["state"] == "CONNECTED", "OpenVPN's word")
    sandbox.wait_connected()
    return before


@pytest.mark.parametrize("seconds", [8, 25])
def test_a_slow_resolver_script_never_restarts_a_tunnel_that_progresses(sandbox: Sandbox, seconds: int) -> None:
    sandbox.wait_connected()
    with slow_script(sandbox, seconds):
        before, seen = restarts(sandbox)[1], len(restart_tunnel(sandbox))
        time.sleep(seconds + 15)
        assert restarts(sandbox)[1] == before
        fresh = openvpn_log(sandbox)[seen:]
        assert sum(UP in item for item in fresh) == 1
        assert not [item for item in fresh if "ping-restart" in item and "restarting" in item]
    restart_tunnel(sandbox)


def test_a_profile_of_an_earlier_release_goes_on_working_and_is_as_patient(sandbox: Sandbox) -> None:
    sandbox.wait_connected()
    bundle = json.loads(sandbox.bundle())
    new = bundle["vpn"]["config"]
    old = re.sub(r"(?m)^mssfix 1232$", "", new) + "pull-filter ignore ping-restart\nping-restart 5\n"
    bundle["vpn"]["config"] = old
    try:
        done = sandbox.install(json.dumps(bundle))
        assert done.returncode == 0, done.stderr
        sandbox.wait_connected()
        with slow_script(sandbox, 8):
            before = restarts(sandbox)[1]
            restart_tunnel(sandbox)
            time.sleep(10)
            assert restarts(sandbox)[1] == before
        with Listener().listening(sandbox) as listener, line(sandbox, datagram=1452):
            deliver(sandbox, listener, ["x" * 60_000], 120)
    finally:
        done = sandbox.install(sandbox.bundle())
    assert done.returncode == 0, done.stderr
    sandbox.wait_connected()
