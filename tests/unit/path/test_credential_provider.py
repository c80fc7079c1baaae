"""What AWS IoT's credential provider answers, in the order in which it refuses; the network is for the path tier.

Cannot prove AWS's answers: they are those that AWS was seen to give to others (the module names the source).
"""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from lab.path import model
from lab.path.credential_provider import ACTION, RefusedError, credentials
from lab.path.gateway.authorization import Peer
from lab.path.gateway.table import Certificate, Listener, Table
from lab.path.plan import plan
from lab.path.read import _trusts_credential_provider
from tests.unit.path.cloud import CLOUD, SERVER

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC).timestamp()
KNOWN = "ab" * 32
ARN = "arn:aws:iot:ap-northeast-1:123456789012:rolealias/uploads"
PRIVATE = Listener("10.0.1.7", "vpce-1", "vpc-1")
PUBLIC = Listener("203.0.113.81", None, None)


def table(resource: str = ARN, status: str = "ACTIVE") -> Table:
    statement = {
        "Effect": "Allow",
        "Action": ACTION,
        "Resource": resource,
        "Condition": {"StringEquals": {"aws:SourceVpce": "vpce-1"}},
    }
    return Table(
        endpoint="c1.credentials.iot.ap-northeast-1.amazonaws.com",
        region="ap-northeast-1",
        account_id="123456789012",
        certificate_file=Path("none"),
        private_key_file=Path("none"),
        device_roots_file=Path("none"),
        listeners=(PRIVATE, PUBLIC),
        certificates={KNOWN: Certificate(status, ("policy",), ("pi-1",))},
        policies={"policy": {"Version": "2012-10-17", "Statement": [statement]}},
        things={},
    )


def ask(
    *,
    of: Table | None = None,
    listener: Listener = PRIVATE,
    certificate: str = KNOWN,
    alias: str = "uploads",
    thing_name: str | None = "pi-1",
    **alias_values: Any,
) -> dict[str, str]:
    return credentials(
        of or table(),
        {"uploads": {"duration": 900, "maxSession": 3600, **alias_values}},
        listener,
        Peer("10.0.1.23", 50000, certificate, {}),
        alias=alias,
        thing_name=thing_name,
        now=NOW,
    )


@pytest.mark.parametrize("thing_name", ["pi-1", None])
def test_a_registered_certificate_gets_credentials_that_end_when_the_alias_says(thing_name: str | None) -> None:
    made = ask(thing_name=thing_name)
    assert set(made) == {"accessKeyId", "secretAccessKey", "sessionToken", "expiration"}
    assert (len(made["accessKeyId"]), made["accessKeyId"][:4]) == (20, "ASIA")
    assert made["expiration"] == "2026-01-02T03:19:05Z"
    assert ask()["secretAccessKey"] != made["secretAccessKey"]


@pytest.mark.parametrize(
    ("asked", "status", "message"),
    [
        ({"certificate": "cd" * 32}, 403, "Certificate is invalid on this endpoint"),
        ({"of": table(status="INACTIVE")}, 403, "Certificate is invalid on this endpoint"),
        ({"thing_name": "pi-2", "listener": PUBLIC}, 403, "Invalid thing name passed"),
        ({"listener": PUBLIC}, 403, "Access Denied"),
        ({"listener": replace(PRIVATE, vpc_endpoint_id="vpce-2")}, 403, "Access Denied"),
        ({"alias": "somebody-elses"}, 403, "Access Denied"),
        ({"alias": "gone", "of": table("*")}, 404, "Role alias does not exist"),
        ({"maxSession": None}, 400, "Unable to assume the role, or the role to assume does not exist"),
        ({"duration": 7200}, 400, "exceeds the MaxSessionDuration set for the role"),
    ],
)
def test_what_is_refused_is_refused_with_awss_words(asked: dict[str, Any], status: int, message: str) -> None:
    with pytest.raises(RefusedError, match=message) as refused:
        ask(**asked)
    assert refused.value.status == status


def trust(**changes: Any) -> dict[str, Any]:
    statement = {
        "Effect": "Allow",
        "Action": "sts:AssumeRole",
        "Principal": {"Service": "credentials.iot.amazonaws.com"},
    }
    return {"Version": "2012-10-17", "Statement": statement | changes}


@pytest.mark.parametrize(
    ("document", "trusted"),
    [
        (trust(), True),
        (trust(Principal={"Service": ["ec2.amazonaws.com", "credentials.iot.amazonaws.com"]}), True),
        (trust(Principal={"Service": "iot.amazonaws.com"}), False),
        (trust(Effect="Deny"), False),
        (trust(Action="sts:TagSession"), False),
    ],
)
def test_a_role_has_to_trust_the_credential_provider(document: dict[str, Any], trusted: bool) -> None:
    assert _trusts_credential_provider(document) is trusted


def test_it_runs_only_where_something_asks_for_it_and_listens_on_both_ways() -> None:
    assert "credential-provider" not in {each.name for each in plan(CLOUD, SERVER).services}
    endpoint = replace(
        CLOUD.vpc_endpoints[0],
        vpc_endpoint_id="vpce-2",
        service_name="com.amazonaws.ap-northeast-1.iot.credentials",
        network_interface_ids=("eni-3",),
    )
    interface = model.NetworkInterface("eni-3", "vpc-1", "subnet-1", "10.0.1.106", ("sg-link",))
    cloud = replace(
        CLOUD,
        vpc_endpoints=(*CLOUD.vpc_endpoints, endpoint),
        network_interfaces=(*CLOUD.network_interfaces, interface),
        iot=replace(CLOUD.iot, credentials_endpoint="c1.credentials.iot.ap-northeast-1.amazonaws.com"),
    )
    made = plan(cloud, SERVER)
    [service] = [each for each in made.services if each.name == "credential-provider"]
    [listening] = [file.content for file in service.files if file.path.endswith("/addresses")]
    assert listening.split() == ["203.0.113.81", "10.0.1.106"]
    [internet] = [each for each in made.services if each.name == "internet-dns"]
    assert any("203.0.113.81 c1.credentials" in file.content for file in internet.files)
    assert made.notes == ()
