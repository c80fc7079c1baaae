"""The fleet: the claim's policy, the template, the claim bundles, quotas; that devices add nothing to a stack.

Cannot prove that AWS IoT evaluates the template so; the lab does by the developer guide's words.
"""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from private_iot import ArgumentError, IotFleetProvisioning, fleet_policy, fleet_quotas
from private_iot.fleet_quotas import CONNECTIONS_BY_ASSOCIATIONS, connections_of, fleet_needs

from lab.cloud.iot.provisioning_template import TemplateError, evaluate, parse
from lab.path.iot_policy import Request
from lab.path.iot_policy import evaluate as judge
from tests.unit.components.monitor import deploy, export

ARN = "arn:aws:iot:ap-northeast-1:123456789012"
VPCE = "vpce-0123456789abcdef0"
PATH: Any = {
    "region": "ap-northeast-1",
    "iot_endpoint": "a-ats.iot.ap-northeast-1.amazonaws.com",
    "vpc_endpoint_id": VPCE,
    "policy_name": "devices",
    "topic_prefix": "plant",
    "vpc_cidr_block": "10.0.0.0/16",
    "dns_server": "10.0.0.2",
    "vpn_config": "client\n",
}


def body(**changes: Any) -> str:
    given_arguments: dict[str, Any] = {
        "pattern": "pi-{SerialNumber}",
        "listed": [],
        "existing_thing": "FAIL",
        "attributes": {"stack": "dev"},
        "policy_name": "devices",
        "thing_group": "things",
        **changes,
    }
    return fleet_policy.template_body(**given_arguments)


def may(action: str, resource: str, endpoint: str | None = VPCE) -> bool:
    document = json.loads(fleet_policy.claim_document(arn=ARN, template="fleet", vpc_endpoint_id=VPCE))
    context = {"aws:SourceVpce": endpoint} if endpoint else {}
    return judge({"claim": document}, Request(action, f"{ARN}:{resource}", context)).allowed


def test_a_claim_may_provision_and_nothing_else() -> None:
    create, register = "$aws/certificates/create-from-csr/json", "$aws/provisioning-templates/fleet/provision/json"
    for topic in (create, register):
        assert may("iot:Publish", f"topic/{topic}")
        assert may("iot:Receive", f"topic/{topic}/rejected")
        assert may("iot:Subscribe", f"topicfilter/{topic}/accepted")
        assert not may("iot:Subscribe", f"topicfilter/{topic}/#")
    assert not may("iot:Publish", "topic/$aws/certificates/create/json"), "keys are made on the device"
    assert not may("iot:Publish", "topic/$aws/provisioning-templates/other/provision/json")
    assert not may("iot:Publish", "topic/plant/pi-1/telemetry")


def test_a_claim_comes_over_the_vpc_endpoint_only_and_under_no_things_name() -> None:
    assert may("iot:Connect", "client/claim.01")
    assert not may("iot:Connect", "client/pi-01"), "it would throw the device out"
    for endpoint in (None, "vpce-0fedcba9876543210"):
        assert not may("iot:Connect", "client/claim.01", endpoint)
        assert not may("iot:Publish", "topic/$aws/certificates/create-from-csr/json", endpoint)


@given(st.from_regex(r"[a-zA-Z0-9:_-]{1,50}", fullmatch=True))
def test_the_template_makes_the_name_of_the_serial_number(serial: str) -> None:
    made = evaluate(parse(body()), {"SerialNumber": serial}, "c" * 64)
    assert made.thing is not None
    assert made.thing["ThingName"] == f"pi-{serial}"
    assert made.thing["AttributePayload"] == {"stack": "dev", "serialNumber": serial}
    assert (made.certificate_id, made.status) == ("c" * 64, "ACTIVE")
    assert made.policies == ({"PolicyName": "devices"},)


