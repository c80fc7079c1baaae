"""Provisioning templates, and what the cloud answers to devices that ask over MQTT.

Cannot prove: AWS IoT's own error codes and messages, of which no page has a list (docs/fidelity/cloud.md).
"""

import json
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from lab.cloud import server
from tests.engine.cloud.certificates import request as csr_for
from tests.engine.cloud.conftest import REGION, refused

pytestmark = pytest.mark.engine

TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "iot.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
MANAGED = "arn:aws:iam::aws:policy/service-role/AWSIoTThingsRegistration"
HOOK = "arn:aws:lambda:ap-northeast-1:123456789012:function:hook"
POLICY = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iot:Connect", "Resource": "*"}]}
Ask = Callable[[str | None, dict[str, Any]], dict[str, Any]]


def template(**more: Any) -> dict[str, Any]:
    """A template as the components write it, with changes."""
    thing = {
        "Type": "AWS::IoT::Thing",
        "Properties": {
            "ThingName": {"Fn::Join": ["", ["pi-", {"Ref": "SerialNumber"}]]},
            "AttributePayload": {"serialNumber": {"Ref": "SerialNumber"}},
            "ThingGroups": ["fleet"],
        },
        "OverrideSettings": {"AttributePayload": "FAIL"},
    }
    certificate = {
        "Type": "AWS::IoT::Certificate",
        "Properties": {"CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}, "Status": "ACTIVE"},
    }
    policy = {"Type": "AWS::IoT::Policy", "Properties": {"PolicyName": "devices"}}
    return {
        "Parameters": {"SerialNumber": {"Type": "String"}, "AWS::IoT::Certificate::Id": {"Type": "String"}},
        "Resources": {"thing": thing, "certificate": certificate, "policy": policy},
        **more,
    }


@pytest.fixture(scope="module")
def iam(client: Callable[..., Any]) -> Any:
    return client("iam")


@pytest.fixture(scope="module")
def role(iam: Any, iot: Any) -> str:
    made: str = iam.create_role(RoleName="provisioning", AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]["Arn"]
    iam.attach_role_policy(RoleName="provisioning", PolicyArn=MANAGED)
    iot.create_thing_group(thingGroupName="fleet", tags=[{"Key": "owner", "Value": "plant"}])
    iot.create_policy(policyName="devices", policyDocument=json.dumps(POLICY))
    return made


@pytest.fixture
def fleet(iot: Any, role: str) -> Iterator[str]:
    iot.create_provisioning_template(
        templateName="fleet", templateBody=json.dumps(template()), enabled=True, provisioningRoleArn=role
    )
    yield "fleet"
    iot.delete_provisioning_template(templateName="fleet")


@pytest.fixture
def ask(cloud: server.CloudServer) -> Ask:
    def asked(name: str | None, payload: dict[str, Any]) -> dict[str, Any]:
        return _put(cloud, "iot/provisioning", {"region": REGION, "template": name, "payload": payload})

    return asked


def _put(cloud: server.CloudServer, path: str, body: dict[str, Any]) -> dict[str, Any]:
    request = urllib.request.Request(f"{cloud.url}/_lab/{path}", data=json.dumps(body).encode(), method="PUT")  # noqa: S310 - loopback
    with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310 - loopback
        answer: dict[str, Any] = json.load(response)
    return answer


def certificate(ask: Ask) -> dict[str, Any]:
    csr = csr_for(ec.generate_private_key(ec.SECP256R1()), "10000000abcdef01")
    answer = ask(None, {"certificateSigningRequest": csr})
    assert answer["accepted"]
    payload: dict[str, Any] = answer["payload"]
    return payload


def test_a_device_gets_its_thing_certificate_group_and_policy(iot: Any, fleet: str, ask: Ask) -> None:
    made = certificate(ask)
    described = iot.describe_certificate(certificateId=made["certificateId"])["certificateDescription"]
    assert (described["status"], described["certificatePem"]) == ("PENDING_ACTIVATION", made["certificatePem"])
    payload = {
        "certificateOwnershipToken": made["certificateOwnershipToken"],
        "parameters": {"SerialNumber": "01", "further": "for the hook alone"},
    }
    answer = ask(fleet, payload)
    assert answer["payload"] == {"thingName": "pi-01", "deviceConfiguration": {}}
    described = iot.describe_certificate(certificateId=made["certificateId"])["certificateDescription"]
    assert described["status"] == "ACTIVE"
    assert iot.describe_thing(thingName="pi-01")["attributes"] == {"serialNumber": "01"}
    assert iot.list_things_in_thing_group(thingGroupName="fleet")["things"] == ["pi-01"]
    assert iot.list_thing_principals(thingName="pi-01")["principals"] == [described["certificateArn"]]
    attached = iot.list_attached_policies(target=described["certificateArn"])["policies"]
    assert [one["policyName"] for one in attached] == ["devices"]
    assert answer["known"] == {
        "certificates": {
            made["certificateId"]: {
                "status": "ACTIVE",
                "policies": ["devices"],
                "things": ["pi-01"],
                "certificatePem": made["certificatePem"],
            }
        },
        "things": {"pi-01": {"thingTypeName": None, "attributes": {"serialNumber": "01"}}},
        "policies": {"devices": POLICY},
    }
    iot.detach_thing_principal(thingName="pi-01", principal=described["certificateArn"])
    iot.delete_thing(thingName="pi-01")
    assert iot.list_things_in_thing_group(thingGroupName="fleet")["things"] == []
    again = ask(fleet, payload)
    assert (again["accepted"], again["payload"]["errorCode"]) == (False, "InvalidCertificateOwnershipToken")


def test_what_is_not_as_it_should_be_is_rejected_and_nothing_changes(
    iot: Any, iam: Any, fleet: str, ask: Ask, cloud: server.CloudServer
) -> None:
    made = certificate(ask)
    token = made["certificateOwnershipToken"]
    iot.create_thing(thingName="pi-taken")

    def rejected(name: str, parameters: Any, with_token: str = token) -> tuple[int, str, str]:
        answer = ask(name, {"certificateOwnershipToken": with_token, "parameters": parameters})
        assert not answer["accepted"]
        assert answer["known"] == {}
        found = answer["payload"]
        return found["statusCode"], found["errorCode"], found["errorMessage"]

    good = {"SerialNumber": "02"}
    assert rejected(fleet, good, "")[1:] == (
        "InvalidCertificateOwnershipToken",
        "Certificate ownership token cannot be empty.",
    )
    assert rejected(fleet, good, "another")[1] == "InvalidCertificateOwnershipToken"
    assert rejected("nothing", good)[1] == "InvalidTemplate"
    assert "SerialNumber was not supplied" in rejected(fleet, {})[2]
    assert rejected(fleet, {"SerialNumber": "no thing's name"})[1] == "InvalidParameters"
    assert rejected(fleet, {"SerialNumber": "taken"})[:2] == (409, "ResourceConflict")
    iot.update_provisioning_template(templateName=fleet, enabled=False)
    assert rejected(fleet, good)[1] == "InvalidTemplate"
    hook = {"targetArn": HOOK}
    iot.update_provisioning_template(templateName=fleet, enabled=True, preProvisioningHook=hook)
    assert iot.describe_provisioning_template(templateName=fleet)["preProvisioningHook"] == {
        **hook,
        "payloadVersion": "2020-04-01",
    }
    _put(cloud, "iot/provisioning-hook", {"region": REGION, "targetArn": HOOK, "denied": ["02"]})
    assert rejected(fleet, good)[:2] == (403, "AccessDenied")
    iot.update_provisioning_template(templateName=fleet, removePreProvisioningHook=True)
    iam.detach_role_policy(RoleName="provisioning", PolicyArn=MANAGED)
    assert "iot:CreateThing" in rejected(fleet, good)[2]
    iam.attach_role_policy(RoleName="provisioning", PolicyArn=MANAGED)
    described = iot.describe_certificate(certificateId=made["certificateId"])["certificateDescription"]
    assert described["status"] == "PENDING_ACTIVATION"
    assert ask(fleet, {"certificateOwnershipToken": token, "parameters": good})["accepted"]
    assert not ask(None, {"certificateSigningRequest": "nonsense"})["accepted"]


def test_a_list_of_serial_numbers_refuses_all_others(iot: Any, role: str, ask: Ask) -> None:
    listed = template(Mappings={"SerialNumbers": {"03": {"Is": "03"}}})
    listed["Resources"]["thing"]["Properties"]["ThingName"] = {
        "Fn::Join": ["", ["listed-", {"Fn::FindInMap": ["SerialNumbers", {"Ref": "SerialNumber"}, "Is"]}]]
    }
    body = json.dumps(listed)
    iot.create_provisioning_template(templateName="listed", templateBody=body, enabled=True, provisioningRoleArn=role)
    token = certificate(ask)["certificateOwnershipToken"]
    answer = ask("listed", {"certificateOwnershipToken": token, "parameters": {"SerialNumber": "04"}})
    assert answer["payload"]["errorCode"] == "InvalidParameters"
    answer = ask("listed", {"certificateOwnershipToken": token, "parameters": {"SerialNumber": "03"}})
    assert answer["payload"]["thingName"] == "listed-03"
    iot.delete_provisioning_template(templateName="listed")


def test_a_template_that_is_none_is_refused(iot: Any, iam: Any, role: str) -> None:
    def create(body: Any, name: str = "bad", arn: str = role) -> None:
        text = body if isinstance(body, str) else json.dumps(body)
        iot.create_provisioning_template(templateName=name, templateBody=text, provisioningRoleArn=arn)

    resources = template()["Resources"]
    with refused("InvalidRequestException", "not JSON"):
        create("{")
    with refused("InvalidRequestException", "unknown section"):
        create(template(Outputs={}))
    with refused("InvalidRequestException", "Type has to be"):
        create({"Resources": {**resources, "role": {"Type": "AWS::IAM::Role"}}})
    with refused("InvalidRequestException", "one certificate"):
        create({"Resources": {"thing": resources["thing"]}})
    with refused("InvalidRequestException", "OverrideSettings"):
        create({"Resources": {**resources, "thing": {**resources["thing"], "OverrideSettings": {"ThingName": "FAIL"}}}})
    with refused("InvalidRequestException", "10240"):
        create(template(DeviceConfiguration={"padding": "x" * 10_240}))
    with refused("InvalidRequestException", "cannot be assumed"):
        create(template(), arn="arn:aws:iam::123456789012:role/nobody")
    iam.create_role(
        RoleName="other", AssumeRolePolicyDocument=json.dumps(TRUST).replace("iot.amazonaws", "ec2.amazonaws")
    )
    with refused("InvalidRequestException", "cannot be assumed"):
        create(template(), arn="arn:aws:iam::123456789012:role/other")
    create(template())
    with refused("ResourceAlreadyExistsException"):
        create(template())
    iot.delete_provisioning_template(templateName="bad")
    with refused("ResourceNotFoundException"):
        iot.describe_provisioning_template(templateName="bad")


def test_a_template_has_five_versions_at_most(iot: Any, fleet: str) -> None:
    for number in range(2, 6):
        body = json.dumps(template(DeviceConfiguration={"number": str(number)}))
        made = iot.create_provisioning_template_version(templateName=fleet, templateBody=body, setAsDefault=True)
        assert (made["versionId"], made["isDefaultVersion"]) == (number, True)
    described = iot.describe_provisioning_template(templateName=fleet)
    assert (described["defaultVersionId"], described["templateBody"]) == (5, body)
    with refused("VersionsLimitExceededException"):
        iot.create_provisioning_template_version(templateName=fleet, templateBody=body)
    with refused("DeleteConflictException"):
        iot.delete_provisioning_template_version(templateName=fleet, versionId=5)
    iot.delete_provisioning_template_version(templateName=fleet, versionId=1)
    versions = iot.list_provisioning_template_versions(templateName=fleet)["versions"]
    assert [one["versionId"] for one in versions] == [2, 3, 4, 5]
    made = iot.create_provisioning_template_version(templateName=fleet, templateBody=body)
    assert (made["versionId"], made["isDefaultVersion"]) == (6, False)


def test_templates_and_thing_groups_have_tags(iot: Any, fleet: str) -> None:
    arn = iot.describe_provisioning_template(templateName=fleet)["templateArn"]
    iot.tag_resource(resourceArn=arn, tags=[{"Key": "owner", "Value": "plant"}])
    assert iot.list_tags_for_resource(resourceArn=arn)["tags"] == [{"Key": "owner", "Value": "plant"}]
    group = iot.describe_thing_group(thingGroupName="fleet")["thingGroupArn"]
    assert iot.list_tags_for_resource(resourceArn=group)["tags"] == [{"Key": "owner", "Value": "plant"}]


def test_the_policies_of_aws_are_there_and_one_s_own_beside_them(iam: Any) -> None:
    of_aws = {policy["Arn"] for policy in iam.list_policies(Scope="AWS", MaxItems=1000)["Policies"]}
    assert len(of_aws) == 1000
    own = iam.create_policy(PolicyName="own", PolicyDocument=json.dumps(POLICY))["Policy"]["Arn"]
    assert [policy["Arn"] for policy in iam.list_policies(Scope="Local")["Policies"]] == [own]
    assert iam.get_policy(PolicyArn=MANAGED)["Policy"]["PolicyName"] == "AWSIoTThingsRegistration"
    iam.delete_policy(PolicyArn=own)
    assert iam.list_policies(Scope="Local")["Policies"] == []
