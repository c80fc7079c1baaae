"""What AWS IoT's registry says of a device decides what the device may, through the whole path.

It cannot prove what AWS checks when a certificate of an authority that it does not know is registered.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.path.conftest import HandMadeLab
from tests.path.path_lab import Identity
from tests.path.walk_through_by_hand import TOPIC_PREFIX, Authority, policy_document

pytestmark = pytest.mark.path


@contextmanager
def a_certificate_of_another_authority(lab: HandMadeLab) -> Iterator[None]:
    """Give the device a certificate that its owner issued and registered, in the place of AWS's own."""
    iot, device = lab.aws.client("iot"), lab.made.devices["pi-1"]
    own = Authority("a factory's authority").issue("pi-1")
    registered = iot.register_certificate_without_ca(certificatePem=own.pem, status="ACTIVE")
    arn, identifier = registered["certificateArn"], registered["certificateId"]
    iot.attach_policy(policyName=lab.made.policy_name, target=arn)
    iot.attach_thing_principal(thingName=device.name, principal=arn)
    lab.sync()
    lab.give(Identity(device.name, device.config, own.pem, own.key_pem))
    try:
        yield
    finally:
        lab.give(Identity(device.name, device.config, device.certificate_pem, device.key_pem))
        iot.detach_thing_principal(thingName=device.name, principal=arn)
        iot.detach_policy(policyName=lab.made.policy_name, target=arn)
        iot.update_certificate(certificateId=identifier, newStatus="INACTIVE")
        iot.delete_certificate(certificateId=identifier)
        lab.sync()


def test_a_registered_certificate_of_another_authority_is_served(path_lab: HandMadeLab) -> None:
    with a_certificate_of_another_authority(path_lab), path_lab.tunnel("pi-1"):
        outcome = path_lab.pubsub("pi-1", count=1)
        assert (outcome["error"], len(outcome["received"])) == (None, 1)


def test_a_policy_reads_the_attributes_of_the_thing(path_lab: HandMadeLab) -> None:
    iot, made = path_lab.aws.client("iot"), path_lab.made
    document: dict[str, Any] = policy_document(path_lab.aws, _account(path_lab), path_lab.vpc_endpoint_id)
    document = json.loads(
        json.dumps(document).replace(
            f"{TOPIC_PREFIX}/${{iot:Connection.Thing.ThingName}}",
            f"{TOPIC_PREFIX}/${{iot:Connection.Thing.Attributes[site]}}",
        )
    )
    before = iot.get_policy(policyName=made.policy_name)["defaultVersionId"]
    version = iot.create_policy_version(
        policyName=made.policy_name, policyDocument=json.dumps(document), setAsDefault=True
    )
    iot.update_thing(thingName="pi-1", attributePayload={"attributes": {"site": "tokyo"}})
    try:
        path_lab.sync()
        with path_lab.tunnel("pi-1"):
            assert path_lab.pubsub("pi-1", count=1, topic=f"{TOPIC_PREFIX}/tokyo/test")["error"] is None
            assert path_lab.pubsub("pi-1", count=1, topic=f"{TOPIC_PREFIX}/osaka/test")["received"] == []
    finally:
        iot.update_thing(thingName="pi-1", attributePayload={"attributes": {"site": ""}})
        iot.set_default_policy_version(policyName=made.policy_name, policyVersionId=before)
        iot.delete_policy_version(policyName=made.policy_name, policyVersionId=version["policyVersionId"])
        path_lab.sync()


def _account(lab: HandMadeLab) -> str:
    return str(lab.aws.client("sts").get_caller_identity()["Account"])
