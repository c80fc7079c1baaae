"""AWS IoT's things, certificates, policies, attachments and role aliases.

Source: terraform-provider-aws ``internal/service/iot/{thing,certificate,policy,policy_attachment,role_alias}.go`` and
``thing_principal_attachment.go``. Every change of an attachment replaces it; its id is `policy|target` or
`thing|principal`.
"""

from lab.providers.aws.clients import attempt, unless_gone
from lab.providers.aws.common import arn, document_of, json_document, normal_json, same_policy, split_id
from lab.providers.aws.description import Answer, Description, settled
from lab.providers.errors import Failure
from lab.providers.schema import AutoName, Created, Timeouts, boolean, integer, map_of_strings, string
from lab.providers.values import Properties
from lab.providers.waiting import Call

_GONE = ("ResourceNotFoundException",)
_MAX_VERSIONS = 5


def _thing_name(value: str) -> str | None:
    if 1 <= len(value) <= 128:
        return None
    return f"expected length of name to be in the range (1 - 128), got {value!r} of {len(value)}"


def _thing_arguments(call: Call, inputs: Properties) -> Answer:
    del call
    return {"attributePayload": {"attributes": inputs["attributes"]}} if inputs.get("attributes") else {}


def _thing_changes(state: Properties, inputs: Properties, changed: frozenset[str]) -> Answer:
    del state
    arguments: Answer = {}
    if "thingTypeName" in changed and not inputs.get("thingTypeName"):
        arguments["removeThingType"] = True
    if "attributes" in changed:
        arguments["attributePayload"] = {"attributes": inputs.get("attributes") or {}}  # not merged: replaced
    return arguments


_THING = Description(
    type="aws:iot/thing:Thing",
    title="IoT Thing",
    service="iot",
    inputs={
        "attributes": map_of_strings(),
        "name": string(force_new=True, validate=_thing_name),
        "thingTypeName": string(),
    },
    outputs={"defaultClientId": string(), "version": integer()},
    find=("describe_thing", "thingName", ""),
    gone=_GONE,
    create=("create_thing", "thingName"),
    sent=("name", "thingTypeName"),
    fields={"arn": "thingArn", "name": "thingName"},
    modify=("update_thing", "thingName"),
    modified=("thingTypeName",),
    arguments=_thing_arguments,
    changed_arguments=_thing_changes,
    delete=("delete_thing", "thingName"),
)


def _create_certificate(call: Call, inputs: Properties) -> str | Created:
    """By a request, by a certificate of one's own (with or without its CA), or else AWS makes a key pair.

    Only the answer to the last holds the keys: the state then keeps them, as secrets.
    """
    iot, active = call.client("iot"), bool(inputs["active"])
    status = "ACTIVE" if active else "INACTIVE"
    request, pem, authority = inputs.get("csr"), inputs.get("certificatePem"), inputs.get("caPem")
    if request:
        answer = attempt(
            "creating IoT Certificate from CSR",
            lambda: iot.create_certificate_from_csr(certificateSigningRequest=request, setAsActive=active),
        )
    elif pem and authority:
        answer = attempt(
            "registering IoT Certificate with CA",
            lambda: iot.register_certificate(certificatePem=pem, caCertificatePem=authority, status=status),
        )
    elif pem:
        answer = attempt(
            "registering IoT Certificate without CA",
            lambda: iot.register_certificate_without_ca(certificatePem=pem, status=status),
        )
    else:
        answer = attempt("creating IoT Certificate", lambda: iot.create_keys_and_certificate(setAsActive=active))
        pair = answer["keyPair"]
        keys = {"publicKey": pair["PublicKey"], "privateKey": pair["PrivateKey"]}
        return Created(str(answer["certificateId"]), keys)
    return str(answer["certificateId"])


def _set_status(call: Call, identifier: str, status: str) -> None:
    iot, what = call.client("iot"), f"updating IoT Certificate ({identifier})"
    unless_gone(what, _GONE, lambda: iot.update_certificate(certificateId=identifier, newStatus=status))


