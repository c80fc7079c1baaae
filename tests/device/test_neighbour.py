"""A device without a tunnel on a real Debian, in the LAN of a lab's gateway: systemd's sandbox, and NetworkManager.

The tests share one machine, in their order. It cannot prove a Pi's own kernel and hardware, nor AWS.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from device_agent.hop import NEIGHBOUR_SERVICE

from lab.path.site import Site
from tests.device.conftest import RELEASES, install_package
from tests.device.home_network import HomeNetwork
from tests.device.image import image, missing
from tests.device.machine import Machine, words_of
from tests.device.pi import AGENT, PACKAGES_OWN, TUNNEL, Pi, wait_for
from tests.path.agent.house import running_house
from tests.path.site.site import GATEWAY, NEIGHBOUR, VPC, LabSite

pytestmark = [pytest.mark.device, pytest.mark.slow, pytest.mark.timeout(1800)]


class Press(Pi):
    """The machine in the place of the site's neighbour."""

    site: LabSite

    def bundle(self) -> dict[str, Any]:
        made = self.house.bundle(self.name)
        del made["vpn"]
        return {**made, "version": 2}

    def install(self, *words: str) -> Any:
        gateway = ("--gateway", self.site.own[GATEWAY])
        return self.agent("install", "-", *gateway, *words, text=json.dumps(self.bundle()), timeout=500)

    def route(self) -> bool:
        return f"{VPC} via {self.site.own[GATEWAY]} dev eth0" in self.machine.shell("ip route")

    def wait_until_sent(self) -> None:
        """Publish a message, and wait until AWS IoT has it."""
        sent = self.status()["queue"]["sent"]
        done = self.agent("publish", "telemetry", "21.5")
        assert done.returncode == 0, words_of(done)

        def has_gone() -> bool:
            queue = self.status()["queue"]
            return bool(queue["sent"] > sent and queue["depth"] == 0)

        wait_for(has_gone, "the message at AWS IoT", 240)


@pytest.fixture(scope="module", params=RELEASES)
def press(request: pytest.FixtureRequest, packages: list[Path]) -> Iterator[Press]:
    if problems := missing():
        pytest.fail("; ".join(problems))
    with running_house((GATEWAY, NEIGHBOUR), Site((GATEWAY,), (NEIGHBOUR,))) as house:
        gateway = house.device(GATEWAY)
        assert gateway.install().returncode == 0
        gateway.wait_until_healthy()
        site = LabSite(house)
        site.enable()
        network = HomeNetwork(house.lab, NEIGHBOUR)
        machine = Machine(image(request.param), network, files={package.name: package for package in packages})
        try:
            network.serve_dhcp()
            machine.boot()
            made = Press(house, machine, NEIGHBOUR)
            made.site = site
            install_package(machine, packages[0])
            made.before = made.snapshot()
            done = made.install()
            assert done.returncode == 0, words_of(done)
            yield made
        finally:
            machine.close()
            network.close()


def test_everything_is_well_through_the_gateway(press: Press) -> None:
    rows = press.wait_until_healthy()
    assert f"through the gateway {press.site.own[GATEWAY]}" in rows["tcp"]["seen"]
    assert "the kernel refuses it any other address (EPERM)" in rows["mqtt"]["seen"]
    for unit in (AGENT, NEIGHBOUR_SERVICE):
        assert (press.show(unit, "ActiveState"), press.show(unit, "UnitFileState")) == ("active", "enabled")
    assert press.show(TUNNEL, "ActiveState") == "inactive"
    press.wait_until_sent()


def test_the_service_has_one_capability_and_writes_nothing_but_etc(press: Press) -> None:
    number = press.show(NEIGHBOUR_SERVICE, "MainPID")
    told = press.machine.shell(f"cat /proc/{number}/status")
    assert "CapEff:\t0000000000001000\n" in told, "CAP_NET_ADMIN"
    assert "NoNewPrivs:\t1\n" in told
    assert "Seccomp:\t2\n" in told
    enter = f"nsenter --mount --target {number} "
    assert press.machine.run("sh", "-c", f"{enter} touch /var/lib/private-iot/x").returncode != 0
    assert press.show(NEIGHBOUR_SERVICE, "NRestarts") == "0"


@pytest.mark.parametrize(
    "words",
    [
        "nmcli device reapply eth0",
        "nmcli general reload; systemctl restart NetworkManager",
        "nmcli device disconnect eth0; nmcli device connect eth0",
        "ip route flush proto 143; sed -i /amazonaws/d /etc/hosts",
    ],
    ids=["reapply", "restart", "down and up", "by hand"],
)
def test_networkmanagers_changes_are_put_right(press: Press, words: str) -> None:
    press.machine.shell(words, timeout=120)
    wait_for(press.route, "the route", 240, pause=0.2)
    wait_for(lambda: press.site.endpoint_address in press.addresses(press.site.endpoint), "the name", 240)
    press.wait_until_sent()


def test_another_address_of_the_lan_loses_nothing(press: Press) -> None:
    network = press.machine.network
    for last_byte in (77, None):
        network.serve_dhcp(last_byte)
        press.machine.pull_cable()
        wait_for(lambda: not press.machine.shell("ip -4 -o address show dev eth0"), "the old address's end", 240)
        assert press.agent("publish", "telemetry", "offline").returncode == 0
        press.machine.plug_cable()
        wait_for(press.route, "the route", 240, pause=0.2)
        press.wait_until_sent()
        assert press.status()["queue"]["depth"] == 0


def test_an_upgrade_of_the_package_keeps_it_on_the_gateway(press: Press, packages: list[Path]) -> None:
    numbers = [press.show(unit, "MainPID") for unit in (AGENT, NEIGHBOUR_SERVICE)]
    name = packages[1].name
    press.machine.shell(f"cd /root && tar xf /dev/vdb {name} && dpkg --install {name}", timeout=500)
    now = [press.show(unit, "MainPID") for unit in (AGENT, NEIGHBOUR_SERVICE)]
    assert not {*now} & {"0", *numbers}, "the old code runs on"
    assert (press.show(TUNNEL, "ActiveState"), press.machine.run("systemctl", "is-enabled", TUNNEL).stdout) == (
        "inactive",
        "disabled\n",
    )
    press.wait_until_sent()


def test_uninstall_leaves_the_machine_as_it_was(press: Press) -> None:
    assert press.agent("uninstall", "--purge").returncode == 0
    left_as_it_was(press)


def test_a_purge_of_the_package_leaves_the_machine_as_it_was(press: Press) -> None:
    done = press.install()
    assert done.returncode == 0, words_of(done)
    press.machine.shell("apt-get purge --yes private-iot-agent", timeout=400)
    left_as_it_was(press)


def left_as_it_was(press: Press) -> None:
    differs = sorted({*press.before} ^ {*press.snapshot()})
    assert [line for line in differs if not any(f" {path} " in f"{line} " for path in PACKAGES_OWN)] == []
    assert "private-iot" not in press.machine.shell("cat /etc/hosts; ip route show proto 143")
