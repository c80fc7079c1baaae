"""A site with two gateways and a neighbour whose bundle, of version 2, has no tunnel; no OpenVPN runs on its host."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from lab.path.site import Site
from tests.path.agent.house import Device, running_house
from tests.path.path_lab import wait_for

from .site import GATEWAY, LabSite

SECOND, NEIGHBOUR = "pi-4", "pi-2"
KEEPER = "private-iot-neighbour.service"
STATE = "ip route; cat /etc/hosts; cat /etc/resolv.conf; resolvectl status"


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


def wait_until_through(site: LabSite, press: Device, name: str, seconds: float = 240) -> None:
    wait_for(lambda: used(press) == site.own[name], f"a connection through {name}", seconds)


def sent(press: Device) -> tuple[int, int]:
    """Give how many messages AWS IoT has acknowledged, and how many wait."""
    queue = status(press)["queue"]
    return queue["sent"], queue["depth"]


def publish(press: Device, count: int = 5) -> None:
    for number in range(count):
        done = press.agent("publish", "telemetry", str(number))
        assert done.returncode == 0, done.stderr
