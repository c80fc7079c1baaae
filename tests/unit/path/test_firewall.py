"""DNS Firewall's rules against names, without a resolver."""

import pytest

from lab.path.firewall import filtered, is_blocked
from lab.path.model import FirewallRule
from lab.path.resolver import Zone, dnsmasq_configuration


def rule(action: str, *domains: str) -> FirewallRule:
    return FirewallRule("vpc-1", action, domains)


WALL = [rule("ALLOW", "iot.test", "*.good.test"), rule("BLOCK", "*")]


@pytest.mark.parametrize(
    ("name", "blocked"),
    [
        ("iot.test", False),
        ("sub.iot.test", True),
        ("a.good.test", False),
        ("a.b.good.test", False),
        ("good.test", True),
        ("notgood.test", True),
        ("data.attacker.example", True),
    ],
)
def test_the_first_rule_that_names_a_domain_decides(name: str, blocked: bool) -> None:
    assert is_blocked(name, WALL) is blocked


def test_a_name_that_no_rule_names_is_answered_and_an_alert_lets_through() -> None:
    assert not is_blocked("a.test", [rule("BLOCK", "b.test")])
    assert not is_blocked("a.test", [rule("ALERT", "*"), rule("BLOCK", "*")])


def test_of_a_zone_the_allowed_names_are_left() -> None:
    zone = Zone(
        addresses={"iot.test": ("10.0.0.9",), "other.test": ("192.0.2.1",)},
        wildcards={"attacker.example": ("192.0.2.2",), "good.test": ("192.0.2.3",)},
        aliases={"www.other.test": "other.test"},
        texts={"txt.good.test": ("x",)},
    )
    left = filtered(zone, WALL)
    assert left.addresses == {"iot.test": ("10.0.0.9",)}
    assert (left.wildcards, left.aliases, left.texts) == (
        {"good.test": ("192.0.2.3",)},
        {},
        {"txt.good.test": ("x",)},
    )
    assert filtered(zone, []) is zone


def test_a_name_below_a_wildcard_can_be_allowed_or_blocked_by_itself() -> None:
    zone = Zone(wildcards={"example.test": ("192.0.2.2",)})
    allowed = filtered(zone, [rule("ALLOW", "one.example.test"), rule("BLOCK", "*")])
    assert (allowed.addresses, allowed.wildcards) == ({"one.example.test": ("192.0.2.2",)}, {})
    blocked = filtered(zone, [rule("BLOCK", "one.example.test")])
    assert blocked.refused == {"one.example.test"}
    text = dnsmasq_configuration(blocked, addresses=[], hosts_file="/hosts")
    assert "local=/one.example.test/\n" in text
    assert "address=/example.test/192.0.2.2\n" in text
