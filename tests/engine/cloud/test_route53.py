"""Private hosted zones and alias records.

Cannot prove: that a change takes up to a minute on AWS.
"""

import uuid
from typing import Any

import pytest

from tests.engine.cloud.conftest import REGION, Network, refused

pytestmark = pytest.mark.engine

NAME = "abcdefghijklmn-ats.iot.ap-northeast-1.amazonaws.com"


def create_zone(route53: Any, vpc_id: str, name: str = NAME, **parameters: Any) -> str:
    parameters = {"VPC": {"VPCRegion": REGION, "VPCId": vpc_id}, "CallerReference": str(uuid.uuid4())} | parameters
    zone_id: str = route53.create_hosted_zone(Name=name, **parameters)["HostedZone"]["Id"]
    return zone_id


def change(route53: Any, zone_id: str, *changes: tuple[str, dict[str, Any]]) -> Any:
    batch = {"Changes": [{"Action": action, "ResourceRecordSet": record} for action, record in changes]}
    return route53.change_resource_record_sets(HostedZoneId=zone_id, ChangeBatch=batch)


def records(route53: Any, zone_id: str) -> list[dict[str, Any]]:
    found = route53.list_resource_record_sets(HostedZoneId=zone_id)["ResourceRecordSets"]
    return [record for record in found if record["Type"] not in ("NS", "SOA")]


def address(name: str, value: str = "10.0.1.105", ttl: int = 300) -> dict[str, Any]:
    return {"Name": name, "Type": "A", "TTL": ttl, "ResourceRecords": [{"Value": value}]}


def alias(dns_name: str, zone_id: str, name: str = NAME) -> dict[str, Any]:
    target = {"DNSName": dns_name, "HostedZoneId": zone_id, "EvaluateTargetHealth": False}
    return {"Name": name, "Type": "A", "AliasTarget": target}


@pytest.fixture
def endpoint(ec2: Any, network: Network) -> dict[str, Any]:
    made: dict[str, Any] = ec2.create_vpc_endpoint(
        VpcId=network.vpc_id,
        ServiceName=f"com.amazonaws.{REGION}.iot.data",
        VpcEndpointType="Interface",
        SubnetIds=[network.subnet_a],
        PrivateDnsEnabled=False,
    )["VpcEndpoint"]
    return made


def test_a_zone_with_a_vpc_is_private_without_being_called_so(route53: Any, network: Network) -> None:
    zone_id = create_zone(route53, network.vpc_id, HostedZoneConfig={"Comment": "Managed"})
    zone = route53.get_hosted_zone(Id=zone_id)
    assert zone["HostedZone"]["Config"] == {"Comment": "Managed", "PrivateZone": True}
    assert zone["HostedZone"]["Name"] == f"{NAME}."
    assert zone["VPCs"] == [{"VPCRegion": REGION, "VPCId": network.vpc_id}]
    found = route53.list_hosted_zones_by_vpc(VPCId=network.vpc_id, VPCRegion=REGION)["HostedZoneSummaries"]
    assert [(one["Name"], one["HostedZoneId"]) for one in found] == [(f"{NAME}.", zone_id.rpartition("/")[2])]


def test_a_zone_without_a_vpc_is_public(route53: Any) -> None:
    made = route53.create_hosted_zone(Name="example.com", CallerReference="public")
    assert made["HostedZone"]["Config"]["PrivateZone"] is False
    assert len(made["DelegationSet"]["NameServers"]) == 4
    with refused("HostedZoneAlreadyExists", "public"):
        route53.create_hosted_zone(Name="example.org", CallerReference="public")
    with refused("InvalidInput", "VPC"):
        route53.create_hosted_zone(Name="example.org", CallerReference="p", HostedZoneConfig={"PrivateZone": True})


def test_the_vpc_has_to_exist_and_to_have_no_other_zone_of_that_name(ec2: Any, route53: Any, network: Network) -> None:
    with refused("InvalidVPCId", "vpc-0123456789abcdef0"):
        create_zone(route53, "vpc-0123456789abcdef0")
    with refused("InvalidVPCId", network.vpc_id, "eu-west-1"):
        create_zone(route53, network.vpc_id, VPC={"VPCRegion": "eu-west-1", "VPCId": network.vpc_id})
    zone_id = create_zone(route53, network.vpc_id)
    with refused("ConflictingDomainExists", network.vpc_id, zone_id.rpartition("/")[2]):
        create_zone(route53, network.vpc_id)
    other = ec2.create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
    second = create_zone(route53, other)
    with refused("ConflictingDomainExists", other):
        route53.associate_vpc_with_hosted_zone(HostedZoneId=zone_id, VPC={"VPCRegion": REGION, "VPCId": other})
    with refused("LastVPCAssociation"):
        route53.disassociate_vpc_from_hosted_zone(HostedZoneId=second, VPC={"VPCRegion": REGION, "VPCId": other})


