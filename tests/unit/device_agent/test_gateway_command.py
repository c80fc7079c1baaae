"""`device-agent gateway`: units, filter and DNS as files, and what is refused before anything changes."""

from __future__ import annotations

import json
from collections.abc import Callable
from ipaddress import IPv4Network
from pathlib import Path

import pytest
from device_agent.__main__ import main
from device_agent._exceptions import UsageError
from device_agent.commands.gateway import FILES, SERVICES
from device_agent.dns import DnsError
from device_agent.doctor.checks import CheckContext
from device_agent.doctor.gateway_check import check_gateway
from device_agent.gateway.lan import choose_network
from device_agent.gateway.rules import Gateway, ruleset
from device_agent.gateway.state import read_state
from device_agent.installation import Installation
from device_agent.routes import Route
from device_agent.system import Completed
from hypothesis import given
from hypothesis import strategies as st

from .material import FakeSystem, bundle, check_refusal, encode, snapshot

VPC = IPv4Network("10.0.0.0/16")
LAN = IPv4Network("192.168.10.0/24")
ROUTES = [
    Route(IPv4Network("0.0.0.0/0"), "wlan0", source="192.168.1.5", gateway="192.168.1.1"),
    Route(IPv4Network("192.168.1.0/24"), "wlan0", source="192.168.1.5"),
    Route(LAN, "eth1", source="192.168.10.1"),
    Route(VPC, "tun0", "tun", "172.31.0.34"),
    Route(IPv4Network("203.0.113.8/31"), "ppp0", source="203.0.113.8"),
]


class SiteSystem(FakeSystem):
    """A machine with a LAN besides its uplink and its tunnel."""

    routes = ROUTES

    def list_routes(self) -> list[Route]:
        return self.routes


@pytest.fixture
def device(tmp_path: Path) -> SiteSystem:
    made = SiteSystem.make(tmp_path / "root")
    assert isinstance(made, SiteSystem)
    file = tmp_path / "bundle.json"
    file.write_bytes(encode(bundle()))
    assert main(["install", str(file)], made) == 0
    for name in ("usr/sbin/nft", "usr/sbin/dnsmasq", "proc/sys/net/ipv4/ip_forward", *_links("eth1", "wlan0", "tun0")):
        made.path(f"/{name}").parent.mkdir(parents=True, exist_ok=True)
        made.path(f"/{name}").write_text("0\n")
    return made


def _links(*names: str) -> list[str]:
    return [f"sys/class/net/{name}" for name in names]


def test_a_gateway_is_enabled_once_and_undone_whole(device: SiteSystem, capsys: pytest.CaptureFixture[str]) -> None:
    before = snapshot(device.root)
    assert main(["gateway", "enable", "--lan", "eth1"], device) == 0
    assert {path for path in FILES if device.path(path).exists()} == set(FILES)
    assert set(SERVICES) <= device.state["enabled"]
    assert set(SERVICES) <= device.state["active"]
    assert read_state(device) == Gateway(lan="eth1", allowed=LAN, vpc_cidr=VPC, forwarded_before=False)
    after = snapshot(device.root)
    device.state["commands"].clear()
    assert main(["gateway", "enable", "--lan", "eth1"], device) == 0
    assert snapshot(device.root) == after
    assert not [words for words in device.state["commands"] if "restart" in words], "a second time changes nothing"
    assert main(["gateway", "disable"], device) == 0
    assert snapshot(device.root) == before
    assert not set(SERVICES) & (device.state["enabled"] | device.state["active"])
    capsys.readouterr()
    assert main(["gateway", "disable"], device) == 0
    assert "nothing changed" in capsys.readouterr().out


def test_uninstall_takes_the_gateway_along(device: SiteSystem) -> None:
    assert main(["gateway", "enable", "--lan", "eth1"], device) == 0
    assert main(["uninstall", "--purge"], device) == 0
    assert [path for path in FILES if device.path(path).exists()] == []
    assert not set(SERVICES) & device.state["active"]


