"""The README's commands on a fresh Debian, and the path that they leave: real systemd, resolved, NetworkManager.

It cannot prove a Pi's own kernel and hardware, nor AWS.
"""

from __future__ import annotations

import pytest

from tests.device.pi import AGENT, TUNNEL, Pi, wait_for
from tests.path.walk_through_by_hand import inside_vpc

pytestmark = [pytest.mark.device, pytest.mark.slow, pytest.mark.timeout(1500)]


def test_the_readmes_commands_lead_to_a_healthy_path(pi: Pi) -> None:
    rows = pi.wait_until_healthy()
    hops = {
        "files",
        "certificates",
        "tunnel",
        "home",
        "interface",
        "resolver",
        "tcp",
        "tls",
        "mqtt",
        "echo",
        "public-way",
    }
    assert hops <= rows.keys()
    assert "outside the tunnel: refused (CONNACK 0x87)" in rows["public-way"]["seen"]


def test_the_services_run_and_start_at_boot(pi: Pi) -> None:
    for unit in (AGENT, TUNNEL):
        assert (pi.show(unit, "ActiveState"), pi.show(unit, "UnitFileState")) == ("active", "enabled")


def test_split_dns_asks_the_vpc_for_the_endpoint_and_the_home_network_for_all_else(pi: Pi) -> None:
    endpoint = pi.house.made.iot_endpoint
    assert inside_vpc(pi.addresses(endpoint)[0])
    assert not inside_vpc(pi.addresses(pi.vpn_name())[0])
    pi.machine.shell(f"systemctl stop {AGENT} {TUNNEL}")
    try:
        assert not inside_vpc(pi.addresses(endpoint)[0])
        assert "tun0" not in pi.machine.shell("resolvectl status")
    finally:
        pi.machine.shell(f"systemctl start {TUNNEL} {AGENT}")
    wait_for(pi.is_connected, "the connection", 120)
    assert inside_vpc(pi.addresses(endpoint)[0])


def test_pubsub_sends_ten_messages_and_receives_them(pi: Pi) -> None:
    done = pi.agent("pubsub")
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("10 message(s) received.\nDisconnecting...\nDisconnected!\n")