def test_an_alias_names_the_endpoint_and_its_zone(route53: Any, network: Network, endpoint: dict[str, Any]) -> None:
    zone_id = create_zone(route53, network.vpc_id)
    regional = endpoint["DnsEntries"][-1]
    answer = change(route53, zone_id, ("CREATE", alias(regional["DnsName"], regional["HostedZoneId"])))
    assert route53.get_change(Id=answer["ChangeInfo"]["Id"])["ChangeInfo"]["Status"] == "INSYNC"
    assert records(route53, zone_id) == [
        {
            "Name": f"{NAME}.",
            "Type": "A",
            "AliasTarget": {
                "HostedZoneId": regional["HostedZoneId"],
                "DNSName": f"{regional['DnsName']}.",
                "EvaluateTargetHealth": False,
            },
        }
    ]


def test_an_alias_to_an_endpoint_that_does_not_exist_is_refused(
    ec2: Any, route53: Any, network: Network, endpoint: dict[str, Any]
) -> None:
    zone_id, regional = create_zone(route53, network.vpc_id), endpoint["DnsEntries"][-1]
    with refused("InvalidChangeBatch", "that target was not found"):
        change(route53, zone_id, ("CREATE", alias(f"x{regional['DnsName']}", regional["HostedZoneId"])))
    with refused("InvalidChangeBatch", "does not lie within the target zone"):
        change(route53, zone_id, ("CREATE", alias(regional["DnsName"], "Z0000000000000")))
    ec2.delete_vpc_endpoints(VpcEndpointIds=[endpoint["VpcEndpointId"]])
    with refused("InvalidChangeBatch", "that target was not found"):
        change(route53, zone_id, ("CREATE", alias(regional["DnsName"], regional["HostedZoneId"])))
    assert records(route53, zone_id) == []


def test_a_batch_is_applied_whole_or_not_at_all(route53: Any, network: Network) -> None:
    zone_id = create_zone(route53, network.vpc_id, "example.internal")
    change(route53, zone_id, ("CREATE", address("a.example.internal")), ("CREATE", address("b.example.internal")))
    before = records(route53, zone_id)
    assert [record["Name"] for record in before] == ["a.example.internal.", "b.example.internal."]
    for action, record, words in (
        ("CREATE", address("a.example.internal", "10.0.1.9"), ("name='a.example.internal.'", "already exists")),
        ("DELETE", address("d.example.internal"), ("name='d.example.internal.'", "was not found")),
        ("DELETE", address("a.example.internal", ttl=60), ("values provided do not match",)),
        ("CREATE", address("a.example.com"), ("not permitted in zone example.internal.",)),
        ("CREATE", {"Name": "e.example.internal", "Type": "A"}, ("Expected exactly one of",)),
        (
            "CREATE",
            {"Name": "a.example.internal", "Type": "CNAME", "TTL": 60, "ResourceRecords": [{"Value": "b"}]},
            ("CNAME",),
        ),
    ):
        with refused("InvalidChangeBatch", *words):
            change(route53, zone_id, ("UPSERT", address("c.example.internal")), (action, record))
        assert records(route53, zone_id) == before


def test_records_are_changed_and_deleted_behind_anybodys_back(route53: Any, network: Network) -> None:
    zone_id = create_zone(route53, network.vpc_id, "example.internal")
    change(route53, zone_id, ("CREATE", address("a.example.internal")))
    change(route53, zone_id, ("UPSERT", address("A.example.internal.", "10.0.1.9", 60)))
    (record,) = records(route53, zone_id)
    assert (record["TTL"], record["ResourceRecords"]) == (60, [{"Value": "10.0.1.9"}])
    change(route53, zone_id, ("DELETE", address("a.example.internal", "10.0.1.9", 60)))
    with refused("InvalidChangeBatch", "was not found"):
        change(route53, zone_id, ("DELETE", address("a.example.internal", "10.0.1.9", 60)))
    change(route53, zone_id, ("CREATE", address("a.example.internal")))
    assert len(records(route53, zone_id)) == 1


def test_a_zone_is_deleted_when_it_is_empty_and_its_tags_go_with_it(route53: Any, network: Network) -> None:
    zone_id = create_zone(route53, network.vpc_id, "example.internal")
    resource_id = zone_id.rpartition("/")[2]
    route53.change_tags_for_resource(
        ResourceType="hostedzone", ResourceId=resource_id, AddTags=[{"Key": "Name", "Value": "x"}]
    )
    tags = route53.list_tags_for_resource(ResourceType="hostedzone", ResourceId=resource_id)["ResourceTagSet"]["Tags"]
    assert tags == [{"Key": "Name", "Value": "x"}]
    change(route53, zone_id, ("CREATE", address("a.example.internal")))
    with refused("HostedZoneNotEmpty"):
        route53.delete_hosted_zone(Id=zone_id)
    change(route53, zone_id, ("DELETE", address("a.example.internal")))
    route53.delete_hosted_zone(Id=zone_id)
    with refused("NoSuchHostedZone"):
        route53.get_hosted_zone(Id=zone_id)