def test_a_device_that_forwarded_before_goes_on_after_it(device: SiteSystem) -> None:
    device.path("/proc/sys/net/ipv4/ip_forward").write_text("1\n")
    assert main(["gateway", "enable", "--lan", "eth1"], device) == 0
    assert "echo 0" not in device.path(FILES[1]).read_text()
    device.path("/proc/sys/net/ipv4/ip_forward").write_text("1\n")
    assert main(["gateway", "enable", "--lan", "wlan0", "--allow", "192.168.1.64/26"], device) == 0
    state = read_state(device)
    assert state is not None
    assert (state.forwarded_before, str(state.allowed)) == (True, "192.168.1.64/26")


def test_a_failed_start_leaves_everything_as_it_was(device: SiteSystem) -> None:
    before = snapshot(device.root)
    device.state["fail"]["systemctl restart private-iot-gateway-dns"] = Completed(1, "", "Job failed")
    assert main(["gateway", "enable", "--lan", "eth1"], device) == 2
    assert snapshot(device.root) == before
    assert not set(SERVICES) & (device.state["enabled"] | device.state["active"])


def _no_nft(system: SiteSystem) -> None:
    system.path("/usr/sbin/nft").unlink()


def _no_dnsmasq(system: SiteSystem) -> None:
    system.path("/usr/sbin/dnsmasq").unlink()


def _port_53(system: SiteSystem) -> None:
    row = "  0: 00000000:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000 0 0 77 2 0 0"
    table = system.path("/proc/self/net/udp")
    table.parent.mkdir(parents=True, exist_ok=True)
    table.write_text(f"  sl  local_address\n{row}\n")


def _nothing(_system: SiteSystem) -> None:
    pass


@pytest.mark.parametrize(
    ("spoil", "argv", "why"),
    [
        (_nothing, [], "needs --lan IFACE"),
        (_nothing, ["--lan", "eth7"], "no such network interface"),
        (_nothing, ["--lan", "../class"], "no such network interface"),
        (_nothing, ["--lan", "tun0"], "that is the tunnel"),
        (_nothing, ["--lan", "wlan0"], "it is the uplink alone"),
        (_nothing, ["--lan", "eth1", "--allow", "192.168.1.0/24"], "is not of the LAN's network"),
        (_nothing, ["--lan", "eth1", "--allow", "192.168.0.0/16"], "is not of the LAN's network"),
        (_nothing, ["--lan", "eth1", "--allow", "10.0.0.0/8"], "is not of the LAN's network"),
        (_nothing, ["--lan", "eth1", "--allow", "everybody"], "a CIDR block such as 192.168.10.0/24"),
        (_nothing, ["--lan", "eth1", "--allow", "192.168.10.1/24"], "a CIDR block such as 192.168.10.0/24"),
        (_no_nft, ["--lan", "eth1"], "`sudo apt install nftables`"),
        (_no_dnsmasq, ["--lan", "eth1"], "`sudo apt install dnsmasq-base`"),
        (_port_53, ["--lan", "eth1"], "udp port 53 of the LAN's address is another program's"),
    ],
)
def test_bad_input_is_refused_before_anything_changes(
    device: SiteSystem,
    capsys: pytest.CaptureFixture[str],
    spoil: Callable[[SiteSystem], None],
    argv: list[str],
    why: str,
) -> None:
    spoil(device)
    check_refusal(device, ["gateway", "enable", *argv], why, capsys)


def test_a_lan_that_lies_in_the_vpc_is_refused() -> None:
    routes = [Route(IPv4Network("10.0.7.0/24"), "eth1", source="10.0.7.1")]
    with pytest.raises(UsageError, match="shares addresses with the VPC"):
        choose_network("eth1", None, routes, VPC, exists=True)


def test_an_interface_without_neighbours_is_refused() -> None:
    with pytest.raises(UsageError, match="no IPv4 network with neighbours"):
        choose_network("ppp0", None, ROUTES, VPC, exists=True)


