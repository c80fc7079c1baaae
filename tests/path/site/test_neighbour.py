"""A device without a tunnel: it gets to AWS IoT through a gateway of its LAN, and to nothing else."""

from __future__ import annotations

import re

import pytest

from tests.path.agent.house import AGENT, TUNNEL, Device
from tests.path.agent.rotation import issue
from tests.path.path_lab import wait_for

from .neighbour import (
    KEEPER,
    NEIGHBOUR,
    SECOND,
    STATE,
    bundle,
    gateways,
    install,
    press,
    publish,
    sent,
    site,
    wait_until_through,
)
from .site import GATEWAY, INTERNET_ADDRESS, RESOLVER, VPC, LabSite

__all__ = ["press", "site"]
pytestmark = [pytest.mark.path, pytest.mark.timeout(600)]


def test_a_neighbour_sends_and_receives_its_own_messages_and_the_uplink_sees_the_tunnel_alone(
    site: LabSite, press: Device
) -> None:
    elsewhere = f"ip and not (udp and host {site.server} and port 443)"
    foreign = (
        f"ip and not (tcp and host {site.endpoint_address} and port 8883)"
        f" and not (udp port 53 and (host {site.own[GATEWAY]} or host {site.own[SECOND]}))"
    )
    with (
        site.captured("wlan0", elsewhere, GATEWAY) as first,
        site.captured("wlan0", elsewhere, SECOND) as second,
        site.captured("wlan0", foreign, NEIGHBOUR) as own,
    ):
        install(site, press)
        wait_until_through(site, press, GATEWAY)
        done = press.agent("pubsub", "--count", "10")
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("Received message from topic") == 10
        assert "10 message(s) received." in done.stdout
        wait_until_through(site, press, GATEWAY)
        publish(press)
        wait_for(lambda: sent(press)[1] == 0, "an empty queue")
    assert (first, second) == ([], []), "nothing but the gateways' tunnels"
    assert own == [], "nothing of the neighbour's but TLS to the endpoint, and its name"
    assert press.run("pgrep", "-x", "openvpn").returncode == 1


def test_everything_is_well_and_a_second_time_changes_nothing(site: LabSite, press: Device) -> None:
    install(site, press)
    wait_until_through(site, press, GATEWAY)
    rows = press.wait_until_healthy()
    assert list(rows)[2:4] == ["neighbour", "gateway"]
    assert f"through the gateway {site.own[GATEWAY]}" in rows["tcp"]["seen"]
    assert "EPERM" in rows["mqtt"]["seen"] or press.run("id", "-u").stdout != "0\n"
    before = press.snapshot() + press.run("sh", "-c", STATE).stdout
    done = press.install(bundle(site))
    assert done.stdout == f"{NEIGHBOUR} is installed already; nothing changed\n"
    assert press.agent("install", "--upgrade").stdout == f"{NEIGHBOUR} is installed already; nothing changed\n"
    assert press.snapshot() + press.run("sh", "-c", STATE).stdout == before
    told = press.agent("status").stdout
    assert re.search(rf"^gateway +up, wlan0 {site.own[NEIGHBOUR]} through {site.own[GATEWAY]}", told, re.MULTILINE)
    assert f'private_iot_hop_gateway{{gateway="{site.own[SECOND]}"}} 0' in press.agent("metrics").stdout


def test_it_reaches_nothing_in_the_vpc_but_the_endpoint_and_nothing_outside(site: LabSite, press: Device) -> None:
    install(site, press)
    wait_until_through(site, press, GATEWAY)
    for address, port in ((RESOLVER, 53), (site.endpoint_address, 22), (str(VPC[263]), 8883), (INTERNET_ADDRESS, 8883)):
        assert site.is_cut_off(NEIGHBOUR, address, port)
    assert site.reaches(NEIGHBOUR, site.endpoint_address, 8883)


def test_uninstall_leaves_all_as_it_was(site: LabSite, press: Device) -> None:
    before = press.snapshot() + press.run("sh", "-c", STATE).stdout
    install(site, press)
    wait_until_through(site, press, GATEWAY)
    changed = press.run("sh", "-c", STATE).stdout
    assert f"{VPC} via {site.own[GATEWAY]} dev wlan0" in changed
    assert f"{site.endpoint_address} {site.endpoint}" in changed
    assert press.agent("uninstall", "--purge").returncode == 0
    assert press.snapshot() + press.run("sh", "-c", STATE).stdout == before


