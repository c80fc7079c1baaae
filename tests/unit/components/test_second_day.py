"""What the components remember of a stack that is deployed, and where they refuse to be deployed at all.

Cannot prove that the engine tells what it last did, nor that it takes an alias; the engine tier does.
"""

from typing import Any

import pytest
from private_iot import ArgumentError, PrivateIotNetwork

from tests.unit.components.compose import composition
from tests.unit.components.monitor import Deployment, deploy, plain

ZONES = ["ap-northeast-1a", "ap-northeast-1c"]
SITE: dict[str, dict[str, Any]] = {
    "vpc-1": {"id": "vpc-1", "cidrBlock": "10.9.0.0/16", "enableDnsSupport": True, "enableDnsHostnames": True},
    **{
        f"subnet-{number}": {
            "id": f"subnet-{number}",
            "vpcId": "vpc-1",
            "cidrBlock": f"10.9.{number}.0/24",
            "availabilityZone": zone,
            "availableIpAddressCount": 250,
        }
        for number, zone in enumerate(ZONES, 1)
    },
}


def state_of_the_release_before() -> dict[str, Any]:
    """The state of a stack with two zones that were known by their numbers."""
    state = deploy(composition(network={"availability_zone_count": 2})).as_state()
    renamed: dict[str, Any] = {}
    for urn, resource in state.items():
        outputs = {
            key: value
            for key, value in resource["outputs"].items()
            if key not in ("defaultTopicPrefix", "knownToDevices")
        }
        if resource["type"].endswith(":IotPrivateLink"):
            outputs["topicPrefix"] = "private-iot"
        name = urn
        for number, zone in enumerate(ZONES, 1):
            name = name.replace(f"subnet-{zone}", f"subnet-{number}").replace(
                f"association-{zone}", f"association-{number}"
            )
        renamed[name] = {**resource, "outputs": outputs}
    return renamed


def aliases(deployed: Deployment) -> dict[str, str]:
    """Resource → the name that it had before."""
    found = {}
    for one in deployed.registrations:
        for alias in one.aliases:
            found[one.name] = alias.split('name: "')[1].split('"')[0]
    return found


def test_what_an_earlier_release_knew_by_number_is_known_by_its_zone() -> None:
    before = state_of_the_release_before()
    found = aliases(deploy(composition(network={"availability_zone_count": 2}), deployed=before))
    for number, zone in enumerate(ZONES, 1):
        assert found[f"private-iot-vpc-subnet-{zone}"] == f"private-iot-vpc-subnet-{number}"
        assert found[f"private-iot-vpc-subnet-{zone}-routes"] == f"private-iot-vpc-subnet-{number}-routes"
        assert found[f"private-iot-clientvpn-association-{zone}"] == f"private-iot-clientvpn-association-{number}"


def test_the_second_zone_of_an_earlier_release_stays_itself_when_the_first_goes() -> None:
    before = state_of_the_release_before()
    deployed = deploy(composition(network={"availability_zones": [ZONES[1]]}), deployed=before)
    assert aliases(deployed) == {
        f"private-iot-vpc-subnet-{ZONES[1]}": "private-iot-vpc-subnet-2",
        f"private-iot-vpc-subnet-{ZONES[1]}-routes": "private-iot-vpc-subnet-2-routes",
        f"private-iot-clientvpn-association-{ZONES[1]}": "private-iot-clientvpn-association-2",
    }
    assert plain(deployed.one("Subnet").inputs)["cidrBlock"] == "10.0.2.0/24"


def test_a_stack_of_an_earlier_release_keeps_its_topics_and_a_new_one_has_its_own_name() -> None:
    new = deploy(composition())
    assert plain(new.stack_outputs["bundles"])["pi-1"]["topicPrefix"] == "test/pi-1"
    old = deploy(composition(), deployed=state_of_the_release_before())
    assert plain(old.stack_outputs["bundles"])["pi-1"]["topicPrefix"] == "private-iot/pi-1"
    named = deploy(composition(private_link={"topic_prefix": "plant"}), deployed=old)
    assert plain(named.stack_outputs["bundles"])["pi-1"]["topicPrefix"] == "plant/pi-1"
    assert plain(deploy(composition(), deployed=named).stack_outputs["bundles"]) == plain(old.stack_outputs["bundles"])


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (
            {"vpc_cidr_block": "10.1.0.0/16"},
            "this stack's VPC is 10.0.0.0/16, which AWS cannot change; keep it, or deploy",
        ),
        (
            {"vpc_id": "vpc-1", "subnet_ids": ["subnet-1"]},
            "vpc_id is 'vpc-1': this stack's devices are in private-iot-vpc",
        ),
    ],
)
def test_another_vpc_is_refused_while_devices_are_in_this_one(network: dict[str, Any], message: str) -> None:
    refused = deploy(composition(network=network), deployed=deploy(composition()), lookups=SITE, refused=ArgumentError)
    assert refused.registrations == []
    assert message in refused.logged[0]


