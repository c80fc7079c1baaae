"""The doctor of a device without a tunnel: it names the gateway as the hop when it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

import pytest
from device_agent.__main__ import main
from device_agent.commands.doctor import CHECKS, NEIGHBOUR_CHECKS
from device_agent.dns import DnsError, DnsSilentError
from device_agent.doctor import home_checks, hop_check
from device_agent.doctor.checks import CheckContext, Finding
from device_agent.doctor.device_checks import check_certificates, check_files, check_hop_service
from device_agent.doctor.home_checks import check_neighbours_public_way
from device_agent.doctor.hop_check import check_gateway_hop, check_name
from device_agent.installation import Installation
from device_agent.routes import Route

from .material import FakeSystem, bundle, encode

FIRST, SECOND = "192.168.1.10", "192.168.1.11"
LAN = Route(IPv4Network("192.168.1.0/24"), "eth0", source="192.168.1.20")


def caused(error: OSError) -> DnsError:
    """What `query` raises of an operating system's error."""
    made = DnsError(FIRST)
    made.__cause__ = error
    return made


class Press(FakeSystem):
    """A neighbour whose route is as the test says."""

    def find_route(self, address: IPv4Address) -> Route | None:
        gateway = self.state.get("gateway", FIRST)
        if str(address) in (FIRST, SECOND):
            return LAN
        return Route(IPv4Network(address), "eth0", source="192.168.1.20", gateway=gateway) if gateway else None

    def list_routes(self) -> list[Route]:
        return list(self.state.get("table", [LAN]))


@pytest.fixture
def says(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str] | DnsError]:
    """What each gateway answers."""
    table: dict[str, list[str] | DnsError] = {FIRST: ["10.0.1.105"], SECOND: ["10.0.1.105"]}

    def query(server: str, _name: str, **_more: object) -> list[str]:
        found = table[server]
        if isinstance(found, DnsError):
            raise found
        return found

    monkeypatch.setattr(hop_check, "query", query)
    monkeypatch.setattr(home_checks, "query", query)
    return table


@pytest.fixture
def examine(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Callable[[CheckContext], Finding]], Finding]:
    system = Press.make(tmp_path_factory.mktemp("press") / "root")
    file = tmp_path_factory.mktemp("bundle") / "bundle.json"
    file.write_bytes(encode(bundle(version=2, vpn=...)))
    assert main(["install", str(file), "--gateway", FIRST, "--gateway", SECOND], system) == 0
    monkeypatch.setattr(hop_check, "_is_there", lambda gateway, _interface: str(gateway) == FIRST)

    def run(check: Callable[[CheckContext], Finding]) -> Finding:
        context = CheckContext(system, 8883)
        context.installed = Installation.load(system)
        return check(context)

    run.system = system  # type: ignore[attr-defined] # for the tests that change it
    return run


def test_its_checks_stand_on_checks_before_them_and_share_the_rest() -> None:
    before: set[str] = set()
    for check in NEIGHBOUR_CHECKS:
        assert set(check.needs) <= before
        before.add(check.name)
    shared = {check.name: check for check in CHECKS}
    assert {name for name in before if name in shared} == {
        *("files", "certificates", "resolver", "tcp", "tls", "mqtt", "echo", "public-way")
    }


def test_files_certificates_and_service_are_looked_at_without_any_profile(examine: Callable[..., Finding]) -> None:
    found = examine(check_files)
    assert (found.result, found.seen) == ("ok", "pi-1: identity and units are in place, keys closed to others")
    assert "the device's certificate" in examine(check_certificates).seen
    assert examine(check_hop_service).seen == "private-iot-neighbour.service is active (running) and enabled"


def test_a_gateway_that_answers_is_well(examine: Callable[..., Finding], says: dict[str, object]) -> None:
    assert says
    found = examine(check_gateway_hop)
    assert found.result == "ok"
    assert found.seen.startswith(f"the VPC is reached through the gateway {FIRST} on eth0")


@pytest.mark.parametrize(
    ("first", "words"),
    [
        (DnsSilentError("x"), "it is there, but its tunnel is down (x)"),
        (DnsError("the server answers with error 5"), "it is there, but its tunnel is down (the server answers with"),
        (caused(ConnectionRefusedError()), "it is there, but is no gateway now (192.168.1.10)"),
        (caused(OSError(113, "No route to host")), "nothing comes back: it is off, out of this LAN, or does not let"),
        (["203.0.113.80"], "it says 203.0.113.80, outside 10.0.0.0/16"),
        ([], "it says nothing, outside 10.0.0.0/16"),
    ],
)
def test_a_dead_gateway_is_named_as_the_hop(
    examine: Callable[..., Finding], says: dict[str, object], first: object, words: str
) -> None:
    says |= {FIRST: first, SECOND: DnsSilentError("x")}
    found = examine(check_gateway_hop)
    assert (found.result, found.meaning[:41]) == ("failed", "the gateway is the hop that is broken: it")
    assert f"{FIRST}: {words}" in found.seen
    assert f"{SECOND}: nothing comes back: it is off, out of this LAN, or does not let this device" in found.seen


def test_the_one_in_use_is_told_from_the_other(examine: Callable[..., Finding], says: dict[str, object]) -> None:
    says[SECOND] = DnsSilentError("x")
    assert examine(check_gateway_hop).result == "warning"
    says |= {FIRST: DnsSilentError("x"), SECOND: ["10.0.1.105"]}
    found = examine(check_gateway_hop)
    assert found.result == "failed"
    assert f"packets go to the gateway {FIRST}, which does not lead to the VPC" in found.seen


def test_a_way_past_the_gateway_is_blamed_on_the_route(
    examine: Callable[..., Finding], says: dict[str, object]
) -> None:
    assert says
    system = examine.system  # type: ignore[attr-defined] # see above
    system.state["gateway"] = "192.168.1.1"
    assert "packets for the VPC do not go to it" in examine(check_gateway_hop).meaning
    system.state["table"] = [LAN, Route(IPv4Network("10.0.0.0/24"), "docker0")]
    assert "10.0.0.0/24 through docker0" in examine(check_gateway_hop).seen
    system.state.update(table=[], gateway=None)
    assert "no network of this device has its address" in examine(check_gateway_hop).seen


def test_a_name_that_leads_elsewhere_is_blamed_on_the_device(examine: Callable[..., Finding]) -> None:
    assert examine(check_name).result == "ok"
    examine.system.state["addresses"] = ["203.0.113.80"]  # type: ignore[attr-defined] # see above
    found = examine(check_name)
    assert found.result == "failed"
    assert "/etc/hosts" in found.meaning


def test_a_lan_without_a_public_way_is_as_it_should_be(
    examine: Callable[..., Finding], says: dict[str, object]
) -> None:
    system = examine.system  # type: ignore[attr-defined] # see above
    assert examine(check_neighbours_public_way).seen == "there is no default route, so that no public way exists"
    system.state["table"] = [LAN, replace(LAN, network=IPv4Network("0.0.0.0/0"), gateway=FIRST)]
    system.path("/etc/resolv.conf").write_text(f"nameserver {FIRST}\n")
    found = examine(check_neighbours_public_way)
    assert (found.result, says[FIRST]) == ("ok", ["10.0.1.105"])
    assert f"{FIRST} says 10.0.1.105" in found.seen
