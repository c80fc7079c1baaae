"""AWS IoT's things, certificates, policies, attachments and role aliases.

Source: terraform-provider-aws ``internal/service/iot/{thing,certificate,policy,policy_attachment,role_alias}.go`` and
``thing_principal_attachment.go``. Every change of an attachment replaces it; its id is `policy|target` or
`thing|principal`.
"""

from typing import Any

from lab.providers.aws.clients import tolerated, trying
from lab.providers.aws.common import POLICY, arn, length, normal_json, pem
from lab.providers.aws.description import Description, Operation, served
from lab.providers.aws.shapes import Answer
from lab.providers.schema import AutoName, Created, Timeouts, boolean, integer, map_of_strings, string
from lab.providers.values import Properties

_GONE = ("ResourceNotFoundException",)
_COMMON: dict[str, Any] = {"service": "iot", "gone": _GONE}
_MAX_VERSIONS = 5


def _thing_arguments(op: Operation) -> Answer:
    found: Answer = {}
    if "thingTypeName" in op.changed and not op.inputs.get("thingTypeName"):
        found["removeThingType"] = True
    if "attributes" in op.changed:
        found["attributePayload"] = {"attributes": op.inputs.get("attributes") or {}}  # not merged: replaced
    return found


_THING = Description(
    type="aws:iot/thing:Thing",
    title="IoT Thing",
    autoname=AutoName(),
    **_COMMON,
    inputs={
        "attributes": map_of_strings(),
        "name": string(force_new=True, validate=length(1, 128)),
        "thingTypeName": string(),
    },
    outputs={"defaultClientId": string(), "version": integer()},
    find=("describe_thing", "thingName", ""),
    create=("create_thing", "thingName"),
    fields={"arn": "thingArn", "name": "thingName"},
    modify=("update_thing", "thingName"),
    arguments=lambda op: (
        {"attributePayload": {"attributes": op.inputs["attributes"]}} if op.inputs.get("attributes") else {}
    ),
    changed_arguments=_thing_arguments,
    delete=("delete_thing", "thingName"),
)


def _create_certificate(op: Operation) -> str | Created:
    """By a request, by a certificate of one's own (with or without its CA), or else AWS makes a key pair.

    Only the answer to the last holds the keys: the state then keeps them, as secrets.
    """
    active, status = bool(op.inputs["active"]), _status(op.inputs)
    request, pem, authority = (op.inputs.get(name) for name in ("csr", "certificatePem", "caPem"))
    if request:
        answer = op.api.create_certificate_from_csr(certificateSigningRequest=request, setAsActive=active)
    elif pem and authority:
        answer = op.api.register_certificate(certificatePem=pem, caCertificatePem=authority, status=status)
    elif pem:
        answer = op.api.register_certificate_without_ca(certificatePem=pem, status=status)
    else:
        answer = op.api.create_keys_and_certificate(setAsActive=active)
        pair = answer["keyPair"]
        keys = {"publicKey": pair["PublicKey"], "privateKey": pair["PrivateKey"]}
        return Created(str(answer["certificateId"]), keys)
    return str(answer["certificateId"])


def _status(given: Properties) -> str:
    return "ACTIVE" if given.get("active") else "INACTIVE"


def _set_status(op: Operation) -> None:
    """The program's, and none that is active before its removal."""
    if op.inputs or op.state.get("active"):
        with tolerated(*_GONE):
            op.api.update_certificate(certificateId=op.id, newStatus=_status(op.inputs))


_CERTIFICATE = Description(
    type="aws:iot/certificate:Certificate",
    title="IoT Certificate",
    **_COMMON,
    inputs={
        "active": boolean(required=True),
        "caPem": string(force_new=True, secret=True),
        "certificatePem": string(computed=True, force_new=True, secret=True),
        "csr": string(force_new=True, validate=pem("CERTIFICATE REQUEST")),
    },
    outputs={"caCertificateId": string(), "privateKey": string(secret=True), "publicKey": string(secret=True)},
    find=("describe_certificate", "certificateId", "certificateDescription"),
    create=_create_certificate,
    fields={"arn": "certificateArn"},
    kept=("caPem", "csr", "privateKey", "publicKey"),
    seen=lambda _op, certificate: {"active": certificate["status"] == "ACTIVE"},
    more=_set_status,
    before_delete=_set_status,
    delete=("delete_certificate", "certificateId"),
)