def test_a_vpc_of_its_own_is_refused_where_devices_are_in_a_given_one() -> None:
    given = deploy(composition(network={"vpc_id": "vpc-1", "subnet_ids": ["subnet-1"]}), lookups=SITE)
    refused = deploy(composition(), deployed=given, refused=ArgumentError)
    assert "vpc_id is None: this stack's devices are in vpc-1; keep that VPC, or deploy" in refused.logged[0]


def test_a_given_vpc_gets_the_two_groups_and_nothing_else() -> None:
    network = {"vpc_id": "vpc-1", "subnet_ids": ["subnet-1", "subnet-2"]}
    deployed = deploy(composition(network=network), lookups=SITE)
    for kind in ("Vpc", "Subnet", "RouteTable", "RouteTableAssociation", "DefaultSecurityGroup"):
        assert deployed.of(kind) == []
    assert {plain(one.inputs)["vpcId"] for one in deployed.of("SecurityGroup")} == {"vpc-1"}
    assert plain(deployed.one("VpcEndpoint").inputs)["subnetIds"] == ["subnet-1", "subnet-2"]
    associated = {one.name: plain(one.inputs)["subnetId"] for one in deployed.of("NetworkAssociation")}
    assert associated == {
        f"private-iot-clientvpn-association-{zone}": f"subnet-{number}" for number, zone in enumerate(ZONES, 1)
    }
    assert plain(deployed.stack_outputs["bundles"])["pi-1"]["network"]["vpcCidr"] == "10.9.0.0/16"


@pytest.mark.parametrize(
    ("identifier", "changes", "message"),
    [
        ("vpc-1", {"enableDnsSupport": False}, "vpc_id is 'vpc-1': a private hosted zone needs the VPC's DNS support"),
        (
            "vpc-1",
            {"enableDnsHostnames": False},
            "a private hosted zone needs the VPC's DNS host names; turn its DNS host",
        ),
        ("subnet-2", {"vpcId": "vpc-2"}, "subnet_ids is 'subnet-2': it is a subnet of vpc-2, not of vpc-1"),
        (
            "subnet-2",
            {"cidrBlock": "10.10.0.0/24"},
            "devices know the VPC as 10.9.0.0/16, and the subnet is 10.10.0.0/24",
        ),
        ("subnet-2", {"cidrBlock": "10.9.2.0/28"}, "Client VPN associates subnets of /27 or larger, not /28"),
        ("subnet-2", {"availableIpAddressCount": 19}, "Client VPN needs 20 free addresses, and 19 are"),
        (
            "subnet-2",
            {"availabilityZone": ZONES[0]},
            "one subnet a zone is associated, and subnet-1 is in that zone too",
        ),
        (
            "subnet-2",
            {"availabilityZone": "ap-northeast-1d"},
            "subnet_ids is 'ap-northeast-1d': com.amazonaws.ap-northeast-1.iot.data is offered in ap-northeast-1a",
        ),
    ],
)
def test_a_given_vpc_that_would_not_work_is_refused_in_words(
    identifier: str, changes: dict[str, Any], message: str
) -> None:
    site = {**SITE, identifier: {**SITE[identifier], **changes}}
    network = {"vpc_id": "vpc-1", "subnet_ids": ["subnet-1", "subnet-2"]}
    refused = deploy(composition(network=network), lookups=site, refused=ArgumentError)
    assert refused.registrations == []
    assert message in refused.logged[0]


def test_govcloud_tells_no_zones_and_takes_those_that_are_named() -> None:
    """DescribeVpcEndpointServices gives names without details there."""
    region = "us-gov-west-1"
    refused = deploy(lambda: PrivateIotNetwork("net", {}), region=region, refused=ArgumentError)
    assert "availability_zones is []: AWS does not tell here which zones offer" in refused.logged[0]
    deployed = deploy(composition(network={"availability_zones": [f"{region}a"]}), region=region)
    assert plain(deployed.one("Subnet").inputs)["availabilityZone"] == f"{region}a"
    assert "arn:aws-us-gov:iot:us-gov-west-1:" in deployed.stack_outputs["policy"]


def test_china_is_refused_by_name() -> None:
    refused = deploy(composition(), region="cn-north-1", refused=ArgumentError)
    assert refused.registrations == []
    assert "region is 'cn-north-1': AWS documents no VPC endpoints of AWS IoT Core for the China" in refused.logged[0]