def _certificate_changed(
    call: Call, identifier: str, state: Properties, inputs: Properties, changed: frozenset[str]
) -> None:
    del state, changed
    _set_status(call, identifier, "ACTIVE" if inputs["active"] else "INACTIVE")


def _disable(call: Call, identifier: str, state: Properties) -> None:
    if state.get("active"):
        _set_status(call, identifier, "INACTIVE")


def _check_certificate(inputs: Properties) -> list[Failure]:
    request = inputs.get("csr")
    if isinstance(request, str) and "CERTIFICATE REQUEST-----" not in request:
        return [Failure("csr", "not a PEM certificate request: there is no -----BEGIN CERTIFICATE REQUEST-----")]
    return []


_CERTIFICATE = Description(
    type="aws:iot/certificate:Certificate",
    title="IoT Certificate",
    service="iot",
    inputs={
        "active": boolean(required=True),
        "caPem": string(force_new=True, secret=True),
        "certificatePem": string(computed=True, force_new=True, secret=True),
        "csr": string(force_new=True),
    },
    outputs={"caCertificateId": string(), "privateKey": string(secret=True), "publicKey": string(secret=True)},
    find=("describe_certificate", "certificateId", "certificateDescription"),
    gone=_GONE,
    create=_create_certificate,
    fields={"arn": "certificateArn"},
    kept=("caPem", "csr", "privateKey", "publicKey"),
    seen=lambda _call, certificate, _state: {"active": certificate["status"] == "ACTIVE"},
    more=_certificate_changed,
    before_delete=_disable,
    delete=("delete_certificate", "certificateId"),
)


def _new_version(call: Call, identifier: str, state: Properties, inputs: Properties, changed: frozenset[str]) -> None:
    """A change makes a new version and takes it as the default; when there are five already, the lowest goes first."""
    del state
    if "policy" not in changed:
        return
    iot, document = call.client("iot"), normal_json(inputs["policy"])
    versions = iot.list_policy_versions(policyName=identifier)["policyVersions"]
    if len(versions) == _MAX_VERSIONS:
        _delete_versions(call, identifier, 1)
    attempt(
        f"updating IoT Policy ({identifier})",
        lambda: iot.create_policy_version(policyName=identifier, policyDocument=document, setAsDefault=True),
    )


def _delete_versions(call: Call, identifier: str, count: int = _MAX_VERSIONS) -> None:
    """Deletes versions that are not the default, lowest first."""
    iot, what = call.client("iot"), f"deleting IoT Policy ({identifier}) version"
    versions = unless_gone(what, _GONE, lambda: iot.list_policy_versions(policyName=identifier)["policyVersions"]) or []
    old = sorted((v["versionId"] for v in versions if not v["isDefaultVersion"]), key=int)
    for number in old[:count]:
        one = {"policyName": identifier, "policyVersionId": number}
        unless_gone(what, _GONE, lambda one=one: iot.delete_policy_version(**one))  # type: ignore[misc]


_POLICY = Description(
    type="aws:iot/policy:Policy",
    title="IoT Policy",
    service="iot",
    inputs={
        "name": string(force_new=True),
        "policy": string(required=True, validate=json_document, same=same_policy, normal=normal_json),
    },
    outputs={"defaultVersionId": string()},
    find=("get_policy", "policyName", ""),
    gone=_GONE,
    create=("create_policy", "policyName"),
    sent=("name",),
    fields={"arn": "policyArn", "name": "policyName", "policy": "policyDocument"},
    tags="iot",
    arguments=lambda _call, inputs: {"policyDocument": normal_json(inputs["policy"])},
    seen=lambda _call, policy, state: {"policy": document_of(policy["policyDocument"], state.get("policy"))},
    more=_new_version,
    before_delete=lambda call, identifier, _state: _delete_versions(call, identifier),
    delete=("delete_policy", "policyName"),
    busy=("DeleteConflictException",),
)


