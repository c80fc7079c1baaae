"""What befalls a device without a tunnel: its route or name is taken away, a gateway dies, and all of them do."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from lab.path import lifecycle
from tests.path.agent.house import TUNNEL, Device
from tests.path.path_lab import wait_for

from .neighbour import KEEPER, NEIGHBOUR, SECOND, install, press, publish, sent, site, status, used, wait_until_through
from .site import GATEWAY, VPC, LabSite

__all__ = ["press", "site"]
pytestmark = [pytest.mark.path, pytest.mark.timeout(600)]


TAKEN_AWAY = {
    "the route": "ip route delete {vpc} dev wlan0",
    # As dhclient-script where the lease is another: with the address all routes through the link go.
    "the address": "ip address flush dev wlan0; ip address add {own}/24 dev wlan0; ip route add default via {router}",
    "the link": "ip link set wlan0 down; ip link set wlan0 up; ip route replace default via {router} dev wlan0",
    "the name": "echo 127.0.0.1 localhost > /etc/hosts",
    "all of it": "ip route flush proto 143; echo 127.0.0.1 localhost > /etc/hosts; echo nameserver {router} >"
    " /etc/resolv.conf",
}
"""What a DHCP client or NetworkManager may do to the device."""


@pytest.mark.parametrize("what", TAKEN_AWAY)
def test_route_and_name_come_back_when_they_are_taken_away(site: LabSite, press: Device, what: str) -> None:
    resolv = press.run("cat", "/etc/resolv.conf").stdout
    install(site, press)
    wait_until_through(site, press, GATEWAY)
    count = sent(press)[0]
    with site.captured("wlan0", f"tcp and net {VPC} and not host {site.endpoint_address}", NEIGHBOUR) as packets:
        words = TAKEN_AWAY[what].format(vpc=VPC, own=site.own[NEIGHBOUR], router=site.own[GATEWAY])
        site.do(NEIGHBOUR, "sh", "-ec", words)
        wait_for(lambda: f"{VPC} via {site.own[GATEWAY]} dev wlan0" in press.run("ip", "route").stdout, "the route")
        wait_for(lambda: site.endpoint in press.run("cat", "/etc/hosts").stdout, "the name")
        publish(press)
        wait_for(lambda: sent(press)[0] >= count + 5, "every message")
    assert packets == []
    press.run("sh", "-c", "cat > /etc/resolv.conf", stdin=resolv)
    assert press.doctor()["gateway"]["result"] == "ok"


def test_without_the_route_nothing_for_the_vpc_goes_to_the_lans_router(site: LabSite, press: Device) -> None:
    """The service is killed, so that nobody puts the route back: the kernel refuses what is for the VPC."""
    install(site, press)
    wait_until_through(site, press, GATEWAY)
    site.do(NEIGHBOUR, "systemctl", "stop", KEEPER)
    assert f"{VPC} via {site.own[GATEWAY]}" in press.run("ip", "route").stdout, "it stays without its service"
    wait_until_through(site, press, GATEWAY)
    with site.captured("wlan0", f"net {VPC}", NEIGHBOUR) as packets:
        site.do(NEIGHBOUR, "ip", "route", "delete", str(VPC), "dev", "wlan0")
        wait_for(lambda: status(press)["tunnel"]["alive"] is False, "a dead path")
        publish(press)
        done = press.run("timeout", "60", "bash", "-c", f": < /dev/tcp/{site.endpoint_address}/8883")
        assert "No route to host" in done.stderr
    assert packets == []
    rows = press.doctor()
    assert rows["neighbour"]["result"] == "failed"
    assert rows["gateway"]["result"] == "failed"
    assert "packets for the VPC do not go to it" in rows["gateway"]["meaning"]
    site.do(NEIGHBOUR, "systemctl", "start", KEEPER)
    wait_for(lambda: used(press) and sent(press)[1] == 0, "every message")


def test_nothing_is_lost_while_the_gateways_boot(
    site: LabSite, press: Device, record_property: Callable[[str, object], None]
) -> None:
    install(site, press)
    wait_until_through(site, press, GATEWAY)
    count = sent(press)[0]
    lifecycle.ask(site.house.lab, {"command": "fault", "name": "gateway-killed", "seconds": 550})
    try:
        wait_for(lambda: status(press)["tunnel"]["alive"] is False, "a dead path")
        publish(press, 10)
        rows = press.doctor()
        assert rows["gateway"]["result"] == "failed"
        assert "the gateway is the hop that is broken" in rows["gateway"]["meaning"]
        assert f"{site.own[GATEWAY]}: nothing comes back: it is off" in rows["gateway"]["seen"]
        assert {rows[name]["result"] for name in ("resolver", "tcp", "tls", "mqtt", "echo")} == {"skipped"}
        assert {rows[name]["result"] for name in ("files", "certificates", "neighbour")} == {"ok"}
    finally:
        lifecycle.ask(site.house.lab, {"command": "end-fault", "name": "gateway-killed"})
    began = time.monotonic()
    wait_for(lambda: used(press) and sent(press)[1] == 0, "every message", 240)
    record_property("connected after the gateways' power", f"{time.monotonic() - began:.1f} s")
    assert sent(press)[0] >= count + 10


def test_it_moves_to_the_second_gateway_when_the_first_is_dead_and_back(
    site: LabSite, press: Device, record_property: Callable[[str, object], None]
) -> None:
    install(site, press)
    wait_until_through(site, press, GATEWAY)
    count = sent(press)[0]
    site.do(GATEWAY, "systemctl", "stop", TUNNEL)
    began = time.monotonic()
    try:
        publish(press)
        wait_until_through(site, press, SECOND)
        record_property("through the second gateway", f"{time.monotonic() - began:.1f} s")
        wait_for(lambda: sent(press)[0] >= count + 5, "every message")
        row = press.doctor()["gateway"]
        assert row["result"] == "warning"
        assert f"{site.own[GATEWAY]}: it is there, but its tunnel is down" in row["seen"]
    finally:
        site.start_tunnel()
    began = time.monotonic()
    wait_until_through(site, press, GATEWAY)
    record_property("back on the first", f"{time.monotonic() - began:.1f} s")
    publish(press)
    wait_for(lambda: sent(press)[0] >= count + 10 and sent(press)[1] == 0, "every message")
