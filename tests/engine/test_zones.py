"""The zones of a living stack come, go and swap; the VPC stays.

Cannot prove that AWS has room in a zone, nor how long it takes to move an association.
"""

from typing import Any

import pytest

from tests.engine.aws import Cloud
from tests.engine.conftest import StackFactory
from tests.engine.stack import Outcome, Stack

pytestmark = pytest.mark.engine

REGION = "eu-central-1"
ASSOCIATION = "aws:ec2clientvpn/networkAssociation:NetworkAssociation"


@pytest.fixture(scope="module")
def stack(new_stack: StackFactory, cloud: Cloud) -> Stack:
    stack = new_stack(
        cloud,
        config={
            "aws:region": REGION,
            "private-iot:devices": ["pi-1"],
            "private-iot:availabilityZones": [f"{REGION}a"],
        },
    )
    stack.up()
    return stack


def subnets(cloud: Cloud) -> dict[str, tuple[str, str]]:
    """Zone's letter → subnet and block, of the stack's VPC."""
    found = cloud.client("ec2", REGION).describe_subnets(Filters=[{"Name": "tag-key", "Values": ["Name"]}])["Subnets"]
    return {each["AvailabilityZone"][-1]: (each["SubnetId"], each["CidrBlock"]) for each in found}


def associated(cloud: Cloud) -> set[str]:
    """The subnets that clients come through."""
    ec2 = cloud.client("ec2", REGION)
    [endpoint] = ec2.describe_client_vpn_endpoints()["ClientVpnEndpoints"]
    networks = ec2.describe_client_vpn_target_networks(ClientVpnEndpointId=endpoint["ClientVpnEndpointId"])
    return {each["TargetNetworkId"] for each in networks["ClientVpnTargetNetworks"]}


def move(stack: Stack, letters: str, **more: Any) -> Outcome:
    stack.configure(availabilityZones=[f"{REGION}{letter}" for letter in letters], **more)
    return stack.up()


def test_zones_come_go_and_swap_and_each_keeps_its_subnet_while_it_is_there(stack: Stack, cloud: Cloud) -> None:
    bundle = stack.outputs(show_secrets=True)["devices"]
    for letters in ("c", "ac", "c", "ca", "ac", "abc", "ac"):
        before = subnets(cloud)
        outcome = move(stack, letters)
        after = subnets(cloud)
        assert set(after) == set(letters)
        for zone in set(before) & set(after):
            assert after[zone] == before[zone], (letters, zone)
        assert associated(cloud) == {subnet for subnet, _ in after.values()}
        assert outcome.ops <= {"create", "update", "delete"}, "nothing is replaced"
    assert stack.outputs(show_secrets=True)["devices"] == bundle
    stack.preview("--expect-no-changes")


def test_a_subnet_that_moves_to_another_block_moves_its_association_first(stack: Stack, cloud: Cloud) -> None:
    """AWS takes one association a zone: DuplicateAz."""
    move(stack, "a")
    [(old, block)] = subnets(cloud).values()
    assert block != "10.0.9.0/24"
    outcome = move(stack, "a", subnetCidrBlocks=["10.0.9.0/24"])
    [(new, block)] = subnets(cloud).values()
    assert (new != old, block) == (True, "10.0.9.0/24")
    assert associated(cloud) == {new}
    moves = [step.op for step in outcome.steps if step.type == ASSOCIATION]
    assert moves[0] == "delete-replaced"
    stack.preview("--expect-no-changes")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"vpcCidrBlock": "10.1.0.0/16", "subnetCidrBlocks": []}, "deploy a second stack beside this one"),
        ({"subnetCidrBlocks": ["10.0.9.0/25"]}, "it overlaps 10.0.9.0/24"),
        ({"vpcId": "vpc-0123456789abcdef0", "subnetIds": ["subnet-1"]}, "vpc_id names a VPC that has its networks"),
    ],
)
def test_what_would_cut_the_devices_off_is_refused_before_anything_changes(
    stack: Stack, cloud: Cloud, settings: dict[str, Any], message: str
) -> None:
    move(stack, "a", subnetCidrBlocks=["10.0.9.0/24"])
    good, before = dict(stack.config), cloud.inventory()
    stack.configure(**settings)
    refused = stack.up(fails=True)
    stack.config.clear()
    stack.configure(**{key.split(":")[1]: value for key, value in good.items() if key.startswith("private-iot:")})
    stack.config["aws:region"] = REGION
    stack.configure()
    assert message in refused.text
    assert refused.steps == []
    assert cloud.inventory() == before
