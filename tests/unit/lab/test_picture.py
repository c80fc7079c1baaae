"""The closing picture of the demonstration. Whether the lab's status is true, the path tests prove."""

from typing import Any

import pytest

from lab.demo import picture

PATH: dict[str, Any] = {
    "hops": [
        {"hop": "device", "name": "pi-2", "state": "up", "addresses": [], "tunnel": "172.31.0.9/22"},
        {"hop": "device", "name": "pi-1", "state": "up", "addresses": [], "tunnel": "172.31.0.2/22"},
        {"hop": "internet", "name": "internet", "state": "up", "addresses": ["203.0.113.1"]},
        {
            "hop": "client-vpn",
            "name": "cvpn-endpoint-7445c2f79b3447601",
            "state": "up",
            "addresses": ["203.0.113.188:443/udp"],
            "associations": [{"sourceAddress": "10.0.1.23"}],
        },
        {"hop": "vpc", "name": "vpc-1", "state": "up", "addresses": ["10.0.0.0/16"], "resolver": "10.0.0.2 up"},
        {"hop": "vpc-endpoint", "name": "vpce-1", "state": "up", "addresses": ["10.0.1.151"]},
        {"hop": "iot", "name": "…-ats.iot", "state": "up", "addresses": ["203.0.113.80"]},
    ]
}
CHECKS = [
    {"check": check, "result": "ok", "seen": f"{check} seen"}
    for check in ("tunnel", "interface", "resolver", "tls", "echo", "public-way")
]


def test_a_healthy_path_is_ticked_at_every_hop_with_its_address() -> None:
    drawn = "\n".join(picture.draw(PATH, CHECKS, "pi-1"))
    assert drawn.count(picture.TICK) == 6
    assert picture.CROSS not in drawn
    for address in ("172.31.0.2", "203.0.113.188:443/udp", "10.0.1.23", "10.0.0.2", "10.0.1.151"):
        assert address in drawn
    assert "172.31.0.9" not in drawn


@pytest.mark.parametrize("check", [check["check"] for check in CHECKS])
def test_a_check_that_failed_crosses_its_hop(check: str) -> None:
    checks = [{**each, "result": "failed" if each["check"] == check else "ok"} for each in CHECKS]
    assert "\n".join(picture.draw(PATH, checks, "pi-1")).count(picture.CROSS) == 1


@pytest.mark.parametrize("hop", ["client-vpn", "vpc", "vpc-endpoint", "iot"])
def test_a_hop_that_the_lab_calls_down_is_crossed(hop: str) -> None:
    path = {"hops": [{**each, "state": "down" if each["hop"] == hop else "up"} for each in PATH["hops"]]}
    assert "\n".join(picture.draw(path, CHECKS, "pi-1")).count(picture.CROSS) == 1
