"""What the cloud says, turned into a plan of addresses, filters, names, servers and the gateway's table.

No network here: that the kernel, OpenVPN, dnsmasq and the gateway do what the plan says is for the path tier.
"""

import json
from dataclasses import replace
from typing import Any

import pytest

from lab.path import addresses, model
from lab.path.parts import Plan, Service
from lab.path.plan import plan

from .cloud import CLIENT_VPN, CLIENT_VPN_ENDPOINT, CLOUD, ENDPOINT, SERVER, VPC_ENDPOINT

VPN_SERVICE = f"client-vpn {CLIENT_VPN}"


def planned(cloud: model.Cloud = CLOUD) -> Plan:
    return plan(cloud, SERVER)


def with_vpn(**changes: Any) -> model.Cloud:
    return replace(CLOUD, client_vpn_endpoints=(replace(CLIENT_VPN_ENDPOINT, **changes),))


def service(of: Plan, name: str) -> Service:
    return next(each for each in of.services if each.name == name)


def text(of: Plan, name: str, ending: str) -> str:
    return next(file.content for file in service(of, name).files if file.path.endswith(ending))


def table(of: Plan) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(text(of, "gateway", "table.json"))
    return read


def test_there_is_a_host_for_each_device_the_internet_the_vpc_the_vpn_and_aws_iot() -> None:
    assert {host.name: host.kind for host in planned().hosts} == {
        "internet": "internet",
        "iot": "iot",
        "vpc": "vpc",
        CLIENT_VPN: "client-vpn",
        "pi-1": "device",
    }


def test_the_vpcs_resolver_is_on_base_plus_two_and_answers_the_alias_with_the_interfaces_address() -> None:
    of = planned()
    assert "10.0.0.2/32" in dict(of.loopback)["vpc"]
    private = text(of, "vpc-dns", "dnsmasq.conf") + text(of, "vpc-dns", "hosts")
    assert f"10.0.1.105 {ENDPOINT}" in private


def test_the_internets_resolver_answers_the_same_name_with_the_public_address() -> None:
    public = text(planned(), "internet-dns", "hosts")
    assert f"{addresses.IOT_PUBLIC} {ENDPOINT}" in public


@pytest.mark.parametrize(
    "change",
    [
        {"hosted_zones": (replace(CLOUD.hosted_zones[0], vpc_ids=("vpc-2",)),)},
        {"hosted_zones": (replace(CLOUD.hosted_zones[0], records=()),)},
        {"vpcs": (replace(CLOUD.vpcs[0], dns_hostnames=False),)},
    ],
    ids=["zone of another VPC", "record missing", "DNS host names off"],
)
def test_without_the_zone_the_record_or_the_vpcs_attribute_the_name_is_not_private(change: dict[str, Any]) -> None:
    of = planned(replace(CLOUD, **change))
    assert f"10.0.1.105 {ENDPOINT}" not in text(of, "vpc-dns", "hosts")


def test_without_dns_support_nothing_answers_in_the_vpc_and_a_note_says_so() -> None:
    of = planned(replace(CLOUD, vpcs=(replace(CLOUD.vpcs[0], dns_support=False),)))
    assert "vpc-dns" not in {each.name for each in of.services}
    assert any("enableDnsSupport" in note for note in of.notes)


def test_the_server_shows_acms_certificate_on_the_endpoints_port_and_pushes_the_routes() -> None:
    configuration = text(planned(with_vpn(port=1194)), VPN_SERVICE, "server.conf")
    for line in ("port 1194", "proto udp4", 'push "dhcp-option DNS 10.0.0.2"', 'push "route 10.0.0.0 255.255.0.0"'):
        assert f"{line}\n" in configuration
    for inline in ("<cert>\nvpn certificate\n", "<key>\nvpn key\n", "<ca>\nvpn authority\n"):
        assert inline in configuration
    assert "redirect-gateway" not in configuration


def test_without_split_tunnel_everything_is_redirected() -> None:
    configuration = text(planned(with_vpn(split_tunnel=False)), VPN_SERVICE, "server.conf")
    assert 'push "redirect-gateway def1 bypass-dhcp"\n' in configuration
    assert 'push "route ' not in configuration


