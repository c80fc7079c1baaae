"""`aws:iot/thing:Thing`. Source: terraform-provider-aws ``internal/service/iot/thing.go``."""

from lab.providers.aws.common import REGION, attempt, unless_gone
from lab.providers.schema import AutoName, Resource, integer, map_of_strings, string
from lab.providers.values import Properties
from lab.providers.waiting import Call

_GONE = ("ResourceNotFoundException",)


def _create(call: Call, inputs: Properties) -> str:
    iot = call.client("iot")
    name = str(inputs["name"])
    arguments = {"thingTypeName": inputs["thingTypeName"]} if inputs.get("thingTypeName") else {}
    if inputs.get("attributes"):
        arguments["attributePayload"] = {"attributes": inputs["attributes"]}
    attempt(f"creating IoT Thing ({name})", lambda: iot.create_thing(thingName=name, **arguments))
    return name


def _read(call: Call, identifier: str, state: Properties) -> Properties | None:
    del state
    iot = call.client("iot")
    thing = unless_gone(f"reading IoT Thing ({identifier})", _GONE, lambda: iot.describe_thing(thingName=identifier))
    if thing is None:
        return None
    return {
        "arn": thing["thingArn"],
        "attributes": dict(thing.get("attributes") or {}) or None,
        "defaultClientId": thing.get("defaultClientId"),
        "name": thing["thingName"],
        "thingTypeName": thing.get("thingTypeName"),
        "version": thing.get("version"),
    }


def _update(call: Call, identifier: str, state: Properties, inputs: Properties, changed: frozenset[str]) -> None:
    del state
    iot = call.client("iot")
    arguments: Properties = {}
    if "thingTypeName" in changed:
        if inputs.get("thingTypeName"):
            arguments["thingTypeName"] = inputs["thingTypeName"]
        else:
            arguments["removeThingType"] = True
    if "attributes" in changed:
        arguments["attributePayload"] = {"attributes": inputs.get("attributes") or {}}  # not merged: replaced
    if arguments:
        attempt(f"updating IoT Thing ({identifier})", lambda: iot.update_thing(thingName=identifier, **arguments))


def _delete(call: Call, identifier: str, state: Properties) -> None:
    del state
    iot = call.client("iot")
    unless_gone(f"deleting IoT Thing ({identifier})", _GONE, lambda: iot.delete_thing(thingName=identifier))


def _name(value: str) -> str | None:
    if 1 <= len(value) <= 128:
        return None
    return f"expected length of name to be in the range (1 - 128), got {value!r} of {len(value)}"


RESOURCES = {
    "aws:iot/thing:Thing": Resource(
        type="aws:iot/thing:Thing",
        title="IoT Thing",
        inputs={
            **REGION,
            "attributes": map_of_strings(),
            "name": string(force_new=True, validate=_name),
            "thingTypeName": string(),
        },
        outputs={"arn": string(), "defaultClientId": string(), "version": integer()},
        autoname=AutoName(),
        create=_create,
        read=_read,
        update=_update,
        delete=_delete,
        import_id="name",
    )
}
