"""AWS IoT's provisioning templates and thing groups.

Source: terraform-provider-aws ``internal/service/iot/{provisioning_template,thing_group}.go``.
"""

import json
import re
from typing import Any

from lab.providers.aws.common import arn
from lab.providers.aws.description import Description, Operation, served
from lab.providers.aws.shapes import Answer
from lab.providers.schema import AutoName, Timeouts, boolean, integer, list_of, map_of_strings, object_of, string

_COMMON: dict[str, Any] = {"service": "iot", "gone": ("ResourceNotFoundException",), "tags": True}
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


def _new_version(op: Operation) -> None:
    """A changed body is a new version, the default at once; the provider deletes no old one, and AWS takes five."""
    if "templateBody" in op.changed:
        op.api.create_provisioning_template_version(
            templateName=op.id, templateBody=op.inputs["templateBody"], setAsDefault=True
        )


_PROVISIONING_TEMPLATE = Description(
    type="aws:iot/provisioningTemplate:ProvisioningTemplate",
    title="IoT Provisioning Template",
    autoname=AutoName(),
    **_COMMON,
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
    create=("create_provisioning_template", "templateName"),
    always=("enabled",),
    # A hook that goes is not taken away: the provider never sends removePreProvisioningHook.
    modify=("update_provisioning_template", "templateName"),
    whole=True,
    emptied=("description",),
    fields={"arn": "templateArn", "name": "templateName"},
    more=_new_version,
    delete=("delete_provisioning_template", "templateName"),
)


def _group_changes(op: Operation) -> Answer:
    """The properties as a whole, empty where they go, for the version that was read."""
    if "properties" not in op.changed:
        return {}
    given = op.inputs.get("properties") or {}
    attributes = (given.get("attributePayload") or {}).get("attributes") or {}
    properties: Answer = {"attributePayload": {"attributes": attributes}}
    if given.get("description"):
        properties["thingGroupDescription"] = given["description"]
    return {"thingGroupProperties": properties, "expectedVersion": int(op.state["version"])}


_THING_GROUP = Description(
    type="aws:iot/thingGroup:ThingGroup",
    title="IoT Thing Group",
    autoname=AutoName(),
    timeouts=Timeouts(delete=60),
    **_COMMON,
    inputs={
        "name": string(force_new=True),
        "parentGroupName": string(force_new=True),
        "properties": object_of(
            {"attributePayload": object_of({"attributes": map_of_strings()}), "description": string()}
        ),
    },
    outputs={"metadatas": list_of(string()), "version": integer()},
    find=("describe_thing_group", "thingGroupName", ""),
    create=("create_thing_group", "thingGroupName"),
    modify=("update_thing_group", "thingGroupName"),
    changed_arguments=_group_changes,
    fields={
        "arn": "thingGroupArn",
        "name": "thingGroupName",
        "parentGroupName": "thingGroupMetadata.parentGroupName",
        "properties": "thingGroupProperties",
        "description": "thingGroupDescription",
    },
    delete=("delete_thing_group", "thingGroupName"),
)

RESOURCES = served(_PROVISIONING_TEMPLATE, _THING_GROUP)
