"""A device without a tunnel: which gateways it may be given, what `install` puts in place, and how the hop changes.

It cannot prove that packets take the way; the path tests do.
"""

from __future__ import annotations

import io
import json
import sys
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest
from device_agent.__main__ import main
from device_agent._exceptions import UsageError
from device_agent.installation import (
    AGENT_SERVICE,
    AGENT_UNIT,
    NEIGHBOUR_SERVICE,
    NEIGHBOUR_TRIAL_UNIT,
    NEIGHBOUR_UNIT,
    OPENVPN_SERVICE,
    Installation,
)
from device_agent.neighbour.keeper import set_name
from device_agent.neighbour.lan import check_gateways, on_link, read_gateways
from device_agent.routes import Route
from hypothesis import given
from hypothesis import strategies as st

from .material import FakeSystem, bundle, check_refusal, encode, snapshot
from .test_request import answered

LAN = Route(IPv4Network("192.168.1.0/24"), "eth0", source="192.168.1.20")
DEFAULT = Route(IPv4Network("0.0.0.0/0"), "eth0", gateway="192.168.1.1")
VPC = IPv4Network("10.0.0.0/16")


def neighbour(**changes: object) -> dict[str, Any]:
    """A bundle of version 2 without a tunnel."""
    return bundle(version=2, vpn=..., **changes)


@pytest.fixture
def press(system: FakeSystem) -> FakeSystem:
    """A machine in a LAN, without OpenVPN."""
    system.path("/usr/sbin/openvpn").unlink()
    for folder in ("etc/openvpn/client", "etc/openvpn"):
        for path in system.path(f"/{folder}").iterdir():
            path.unlink()
        system.path(f"/{folder}").rmdir()
    system.path("/run/systemd/system").mkdir(parents=True, exist_ok=True)
    system.path("/etc/hosts").write_text("127.0.0.1 localhost\n")
    system.state["table"] = [LAN, DEFAULT]
    system.state["routes"] = {"192.168.1.20": ("lo", "192.168.1.20"), "192.168.1.10": ("eth0", "192.168.1.20")}
    for address in ("10.0.0.2", "10.0.1.105"):
        system.state["routes"][address] = ("lo", "192.168.1.20")
    return system


def install(
    system: FakeSystem, monkeypatch: pytest.MonkeyPatch, *words: str, document: dict[str, Any] | None = None
) -> int:
    data = encode(neighbour() if document is None else document)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    return main(["install", "-", *words], system)