def test_the_service_needs_one_capability_and_neither_the_key_nor_the_vpc(site: LabSite, press: Device) -> None:
    """The unit's sandbox is systemd's to make; here the kernel takes the capabilities away."""
    install(site, press)
    wait_until_through(site, press, GATEWAY)
    site.do(NEIGHBOUR, "systemctl", "stop", KEEPER)
    site.do(NEIGHBOUR, "sh", "-c", f"ip route flush proto 143; sed -i '/{site.endpoint}/d' /etc/hosts")
    few = ("setpriv", "--bounding-set=-all,+net_admin", "--inh-caps=-all,+net_admin", "--no-new-privs")
    keeper = site.start(NEIGHBOUR, *few, "device-agent", "neighbour")
    try:
        wait_for(lambda: f"{VPC} via {site.own[GATEWAY]} dev wlan0" in press.run("ip", "route").stdout, "the route")
        wait_for(lambda: site.endpoint in press.run("cat", "/etc/hosts").stdout, "the name")
        assert press.run(*few, "cat", "/etc/private-iot/private-key.pem").returncode == 1
    finally:
        keeper.close()


def test_another_gateway_and_another_certificate_are_tried_before_they_count(site: LabSite, press: Device) -> None:
    install(site, press, GATEWAY)
    wait_until_through(site, press, GATEWAY)
    fresh = bundle(site)
    issued = issue(site.house.aws, NEIGHBOUR, site.house.made.policy_name, active=True)
    site.house.sync()
    fresh["iot"]["certificatePem"], fresh["iot"]["privateKeyPem"] = issued.pem, issued.key_pem
    done = press.install(fresh, *gateways(site, SECOND))
    assert done.returncode == 0, done.stderr
    assert "try /etc/private-iot/slots/b: its gateway, then an echo over it\n" in done.stdout
    wait_until_through(site, press, SECOND)
    before = press.snapshot()
    locked = issue(site.house.aws, NEIGHBOUR, site.house.made.policy_name, active=False)
    site.house.sync()
    fresh["iot"]["certificatePem"], fresh["iot"]["privateKeyPem"] = locked.pem, locked.key_pem
    done = press.install(fresh, *gateways(site, GATEWAY))
    assert done.returncode == 2
    assert "did not pass its trial and was not installed: no echo over the path" in done.stderr
    assert press.snapshot() == before
    wait_until_through(site, press, SECOND)


def test_a_device_with_a_tunnel_becomes_a_neighbour_and_a_device_again(site: LabSite) -> None:
    """On the second gateway's host, which has both: an uplink for the tunnel, and the LAN."""
    device = site.house.device(SECOND)
    site.do(SECOND, "device-agent", "gateway", "disable")
    made = site.house.bundle(SECOND)
    without = {**{name: part for name, part in made.items() if name != "vpn"}, "version": 2}
    before = device.snapshot()
    try:
        done = device.install(without, *gateways(site, GATEWAY))
        assert done.returncode == 0, done.stderr
        assert device.units() == {AGENT: "active", TUNNEL: "inactive"}
        wait_until_through(site, device, GATEWAY)
        assert device.run("ls", "/etc/openvpn/client").stdout == ""
    finally:
        done = device.install(made)
    assert done.returncode == 0, done.stderr
    device.wait_until_healthy()
    assert re.sub("slots/[ab]|/[ab].conf|[0-9a-f]{32} .*device.json", "", device.snapshot()) == re.sub(
        "slots/[ab]|/[ab].conf|[0-9a-f]{32} .*device.json", "", before
    )
    assert str(VPC) not in device.run("ip", "route", "show", "proto", "143").stdout
    assert site.endpoint not in device.run("cat", "/etc/hosts").stdout
    site.do(SECOND, "device-agent", "gateway", "enable", "--lan", "lan0", "--allow", str(site.allowed))


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ([], "name the gateway of its LAN"),
        (["--gateway", "192.0.2.1"], "is in no network of this device"),
        (["--gateway", "OWN"], "that is this device itself"),
        (["--gateway", RESOLVER], "lies in the VPC"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_changes(
    site: LabSite, press: Device, words: list[str], why: str
) -> None:
    before = press.snapshot() + press.run("sh", "-c", STATE).stdout
    done = press.install(bundle(site), *(word.replace("OWN", site.own[NEIGHBOUR]) for word in words))
    assert done.returncode == 2
    assert why in done.stderr
    assert press.snapshot() + press.run("sh", "-c", STATE).stdout == before
