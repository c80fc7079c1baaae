"""Two environments in one account, and what a destroy leaves.

Cannot prove what AWS keeps for a while after a delete; the lab's cloud forgets at once.
"""

import pytest

from tests.engine.aws import Cloud
from tests.engine.conftest import StackFactory

pytestmark = pytest.mark.engine


def test_two_environments_live_side_by_side_and_each_destroy_leaves_the_cloud_as_it_was(
    new_stack: StackFactory, cloud: Cloud
) -> None:
    empty = cloud.inventory()
    tokyo = new_stack(cloud, "tokyo", config={"private-iot:devices": ["pi-1"]})
    plant = new_stack(
        cloud,
        "plant",
        config={
            "private-iot:devices": ["press-1", "press-2"],
            "private-iot:vpcCidrBlock": "10.20.0.0/16",
            "private-iot:clientCidrBlock": "172.20.0.0/16",
            "private-iot:availabilityZoneCount": 2,
            "private-iot:topicPrefix": "plant",
        },
    )
    tokyo.up()
    first = cloud.inventory()
    plant.up()
    tokyo.preview("--expect-no-changes")
    plant.preview("--expect-no-changes")
    assert tokyo.refresh("--expect-no-changes").steps == []
    ours, theirs = tokyo.outputs(), plant.outputs()
    assert ours["vpcEndpointId"] != theirs["vpcEndpointId"]
    assert ours["clientVpnEndpointId"] != theirs["clientVpnEndpointId"]
    # One account has one data endpoint, whichever path leads to it.
    assert ours["iotEndpoint"] == theirs["iotEndpoint"]

    plant.destroy()
    assert plant.resources() == []
    assert cloud.inventory() == first
    tokyo.preview("--expect-no-changes")
    tokyo.destroy()
    assert cloud.inventory() == empty
