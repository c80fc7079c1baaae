"""The count of what leaves outside the tunnel is read rightly. That the kernel counts by the rules is a path test's."""

import json

from soak.border import Crossed, Destination, allowed, allowed_in_lan, read, rules

# As nft 1.0.6 printed it, without the rules.
LISTED = {
    "nftables": [
        {"metainfo": {"version": "1.0.6", "json_schema_version": 1}},
        {"table": {"family": "inet", "name": "soak", "handle": 1}},
        {"counter": {"family": "inet", "name": "outside", "table": "soak", "handle": 2, "packets": 5, "bytes": 300}},
        {
            "set": {
                "family": "inet",
                "name": "destinations",
                "table": "soak",
                "type": ["ipv4_addr", "inet_proto", "inet_service"],
                "handle": 3,
                "size": 65535,
                "elem": [
                    {
                        "elem": {
                            "val": {"concat": ["203.0.113.80", "icmp", 0]},
                            "counter": {"packets": 1, "bytes": 84},
                        }
                    },
                    {
                        "elem": {
                            "val": {"concat": ["203.0.113.80", "udp", 9]},
                            "counter": {"packets": 3, "bytes": 90},
                        }
                    },
                    {
                        "elem": {
                            "val": {"concat": ["203.0.113.80", "tcp", 8883]},
                            "counter": {"packets": 1, "bytes": 60},
                        }
                    },
                ],
            }
        },
    ]
}
CANARY = ("203.0.113.80", "udp", 9)


def test_one_packet_outside_is_found_among_those_that_proved_the_count() -> None:
    crossed = read(json.dumps(LISTED))
    assert (crossed.packets, crossed.to(*CANARY)) == (5, 3)
    rest = crossed.without(*CANARY)
    assert rest.packets == 2
    assert Destination("203.0.113.80", "tcp", 8883, 1) in rest.destinations
    assert rest.to(*CANARY) == 0


def test_a_packet_without_a_listed_destination_counts_all_the_same() -> None:
    assert Crossed(1, ()).without(*CANARY).packets == 1


def test_a_count_of_nothing_is_none() -> None:
    counter = {"counter": {"name": "outside", "packets": 0}}
    assert read(json.dumps({"nftables": [counter, {"set": {"name": "destinations"}}]})) == Crossed(0, ())


def test_a_neighbour_may_ask_its_gateway_for_the_name_and_speak_with_aws_iot_in_the_vpc() -> None:
    conditions = allowed_in_lan(["192.168.7.1", "192.168.7.2"], "10.0.0.0/16")
    assert "ip daddr 10.0.0.0/16 tcp dport { 443, 8883 }" in conditions
    assert "ip daddr { 192.168.7.1, 192.168.7.2 } meta l4proto { tcp, udp } th dport 53" in conditions
    icmp = [condition for condition in conditions if "icmp " in condition]
    assert icmp == ["ip daddr { 192.168.7.1, 192.168.7.2 } icmp type destination-unreachable"], "an answer too late"


def test_the_count_may_be_at_the_other_end_of_the_line() -> None:
    here, there = rules("wlan0", []), rules("lan-1", [], arriving=True)
    assert 'hook postrouting priority 300; policy accept;\n    oifname != "wlan0" return' in here
    assert 'hook prerouting priority -400; policy accept;\n    iifname != "lan-1" return' in there


def test_only_what_the_tunnel_needs_is_allowed_and_all_else_is_counted_behind_it() -> None:
    text = rules("wlan0", allowed(["203.0.113.5", "203.0.113.6"], "192.168.1.1"))
    conditions = allowed(["203.0.113.5", "203.0.113.6"], "192.168.1.1")
    assert "ip daddr { 203.0.113.5, 203.0.113.6 } udp dport 443" in conditions
    counted = text.index("counter name outside")
    assert all(text.index(f"{condition} return") < counted for condition in conditions)
    assert text.count(" return") == len(conditions) + 2
