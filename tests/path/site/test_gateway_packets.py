"""What passes a gateway, seen in packets: AWS IoT's ports of the VPC through the tunnel, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from device_agent.gateway.counters import parse_counters
from device_agent.gateway.rules import TABLE

from tests.path.agent_daemon.loopback import wait_until

from .site import (
    ENDPOINT,
    ENDPOINT_ADDRESS,
    GATEWAY,
    INTERNET_ADDRESS,
    NEIGHBOUR,
    OTHER_ADDRESS,
    RESOLVER,
    STRANGER,
    TUNNEL_ADDRESS,
    Site,
    running_site,
)


@pytest.fixture(scope="module")
def whole_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running_site(tmp_path_factory.mktemp("site")) as site:
        yield site


@pytest.fixture
def site(whole_site: Site) -> Iterator[Site]:
    """The site with the gateway's filter, anew for each test."""
    whole_site.filter()
    yield whole_site
    whole_site.do("gateway", "ip", "link", "set", "tun0", "up")
    whole_site.run("gateway", "ip", "route", "add", "10.0.0.0/16", "via", "172.31.0.1")


def test_without_the_filter_everything_would_pass_so_that_the_site_can_tell(whole_site: Site) -> None:
    whole_site.filter()
    whole_site.do("gateway", "nft", "delete", "table", "inet", TABLE)
    assert whole_site.peer_seen("neighbour", ENDPOINT_ADDRESS, 22) == NEIGHBOUR
    assert whole_site.peer_seen("stranger", ENDPOINT_ADDRESS, 8883) == STRANGER
    assert whole_site.peer_seen("neighbour", INTERNET_ADDRESS, 443) == NEIGHBOUR
    assert whole_site.peer_seen("vpc", NEIGHBOUR, 22) is not None


@pytest.mark.parametrize("port", [8883, 443])
def test_a_neighbour_reaches_aws_iots_ports_with_the_tunnels_address(site: Site, port: int) -> None:
    assert site.peer_seen("neighbour", ENDPOINT_ADDRESS, port) == TUNNEL_ADDRESS


def test_a_neighbour_reaches_no_other_port_and_no_resolver_of_the_vpc(site: Site) -> None:
    with site.captured("tun0", "ip") as packets:
        assert site.peer_seen("neighbour", ENDPOINT_ADDRESS, 22) is None
        assert site.peer_seen("neighbour", RESOLVER, 53) is None
        assert site.peer_seen("neighbour", OTHER_ADDRESS, 22) is None
    assert packets == []


def test_a_host_of_the_lan_that_is_not_allowed_reaches_nothing(site: Site) -> None:
    with site.captured("tun0", "ip") as tunnel, site.captured("wlan0", "ip") as uplink:
        assert site.peer_seen("stranger", ENDPOINT_ADDRESS, 8883) is None
        assert site.peer_seen("stranger", INTERNET_ADDRESS, 443) is None
        assert "does not answer" in site.asked("stranger", ENDPOINT)
    assert tunnel == uplink == []


def test_nothing_of_the_lan_gets_elsewhere_through_the_gateway(site: Site) -> None:
    with site.captured("wlan0", "ip") as packets:
        assert site.peer_seen("neighbour", INTERNET_ADDRESS, 443) is None
        assert site.peer_seen("neighbour", INTERNET_ADDRESS, 8883) is None
    assert packets == []


def test_nothing_comes_the_other_way(site: Site) -> None:
    with site.captured("lan0", f"ip host {NEIGHBOUR}") as packets:
        assert site.peer_seen("vpc", NEIGHBOUR, 8883) is None
        assert site.peer_seen("vpc", NEIGHBOUR, 22) is None
        assert site.peer_seen("internet", NEIGHBOUR, 8883) is None
    assert packets == []


def test_without_the_tunnel_nothing_goes_out_by_the_uplink(site: Site) -> None:
    with site.captured("wlan0", "ip net 10.0.0.0/16") as packets:
        site.do("gateway", "ip", "link", "set", "tun0", "down")
        assert site.peer_seen("neighbour", ENDPOINT_ADDRESS, 8883) is None
        assert site.peer_seen("gateway", ENDPOINT_ADDRESS, 8883) is None
        assert "10.0.1.105" not in site.asked("neighbour", ENDPOINT)
    assert packets == []


def test_the_gateway_answers_the_endpoints_name_alone(site: Site) -> None:
    wait_until(lambda: site.asked("neighbour", ENDPOINT) == f"['{ENDPOINT_ADDRESS}']", "the endpoint's name", 20)
    assert "error 5" in site.asked("neighbour", "secret.internal"), "REFUSED"
    assert "error 5" in site.asked("neighbour", "example.com")


def test_the_gateway_itself_goes_on_as_before(site: Site) -> None:
    assert site.peer_seen("gateway", ENDPOINT_ADDRESS, 8883) == TUNNEL_ADDRESS
    assert site.peer_seen("gateway", INTERNET_ADDRESS, 443) == "203.0.113.2"
    assert site.peer_seen("neighbour", GATEWAY, 8883) is None


def test_a_device_that_forwarded_before_goes_on_with_what_is_not_the_tunnels(whole_site: Site) -> None:
    whole_site.filter(forwarded_before=True)
    assert whole_site.peer_seen("neighbour", INTERNET_ADDRESS, 443) == NEIGHBOUR
    assert whole_site.peer_seen("neighbour", ENDPOINT_ADDRESS, 8883) == TUNNEL_ADDRESS
    assert whole_site.peer_seen("neighbour", ENDPOINT_ADDRESS, 22) is None
    assert whole_site.peer_seen("stranger", ENDPOINT_ADDRESS, 8883) is None
    assert whole_site.peer_seen("vpc", NEIGHBOUR, 22) is None


def test_neighbours_are_counted(site: Site) -> None:
    assert site.peer_seen("neighbour", ENDPOINT_ADDRESS, 8883) == TUNNEL_ADDRESS
    counters = parse_counters(site.do("gateway", "nft", "-j", "list", "table", "inet", TABLE))
    (neighbour,) = counters.neighbours
    assert neighbour.address == NEIGHBOUR
    assert neighbour.packets == counters.to_vpc[0] >= 4
    assert neighbour.bytes == counters.to_vpc[1] > 160
    assert counters.from_vpc[0] >= 3
