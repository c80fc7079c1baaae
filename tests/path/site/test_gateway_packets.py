"""What passes a gateway, seen in packets: AWS IoT's ports of the VPC through the tunnel, and nothing else.

The tunnel is OpenVPN's and the gateway is `gateway enable`'s. What comes out of the tunnel towards the LAN, which
Client VPN never lets in, comes from a pair of interfaces by a tunnel's name.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from device_agent.gateway.rules import TABLE

from tests.path.path_lab import wait_for

from .site import (
    AGENT,
    GATEWAY,
    INTERNET,
    INTERNET_ADDRESS,
    NEIGHBOUR,
    RESOLVER,
    SENSOR,
    TUNNEL,
    VPC,
    LabSite,
    running_site,
)

pytestmark = pytest.mark.path

SERVE = (
    "import socket; server = socket.create_server(('', 8883)); print('ready', flush=True)\nwhile True: server.accept()"
)


@pytest.fixture(scope="module")
def whole_site() -> Iterator[LabSite]:
    """The site; its gateway's own agent is silent, so that every packet in the tunnel is somebody else's."""
    with running_site() as site:
        site.do(GATEWAY, "systemctl", "stop", AGENT)
        yield site


@pytest.fixture
def site(whole_site: LabSite) -> LabSite:
    """The site with the gateway's filter, anew for each test."""
    whole_site.do(GATEWAY, "systemctl", "restart", "private-iot-gateway")
    return whole_site