@given(st.integers(0, 2**32 - 1), st.integers(0, 32))
def test_whatever_is_allowed_lies_in_the_lan_and_not_in_the_vpc(address: int, prefix: int) -> None:
    network = IPv4Network((address, prefix), strict=False)
    try:
        chosen = choose_network("eth1", str(network), ROUTES, VPC, exists=True)
    except UsageError:
        assert not network.subnet_of(LAN)
    else:
        assert chosen == network
        assert chosen.subnet_of(LAN)
        assert not chosen.overlaps(VPC)


@given(st.booleans(), st.integers(24, 30))
def test_a_filter_lets_nothing_of_the_tunnel_pass_but_iots_ports(forwarded: bool, prefix: int) -> None:
    allowed = IPv4Network(f"192.168.10.0/{prefix}")
    lines = ruleset(Gateway(lan="eth1", allowed=allowed, vpc_cidr=VPC, forwarded_before=forwarded)).splitlines()
    accepts = [line for line in lines if line.endswith(" accept")]
    assert len(accepts) == 2
    assert all(str(allowed) in line and "443, 8883" in line for line in accepts)
    assert ("        drop" in lines) is not forwarded


def test_status_tells_of_neighbours(device: SiteSystem, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gateway", "enable", "--lan", "eth1"], device) == 0
    device.state["fail"]["nft"] = Completed(0, json.dumps({"nftables": _LISTED}), "")
    capsys.readouterr()
    main(["status"], device)
    shown = capsys.readouterr().out
    assert "for 192.168.10.0/24 of eth1: 5 packets (300 bytes) out, 4 (240 bytes) back" in shown
    assert "192.168.10.20: 5 packets (300 bytes) out" in shown


_LISTED = [
    {"counter": {"name": "to_vpc", "packets": 5, "bytes": 300}},
    {"counter": {"name": "from_vpc", "packets": 4, "bytes": 240}},
    {
        "set": {
            "name": "neighbours",
            "elem": [{"elem": {"val": "192.168.10.20", "counter": {"packets": 5, "bytes": 300}}}],
        }
    },
]


def _silent(_server: object, _name: str) -> None:
    raise DnsError("no answer")


def _unloaded(system: SiteSystem) -> None:
    system.state["fail"]["nft"] = Completed(1, "", "No such file or directory")


def _not_forwarding(system: SiteSystem) -> None:
    system.path("/proc/sys/net/ipv4/ip_forward").write_text("0\n")


def _lan_gone(system: SiteSystem) -> None:
    system.routes = [route for route in ROUTES if route.interface != "eth1"]


@pytest.mark.parametrize(
    ("spoil", "answer", "expected"),
    [
        (_nothing, lambda *_: None, ("ok", "1 neighbours in the last day, 5 packets out, 4 back")),
        (_unloaded, lambda *_: None, ("failed", "the packet filter is not loaded")),
        (_not_forwarding, lambda *_: None, ("failed", "ip_forward is 0")),
        (_lan_gone, lambda *_: None, ("failed", "eth1 is not in a network that 192.168.10.0/24 belongs to")),
        (_nothing, _silent, ("failed", "the endpoint's name is not answered to the LAN: no answer")),
    ],
)
def test_doctor_tells_what_a_gateway_lacks(
    device: SiteSystem,
    monkeypatch: pytest.MonkeyPatch,
    spoil: Callable[[SiteSystem], None],
    answer: Callable[..., None],
    expected: tuple[str, str],
) -> None:
    context = CheckContext(device, 8883, Installation.load(device))
    assert check_gateway(context).seen == "this device is no gateway"
    assert main(["gateway", "enable", "--lan", "eth1"], device) == 0
    device.path("/proc/sys/net/ipv4/ip_forward").write_text("1\n")
    device.state["fail"]["nft"] = Completed(0, json.dumps({"nftables": _LISTED}), "")
    monkeypatch.setattr("device_agent.doctor.gateway_check.query", answer)
    spoil(device)
    finding = check_gateway(context)
    assert finding.result == expected[0]
    assert expected[1] in finding.seen
