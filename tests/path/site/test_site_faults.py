"""Each fault of a site breaks what it says, for its time, and is undone.

A gateway that has lost its power keeps its files and nothing else. What a drive keeps that had not been told to write
is not seen here: the device tier cuts the power of virtual machines.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lab.errors import LabError
from lab.path import lifecycle
from tests.path.conftest import HandMadeLab
from tests.path.path_lab import wait_for

from .site import GATEWAY, NEIGHBOUR, NEIGHBOURS, SENSOR, LabSite, running_site

pytestmark = pytest.mark.path


@pytest.fixture(scope="module")
def site() -> Iterator[LabSite]:
    with running_site() as running:
        yield running


def boot_id(site: LabSite) -> str:
    return site.do(GATEWAY, "cat", "/proc/sys/kernel/random/boot_id")


@pytest.mark.parametrize("name", ["gateway-killed", "gateway-rebooted"])
def test_a_gateway_without_power_is_gone_and_serves_again_after_its_boot(site: LabSite, name: str) -> None:
    site.do(GATEWAY, "sh", "-c", "echo kept > /var/lib/private-iot/mark; echo lost > /run/mark")
    before = boot_id(site)
    with site.house.fault(name):
        assert site.hop()["off"] == [GATEWAY]
        assert site.is_cut_off(NEIGHBOUR, site.endpoint_address, 8883)
        assert site.run(NEIGHBOUR, "ping", "-c", "1", "-W", "1", site.own[GATEWAY]).returncode != 0
        assert site.run(NEIGHBOUR, "ping", "-c", "1", "-W", "1", site.own[NEIGHBOURS[1]]).returncode == 0
        with pytest.raises(LabError, match="has no host"):
            site.run(GATEWAY, "true")
    site.wait_until_served()
    assert site.hop()["off"] == []
    assert site.do(GATEWAY, "sh", "-c", "cat /var/lib/private-iot/mark; ls /run/mark || true") == "kept\n"
    assert boot_id(site) != before
    assert site.is_cut_off(SENSOR, site.endpoint_address, 8883), "the filter is loaded at boot"


MARK = """\
[Unit]
After=private-iot-gateway.service
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c "echo started >> /var/lib/mark"
ExecStop=/bin/sh -c "echo stopped >> /var/lib/mark"
[Install]
WantedBy=multi-user.target
"""


def test_a_gateway_is_told_of_its_reboot_and_not_of_a_loss_of_power(site: LabSite) -> None:
    site.do(GATEWAY, "sh", "-c", "cat > /etc/systemd/system/mark.service", text=MARK)
    site.do(GATEWAY, "systemctl", "enable", "--now", "mark")
    said = "started\n"
    for name, more in (("gateway-killed", "started\n"), ("gateway-rebooted", "stopped\nstarted\n")):
        assert site.do(GATEWAY, "cat", "/var/lib/mark") == said
        with site.house.fault(name):
            pass
        said += more
        wait_for(lambda: site.do(GATEWAY, "cat", "/var/lib/mark") == said, f"the boot after {name}")  # noqa: B023
    site.wait_until_served()


def test_with_the_lan_cut_nobody_reaches_anybody(site: LabSite) -> None:
    with site.house.fault("lan-cut"):
        assert site.hop()["state"] == "down"
        for address in (site.own[GATEWAY], site.own[NEIGHBOURS[1]]):
            assert site.run(NEIGHBOUR, "ping", "-c", "1", "-W", "1", address).returncode != 0
        assert "state DOWN" in site.do(NEIGHBOUR, "ip", "link", "show", "dev", "wlan0")
        assert site.reaches(GATEWAY, site.endpoint_address, 8883), "the gateway's own way is whole"
    site.wait_until_served()


def test_with_the_tunnel_down_the_gateway_is_there_and_aws_iot_is_not(site: LabSite) -> None:
    with site.house.fault("tunnel-down"):
        assert site.is_cut_off(NEIGHBOUR, site.endpoint_address, 8883)
        assert site.run(NEIGHBOUR, "ping", "-c", "1", "-W", "1", site.own[GATEWAY]).returncode == 0
    site.wait_until_served()


def test_mosquitto_that_is_not_there_cannot_be_killed(site: LabSite) -> None:
    with pytest.raises(LabError, match="has no process to send a signal to"):
        lifecycle.ask(site.house.lab, {"command": "fault", "name": "mosquitto-killed", "seconds": 60})
    assert lifecycle.ask(site.house.lab, {"command": "faults"}) == {}
    assert site.run(GATEWAY, "systemctl", "is-active", "mosquitto").stdout == "inactive\n"


@pytest.mark.parametrize("name", ["gateway-killed", "gateway-rebooted", "lan-cut", "tunnel-down", "mosquitto-killed"])
def test_a_lab_without_a_site_has_none_of_its_faults(path_lab: HandMadeLab, name: str) -> None:
    with pytest.raises(LabError, match="the lab has no site"):
        lifecycle.ask(path_lab.lab, {"command": "fault", "name": name, "seconds": 60})
    assert lifecycle.ask(path_lab.lab, {"command": "faults"}) == {}