def test_a_neighbour_is_installed_without_openvpn(press: FakeSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    assert install(press, monkeypatch, "--gateway", "192.168.1.10", "--gateway", "192.168.1.11") == 0
    assert press.state["enabled"] == press.state["active"] == {NEIGHBOUR_SERVICE, AGENT_SERVICE}
    assert not press.path("/etc/openvpn").exists()
    installed = Installation.load(press)
    assert installed.gateways == (IPv4Address("192.168.1.10"), IPv4Address("192.168.1.11"))
    assert (installed.hop.kind, installed.hop.service) == ("gateway", NEIGHBOUR_SERVICE)
    agent, keeper = press.path(AGENT_UNIT).read_text(), press.path(NEIGHBOUR_UNIT).read_text()
    for text in (agent, keeper):
        assert "IPAddressDeny=any\n" in text
        assert "IPAddressAllow=192.168.1.10\nIPAddressAllow=192.168.1.11\n" in text
    assert f"Wants={NEIGHBOUR_SERVICE}\n" in agent
    assert "IPAddressAllow=10.0.0.0/16" not in keeper, "it connects to nothing in the VPC"
    assert "CapabilityBoundingSet=\n" in agent
    assert "CapabilityBoundingSet=CAP_NET_ADMIN\n" in keeper
    assert json.loads(press.path("/etc/private-iot/device.json").read_text())["version"] == 2


def test_a_second_time_changes_nothing_also_without_the_option(
    press: FakeSystem, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert install(press, monkeypatch, "--gateway", "192.168.1.10") == 0
    before = snapshot(press.root)
    for words in (["--gateway", "192.168.1.10"], []):
        capsys.readouterr()
        assert install(press, monkeypatch, *words) == 0
        assert capsys.readouterr().out == "pi-1 is installed already; nothing changed\n"
    assert main(["install", "--upgrade"], press) == 0
    assert snapshot(press.root) == before


def test_another_gateway_is_tried_first(
    press: FakeSystem, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert install(press, monkeypatch, "--gateway", "192.168.1.10") == 0
    seen: dict[str, Any] = {}
    session = press.state["session"]
    publish = session.publish

    def spy(topic: str, payload: bytes) -> None:
        seen["unit"] = press.path(NEIGHBOUR_TRIAL_UNIT).read_text()
        seen["active"] = set(press.state["active"])
        publish(topic, payload)

    session.publish = spy
    assert install(press, monkeypatch, "--gateway", "192.168.1.11") == 0
    assert "try /etc/private-iot/slots/b: its gateway, then an echo over it\n" in capsys.readouterr().out
    assert "neighbour --slot /etc/private-iot/slots/b\n" in seen["unit"]
    assert "ExecStopPost=" in seen["unit"]
    assert seen["active"] == {"private-iot-neighbour-trial.service"}
    assert not press.path(NEIGHBOUR_TRIAL_UNIT).exists()
    assert press.state["active"] == {NEIGHBOUR_SERVICE, AGENT_SERVICE}
    assert Installation.load(press).gateways == (IPv4Address("192.168.1.11"),)


def test_a_neighbour_may_have_made_its_key_itself(
    press: FakeSystem, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["request", "--name", "pi-1"], press) == 0
    document = answered(json.loads(capsys.readouterr().out), vpn__config="")
    del document["vpn"]
    assert "privateKeyPem" not in document["iot"]
    assert install(press, monkeypatch, "--gateway", "192.168.1.10", document=document) == 0
    assert Installation.load(press).hop.kind == "gateway"


def test_uninstall_leaves_the_machine_as_it_was(press: FakeSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    before = snapshot(press.root)
    assert install(press, monkeypatch, "--gateway", "192.168.1.10") == 0
    press.state["set_routes"] = [("10.0.0.0/16", "192.168.1.10", "eth0")]
    set_name(press, Installation.load(press).endpoint, ["10.0.1.105"])
    assert main(["uninstall", "--purge"], press) == 0
    assert snapshot(press.root) == before
    assert press.state["set_routes"] == []
    assert press.state["active"] == press.state["enabled"] == set()


def test_a_device_with_a_tunnel_becomes_a_neighbour_and_a_device_again(
    system: FakeSystem, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    system.path("/run/systemd/system").mkdir(parents=True, exist_ok=True)
    system.path("/etc/hosts").write_text("127.0.0.1 localhost\n")
    system.state["table"] = [LAN, DEFAULT]
    assert install(system, monkeypatch, document=bundle()) == 0
    with_tunnel = snapshot(system.root)
    system.state["routes"] |= dict.fromkeys(("10.0.0.2", "10.0.1.105"), ("lo", "192.168.1.20"))
    assert install(system, monkeypatch, "--gateway", "192.168.1.10") == 0, capsys.readouterr().err
    assert system.state["enabled"] == system.state["active"] == {NEIGHBOUR_SERVICE, AGENT_SERVICE}
    for gone in ("/etc/openvpn/client/clientvpn.conf", "/etc/systemd/system/private-iot-renewal.service"):
        assert not system.path(gone).exists()
    system.state["set_routes"] = [("10.0.0.0/16", "192.168.1.10", "eth0")]
    assert install(system, monkeypatch, document=bundle()) == 0, capsys.readouterr().err
    assert system.state["enabled"] == system.state["active"] == {OPENVPN_SERVICE, AGENT_SERVICE}
    assert system.state["set_routes"] == []
    assert {
        path: found for path, found in snapshot(system.root).items() if "slot" not in path and "current" not in path
    } == {path: found for path, found in with_tunnel.items() if "slot" not in path and "current" not in path} | {
        "etc/openvpn/private-iot/a.conf": snapshot(system.root).get("etc/openvpn/private-iot/a.conf")
    }


@pytest.mark.parametrize(
    ("words", "document", "why"),
    [
        ([], neighbour(), "has no tunnel in this bundle: name the gateway of its LAN, `--gateway 192.168.1.10`"),
        (["--gateway", "192.168.1.10"], bundle(), "has a tunnel of its own in this bundle: leave out --gateway"),
        (["--gateway", "192.168.2.10"], neighbour(), "is in no network of this device (192.168.1.0/24)"),
        (["--gateway", "192.168.1.20"], neighbour(), "that is this device itself"),
        (["--gateway", "192.168.1.255"], neighbour(), "is no host of 192.168.1.0/24"),
        (["--gateway", "192.168.1.0"], neighbour(), "is no host of 192.168.1.0/24"),
        (["--gateway", "10.0.3.7"], neighbour(), "lies in the VPC"),
        (["--gateway", "gw.local"], neighbour(), "IPv4 address in the LAN belongs there"),
        (["--gateway", "192.168.1.10", "--gateway", "192.168.1.10"], neighbour(), "stands there twice"),
        (["--gateway", "192.168.1.10", "--gateway", "172.20.0.1"], neighbour(), "172.20.0.1 is in no network"),
        (["--gateway", "192.168.1.10"], bundle(vpn=...), "the bundle has no vpn"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_changes(
    press: FakeSystem, capsys: pytest.CaptureFixture[str], words: list[str], document: dict[str, Any], why: str
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(encode(document))))
        check_refusal(press, ["install", "-", *words], why, capsys)


def test_a_gateway_becomes_no_neighbour(press: FakeSystem, capsys: pytest.CaptureFixture[str]) -> None:
    press.path("/etc/private-iot").mkdir()
    press.path("/etc/private-iot/gateway.json").write_text("{}\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(encode(neighbour()))))
        check_refusal(
            press, ["install", "-", "--gateway", "192.168.1.10"], "first `device-agent gateway disable`", capsys
        )


def test_a_neighbour_is_no_gateway(
    press: FakeSystem, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert install(press, monkeypatch, "--gateway", "192.168.1.10") == 0
    check_refusal(press, ["gateway", "enable", "--lan", "eth0"], "has no tunnel: it goes through 192.168.1.10", capsys)


NETWORKS = st.builds(
    lambda address, length: IPv4Network((address, length), strict=False),
    st.integers(0x0B000000, 0xDF000000),
    st.integers(8, 31),
)


@given(network=NETWORKS, address=st.integers(0x0B000000, 0xDF000000).map(IPv4Address))
def test_a_gateway_is_taken_only_from_a_network_of_the_device(network: IPv4Network, address: IPv4Address) -> None:
    routes = [Route(network, "eth0", source=str(network[1]))]
    fits = address in network and not network.overlaps(VPC)
    host = network.prefixlen == 31 or address not in (network.network_address, network.broadcast_address)
    try:
        check_gateways([address], routes, VPC, own=[])
    except UsageError:
        assert not (fits and host)
    else:
        assert fits
        assert host


@given(st.lists(NETWORKS, max_size=5), st.integers(0x0B000000, 0xDF000000).map(IPv4Address))
def test_of_several_links_the_most_specific_reaches_an_address(
    networks: list[IPv4Network], address: IPv4Address
) -> None:
    routes = [Route(network, f"eth{number}", metric=number) for number, network in enumerate(networks)]
    found = on_link(address, [*routes, DEFAULT])
    covering = [network for network in networks if address in network]
    assert (found is None) == (not covering)
    if found is not None:
        assert found.network.prefixlen == max(network.prefixlen for network in covering)


@given(st.lists(st.integers(0, 2**32 - 1).map(IPv4Address), unique=True, max_size=8))
def test_every_list_of_addresses_is_read_in_its_order(addresses: list[IPv4Address]) -> None:
    assert read_gateways([str(address) for address in addresses]) == tuple(addresses)