@contextmanager
def from_a_tunnel(site: LabSite) -> Iterator[str]:
    """Let the host of the internet send into the gateway's `tun9`, with an address of the VPC, which is given."""
    source = str(VPC[9 * 256 + 9])
    site.do(INTERNET, "ip", "link", "add", "tun9", "type", "veth", "peer", "name", "tun9", "netns", GATEWAY)
    try:
        for host, words in (
            (INTERNET, f"address add {source}/32 dev tun9"),
            (INTERNET, "link set tun9 up"),
            (GATEWAY, "link set tun9 up"),
            (INTERNET, f"route add {site.network} dev tun9 onlink via {site.own[GATEWAY]} src {source}"),
            (GATEWAY, f"route add {source}/32 dev tun9"),
        ):
            site.do(host, "ip", *words.split())
        # Without an address of its own the gateway's end answers for the LAN's.
        site.do(GATEWAY, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/conf/tun9/proxy_arp")
        yield source
    finally:
        site.do(INTERNET, "ip", "link", "delete", "tun9")


def test_without_the_filter_everything_would_pass_so_that_the_site_can_tell(site: LabSite) -> None:
    site.do(GATEWAY, "nft", "delete", "table", "inet", TABLE)
    with site.captured("tun0", "tcp port 22 or tcp port 8883") as tunnel, site.captured("wlan0", "tcp") as uplink:
        site.reaches(NEIGHBOUR, site.endpoint_address, 22, within=5)
        site.reaches(SENSOR, site.endpoint_address, 8883, within=5)
        site.reaches(NEIGHBOUR, INTERNET_ADDRESS, 443, within=5)
    assert any(f"{site.own[NEIGHBOUR]}." in packet and f"{site.endpoint_address}.22:" in packet for packet in tunnel)
    assert any(f"{site.own[SENSOR]}." in packet and f"{site.endpoint_address}.8883:" in packet for packet in tunnel)
    assert any(f"{site.own[NEIGHBOUR]}." in packet and f"{INTERNET_ADDRESS}.443:" in packet for packet in uplink)
    server = site.start(NEIGHBOUR, "python", "-c", SERVE)
    server.wait_for("ready")
    try:
        with from_a_tunnel(site):
            assert site.reaches(INTERNET, site.own[NEIGHBOUR], 8883)
    finally:
        server.close()


@pytest.mark.parametrize("port", [8883, 443])
def test_a_neighbour_reaches_aws_iots_ports_with_the_tunnels_address(site: LabSite, port: int) -> None:
    tunnel = json.loads(site.do(GATEWAY, "ip", "-j", "address", "show", "dev", "tun0"))
    (address,) = [item["local"] for item in tunnel[0]["addr_info"] if item["family"] == "inet"]
    with site.captured("tun0", "ip") as packets:
        assert site.reaches(NEIGHBOUR, site.endpoint_address, port)
    assert len(packets) >= 3
    ours, theirs = f"{address}.", f"{site.endpoint_address}.{port}"
    assert all(ours in packet and theirs in packet for packet in packets)


def test_tls_is_between_the_neighbour_and_aws_iot_by_its_usual_name(site: LabSite) -> None:
    assert "Verification: OK" in site.tls(NEIGHBOUR)


def test_a_neighbour_reaches_nothing_in_the_vpc_but_the_endpoint(site: LabSite) -> None:
    other = str(VPC[256 + 7])
    with site.captured("tun0", "ip") as packets:
        for address, port in ((site.endpoint_address, 22), (RESOLVER, 53), (other, 22), (other, 1883)):
            assert site.is_cut_off(NEIGHBOUR, address, port)
        site.run(NEIGHBOUR, "ping", "-c", "1", "-W", "1", site.endpoint_address)
        site.run(NEIGHBOUR, "bash", "-c", f"echo x > /dev/udp/{RESOLVER}/53")
    assert packets == []
    # On AWS IoT's ports, which pass the gateway, the VPC's own security groups know the endpoint alone.
    assert site.is_cut_off(NEIGHBOUR, other, 8883)


def test_a_host_of_the_lan_that_is_not_allowed_reaches_nothing(site: LabSite) -> None:
    with site.captured("tun0", "ip") as tunnel, site.captured("wlan0", f"ip and not host {site.server}") as uplink:
        assert site.is_cut_off(SENSOR, site.endpoint_address, 8883)
        assert site.is_cut_off(SENSOR, INTERNET_ADDRESS, 443)
        assert "does not answer" in site.asked(SENSOR, site.endpoint)
    assert tunnel == uplink == []


def test_a_capture_on_the_uplink_sees_nothing_but_the_tunnel(site: LabSite) -> None:
    with site.captured("wlan0", f"ip and not (udp and host {site.server} and port 443)") as packets:
        site.do(GATEWAY, "systemctl", "start", AGENT)
        wait_for(lambda: site.run(GATEWAY, "device-agent", "status").returncode == 0, "the gateway's own connection")
        assert "Verification: OK" in site.tls(NEIGHBOUR)
        for host in (NEIGHBOUR, SENSOR):
            for address, port in ((INTERNET_ADDRESS, 443), (INTERNET_ADDRESS, 8883), (site.uplink[1], 53)):
                assert site.is_cut_off(host, address, port)
        site.do(GATEWAY, "systemctl", "stop", AGENT)
    assert packets == []


def test_nothing_comes_the_other_way(site: LabSite) -> None:
    with site.captured("lan0", f"ip host {site.own[NEIGHBOUR]}") as packets, from_a_tunnel(site):
        for port in (8883, 443, 22):
            assert site.is_cut_off(INTERNET, site.own[NEIGHBOUR], port)
    assert packets == []
    home = site.uplink[0]
    site.do(INTERNET, "ip", "route", "add", str(site.network), "via", home)
    try:
        with site.captured("lan0", f"ip host {site.own[NEIGHBOUR]}") as packets:
            assert site.is_cut_off(INTERNET, site.own[NEIGHBOUR], 8883)
    finally:
        site.do(INTERNET, "ip", "route", "delete", str(site.network))
    assert packets == []


def test_without_the_tunnel_nothing_goes_out_by_the_uplink(site: LabSite) -> None:
    site.do(GATEWAY, "systemctl", "stop", TUNNEL)
    try:
        with site.captured("wlan0", f"ip and net {VPC}") as packets:
            assert site.is_cut_off(NEIGHBOUR, site.endpoint_address, 8883)
            assert site.is_cut_off(GATEWAY, site.endpoint_address, 8883)
            assert site.endpoint_address not in site.asked(NEIGHBOUR, site.endpoint)
    finally:
        site.start_tunnel()
    assert packets == []


def test_the_gateway_answers_the_endpoints_name_alone(site: LabSite) -> None:
    # It knows who to ask once its tunnel is up.
    wait_for(lambda: site.asked(NEIGHBOUR, site.endpoint) == f"['{site.endpoint_address}']", "the gateway's answer")
    for name in ("secret.internal", "example.com", f"x.{INTERNET}.attacker.example"):
        assert "error 5" in site.asked(NEIGHBOUR, name), "REFUSED"


def test_the_gateway_itself_goes_on_as_before(site: LabSite) -> None:
    assert site.reaches(GATEWAY, site.endpoint_address, 8883)
    assert site.reaches(GATEWAY, INTERNET_ADDRESS, 8883)
    assert site.is_cut_off(NEIGHBOUR, site.own[GATEWAY], 8883)


def test_a_device_that_forwarded_before_goes_on_with_what_is_not_the_tunnels(site: LabSite) -> None:
    forwarding = ("sh", "-c", "echo $0 > /proc/sys/net/ipv4/ip_forward")
    site.do(GATEWAY, "device-agent", "gateway", "disable")
    site.do(GATEWAY, *forwarding, "1")
    try:
        site.enable()
        with site.captured("wlan0", f"tcp and host {INTERNET_ADDRESS}") as uplink:
            site.reaches(NEIGHBOUR, INTERNET_ADDRESS, 443, within=5)
        assert any(f"{site.own[NEIGHBOUR]}." in packet for packet in uplink)
        assert site.reaches(NEIGHBOUR, site.endpoint_address, 8883)
        with site.captured("tun0", "ip") as tunnel:
            assert site.is_cut_off(NEIGHBOUR, site.endpoint_address, 22)
            assert site.is_cut_off(SENSOR, site.endpoint_address, 8883)
        assert tunnel == []
        with site.captured("lan0", f"ip host {site.own[NEIGHBOUR]}") as lan, from_a_tunnel(site):
            assert site.is_cut_off(INTERNET, site.own[NEIGHBOUR], 22)
        assert lan == []
    finally:
        site.do(GATEWAY, "device-agent", "gateway", "disable")
        assert site.do(GATEWAY, "cat", "/proc/sys/net/ipv4/ip_forward") == "1\n", "it forwarded before"
        site.do(GATEWAY, *forwarding, "0")
        site.enable()


def test_status_and_metrics_count_the_neighbours(site: LabSite) -> None:
    assert site.reaches(NEIGHBOUR, site.endpoint_address, 8883)
    # Its last packet has passed when the kernel holds the connection for late ones alone.
    asked = ("ss", "-Htan", "state", "connected", "exclude", "time-wait", "dst", site.endpoint_address)
    wait_for(lambda: not site.do(NEIGHBOUR, *asked), "the end of the connection")
    site.do(GATEWAY, "systemctl", "start", AGENT)
    gateway = json.loads(site.run(GATEWAY, "device-agent", "status", "--json").stdout)["gateway"]
    assert (gateway["lan"], gateway["allowed"], gateway["loaded"]) == ("lan0", str(site.allowed), True)
    (neighbour,) = gateway["neighbours"]
    assert neighbour["address"] == site.own[NEIGHBOUR]
    assert neighbour["packets"] == gateway["to_vpc"][0] >= 3
    assert neighbour["bytes"] == gateway["to_vpc"][1] > 120
    assert gateway["from_vpc"][0] >= 2
    shown = site.run(GATEWAY, "device-agent", "status").stdout
    assert f"for {site.allowed} of lan0: {neighbour['packets']} packets" in shown
    assert f"{neighbour['address']}: {neighbour['packets']} packets" in shown
    site.do(GATEWAY, "systemctl", "stop", AGENT)
    stopped = json.loads(site.run(GATEWAY, "device-agent", "status", "--json").stdout)
    assert stopped["gateway"]["neighbours"] == [neighbour], "a gateway serves without its own agent"
