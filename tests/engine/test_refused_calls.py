"""An up that is throttled or refused half way: the error is clear, the state is true, the next up finishes.

Cannot prove which calls AWS throttles or refuses, and when.
"""

from collections import Counter
from typing import Any

import pytest

from tests.engine.aws import Cloud
from tests.engine.conftest import StackFactory
from tests.engine.stack import ONE_DEVICE

pytestmark = pytest.mark.engine

CONFIG = {"private-iot:devices": ["pi-1"], "private-iot:availabilityZones": ["ap-northeast-1a"]}


def test_a_throttled_call_is_tried_again_within_the_up(new_stack: StackFactory, own_cloud: Cloud) -> None:
    empty = own_cloud.inventory()
    stack = new_stack(own_cloud, config=dict(CONFIG))
    own_cloud.forget_calls()
    throttled = {"service": "ec2", "code": "RequestLimitExceeded", "status": 503, "times": 2}
    own_cloud.faults(
        {**throttled, "operation": "CreateVpcEndpoint"}, {**throttled, "operation": "CreateClientVpnEndpoint"}
    )
    stack.up()
    for operation in ("CreateVpcEndpoint", "CreateClientVpnEndpoint"):
        assert [call["status"] for call in own_cloud.calls(operation)] == [503, 503, 200]
    stack.destroy()
    assert own_cloud.inventory() == empty


@pytest.mark.parametrize(
    "fault",
    [
        {"service": "ec2", "operation": "CreateVpcEndpoint", "code": "VpcEndpointLimitExceeded", "status": 400},
        {"service": "ec2", "operation": "AuthorizeClientVpnIngress", "code": "UnauthorizedOperation", "status": 403},
        {"service": "iot", "operation": "CreateCertificateFromCsr", "code": "UnauthorizedException", "status": 401},
    ],
    ids=lambda fault: fault["operation"],
)
def test_a_refused_call_is_named_the_state_is_true_and_the_next_up_finishes(
    new_stack: StackFactory, own_cloud: Cloud, fault: dict[str, Any]
) -> None:
    empty = own_cloud.inventory()
    stack = new_stack(own_cloud, config=dict(CONFIG))
    own_cloud.faults({**fault, "times": 1000})
    refused = stack.up(fails=True)
    own_cloud.faults()
    assert fault["code"] in refused.diagnostics()
    assert stack.export().get("pending_operations", []) == []
    # True: what the state has is there, unchanged.
    assert stack.refresh().steps == []
    finished = stack.up()
    assert finished.ops == {"create"}
    assert Counter(each["type"] for each in stack.resources()) == ONE_DEVICE
    stack.destroy()
    assert own_cloud.inventory() == empty


def test_a_refused_delete_keeps_the_resource_in_the_state(new_stack: StackFactory, own_cloud: Cloud) -> None:
    empty = own_cloud.inventory()
    stack = new_stack(own_cloud, config=dict(CONFIG))
    stack.up()
    own_cloud.faults(
        {
            "service": "ec2",
            "operation": "DeleteVpcEndpoints",
            "code": "UnauthorizedOperation",
            "status": 403,
            "times": 99,
        }
    )
    refused = stack.destroy(fails=True)
    own_cloud.faults()
    assert "UnauthorizedOperation" in refused.diagnostics()
    assert "aws:ec2/vpcEndpoint:VpcEndpoint" in {each["type"] for each in stack.resources()}
    stack.destroy()
    assert own_cloud.inventory() == empty
