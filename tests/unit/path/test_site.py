"""A site in the plan of the network: who is in the LAN, with which addresses and by which cable. No network here."""

from __future__ import annotations

import argparse
from dataclasses import replace
from ipaddress import IPv4Network

import pytest

from lab.commands import up
from lab.errors import LabError
from lab.path import faults, model, site_faults
from lab.path.parts import INTERNET, Host, Link, Plan
from lab.path.plan import plan
from lab.path.site import BRIDGE, LAN, SENSOR, Site, addresses, devices_network

from .cloud import CLOUD, SERVER

SITE = Site(("pi-1",), ("pi-2", "pi-3"))


def planned(*names: str, site: Site | None = SITE) -> Plan:
    things = tuple(model.Thing(name, None, ()) for name in names)
    return plan(replace(CLOUD, iot=replace(CLOUD.iot, things=things)), SERVER, site)


def cables(of: Plan, host: str) -> list[Link]:
    return [link for link in of.links if link.b.host == host]


def hosts(of: Plan) -> dict[str, Host]:
    return {host.name: host for host in of.hosts}


def test_the_gateway_has_its_home_and_the_lan_and_the_others_have_the_lan_alone() -> None:
    of = planned("pi-1", "pi-2", "pi-3", "pi-4")
    assert {name: hosts(of)[name].kind for name in ("pi-1", "pi-2", "pi-3", LAN, SENSOR)} == {
        "pi-1": "device",
        "pi-2": "device",
        "pi-3": "device",
        LAN: "lan",
        SENSOR: "sensor",
    }
    assert sorted((link.a.host, link.b.interface) for link in cables(of, "pi-1")) == [
        (INTERNET, "wlan0"),
        (LAN, "lan0"),
    ]
    for name in ("pi-2", "pi-3", SENSOR):
        (cable,) = cables(of, name)
        assert (cable.a.host, cable.a.bridge, cable.b.interface) == (LAN, BRIDGE, "wlan0")
    assert [link.a.host for link in cables(of, "pi-4")] == [INTERNET], "a device of no site has its home as before"


def test_everybodys_router_and_resolver_is_the_first_gateway() -> None:
    of = planned("pi-1", "pi-4", "pi-2", site=Site(("pi-4", "pi-1"), ("pi-2",)))
    (network,) = {IPv4Network(link.b.addresses[0], strict=False) for link in of.links if link.a.host == LAN}
    own = addresses(Site(("pi-4", "pi-1"), ("pi-2",)), network)
    assert (own["pi-4"], own["pi-1"]) == (str(network[1]), str(network[2]))
    for name in ("pi-2", SENSOR):
        assert cables(of, name)[0].b.routes == (f"default via {network[1]}",)
        assert hosts(of)[name].nameserver == str(network[1])
    assert [link.b.routes for link in cables(of, "pi-4") if link.a.host == LAN] == [()]


def test_the_sensor_is_not_in_the_devices_part_of_the_lan() -> None:
    network = IPv4Network("192.168.7.0/24")
    everybody = Site(tuple(f"g{n}" for n in range(8)), tuple(f"n{n}" for n in range(100)))
    own = {name: IPv4Network(address) for name, address in addresses(everybody, network).items()}
    assert len(set(own.values())) == 109
    inside = {name for name, address in own.items() if address.subnet_of(devices_network(network))}
    assert inside == {*everybody.gateways, *everybody.neighbours}


def test_without_a_site_there_is_neither_lan_nor_sensor_and_a_thing_may_have_their_names() -> None:
    of = planned("pi-1", SENSOR, site=None)
    assert hosts(of)[SENSOR].kind == "device"
    assert LAN not in hosts(of)
    with_site = planned("pi-1", SENSOR)
    assert hosts(with_site)[SENSOR].kind == "sensor"
    assert f"thing {SENSOR} has the name of another host of the lab: it gets no host" in with_site.notes


@pytest.mark.parametrize(
    ("things", "there", "absent"),
    [(("pi-1", "pi-2"), {"pi-1", "pi-2", LAN, SENSOR}, ["pi-3"]), (("pi-2",), {"pi-2"}, ["pi-1", "pi-3"])],
    ids=["a neighbour is missing", "the gateway is missing"],
)
def test_what_a_site_lacks_is_told(things: tuple[str, ...], there: set[str], absent: list[str]) -> None:
    of = planned(*things)
    assert {name for name, host in hosts(of).items() if host.kind in ("device", "lan", "sensor")} == there
    said = [f"{name} of the site is no thing that has a host: the site is without it" for name in absent]
    assert [note for note in of.notes if "site" in note] == said


@pytest.mark.parametrize("text", ["pi-1", "pi-1=pi-2", "pi-1,pi-4=pi-2,pi-3"])
def test_a_site_is_read_as_it_is_written(text: str) -> None:
    assert str(Site.parse(text)) == text
    assert Site.of(Site.parse(text).document()) == Site.parse(text)


@pytest.mark.parametrize("text", ["", "=pi-2", "pi-1=", "pi-1,,pi-2", "pi-1=pi-1", "pi-1=pi-2,pi-2"])
def test_what_is_no_site_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(LabError, match="such as pi-1=pi-2,pi-3"):
        Site.parse(text)


def test_a_site_that_is_too_large_for_its_lan_is_refused() -> None:
    with pytest.raises(LabError, match="at most 8 gateways and 100 neighbours"):
        Site(("pi-1",), tuple(f"n{number}" for number in range(101)))


def test_the_command_line_takes_a_site_and_refuses_what_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    up.add_arguments(parser)
    assert parser.parse_args(["--site", "pi-1=pi-2,pi-3"]).site == SITE
    assert parser.parse_args([]).site is None
    with pytest.raises(SystemExit):
        parser.parse_args(["--site", "pi-1=pi-1"])
    assert "such as pi-1=pi-2,pi-3" in capsys.readouterr().err


def test_a_sites_faults_are_known_beside_the_paths_own() -> None:
    assert set(faults.NAMES) == {*faults.PATH_NAMES, *site_faults.NAMES}
    assert set(site_faults.NAMES) == {
        "gateway-killed",
        "gateway-rebooted",
        "lan-cut",
        "tunnel-down",
        "mosquitto-killed",
    }
