"""A short long run with a fixed seed: the command that a user gives, with everything that it counts.

It proves that a run comes to its figures and leaves nothing behind, and that the kernel counts a packet that left
outside the tunnel; that the other figures can be bad ones is shown by the unit tests of the accounting. Forty seconds
say nothing of memory.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from soak import border
from soak.schedule import schedule

pytestmark = [pytest.mark.path, pytest.mark.timeout(600)]

CHECKOUT = Path(__file__).resolve().parents[2]
SEED, SECONDS, RATE = 3, 40, 20


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "soak", "--lab", "soak-test", "--seed", str(SEED), *words]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """An environment in which labs have a place of their own, which is empty afterwards."""
    state = tmp_path_factory.mktemp("state")
    yield {**os.environ, "XDG_STATE_HOME": str(state)}
    assert list((state / "private-iot" / "labs").iterdir()) == []


@pytest.fixture(scope="module")
def figures(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The figures of one run."""
    file = tmp_path_factory.mktemp("soak") / "figures.json"
    done = subprocess.run(
        command("--seconds", str(SECONDS), "--rate", str(RATE), "--json", str(file)),
        cwd=CHECKOUT,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "passed: nothing lost, nothing outside\n" in done.stdout
    assert f"repeat with: python -m soak --seconds {SECONDS} --seed {SEED} --rate {RATE} --devices 1\n" in done.stdout
    assert "\x1b" not in done.stdout + done.stderr
    found: dict[str, Any] = json.loads(file.read_text())
    return found


def test_nothing_is_lost_and_nothing_leaves_outside_the_tunnel(figures: dict[str, Any]) -> None:
    device = figures["devices"]["pi-1"]
    messages = device["messages"]
    assert figures["passed"]
    # At the rate that was asked for, or what the machine manages of it.
    assert SECONDS * RATE / 4 < messages["published"] <= figures["publishedForSeconds"] * RATE + 3 * RATE
    assert messages["delivered"] == messages["published"]
    assert (messages["lost"], messages["refusedByAgent"], messages["refusedByAwsIot"]) == (0, 0, 0)
    assert (messages["dropped"], messages["queuedAtEnd"], messages["outOfOrder"]) == (0, 0, 0)
    assert device["outside"]["packets"] == 0


def test_the_faults_of_the_seed_were_made(figures: dict[str, Any]) -> None:
    drawn = [(fault.name, fault.duration) for fault in schedule(SEED, SECONDS)]
    assert [(fault["name"], fault["asked"]) for fault in figures["faults"]] == drawn
    assert len({name for name, _ in drawn}) >= 3
    for fault in figures["faults"]:
        assert fault["ended"] >= fault["began"] + fault["asked"] - 0.1
    assert figures["reconnections"] > 0


def test_every_figure_is_there(figures: dict[str, Any]) -> None:
    device = figures["devices"]["pi-1"]
    assert set(device["messages"]) == {
        "published",
        "delivered",
        "duplicates",
        "lost",
        "lostNumbers",
        "outOfOrder",
        "unreceipted",
        "refusedByAgent",
        "refusedByAwsIot",
        "dropped",
        "queuedAtEnd",
        "queuedAtMost",
        "longestGapSeconds",
        "longestGapAfterSeconds",
    }
    assert device["messages"]["longestGapSeconds"] > 0
    assert device["messages"]["queuedAtMost"] > 0
    for program in ("agent", "openvpn"):
        memory = device["memory"][program]
        assert set(memory) == {"startMb", "endMb", "maxMb", "slopeMbPerHour", "processes"}
        assert 5 < memory["startMb"] <= memory["maxMb"] < 200
        assert 5 < memory["endMb"] <= memory["maxMb"]
        assert memory["processes"] >= 1
    assert device["tunnelRestarts"] >= 0
    assert set(device["outside"]) == {"packets", "destinations", "allowed"}
    assert figures["options"] == {"seconds": SECONDS, "seed": SEED, "rate": RATE, "devices": 1}


HOME = """\
ip link add wlan0 type veth peer name router
ip link set router up
ip address add 192.168.1.2/24 dev wlan0
ip link set wlan0 up
ip route add default via 192.168.1.1
ip neighbour add 192.168.1.1 lladdr 00:00:5e:00:53:01 dev wlan0
nft -f -
for belongs in 203.0.113.5/443 203.0.113.6/443 192.168.1.1/53; do echo > /dev/udp/$belongs; done
for outside in 203.0.113.80/9 203.0.113.80/443 203.0.113.5/53 10.0.1.105/53; do echo > /dev/udp/$outside; done
"$1" - 203.0.113.80/8883 203.0.113.80/443 203.0.113.5/443 <<'CONNECT'
import socket, sys
for outside in sys.argv[1:]:
    address, port = outside.split("/")
    # One SYN, and nobody who waits to repeat it.
    with socket.socket() as line:
        line.setblocking(False)
        line.connect_ex((address, int(port)))
CONNECT
ping -c 1 -W 0.1 203.0.113.80 > /dev/null
nft --json list table inet soak
"""


def test_the_kernel_counts_every_packet_outside_the_tunnel_and_none_that_belongs_outside() -> None:
    user = ["--user", "--map-root-user"] if os.geteuid() else []
    done = subprocess.run(
        ["unshare", *user, "--net", "bash", "-c", HOME, "bash", sys.executable],
        input=border.rules("wlan0", border.allowed(["203.0.113.5", "203.0.113.6"], "192.168.1.1")),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    crossed = border.read(done.stdout)
    assert {(item.address, item.protocol, item.port, item.packets) for item in crossed.destinations} == {
        ("203.0.113.80", "udp", 9, 1),
        ("203.0.113.80", "udp", 443, 1),
        ("203.0.113.5", "udp", 53, 1),
        ("10.0.1.105", "udp", 53, 1),
        ("203.0.113.80", "tcp", 8883, 1),
        ("203.0.113.80", "tcp", 443, 1),
        ("203.0.113.5", "tcp", 443, 1),
        ("203.0.113.80", "icmp", 0, 1),
    }
    assert crossed.packets == 8


def test_ctrl_c_in_the_middle_takes_everything_down(environment: dict[str, str]) -> None:
    process = subprocess.Popen(
        command(), cwd=CHECKOUT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    # The first fault begins when everything runs.
    for line in process.stderr:
        if " begins" in line:
            break
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=280)
    assert process.returncode == 130, said
    assert f"soak: interrupted (seed {SEED})" in said[1]
    labs = Path(environment["XDG_STATE_HOME"]) / "private-iot" / "labs"
    assert list(labs.iterdir()) == []
