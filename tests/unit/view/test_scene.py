"""What the page shows. That the lab says these things of itself, the network tier shows."""

from typing import Any

import pytest

from lab.view import scene

IOT = {
    "hop": "iot",
    "name": "abc-ats.iot.eu-central-1.amazonaws.com",
    "state": "up",
    "addresses": ["203.0.113.80"],
    "gateway": "up",
    "broker": "up",
    "status": {
        "connections": [{"clientId": "pi-1", "vpcEndpointId": "vpce-1"}, {"clientId": "pi-9"}],
        "counters": {"messagesIn": 5, "messagesOut": 2},
    },
}


def device(name: str, state: str = "up") -> dict[str, Any]:
    return {
        "hop": "device",
        "name": name,
        "state": state,
        "interfaces": {"wlan0": ["192.168.113.2/24"], "eth0": []},
        "dns": {"wlan0": ["192.168.113.1"]},
    }


def client_vpn() -> dict[str, Any]:
    return {
        "hop": "client-vpn",
        "name": "cvpn-endpoint-1",
        "state": "up",
        "addresses": ["203.0.113.7:443/udp"],
        "associations": [{"subnet": "subnet-1", "sourceAddress": "10.0.1.9"}],
        "authorization": [
            {"rule": "authorization rule 10.0.0.0/16", "packets": 7},
            {"rule": "no authorization rule", "packets": 100},
        ],
        "connections": [
            {"commonName": "pi-1", "ingressBytes": 10, "egressBytes": 20},
            {"commonName": "pi-2", "ingressBytes": 400, "egressBytes": 400},
        ],
    }


VPC = {
    "hop": "vpc",
    "name": "vpc-1",
    "state": "degraded",
    "addresses": ["10.0.0.0/16"],
    "resolver": "10.0.0.2 down",
    "privateZones": ["abc-ats.iot.eu-central-1.amazonaws.com"],
    "securityGroups": [
        {"rule": "sg-1 of vpce-1", "packets": 3},
        {"rule": "sg-2 of cvpn-endpoint-1", "packets": 50},
        {"rule": "no inbound rule of vpce-1", "packets": 60},
    ],
}
ENDPOINT = {
    "hop": "vpc-endpoint",
    "name": "vpce-1",
    "state": "up",
    "addresses": ["10.0.1.20"],
    "service": "com.amazonaws.eu-central-1.iot.data",
}


def status(*hops: dict[str, Any]) -> dict[str, Any]:
    return {"running": True, "hops": [*hops], "faults": {"dns-down": 4.5}}


WHOLE = status(device("pi-2", "down"), device("pi-1"), client_vpn(), VPC, ENDPOINT, IOT)


def test_a_network_that_is_down_is_said_to_be_down() -> None:
    assert scene.draw({"running": False}, {}, "") == {"running": False, "device": "", "devices": []}


def test_the_devices_are_in_order() -> None:
    assert scene.devices(WHOLE) == ["pi-1", "pi-2"]


def test_the_hops_are_in_the_order_in_which_a_packet_passes_them() -> None:
    drawn = scene.draw(WHOLE, {}, "pi-2")
    assert [(hop["hop"], hop["state"], hop["name"]) for hop in drawn["hops"]] == [
        ("device", "down", "pi-2"),
        ("client-vpn", "up", "cvpn-endpoint-1"),
        ("vpc", "degraded", "vpc-1"),
        ("vpc-endpoint", "up", "vpce-1"),
        ("iot", "up", "abc-ats.iot.eu-central-1.amazonaws.com"),
    ]


def test_each_hop_says_its_addresses() -> None:
    lines = {hop["hop"]: hop["lines"] for hop in scene.draw(WHOLE, {}, "pi-1")["hops"]}
    assert lines == {
        "device": ["wlan0 192.168.113.2/24", "eth0 no address", "DNS of wlan0: 192.168.113.1"],
        "client-vpn": [
            "203.0.113.7:443/udp",
            "association in subnet-1, source NAT to 10.0.1.9",
            "2 connected",
        ],
        "vpc": ["10.0.0.0/16", "resolver 10.0.0.2 down", "private zone abc-ats.iot.eu-central-1.amazonaws.com"],
        "vpc-endpoint": ["10.0.1.20", "com.amazonaws.eu-central-1.iot.data"],
        "iot": ["front up, broker up", "pi-1 through vpce-1", "pi-9 through the public way"],
    }


def test_a_hop_that_the_cloud_does_not_have_is_absent() -> None:
    drawn = scene.draw(status(device("pi-1")), {}, "pi-1")
    assert [hop["state"] for hop in drawn["hops"]] == ["up", "absent", "absent", "absent", "absent"]
    assert [link["count"] for link in drawn["links"]] == [0, 0, 0, 0]


@pytest.mark.parametrize(("name", "count"), [("pi-1", 30), ("pi-2", 800), ("pi-3", 0)])
def test_the_tunnel_counts_the_bytes_of_the_chosen_device_alone(name: str, count: int) -> None:
    assert scene.draw(WHOLE, {}, name)["links"][0] == {
        "from": "device",
        "to": "client-vpn",
        "label": "OpenVPN, mutual TLS",
        "count": count,
        "unit": "bytes",
    }


def test_what_the_rules_refused_does_not_count_as_passing() -> None:
    counts = [(link["count"], link["unit"]) for link in scene.draw(WHOLE, {}, "pi-1")["links"][1:]]
    assert counts == [(7, "packets"), (3, "connections"), (7, "messages")]


def test_refusals_on_the_public_way_are_counted_and_others_are_not() -> None:
    events = [
        {"event": "denied", "reason": "first", "time": "1"},
        {"event": "denied", "reason": "through the endpoint", "time": "2", "vpcEndpointId": "vpce-1"},
        {"event": "connected", "time": "3"},
        {"event": "denied", "reason": "last", "time": "4"},
        {"event": "disconnected", "reason": "gone", "time": "5"},
    ]
    drawn = scene.draw(WHOLE, {"events": events}, "pi-1")
    assert drawn["publicWay"] == {"refused": 2, "reason": "last", "time": "4"}
    assert scene.draw(WHOLE, {}, "pi-1")["publicWay"] == {"refused": 0, "reason": None, "time": None}


def test_the_newest_message_is_first() -> None:
    drawn = scene.draw(WHOLE, {"messages": [{"topic": "a"}, {"topic": "b"}]}, "pi-1")
    assert [message["topic"] for message in drawn["messages"]] == ["b", "a"]


def test_a_front_that_does_not_answer_leaves_the_rest_of_the_picture() -> None:
    silent = {**IOT, "state": "down", "status": {"error": "timed out"}}
    drawn = scene.draw(status(device("pi-1"), client_vpn(), VPC, ENDPOINT, silent), {"error": "timed out"}, "pi-1")
    assert drawn["hops"][4]["lines"] == ["front up, broker up"]
    assert (drawn["links"][3]["count"], drawn["messages"]) == (0, [])
    assert drawn["faults"] == {"dns-down": 4.5}
