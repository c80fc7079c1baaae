"""install, doctor and pubsub as the walk-through has them: real OpenVPN, DNS, TLS, policies and broker.

It cannot prove systemd's own sandboxing, nor AWS's side; the units run under the lab's stand-in for systemd, which
enforces the rule on addresses alone.
"""

from __future__ import annotations

import os

import pytest

from tests.path.agent.house import AGENT, TUNNEL, Device, House

pytestmark = [pytest.mark.path, pytest.mark.timeout(600)]


def test_install_leaves_a_healthy_path_that_starts_at_boot(installed: Device) -> None:
    rows = installed.wait_until_healthy()
    assert list(rows)[-1] == "public-way"
    assert "outside the tunnel: refused (CONNACK 0x87)" in rows["public-way"]["seen"]
    assert "came back through the agent" in rows["echo"]["seen"]
    assert installed.units() == {AGENT: "active", TUNNEL: "active"}
    assert [installed.run("systemctl", "is-enabled", unit).stdout.strip() for unit in (AGENT, TUNNEL)] == [
        "enabled"
    ] * 2


def test_the_agent_runs_as_its_own_user_and_only_it_can_read_the_device_key(installed: Device) -> None:
    shown = installed.run("sh", "-c", f"ps -o user= -p $(systemctl show -p MainPID {AGENT} | cut -d= -f2)").stdout
    owner = installed.run("stat", "-L", "-c", "%U %a", "/etc/private-iot/private-key.pem").stdout.split()
    assert owner[1] == "600"
    # An ordinary user's container has one user, root.
    assert owner[0] in ("private-iot", "root")
    assert shown.strip()[:7] == owner[0][:7]


_SEND = """\
import socket
for address in ("192.0.2.1", "10.0.0.2", "127.0.0.1", "2001:db8::1"):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        socket.socket(family, socket.SOCK_DGRAM).sendto(b"", (address, 9))
        print(address, "sent")
    except PermissionError:
        print(address, "EPERM")
    except OSError:
        print(address, "no route")
"""


def test_the_kernel_keeps_the_agent_to_the_vpc(installed: Device) -> None:
    """Only root makes a control group: elsewhere doctor says that there is no rule."""
    root = os.geteuid() == 0
    told = "the kernel refuses it any other address (EPERM)" if root else "no rule of the kernel keeps it"
    seen = [row["seen"] for row in installed.wait_until_healthy().values()]
    assert [line for line in seen if told in line], seen
    unit = """\
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'python3 /run/send.py >/run/sent'
IPAddressDeny=any
IPAddressAllow=localhost
IPAddressAllow=10.0.0.0/16
"""
    installed.run("sh", "-c", "cat >/run/send.py", stdin=_SEND)
    installed.run("sh", "-c", "cat >/etc/systemd/system/send.service", stdin=unit)
    try:
        started = installed.run("systemctl", "start", "send.service")
        assert started.returncode == 0, started.stderr
    finally:
        installed.run("rm", "/etc/systemd/system/send.service")
    sent = dict(line.split(" ", 1) for line in installed.run("cat", "/run/sent").stdout.splitlines())
    assert sent.pop("2001:db8::1") in ("EPERM", "no route")
    assert sent == {"192.0.2.1": "EPERM" if root else "sent", "10.0.0.2": "sent", "127.0.0.1": "sent"}


def transcript(house: House, name: str) -> str:
    """The walk-through's transcript, with this device's endpoint, client ID and topic."""
    topic = f"private-iot/{name}/test/topic"
    lines = [
        f"Connecting to {house.made.iot_endpoint} with client ID '{name}'...",
        "Connected!",
        f"Subscribing to topic '{topic}'...",
        "Subscribed with QoS.AT_LEAST_ONCE",
        "Sending 10 message(s)",
    ]
    for number in range(1, 11):
        lines.append(f"Publishing message to topic '{topic}': Hello World! [{number}]")
        lines.append(f"Received message from topic '{topic}': b'\"Hello World! [{number}]\"'")
    return "\n".join([*lines, "10 message(s) received.", "Disconnecting...", "Disconnected!", ""])


@pytest.mark.parametrize("options", [[], ["--mqtt3"], ["--port", "443"], ["--mqtt3", "--port", "443"]])
def test_pubsub_prints_the_walk_throughs_transcript(house: House, installed: Device, options: list[str]) -> None:
    done = installed.agent("pubsub", *options)
    assert done.returncode == 0, done.stderr
    assert done.stdout == transcript(house, "pi-1")
    assert installed.units()[AGENT] == "active"


@pytest.mark.parametrize("options", [[], ["--mqtt3"]])
def test_a_topic_outside_the_prefix_is_refused_in_one_line(installed: Device, options: list[str]) -> None:
    done = installed.agent("pubsub", "--topic", "somebody/else", *options)
    assert done.returncode == 2
    *_notices, line = done.stderr.splitlines()
    assert line.startswith("device-agent: ")
    assert "subscribe to 'somebody/else'" in line
    assert installed.units()[AGENT] == "active"


def test_without_the_tunnel_nothing_is_sent_to_the_public_address(installed: Device) -> None:
    installed.run("systemctl", "stop", AGENT, TUNNEL)
    try:
        done = installed.agent("pubsub")
        assert done.returncode == 2
        assert "outside the VPC's 10.0.0.0/16; nothing was sent" in done.stderr
        assert done.stderr.count("\n") == 1
    finally:
        installed.run("systemctl", "start", TUNNEL, AGENT)
    installed.wait_until_healthy()


def test_the_whole_devices_map_is_accepted_with_a_name(house: House) -> None:
    second = house.device("pi-2")
    outputs = {"iotEndpoint": "…", "devices": {name: house.bundle(name) for name in ("pi-1", "pi-2")}}
    try:
        assert second.install(outputs).returncode == 2
        done = second.install(outputs, "--device", "pi-2")
        assert done.returncode == 0, done.stderr
        second.wait_until_healthy()
    finally:
        second.reset()
