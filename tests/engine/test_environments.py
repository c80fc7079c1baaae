"""Two environments in one account, and what a destroy leaves.

Cannot prove what AWS keeps for a while after a delete; the lab's cloud forgets at once.
"""

import pytest

from tests.engine.aws import Cloud
from tests.engine.conftest import StackFactory

pytestmark = pytest.mark.engine


PLANT = {
    "private-iot:devices": ["press-1", "press-2"],
    "private-iot:vpcCidrBlock": "10.20.0.0/16",
    "private-iot:clientCidrBlock": "172.20.0.0/16",
    "private-iot:availabilityZoneCount": 2,
}


@pytest.mark.parametrize("leaves", ["tokyo", "plant"])
def test_two_environments_live_side_by_side_and_each_destroy_leaves_the_cloud_as_it_was(
    new_stack: StackFactory, own_cloud: Cloud, leaves: str
) -> None:
    cloud = own_cloud
    empty = cloud.inventory()
    stacks = {
        "tokyo": new_stack(cloud, "tokyo", config={"private-iot:devices": ["pi-1"]}),
        "plant": new_stack(cloud, "plant", config=dict(PLANT)),
    }
    stays = next(name for name in stacks if name != leaves)
    stacks[stays].up()
    alone = cloud.inventory()
    stacks[leaves].up()
    outputs = {}
    for name, stack in stacks.items():
        assert stack.refresh("--expect-no-changes").steps == []
        outputs[name] = stack.outputs(show_secrets=True)
        for device, bundle in outputs[name]["devices"].items():
            assert bundle["topicPrefix"] == f"{name}/{device}", "topics are the whole account's"
    for output in ("vpcEndpointId", "clientVpnEndpointId"):
        assert outputs["tokyo"][output] != outputs["plant"][output]
    # One account has one data endpoint, whichever path leads to it.
    assert outputs["tokyo"]["iotEndpoint"] == outputs["plant"]["iotEndpoint"]

    stacks[leaves].destroy()
    assert stacks[leaves].resources() == []
    assert cloud.inventory() == alone
    stacks[stays].preview("--expect-no-changes")
    stacks[stays].destroy()
    assert cloud.inventory() == empty


def test_the_thing_of_another_environment_is_refused_and_stays_as_it_is(
    new_stack: StackFactory, own_cloud: Cloud
) -> None:
    """CreateThing succeeds for a thing that is there and the same: the owner is among its attributes."""
    config = {"private-iot:devices": ["pi-1"]}
    dev = new_stack(own_cloud, "dev", config=dict(config))
    dev.up()
    before = own_cloud.inventory()
    prod = new_stack(own_cloud, "prod", config=config | {"private-iot:clientCidrBlock": "172.30.0.0/16"})
    refused = prod.up(fails=True)
    assert "Thing pi-1 already exists in account with different attributes" in refused.text
    iot = own_cloud.client("iot")
    assert iot.describe_thing(thingName="pi-1")["attributes"] == {"project": "private-iot", "stack": "dev"}
    [principal] = iot.list_thing_principals(thingName="pi-1")["principals"]
    prod.configure(devices=["prod-pi-1"])
    prod.up()
    prod.destroy()
    assert own_cloud.inventory() == before
    assert iot.list_thing_principals(thingName="pi-1")["principals"] == [principal]
    dev.preview("--expect-no-changes")
