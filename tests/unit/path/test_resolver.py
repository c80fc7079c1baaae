"""What the lab's resolver answers behind DNS Firewall. Cannot prove that AWS's own decides the same."""

import pytest

from lab.path.model import FirewallRule
from lab.path.resolver import Zone, behind_firewall

PRIVATE = "a1b2c3-ats.iot.ap-northeast-1.amazonaws.com"
ALLOW = FirewallRule("ALLOW", (PRIVATE,))
BLOCK = FirewallRule("BLOCK", ("*",))
ZONE = Zone(
    addresses={PRIVATE: ("10.0.1.5",), "data.attacker.example": ("198.51.100.7",)},
    wildcards={"attacker.example": ("198.51.100.7",)},
    aliases={"www.attacker.example": "attacker.example"},
    texts={"txt.attacker.example": ("out",)},
)


def test_without_a_firewall_everything_is_answered() -> None:
    assert behind_firewall(ZONE, ()) == ZONE


def test_what_the_first_rule_allows_is_answered_and_what_the_second_blocks_does_not_exist() -> None:
    assert behind_firewall(ZONE, (ALLOW, BLOCK)) == Zone(addresses={PRIVATE: ("10.0.1.5",)})
    assert behind_firewall(ZONE, (BLOCK, ALLOW)) == Zone()


@pytest.mark.parametrize(
    ("domain", "left"),
    [
        ("data.attacker.example", {PRIVATE}),
        ("*.attacker.example", {PRIVATE}),
        ("attacker.example", {PRIVATE, "data.attacker.example"}),
    ],
)
def test_an_entry_means_its_name_or_all_below_it(domain: str, left: set[str]) -> None:
    assert set(behind_firewall(ZONE, (FirewallRule("BLOCK", (domain,)),)).addresses) == left


def test_an_alert_answers() -> None:
    assert behind_firewall(ZONE, (FirewallRule("ALERT", ("*",)),)) == ZONE
