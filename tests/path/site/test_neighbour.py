"""A device without a tunnel in a site with two gateways: it gets to AWS IoT through one of them, and stays there.

Its bundle is of version 2 and has no tunnel; its host has no OpenVPN running and asks no VPN for anything.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from lab.path import lifecycle
from lab.path.site import Site
from tests.path.agent.house import AGENT, TUNNEL, Device, running_house
from tests.path.agent.rotation import issue
from tests.path.path_lab import wait_for

from .site import GATEWAY, INTERNET_ADDRESS, RESOLVER, VPC, LabSite

pytestmark = [pytest.mark.path, pytest.mark.timeout(600)]

SECOND, NEIGHBOUR = "pi-4", "pi-2"
KEEPER = "private-iot-neighbour.service"
_STATE = "ip route; cat /etc/hosts; cat /etc/resolv.conf; resolvectl status"


@pytest.fixture(scope="module")
def site() -> Iterator[LabSite]:
    """The site; both gateways let their neighbours through."""
    with running_house((GATEWAY, SECOND, NEIGHBOUR), Site((GATEWAY, SECOND), (NEIGHBOUR,))) as house:
        for name in (GATEWAY, SECOND):
            gateway = house.device(name)
            done = gateway.install()
            assert done.returncode == 0, done.stderr
            gateway.wait_until_healthy()
        site = LabSite(house)
        for name in (GATEWAY, SECOND):
            site.do(name, "device-agent", "gateway", "enable", "--lan", "lan0", "--allow", str(site.allowed))
        yield site


@pytest.fixture
def press(site: LabSite) -> Iterator[Device]:
    """The neighbour's host, with nothing installed before and after."""
    device = site.house.device(NEIGHBOUR)
    yield device
    device.reset()


def bundle(site: LabSite) -> dict[str, Any]:
    made = site.house.bundle(NEIGHBOUR)
    del made["vpn"]
    return {**made, "version": 2}


def gateways(site: LabSite, *names: str) -> list[str]:
    return [word for name in names for word in ("--gateway", site.own[name])]


def install(site: LabSite, press: Device, *names: str, document: dict[str, Any] | None = None) -> None:
    done = press.install(document or bundle(site), *gateways(site, *(names or (GATEWAY, SECOND))))
    assert done.returncode == 0, done.stderr


def status(press: Device) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(press.agent("status", "--json").stdout)
    return found


def used(press: Device) -> str | None:
    """Tell which gateway a connection stands through, if one does."""
    told = status(press)
    if not told.get("connection", {}).get("connected"):
        return None
    gateway: str | None = told["hop"]["gateway"]
    return gateway


def wait_until_through(site: LabSite, press: Device, name: str, seconds: float = 120) -> None:
    wait_for(lambda: used(press) == site.own[name], f"a connection through {name}", seconds)


def sent(press: Device) -> tuple[int, int]:
    """Give how many messages AWS IoT has acknowledged, and how many wait."""
    queue = status(press)["queue"]
    return queue["sent"], queue["depth"]


def publish(press: Device, count: int = 5) -> None:
    for number in range(count):
        done = press.agent("publish", "telemetry", str(number))
        assert done.returncode == 0, done.stderr


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
    rows = press.doctor()
    assert {row["result"] for row in rows.values()} == {"ok"}, rows
    assert list(rows)[2:4] == ["neighbour", "gateway"]
    assert f"through the gateway {site.own[GATEWAY]}" in rows["tcp"]["seen"]
    assert "EPERM" in rows["mqtt"]["seen"] or press.run("id", "-u").stdout != "0\n"
    before = press.snapshot() + press.run("sh", "-c", _STATE).stdout
    done = press.install(bundle(site))
    assert done.stdout == f"{NEIGHBOUR} is installed already; nothing changed\n"
    assert press.agent("install", "--upgrade").stdout == f"{NEIGHBOUR} is installed already; nothing changed\n"
    assert press.snapshot() + press.run("sh", "-c", _STATE).stdout == before
    told = press.agent("status").stdout
    assert re.search(rf"^gateway +up, wlan0 {site.own[NEIGHBOUR]} through {site.own[GATEWAY]}", told, re.MULTILINE)
    assert f'private_iot_hop_gateway{{gateway="{site.own[SECOND]}"}} 0' in press.agent("metrics").stdout


