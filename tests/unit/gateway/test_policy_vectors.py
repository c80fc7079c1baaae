"""The evaluator against decisions that AWS's documentation states.

What this cannot prove: that AWS IoT Core itself decides so. Nobody has run these documents on an AWS account.
"""

import pytest

from lab.path.iot_policy import Request, evaluate
from tests.unit.gateway.policy_vectors import VECTORS, Vector


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: f"{vector.source}: {vector.about}")
def test_the_documented_decision_is_made(vector: Vector) -> None:
    decision = evaluate({"policy": vector.document}, Request(vector.action, vector.resource, vector.context))
    assert decision.allowed is vector.allowed, decision.reason


def test_every_vector_has_a_source_of_its_own_kind() -> None:
    assert {vector.source.partition("/")[0] for vector in VECTORS} == {"IAM", "IOT"}
    assert len({(vector.source, vector.about) for vector in VECTORS}) == len(VECTORS)


def test_the_reason_names_the_policy_that_denies() -> None:
    deny = {"Version": "2012-10-17", "Statement": {"Effect": "Deny", "Action": "*", "Resource": "*"}}
    allow = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}
    request = Request("iot:Connect", "arn:aws:iot:us-east-1:123456789012:client/c")
    assert evaluate({"open": allow, "closed": deny}, request).reason == "explicit deny in policy closed"
    assert evaluate({"open": allow}, request).reason == "allowed by policy open"
    assert (
        evaluate({}, request).reason == "no statement allows iot:Connect on arn:aws:iot:us-east-1:123456789012:client/c"
    )
