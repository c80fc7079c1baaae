"""AWS IoT's provisioning templates and thing groups.

Source: terraform-provider-aws ``internal/service/iot/{provisioning_template,thing_group}.go``.
"""

import json
import re

from lab.providers.aws.clients import attempt
from lab.providers.aws.common import arn
from lab.providers.aws.description import Answer, Description, settled
from lab.providers.schema import AutoName, Timeouts, boolean, integer, list_of, map_of_strings, object_of, string
from lab.providers.values import Properties
from lab.providers.waiting import Call

_GONE = ("ResourceNotFoundException",)
_BODY_LIMIT = 10_240


def _template_name(value: str) -> str | None:
    if re.fullmatch(r"[0-9A-Za-z_-]{1,36}", value):
        return None
    return f"expected name to be 1 to 36 alphanumeric characters and/or the following: _-, got {value!r}"


def _body(value: str) -> str | None:
    try:
        json.loads(value)
    except ValueError as error:
        return f'"template_body" contains an invalid JSON: {error}'
    if len(value) > _BODY_LIMIT:
        return f"expected length of template_body to be in the range (0 - {_BODY_LIMIT}), got {len(value)}"
    return None


def _template_changes(state: Properties, inputs: Properties, changed: frozenset[str]) -> Answer:
    """All that UpdateProvisioningTemplate has is sent when one part changes; a hook that goes is not taken away."""
    del state
    if not changed & {"description", "enabled", "preProvisioningHook", "provisioningRoleArn"}:
        return {}
    arguments: Answer = {
        "description": inputs.get("description") or "",
        "enabled": bool(inputs.get("enabled")),
        "provisioningRoleArn": inputs["provisioningRoleArn"],
    }
    if inputs.get("preProvisioningHook"):
        arguments["preProvisioningHook"] = inputs["preProvisioningHook"]
    return arguments


def _new_version(call: Call, identifier: str, state: Properties, inputs: Properties, changed: frozenset[str]) -> None:
    """A changed body is a new version, the default at once; the provider deletes no old one, and AWS takes five."""
    del state
    if "templateBody" in changed:
        iot, body = call.client("iot"), inputs["templateBody"]
        attempt(
            f"creating IoT Provisioning Template ({identifier}) version",
            lambda: iot.create_provisioning_template_version(
                templateName=identifier, templateBody=body, setAsDefault=True
            ),
        )


_PROVISIONING_TEMPLATE = Description(
    type="aws:iot/provisioningTemplate:ProvisioningTemplate",
    title="IoT Provisioning Template",
    service="iot",
    inputs={
        "description": string(),
        "enabled": boolean(default=False),
        "name": string(force_new=True, validate=_template_name),
        "preProvisioningHook": object_of(
            {
                "payloadVersion": string(default="2020-04-01", allowed=("2020-04-01",)),
                "targetArn": string(required=True, validate=arn),
            }
        ),
        "provisioningRoleArn": string(required=True, validate=arn),
        "templateBody": string(required=True, validate=_body),
        "type": string(computed=True, force_new=True, allowed=("FLEET_PROVISIONING", "JITP")),
    },
    outputs={"defaultVersionId": integer()},
    find=("describe_provisioning_template", "templateName", ""),
    gone=_GONE,
    create=("create_provisioning_template", "templateName"),
    sent=("description", "name", "preProvisioningHook", "provisioningRoleArn", "templateBody", "type"),
    always=("enabled",),
    fields={"arn": "templateArn", "name": "templateName"},
    tags="iot",
    modify=("update_provisioning_template", "templateName"),
    changed_arguments=_template_changes,
    more=_new_version,
    delete=("delete_provisioning_template", "templateName"),
)


def _group_arguments(call: Call, inputs: Properties) -> Answer:
    del call
    return {"thingGroupProperties": _group_properties(inputs)} if inputs.get("properties") else {}


def _group_properties(inputs: Properties) -> Answer:
    given = inputs.get("properties") or {}
    attributes = (given.get("attributePayload") or {}).get("attributes") or {}
    found: Answer = {"attributePayload": {"attributes": attributes}}
    if given.get("description"):
        found["thingGroupDescription"] = given["description"]
    return found


def _group_changes(state: Properties, inputs: Properties, changed: frozenset[str]) -> Answer:
    if "properties" not in changed:
        return {}
    return {"thingGroupProperties": _group_properties(inputs), "expectedVersion": int(state["version"])}


def _group_seen(_call: Call, group: Answer, _state: Properties) -> Properties:
    given, metadata = group.get("thingGroupProperties") or {}, group.get("thingGroupMetadata") or {}
    properties: Properties = {}
    if (given.get("attributePayload") or {}).get("attributes"):
        properties["attributePayload"] = {"attributes": given["attributePayload"]["attributes"]}
    if given.get("thingGroupDescription"):
        properties["description"] = given["thingGroupDescription"]
    return {"parentGroupName": metadata.get("parentGroupName"), "properties": properties or None}


_THING_GROUP = Description(
    type="aws:iot/thingGroup:ThingGroup",
    title="IoT Thing Group",
    service="iot",
    inputs={
        "name": string(force_new=True),
        "parentGroupName": string(force_new=True),
        "properties": object_of(
            {"attributePayload": object_of({"attributes": map_of_strings()}), "description": string()}
        ),
    },
    outputs={"metadatas": list_of(string()), "version": integer()},
    find=("describe_thing_group", "thingGroupName", ""),
    gone=_GONE,
    create=("create_thing_group", "thingGroupName"),
    sent=("name", "parentGroupName"),
    fields={"arn": "thingGroupArn", "name": "thingGroupName"},
    tags="iot",
    arguments=_group_arguments,
    seen=_group_seen,
    modify=("update_thing_group", "thingGroupName"),
    changed_arguments=_group_changes,
    delete=("delete_thing_group", "thingGroupName"),
)

RESOURCES = settled(
    (
        _PROVISIONING_TEMPLATE.resource(autoname=AutoName()),
        _THING_GROUP.resource(autoname=AutoName(), timeouts=Timeouts(delete=60)),
    )
)