def _find_attached_policy(call: Call, identifier: str, _known: Properties) -> Answer | None:
    policy, target = split_id(identifier, "|", 2, "policy-name|target")
    pages = call.client("iot").get_paginator("list_attached_policies").paginate(target=target, recursive=False)
    attached = any(entry["policyName"] == policy for page in pages for entry in page["policies"])
    return {"policy": policy, "target": target} if attached else None


def _detach_policy(call: Call, identifier: str, _state: Properties) -> None:
    policy, target = split_id(identifier, "|", 2, "policy-name|target")
    call.client("iot").detach_policy(policyName=policy, target=target)


_POLICY_ATTACHMENT = Description(
    type="aws:iot/policyAttachment:PolicyAttachment",
    title="IoT Policy Attachment",
    service="iot",
    inputs={"policy": string(required=True), "target": string(required=True)},
    find=_find_attached_policy,
    gone=_GONE,
    create=("attach_policy", lambda _answer, inputs: f"{inputs['policy']}|{inputs['target']}"),
    sent=("target",),
    arguments=lambda _call, inputs: {"policyName": inputs["policy"]},
    delete=_detach_policy,
)


def _find_principal(call: Call, identifier: str, known: Properties) -> Answer | None:
    thing, principal = split_id(identifier, "|", 2, "thing|principal")
    for page in call.client("iot").get_paginator("list_thing_principals_v2").paginate(thingName=thing):
        for entry in page["thingPrincipalObjects"]:
            if entry["principal"] == principal:
                kind = entry.get("thingPrincipalType") or known.get("thingPrincipalType") or "NON_EXCLUSIVE_THING"
                return {"thing": thing, "principal": principal, "thingPrincipalType": kind}
    return None


def _detach_principal(call: Call, identifier: str, _state: Properties) -> None:
    thing, principal = split_id(identifier, "|", 2, "thing|principal")
    call.client("iot").detach_thing_principal(thingName=thing, principal=principal)


_THING_PRINCIPAL_ATTACHMENT = Description(
    type="aws:iot/thingPrincipalAttachment:ThingPrincipalAttachment",
    title="IoT Thing Principal Attachment",
    service="iot",
    inputs={
        "principal": string(required=True),
        "thing": string(required=True),
        "thingPrincipalType": string(computed=True, allowed=("EXCLUSIVE_THING", "NON_EXCLUSIVE_THING")),
    },
    find=_find_principal,
    gone=_GONE,
    create=("attach_thing_principal", lambda _answer, inputs: f"{inputs['thing']}|{inputs['principal']}"),
    sent=("principal", "thingPrincipalType"),
    arguments=lambda _call, inputs: {"thingName": inputs["thing"]},
    delete=_detach_principal,
    # DetachThingPrincipal: "This call is asynchronous. It might take several seconds for the detachment to propagate."
    # The provider does not wait for it.
    stays=True,
)

_ROLE_ALIAS = Description(
    type="aws:iot/roleAlias:RoleAlias",
    title="IoT Role Alias",
    service="iot",
    inputs={
        "alias": string(required=True, force_new=True),
        "credentialDuration": integer(default=3600, minimum=900, maximum=43200),
        "roleArn": string(required=True, validate=arn),
    },
    find=("describe_role_alias", "roleAlias", "roleAliasDescription"),
    gone=_GONE,
    create=("create_role_alias", "roleAlias"),
    sent=("alias", "credentialDuration", "roleArn"),
    fields={"alias": "roleAlias", "arn": "roleAliasArn", "credentialDuration": "credentialDurationSeconds"},
    tags="iot",
    modify=("update_role_alias", "roleAlias"),
    modified=("credentialDuration", "roleArn"),
    delete=("delete_role_alias", "roleAlias"),
)

RESOURCES = settled(
    (
        _THING.resource(autoname=AutoName()),
        _CERTIFICATE.resource(check=_check_certificate),
        _POLICY.resource(autoname=AutoName(), timeouts=Timeouts(update=60, delete=300)),
        _POLICY_ATTACHMENT.resource(),
        _THING_PRINCIPAL_ATTACHMENT.resource(),
        _ROLE_ALIAS.resource(),
    )
)