def test_a_list_lets_nobody_else_in() -> None:
    template = parse(body(listed=["01", "02"]))
    made = evaluate(template, {"SerialNumber": "02"}, "c")
    assert made.thing is not None
    assert made.thing["ThingName"] == "pi-02"
    with pytest.raises(TemplateError, match="FindInMap"):
        evaluate(template, {"SerialNumber": "03"}, "c")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"template_name": "a name"}, "template_name"),
        ({"template_name": "x" * 37}, "36"),
        ({"thing_name_pattern": "pi"}, "{SerialNumber} in it once"),
        ({"thing_name_pattern": "p/{SerialNumber}"}, "thing_name_pattern"),
        ({"thing_name_pattern": "x" * 64 + "{SerialNumber}"}, "64"),
        ({"serial_numbers": ["a-b"]}, "a-z A-Z 0-9"),
        ({"serial_numbers": [f"1000000{number:09x}" for number in range(400)]}, "10240"),
        ({"existing_thing": "REPLACE"}, "FAIL, DO_NOTHING"),
        ({"pre_provisioning_hook_arn": "hook"}, "Lambda"),
        ({"batches": {}}, "a batch at least"),
        ({"batches": {"spring": {**PATH, "vpn_config": None}}}, "lacks vpn_config"),
        ({"batches": {"spring": PATH}, "revoked": ["autumn"]}, "the batches are spring"),
    ],
)
def test_what_aws_would_refuse_is_refused_before(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ArgumentError, match=words.replace("{", r"\{")):
        IotFleetProvisioning.check(arguments)


def test_a_list_of_150_fits() -> None:
    IotFleetProvisioning.check({"serial_numbers": [f"1000000{number:09x}" for number in range(150)]})


def test_each_batch_has_a_claim_of_its_own_and_a_revoked_one_is_inactive() -> None:
    def program() -> None:
        fleet = IotFleetProvisioning(
            "fleet", {"batches": {"spring": PATH, "autumn": PATH}, "revoked": ["spring"], "template_name": "t"}
        )
        export(claims=fleet.claims)

    deployment = deploy(program)
    certificates = {one.name: one.inputs["active"] for one in deployment.of("Certificate")}
    assert certificates == {"spring-claim": False, "autumn-claim": True}
    assert len(deployment.of("ProvisioningTemplate")) == 1
    assert len(deployment.of("PolicyAttachment")) == 2
    assert deployment.one("TemplateVersions").urn in deployment.one("ProvisioningTemplate").dependencies


def test_without_boto3s_credentials_old_versions_stay() -> None:
    def program() -> None:
        IotFleetProvisioning("fleet", {"batches": {"spring": PATH}, "delete_old_versions": False})

    assert deploy(program).of("TemplateVersions") == []


@given(st.integers(1, 3_000_000), st.integers(1, 5))
def test_what_is_needed_is_enough_and_no_more(devices: int, zones: int) -> None:
    needs = fleet_needs(devices, zones=zones)
    assert needs.associations <= zones
    capacity = CONNECTIONS_BY_ASSOCIATIONS[needs.associations - 1]
    assert needs.client_vpn_endpoints * capacity >= devices
    assert (needs.client_vpn_endpoints - 1) * CONNECTIONS_BY_ASSOCIATIONS[zones - 1] < devices
    assert fleet_quotas.LARGEST_CLIENT_PREFIX <= needs.client_cidr_prefix <= fleet_quotas.SMALLEST_CLIENT_PREFIX
    each = -(-devices // needs.client_vpn_endpoints)
    assert connections_of(f"0.0.0.0/{needs.client_cidr_prefix}") >= each
    assert needs.vpc_endpoints * fleet_quotas.DEVICES_BY_VPC_ENDPOINT >= devices


def test_a_hundred_thousand_devices() -> None:
    needs = fleet_needs(100_000)
    assert (needs.client_vpn_endpoints, needs.associations, needs.client_cidr_prefix) == (1, 5, 14)
    assert (needs.vpc_endpoints, needs.reconnect_seconds) == (1, 200)
    assert needs.raised == [
        "connect requests per second of AWS IoT: 500, needed 1667 for all to be back within 60 s",
    ]
    assert fleet_needs(100_001).vpc_endpoints == 2
    assert fleet_needs(1).raised == []
    many = fleet_needs(1_000_000, zones=1)
    assert any("Client VPN endpoints per Region: 5, needed 143" in line for line in many.raised)
    assert any("500000, needed 1000000" in line for line in many.raised)


def test_numbers_out_of_range_are_refused() -> None:
    for devices, zones in ((0, 1), (1, 0), (1, 6)):
        with pytest.raises(ValueError, match="1 device or more"):
            fleet_needs(devices, zones=zones)