def _new_version(op: Operation) -> None:
    """A change makes a new version and takes it as the default; when there are five already, the lowest goes first."""
    if len(op.api.list_policy_versions(policyName=op.id)["policyVersions"]) == _MAX_VERSIONS:
        _delete_versions(op, 1)
    document = normal_json(op.inputs["policy"])
    op.api.create_policy_version(policyName=op.id, policyDocument=document, setAsDefault=True)


def _delete_versions(op: Operation, count: int = _MAX_VERSIONS) -> None:
    """Deletes versions that are not the default, lowest first."""
    with trying(f"deleting IoT Policy ({op.id}) version"):
        versions = op.api.list_policy_versions(policyName=op.id)["policyVersions"]
        old = sorted((version["versionId"] for version in versions if not version["isDefaultVersion"]), key=int)
        for number in old[:count]:
            with tolerated(*_GONE):
                op.api.delete_policy_version(policyName=op.id, policyVersionId=number)


_POLICY = Description(
    type="aws:iot/policy:Policy",
    title="IoT Policy",
    autoname=AutoName(),
    timeouts=Timeouts(update=60, delete=300),
    **_COMMON,
    inputs={"name": string(force_new=True), "policy": string(required=True, **POLICY)},
    outputs={"defaultVersionId": string()},
    find=("get_policy", "policyName", ""),
    create=("create_policy", "policyName"),
    fields={"arn": "policyArn", "name": "policyName", "policy": "policyDocument"},
    tags=True,
    more=_new_version,
    before_delete=_delete_versions,
    delete=("delete_policy", "policyName"),
    busy=("DeleteConflictException",),
)
_POLICY_ATTACHMENT = Description(
    type="aws:iot/policyAttachment:PolicyAttachment",
    title="IoT Policy Attachment",
    **_COMMON,
    inputs={"policy": string(required=True), "target": string(required=True)},
    find=("list_attached_policies", "", "policies"),
    match={"policyName": "policy"},
    create=("attach_policy", ""),
    identity=("|", "policy", "target"),
    form="policy-name|target",
    fields={"policy": "policyName"},
    delete=("detach_policy", ""),
)
_THING_PRINCIPAL_ATTACHMENT = Description(
    type="aws:iot/thingPrincipalAttachment:ThingPrincipalAttachment",
    title="IoT Thing Principal Attachment",
    **_COMMON,
    inputs={
        "principal": string(required=True),
        "thing": string(required=True),
        "thingPrincipalType": string(computed=True, allowed=("EXCLUSIVE_THING", "NON_EXCLUSIVE_THING")),
    },
    find=("list_thing_principals_v2", "", "thingPrincipalObjects"),
    match={"principal": "principal"},
    create=("attach_thing_principal", ""),
    identity=("|", "thing", "principal"),
    fields={"thing": "thingName"},
    seen=lambda op, found: {
        "thingPrincipalType": found.get("thingPrincipalType")
        or op.state.get("thingPrincipalType")
        or "NON_EXCLUSIVE_THING"
    },
    delete=("detach_thing_principal", ""),
    # DetachThingPrincipal: "This call is asynchronous. It might take several seconds for the detachment to propagate."
    # The provider does not wait for it.
    stays=True,
)
_ROLE_ALIAS = Description(
    type="aws:iot/roleAlias:RoleAlias",
    title="IoT Role Alias",
    **_COMMON,
    inputs={
        "alias": string(required=True, force_new=True),
        "credentialDuration": integer(default=3600, minimum=900, maximum=43200),
        "roleArn": string(required=True, validate=arn),
    },
    find=("describe_role_alias", "roleAlias", "roleAliasDescription"),
    create=("create_role_alias", "roleAlias"),
    fields={"alias": "roleAlias", "arn": "roleAliasArn", "credentialDuration": "credentialDurationSeconds"},
    tags=True,
    modify=("update_role_alias", "roleAlias"),
    delete=("delete_role_alias", "roleAlias"),
)

RESOURCES = served(_THING, _CERTIFICATE, _POLICY, _POLICY_ATTACHMENT, _THING_PRINCIPAL_ATTACHMENT, _ROLE_ALIAS)
