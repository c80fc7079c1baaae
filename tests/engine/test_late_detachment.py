"""AWS detaches a certificate from its thing later than it answers: nothing is refused, and nothing is left.

Cannot prove how long AWS takes; the lab's detachment lasts until it was looked at so often, and nothing else waits.
"""

import pytest

from tests.engine.aws import Cloud
from tests.engine.conftest import StackFactory

pytestmark = pytest.mark.engine
LOOKS = 3


def test_a_device_is_removed_and_all_destroyed_in_one_go(new_stack: StackFactory, own_cloud: Cloud) -> None:
    empty = own_cloud.inventory()
    stack = new_stack(own_cloud, config={"private-iot:devices": ["pi-1", "pi-2"]})
    stack.up()
    own_cloud.detach_late(LOOKS)
    own_cloud.forget_calls()
    stack.configure(devices=["pi-1"])
    stack.up()
    iot = own_cloud.client("iot")
    assert [thing["thingName"] for thing in iot.list_things()["things"]] == ["pi-1"]
    assert len(iot.list_certificates()["certificates"]) == 1
    deletions = own_cloud.calls("DetachThingPrincipal", "ListThingPrincipals", "DeleteThing", "DeleteCertificate")
    assert all(call["status"] == 200 for call in deletions)
    assert [call["operation"] for call in deletions[: LOOKS + 1]] == [
        "DetachThingPrincipal",
        *["ListThingPrincipals"] * LOOKS,
    ]
    stack.destroy()
    assert own_cloud.inventory() == empty