def test_it_reaches_nothing_in_the_vpc_but_the_endpoint_and_nothing_outside(site: LabSite, press: Device) -> None:
    install(site, press)
    wait_until_through(site, press, GATEWAY)
    for address, port in ((RESOLVER, 53), (site.endpoint_address, 22), (str(VPC[263]), 8883), (INTERNET_ADDRESS, 8883)):
        assert not site.reaches(NEIGHBOUR, address, port)
    assert site.reaches(NEIGHBOUR, site.endpoint_address, 8883)


def test_uninstall_leaves_all_as_it_was(site: LabSite, press: Device) -> None:
    before = press.snapshot() + press.run("sh", "-c", _STATE).stdout
    install(site, press)
    wait_until_through(site, press, GATEWAY)
    changed = press.run("sh", "-c", _STATE).stdout
    assert f"{VPC} via {site.own[GATEWAY]} dev wlan0" in changed
    assert f"{site.endpoint_address} {site.endpoint}" in changed
    assert press.agent("uninstall", "--purge").returncode == 0
    assert press.snapshot() + press.run("sh", "-c", _STATE).stdout == before


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
        done = press.run("timeout", "2", "bash", "-c", f": < /dev/tcp/{site.endpoint_address}/8883")
        assert "No route to host" in done.stderr
    assert packets == []
    rows = press.doctor()
    assert rows["neighbour"]["result"] == "failed"
    assert rows["gateway"]["result"] == "failed"
    assert "packets for the VPC do not go to it" in rows["gateway"]["meaning"]
    site.do(NEIGHBOUR, "systemctl", "start", KEEPER)
    wait_for(lambda: used(press) and sent(press)[1] == 0, "every message")


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


def test_nothing_is_lost_while_the_gateways_boot(site: LabSite, press: Device) -> None:
    install(site, press)
    wait_until_through(site, press, GATEWAY)
    count = sent(press)[0]
    lifecycle.ask(site.house.lab, {"command": "fault", "name": "gateway-killed", "seconds": 200})
    try:
        wait_for(lambda: status(press)["tunnel"]["alive"] is False, "a dead path", 60)
        publish(press, 10)
        rows = press.doctor()
        assert rows["gateway"]["result"] == "failed"
        assert "the gateway is the hop that is broken" in rows["gateway"]["meaning"]
        assert f"{site.own[GATEWAY]}: nothing comes back: it is off" in rows["gateway"]["seen"]
        assert {rows[name]["result"] for name in ("resolver", "tcp", "tls", "mqtt", "echo")} == {"skipped"}
        assert {rows[name]["result"] for name in ("files", "certificates", "neighbour")} == {"ok"}
    finally:
        lifecycle.ask(site.house.lab, {"command": "end-fault", "name": "gateway-killed"})
    wait_for(lambda: used(press) and sent(press)[1] == 0, "every message", 180)
    assert sent(press)[0] >= count + 10


def test_it_moves_to_the_second_gateway_when_the_first_is_dead_and_back(site: LabSite, press: Device) -> None:
    install(site, press)
    wait_until_through(site, press, GATEWAY)
    count = sent(press)[0]
    site.do(GATEWAY, "systemctl", "stop", TUNNEL)
    try:
        publish(press)
        wait_until_through(site, press, SECOND)
        wait_for(lambda: sent(press)[0] >= count + 5, "every message")
        row = press.doctor()["gateway"]
        assert row["result"] == "warning"
        assert f"{site.own[GATEWAY]}: it is there, but its tunnel is down" in row["seen"]
    finally:
        site.start_tunnel()
    wait_until_through(site, press, GATEWAY)
    publish(press)
    wait_for(lambda: sent(press)[0] >= count + 10, "every message")
    assert sent(press)[1] == 0


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
    before = press.snapshot() + press.run("sh", "-c", _STATE).stdout
    done = press.install(bundle(site), *(word.replace("OWN", site.own[NEIGHBOUR]) for word in words))
    assert done.returncode == 2
    assert why in done.stderr
    assert press.snapshot() + press.run("sh", "-c", _STATE).stdout == before
