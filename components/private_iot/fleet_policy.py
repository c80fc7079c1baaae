"""What a claim may do, and the template that makes things of devices. No Pulumi here.

Sources: AWS IoT developer guide, "Provisioning devices that don't have device certificates using fleet provisioning"
(the claim's policy), "Device provisioning MQTT API" (topics), "Provisioning templates" (form, intrinsic functions,
override settings); AWS IoT API reference, CreateProvisioningTemplate (limits).
"""

import json
import re
from collections.abc import Sequence
from typing import Any

from private_iot.arguments import string_list
from private_iot.errors import ArgumentError
from private_iot.names import COMMON_NAME_LIMIT

BODY_LIMIT = 10_240
"""Characters of a template's body."""
TEMPLATE_NAME_LIMIT = 36
SERIAL_NUMBER = "{SerialNumber}"
"""Stands in a pattern for what the device says of itself."""
CLAIM_CLIENT_ID = "claim."
"""What a client ID of a claim begins with. A thing's name has no dot, so that a claim cannot throw a device out."""
CREATE_CERTIFICATE = "$aws/certificates/create-from-csr/json"
_TEMPLATE_NAME = re.compile(r"[0-9A-Za-z_-]+")
_PATTERN_PART = re.compile(r"[a-zA-Z0-9:_-]*")
_LISTED = re.compile(r"[a-zA-Z0-9]{1,64}")
_HOOK = re.compile(r"arn:aws[\w-]*:lambda:[\w-]+:\d{12}:function:[\w:$-]+")


def template_name(argument: str, value: object) -> str:
    """Return the name of a provisioning template."""
    if not isinstance(value, str) or not _TEMPLATE_NAME.fullmatch(value) or len(value) > TEMPLATE_NAME_LIMIT:
        raise ArgumentError(
            argument,
            value,
            f"a provisioning template's name is 1 to {TEMPLATE_NAME_LIMIT} of a-z A-Z 0-9 _ -",
            "name it, for instance after the stack",
        )
    return value


def thing_name_pattern(argument: str, value: object) -> str:
    """Return a pattern of things' names, with `{SerialNumber}` in it once."""
    parts = value.split(SERIAL_NUMBER) if isinstance(value, str) else []
    if len(parts) != 2 or not all(_PATTERN_PART.fullmatch(part) for part in parts):
        raise ArgumentError(
            argument,
            value,
            f"it is made of a-z A-Z 0-9 : _ - and has {SERIAL_NUMBER} in it once",
            f"write it as pi-{SERIAL_NUMBER}",
        )
    rest = sum(map(len, parts))
    if rest >= COMMON_NAME_LIMIT:
        raise ArgumentError(
            argument, value, f"a name has at most {COMMON_NAME_LIMIT} characters, and {rest} stand there", "shorten it"
        )
    return str(value)


def serial_numbers(argument: str, values: object) -> list[str]:
    """Return the serial numbers that may be provisioned."""
    listed = string_list(argument, values)
    for one in listed:
        if not _LISTED.fullmatch(one):
            raise ArgumentError(
                argument, one, "a serial number in a list is 1 to 64 of a-z A-Z 0-9", "use a hook for others"
            )
    return listed


def hook_arn(argument: str, value: object) -> Any:
    """Return the ARN of a Lambda function, which may be still to come."""
    if isinstance(value, str) and not _HOOK.fullmatch(value):
        raise ArgumentError(
            argument,
            value,
            "it must be the ARN of a Lambda function",
            "write it as arn:aws:lambda:REGION:ACCOUNT:function:NAME",
        )
    return value


def claim_document(*, arn: str, template: str, vpc_endpoint_id: str) -> str:
    """Write the policy of a claim: to provision, through the VPC endpoint, and nothing else.

    Args:
        arn: `arn:PARTITION:iot:REGION:ACCOUNT`.
        template: The provisioning template's name.
        vpc_endpoint_id: The only way in, `vpce-…`.
    """
    topics = [CREATE_CERTIFICATE, f"$aws/provisioning-templates/{template}/provision/json"]
    answers = [f"{topic}/{answer}" for topic in topics for answer in ("accepted", "rejected")]

    def allowed(action: str, resources: Sequence[str]) -> dict[str, Any]:
        condition = {"StringEquals": {"aws:SourceVpce": vpc_endpoint_id}}
        return {"Effect": "Allow", "Action": action, "Resource": [*resources], "Condition": condition}

    statements = [
        allowed("iot:Connect", [f"{arn}:client/{CLAIM_CLIENT_ID}*"]),
        allowed("iot:Publish", [f"{arn}:topic/{topic}" for topic in topics]),
        allowed("iot:Receive", [f"{arn}:topic/{topic}" for topic in answers]),
        allowed("iot:Subscribe", [f"{arn}:topicfilter/{topic}" for topic in answers]),
    ]
    return json.dumps({"Version": "2012-10-17", "Statement": statements}, separators=(",", ":"))


def template_body(
    *,
    pattern: str,
    listed: Sequence[str],
    existing_thing: str,
    attributes: dict[str, str],
    policy_name: str,
    thing_group: str,
) -> str:
    """Write the provisioning template.

    Args:
        pattern: Of the things' names.
        listed: The serial numbers that may be provisioned; none is every one.
        existing_thing: What a thing that is there already means: `FAIL` or `DO_NOTHING`.
        attributes: Of every thing, beside its serial number.
        policy_name: The devices' policy.
        thing_group: The group that things join.
    """
    before, _, after = pattern.partition(SERIAL_NUMBER)
    number: dict[str, Any] = {"Ref": "SerialNumber"}
    mappings = {}
    if listed:
        # A key that is not there has no value, and the provisioning fails.
        mappings = {"Mappings": {"SerialNumbers": {one: {"Is": one} for one in listed}}}
        number = {"Fn::FindInMap": ["SerialNumbers", number, "Is"]}
    resources = {
        "thing": {
            "Type": "AWS::IoT::Thing",
            "Properties": {
                "ThingName": {"Fn::Join": ["", [part for part in (before, number, after) if part]]},
                "AttributePayload": {**attributes, "serialNumber": number},
                "ThingGroups": [thing_group],
            },
            "OverrideSettings": {"AttributePayload": existing_thing, "ThingGroups": existing_thing},
        },
        "certificate": {
            "Type": "AWS::IoT::Certificate",
            "Properties": {"CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}, "Status": "ACTIVE"},
        },
        "policy": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyName": policy_name}},
    }
    parameters = {"SerialNumber": {"Type": "String"}, "AWS::IoT::Certificate::Id": {"Type": "String"}}
    return json.dumps({"Parameters": parameters, **mappings, "Resources": resources}, separators=(",", ":"))


def check_body(argument: str, text: str, listed: Sequence[str]) -> str:
    """Refuse a body that is too long, which a long list makes."""
    if len(text) > BODY_LIMIT:
        raise ArgumentError(
            argument,
            f"a list of {len(listed)}",
            f"the template would have {len(text)} characters and AWS IoT takes {BODY_LIMIT}",
            "shorten the list, or let a pre-provisioning hook decide",
        )
    return text