def test_a_revocation_list_is_enforced() -> None:
    assert "crl-verify" not in text(planned(), VPN_SERVICE, "server.conf")
    assert "<crl-verify>\nlist\n" in text(planned(with_vpn(revocation_list="list")), VPN_SERVICE, "server.conf")


def test_an_endpoint_without_association_does_not_answer() -> None:
    of = planned(with_vpn(associations=()))
    assert VPN_SERVICE not in {each.name for each in of.services}
    assert "dport 443 accept" not in dict(of.filters)[CLIENT_VPN]
    assert f"{CLIENT_VPN} has no association: it does not answer" in of.notes


def test_clients_reach_what_a_rule_authorizes_under_the_associations_address() -> None:
    rules = dict(planned().filters)[CLIENT_VPN]
    assert 'ip daddr 10.0.0.0/16 counter accept comment "authorization rule 10.0.0.0/16"' in rules
    assert "ip saddr 172.31.0.0/16" in rules
    assert "snat ip to 10.0.1.23" in rules


@pytest.mark.parametrize(
    "rules",
    [
        (),
        (model.AuthorizationRule("10.0.0.0/16", access_all=True, status="revoking"),),
        (model.AuthorizationRule("10.0.0.0/16", access_all=False, status="active"),),
    ],
    ids=["none", "not active", "for a group"],
)
def test_without_an_active_rule_for_all_clients_nothing_is_authorized(
    rules: tuple[model.AuthorizationRule, ...],
) -> None:
    assert "counter accept" not in dict(planned(with_vpn(authorization_rules=rules)).filters)[CLIENT_VPN]


def test_a_group_that_names_a_group_opens_the_port_for_that_groups_addresses_only() -> None:
    rules = dict(planned().filters)["vpc"]
    inbound = [line for line in rules.splitlines() if "sg-link of" in line]
    assert len(inbound) == 1
    assert "10.0.1.23" in inbound[0]
    assert "8883" in inbound[0]
    assert 'counter drop comment "no inbound rule of vpce-1"' in rules


@pytest.mark.parametrize(("group", "owner"), [("sg-vpn", CLIENT_VPN), ("sg-link", VPC_ENDPOINT)])
def test_a_group_without_its_rule_opens_nothing(group: str, owner: str) -> None:
    groups = tuple(replace(each, rules=()) if each.group_id == group else each for each in CLOUD.security_groups)
    assert f"{group} of {owner}" not in dict(planned(replace(CLOUD, security_groups=groups)).filters)["vpc"]


def test_the_gateway_listens_for_the_endpoint_and_for_the_public() -> None:
    assert table(planned())["listeners"] == [
        {"address": addresses.IOT_PUBLIC, "vpcEndpointId": None, "vpcId": None},
        {"address": "10.0.1.105", "vpcEndpointId": VPC_ENDPOINT, "vpcId": "vpc-1"},
    ]


def test_the_gateway_knows_each_certificate_with_its_status_policies_and_things() -> None:
    read = table(planned())
    assert read["certificates"] == {
        "ab" * 32: {
            "status": "ACTIVE",
            "policies": ["policy"],
            "things": ["pi-1"],
            "certificatePem": "device certificate",
        }
    }
    assert read["things"] == {"pi-1": {"thingTypeName": "pi", "attributes": {"room": "1"}}}
    assert read["policies"] == {"policy": {"Version": "2012-10-17", "Statement": []}}


def test_another_device_moves_nothing_of_the_first() -> None:
    before = planned()
    another = model.Thing("pi-2", None, ())
    after = planned(replace(CLOUD, iot=replace(CLOUD.iot, things=(*CLOUD.iot.things, another))))
    assert set(before.hosts) < set(after.hosts)
    assert set(before.links) < set(after.links)
    assert before.filters == after.filters


def test_a_route_out_is_noted_since_the_lab_carries_the_local_one_only() -> None:
    tables = (replace(CLOUD.route_tables[0], routes=(("0.0.0.0/0", "igw-1"),)),)
    assert any("0.0.0.0/0 to igw-1" in note for note in planned(replace(CLOUD, route_tables=tables)).notes)


def test_no_secret_is_in_the_models_text() -> None:
    assert "vpn key" not in repr(CLOUD)
