"""`aws:iot/policy:Policy`. Source: terraform-provider-aws ``internal/service/iot/policy.go``.

A change makes a new version and takes it as the default; when there are five already, the lowest goes first.
"""

from typing import Any

from lab.providers.aws.clients import code_of
from lab.providers.aws.common import REGION, TAGS, attempt, has_code, json_document, same_policy, unless_gone
from lab.providers.aws.tags import changes, from_list, to_list
from lab.providers.schema import AutoName, Resource, Timeouts, string
from lab.providers.values import Properties
from lab.providers.waiting import Call

_GONE = ("ResourceNotFoundException",)


def _create(call: Call, inputs: Properties) -> str:
    iot = call.client("iot")
    name = inputs["name"]
    tags = {"tags": to_list(inputs["tagsAll"])} if inputs.get("tagsAll") else {}
    answer = attempt(
        f"creating IoT Policy ({name})",
        lambda: iot.create_policy(policyName=name, policyDocument=inputs["policy"], **tags),
    )
    return str(answer["policyName"])


def _read(call: Call, identifier: str, state: Properties) -> Properties | None:
    iot = call.client("iot")
    found = unless_gone(f"reading IoT Policy ({identifier})", _GONE, lambda: iot.get_policy(policyName=identifier))
    if found is None:
        return None
    document = found["policyDocument"]
    if state.get("policy") and same_policy(state["policy"], document):
        document = state["policy"]
    return {
        "arn": found["policyArn"],
        "defaultVersionId": found["defaultVersionId"],
        "name": found["policyName"],
        "policy": document,
        "tagsAll": _tags(call, found["policyArn"]),
    }


def _tags(call: Call, arn: str) -> dict[str, str]:
    iot = call.client("iot")
    answer = attempt(f"listing tags for IoT Policy ({arn})", lambda: iot.list_tags_for_resource(resourceArn=arn))
    return from_list(answer.get("tags"))


def _update(call: Call, identifier: str, state: Properties, inputs: Properties, changed: frozenset[str]) -> None:
    iot = call.client("iot")
    if "policy" in changed:
        what = f"updating IoT Policy ({identifier})"

        def new_version() -> Any:
            return iot.create_policy_version(policyName=identifier, policyDocument=inputs["policy"], setAsDefault=True)

        try:
            new_version()
        except Exception as error:  # noqa: BLE001 - told by its code below
            if code_of(error) == "VersionsLimitExceededException":
                _prune(call, identifier)
            attempt(what, new_version)
    if "tagsAll" in changed:
        put, removed = changes(state, inputs)
        arn, what = state["arn"], f"updating tags of IoT Policy ({identifier})"
        if removed:
            attempt(what, lambda: iot.untag_resource(resourceArn=arn, tagKeys=removed))
        if put:
            attempt(what, lambda: iot.tag_resource(resourceArn=arn, tags=to_list(put)))


def _versions(call: Call, identifier: str) -> list[str] | None:
    """The ids of the versions that are not the default, lowest first; None when the policy is gone."""
    iot = call.client("iot")
    versions = unless_gone(
        f"reading IoT Policy ({identifier}) versions",
        _GONE,
        lambda: iot.list_policy_versions(policyName=identifier)["policyVersions"],
    )
    if versions is None:
        return None
    return sorted((v["versionId"] for v in versions if not v["isDefaultVersion"]), key=int)


def _prune(call: Call, identifier: str) -> None:
    for version in (_versions(call, identifier) or [])[:1]:
        _delete_version(call, identifier, version)


def _delete_version(call: Call, identifier: str, version: str) -> None:
    iot = call.client("iot")
    unless_gone(
        f"deleting IoT Policy ({identifier}) version ({version})",
        _GONE,
        lambda: iot.delete_policy_version(policyName=identifier, policyVersionId=version),
    )


def _delete(call: Call, identifier: str, state: Properties) -> None:
    del state
    versions = _versions(call, identifier)
    if versions is None:
        return
    for version in versions:
        _delete_version(call, identifier, version)
    iot = call.client("iot")
    what = f"deleting IoT Policy ({identifier})"
    unless_gone(
        what,
        _GONE,
        lambda: call.retry(
            what,
            lambda: iot.delete_policy(policyName=identifier),
            while_error=has_code("DeleteConflictException"),
        ),
    )


RESOURCES = {
    "aws:iot/policy:Policy": Resource(
        type="aws:iot/policy:Policy",
        title="IoT Policy",
        inputs={
            **REGION,
            **TAGS,
            "name": string(force_new=True),
            "policy": string(required=True, validate=json_document, same=same_policy),
        },
        outputs={"arn": string(), "defaultVersionId": string()},
        autoname=AutoName(),
        create=_create,
        read=_read,
        update=_update,
        delete=_delete,
        timeouts=Timeouts(update=60, delete=300),
        import_id="name",
    )
}
