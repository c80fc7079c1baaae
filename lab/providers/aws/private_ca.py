"""`aws:acmpca/…`: authorities of AWS Private CA, what they issue, and ACM's permission.

Source: terraform-provider-aws ``internal/service/acmpca/{certificate_authority,certificate,
certificate_authority_certificate,permission}.go``. Deleting a certificate revokes it; an active authority is disabled
before it is deleted. Left out: revocation configurations, which the components do not use.
"""

import json
import re
from datetime import UTC, datetime
from typing import Any

from cryptography import x509

from lab.providers.aws.clients import attempt, unless_gone
from lab.providers.aws.common import REGION, TAGS, arn, json_document, length, normal_json, picked, same_policy
from lab.providers.aws.tags import changes, from_list, to_list
from lab.providers.errors import ProviderError
from lab.providers.schema import Resource, boolean, integer, object_of, set_of, string
from lab.providers.values import Properties
from lab.providers.waiting import Call

_GONE = ("ResourceNotFoundException",)
_SUBJECT = {
    "commonName": 64,
    "country": 2,
    "distinguishedNameQualifier": 64,
    "generationQualifier": 3,
    "givenName": 16,
    "initials": 5,
    "locality": 128,
    "organization": 64,
    "organizationalUnit": 64,
    "pseudonym": 128,
    "state": 128,
    "surname": 40,
    "title": 64,
}
"""Part of a subject → its longest value."""
_ML_DSA = ("ML_DSA_44", "ML_DSA_65", "ML_DSA_87")
_KEYS = (
    *("RSA_2048", "RSA_3072", "RSA_4096", "EC_prime256v1", "EC_secp384r1", "EC_secp521r1"),
    *(*_ML_DSA, "SM2"),
)
_ALGORITHMS = (
    *(f"SHA{bits}WITH{kind}" for bits in (256, 384, 512) for kind in ("ECDSA", "RSA", "RSA_PSS")),
    *("SM3WITHSM2", *_ML_DSA),
)


def _api(name: str) -> str:
    return name[0].upper() + name[1:]


def _create_authority(call: Call, inputs: Properties) -> str:
    configuration = inputs["certificateAuthorityConfiguration"]
    subject = {_api(name): value for name, value in configuration["subject"].items() if value}
    arguments = {
        "CertificateAuthorityConfiguration": {
            "KeyAlgorithm": configuration["keyAlgorithm"],
            "SigningAlgorithm": configuration["signingAlgorithm"],
            "Subject": subject,
        },
        "CertificateAuthorityType": inputs["type"],
        "UsageMode": inputs.get("usageMode") or "GENERAL_PURPOSE",
        **picked(inputs, {"KeyStorageSecurityStandard": "keyStorageSecurityStandard"}),
        **({"Tags": to_list(inputs["tagsAll"])} if inputs.get("tagsAll") else {}),
    }
    answer = attempt(
        "creating ACM PCA Certificate Authority",
        lambda: call.client("acm-pca").create_certificate_authority(**arguments),
    )
    return str(answer["CertificateAuthorityArn"])


def _authority(call: Call, identifier: str) -> dict[str, Any] | None:
    found = unless_gone(
        f"reading ACM PCA Certificate Authority ({identifier})",
        _GONE,
        lambda: call.client("acm-pca").describe_certificate_authority(CertificateAuthorityArn=identifier)[
            "CertificateAuthority"
        ],
    )
    return None if found is None or found["Status"] == "DELETED" else dict(found)


def _read_authority(call: Call, identifier: str, state: Properties) -> Properties | None:
    authority = _authority(call, identifier)
    if authority is None:
        return None
    pca = call.client("acm-pca")
    own: dict[str, Any] = {}
    if authority["Status"] == "ACTIVE":
        own = pca.get_certificate_authority_certificate(CertificateAuthorityArn=identifier)
    configuration = authority["CertificateAuthorityConfiguration"]
    subject = {name: configuration["Subject"].get(_api(name)) for name in _SUBJECT}
    return {
        "arn": identifier,
        "certificate": own.get("Certificate", ""),
        "certificateAuthorityConfiguration": {
            "keyAlgorithm": configuration["KeyAlgorithm"],
            "signingAlgorithm": configuration["SigningAlgorithm"],
            "subject": {name: value for name, value in subject.items() if value},
        },
        "certificateChain": own.get("CertificateChain", ""),
        "certificateSigningRequest": pca.get_certificate_authority_csr(CertificateAuthorityArn=identifier)["Csr"],
        "enabled": authority["Status"] != "DISABLED",
        "keyStorageSecurityStandard": authority["KeyStorageSecurityStandard"],
        "notAfter": _moment(authority.get("NotAfter")),
        "notBefore": _moment(authority.get("NotBefore")),
        "permanentDeletionTimeInDays": state.get("permanentDeletionTimeInDays", 30),
        "serial": authority.get("Serial", ""),
        "tagsAll": from_list(pca.list_tags(CertificateAuthorityArn=identifier)["Tags"]),
        "type": authority["Type"],
        "usageMode": authority["UsageMode"],
    }


def _moment(value: Any) -> str:
    return value.strftime("%Y-%m-%dT%H:%M:%SZ") if value else ""


def _update_authority(
    call: Call, identifier: str, state: Properties, inputs: Properties, changed: frozenset[str]
) -> None:
    pca, what = call.client("acm-pca"), f"updating ACM PCA Certificate Authority ({identifier})"
    if "enabled" in changed:
        status = "ACTIVE" if inputs["enabled"] else "DISABLED"
        attempt(what, lambda: pca.update_certificate_authority(CertificateAuthorityArn=identifier, Status=status))
    if "tagsAll" in changed:
        put, removed = changes(state, inputs)
        if removed:
            gone = [{"Key": key} for key in removed]
            attempt(what, lambda: pca.untag_certificate_authority(CertificateAuthorityArn=identifier, Tags=gone))
        if put:
            attempt(what, lambda: pca.tag_certificate_authority(CertificateAuthorityArn=identifier, Tags=to_list(put)))


def _delete_authority(call: Call, identifier: str, state: Properties) -> None:
    authority = _authority(call, identifier)
    if authority is None:
        return
    pca, what = call.client("acm-pca"), f"deleting ACM PCA Certificate Authority ({identifier})"
    if authority["Status"] == "ACTIVE":
        attempt(what, lambda: pca.update_certificate_authority(CertificateAuthorityArn=identifier, Status="DISABLED"))
    days = int(state.get("permanentDeletionTimeInDays") or 30)
    unless_gone(
        what,
        _GONE,
        lambda: pca.delete_certificate_authority(CertificateAuthorityArn=identifier, PermanentDeletionTimeInDays=days),
    )


def _validity_value(validity: Properties) -> int:
    """The number that AWS takes: an end date as YYYYMMDDHHMMSS (ExpandValidityValue)."""
    if validity["type"] == "END_DATE":
        return int(datetime.fromisoformat(validity["value"]).astimezone(UTC).strftime("%Y%m%d%H%M%S"))
    return int(validity["value"])


def _issue(call: Call, inputs: Properties) -> str:
    validity = inputs["validity"]
    arguments = {
        "CertificateAuthorityArn": inputs["certificateAuthorityArn"],
        "Csr": inputs["certificateSigningRequest"].encode(),
        "SigningAlgorithm": inputs["signingAlgorithm"],
        "Validity": {"Type": validity["type"], "Value": _validity_value(validity)},
        **({"ApiPassthrough": json.loads(inputs["apiPassthrough"])} if inputs.get("apiPassthrough") else {}),
        **({"TemplateArn": inputs["templateArn"]} if inputs.get("templateArn") else {}),
    }
    answer = attempt("requesting ACM PCA Certificate", lambda: call.client("acm-pca").issue_certificate(**arguments))
    return str(answer["CertificateArn"])


def _read_issued(call: Call, identifier: str, state: Properties) -> Properties | None:
    authority = identifier.partition("/certificate/")[0]
    found = unless_gone(
        f"reading ACM PCA Certificate ({identifier})",
        (*_GONE, "RequestInProgressException"),
        lambda: call.client("acm-pca").get_certificate(CertificateAuthorityArn=authority, CertificateArn=identifier),
    )
    if found is None:
        return None
    kept = ("certificateSigningRequest", "signingAlgorithm", "templateArn", "validity", "apiPassthrough")
    return {
        **{name: state.get(name) for name in kept},
        "arn": identifier,
        "certificate": found["Certificate"],
        "certificateAuthorityArn": authority,
        "certificateChain": found.get("CertificateChain", ""),
    }


def _revoke(call: Call, identifier: str, state: Properties) -> None:
    serial = f"{x509.load_pem_x509_certificate(state['certificate'].encode()).serial_number:x}"
    serial = serial.zfill(len(serial) + len(serial) % 2)
    colons = ":".join(serial[at : at + 2] for at in range(0, len(serial), 2))
    unless_gone(
        f"revoking ACM PCA Certificate ({identifier})",
        (*_GONE, "InvalidStateException", "RequestAlreadyProcessedException", "InvalidRequestException"),
        lambda: call.client("acm-pca").revoke_certificate(
            CertificateAuthorityArn=state["certificateAuthorityArn"],
            CertificateSerial=colons,
            RevocationReason="UNSPECIFIED",
        ),
    )


def _import(call: Call, inputs: Properties) -> str:
    identifier = str(inputs["certificateAuthorityArn"])
    chain = {"CertificateChain": inputs["certificateChain"].encode()} if inputs.get("certificateChain") else {}
    attempt(
        f"importing ACM PCA Certificate Authority Certificate ({identifier})",
        lambda: call.client("acm-pca").import_certificate_authority_certificate(
            CertificateAuthorityArn=identifier, Certificate=inputs["certificate"].encode(), **chain
        ),
    )
    return identifier


def _read_imported(call: Call, identifier: str, state: Properties) -> Properties | None:
    del state
    authority = _authority(call, identifier)
    if authority is None or authority["Status"] == "PENDING_CERTIFICATE":
        return None
    found = call.client("acm-pca").get_certificate_authority_certificate(CertificateAuthorityArn=identifier)
    return {
        "certificate": found["Certificate"],
        "certificateAuthorityArn": identifier,
        "certificateChain": found.get("CertificateChain"),
    }


def _nothing(call: Call, identifier: str, state: Properties) -> None:
    """The provider only forgets it: AWS has no call that takes an authority's certificate away."""


def _permit(call: Call, inputs: Properties) -> str:
    attempt(
        "creating ACM PCA Permission",
        lambda: call.client("acm-pca").create_permission(
            CertificateAuthorityArn=inputs["certificateAuthorityArn"],
            Principal=inputs["principal"],
            Actions=sorted(inputs["actions"]),
        ),
    )
    return f"{inputs['certificateAuthorityArn']},{inputs['principal']},{inputs.get('sourceAccount') or ''}"


def _read_permission(call: Call, identifier: str, state: Properties) -> Properties | None:
    del state
    authority, principal, _ = _permission_id(identifier)
    found = unless_gone(
        f"reading ACM PCA Permission ({identifier})",
        _GONE,
        lambda: call.client("acm-pca").list_permissions(CertificateAuthorityArn=authority)["Permissions"],
    )
    for permission in found or []:
        if permission["Principal"] == principal:
            return {
                "actions": sorted(permission["Actions"]),
                "certificateAuthorityArn": authority,
                "policy": permission.get("Policy", ""),
                "principal": principal,
                "sourceAccount": permission["SourceAccount"],
            }
    return None


def _permission_id(identifier: str) -> tuple[str, str, str]:
    parts = identifier.split(",")
    if len(parts) != 3:
        raise ProviderError(f"unexpected format for ID ({identifier}), expected ARN,PRINCIPAL,ACCOUNT")
    return parts[0], parts[1], parts[2]


def _revoke_permission(call: Call, identifier: str, state: Properties) -> None:
    del state
    authority, principal, _ = _permission_id(identifier)
    unless_gone(
        f"deleting ACM PCA Permission ({identifier})",
        (*_GONE, "InvalidStateException"),
        lambda: call.client("acm-pca").delete_permission(CertificateAuthorityArn=authority, Principal=principal),
    )


def _template(value: str) -> str | None:
    """An ARN of Private CA's own templates, without Region and account (validTemplateARN)."""
    wrong = arn(value)
    if wrong:
        return wrong
    _, _, service, region, account, resource = value.split(":", 5)
    for named, found, right in (("service", service, "acm-pca"), ("region", region, ""), ("account ID", account, "")):
        if found != right:
            return f"({value}) is not a valid ACM PCA template ARN: {named} must be {right or 'empty'!r}, was {found!r}"
    if not resource.startswith("template/"):
        return f'({value}) is not a valid ACM PCA template ARN: expected resource to start with "template/"'
    return None


def _end(value: str) -> str | None:
    """A positive number, or a moment (ValidStringDateOrPositiveInt)."""
    if re.fullmatch(r"0*[1-9]\d*", value):
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        moment = None
    if moment is not None and moment.tzinfo is not None:
        return None
    return f"must be a positive integer or an RFC 3339 date, got {value}"


_AUTHORITY_ARN = string(required=True, force_new=True, validate=arn)
RESOURCES = {
    resource.type: resource
    for resource in (
        Resource(
            type="aws:acmpca/certificateAuthority:CertificateAuthority",
            title="ACM PCA Certificate Authority",
            inputs={
                **REGION,
                **TAGS,
                "certificateAuthorityConfiguration": object_of(
                    {
                        "keyAlgorithm": string(required=True, force_new=True, allowed=_KEYS),
                        "signingAlgorithm": string(required=True, force_new=True, allowed=_ALGORITHMS),
                        "subject": object_of(
                            {
                                name: string(force_new=True, validate=length(0, longest))
                                for name, longest in _SUBJECT.items()
                            },
                            required=True,
                            force_new=True,
                        ),
                    },
                    required=True,
                ),
                "enabled": boolean(default=True),
                "keyStorageSecurityStandard": string(
                    computed=True,
                    force_new=True,
                    allowed=(
                        *("FIPS_140_2_LEVEL_2_OR_HIGHER", "FIPS_140_2_LEVEL_3_OR_HIGHER"),
                        "CCPC_LEVEL_1_OR_HIGHER",
                    ),
                ),
                "permanentDeletionTimeInDays": integer(default=30, minimum=7, maximum=30),
                "type": string(default="SUBORDINATE", force_new=True, allowed=("ROOT", "SUBORDINATE")),
                "usageMode": string(computed=True, allowed=("GENERAL_PURPOSE", "SHORT_LIVED_CERTIFICATE")),
            },
            outputs={
                "arn": string(),
                "certificate": string(),
                "certificateChain": string(),
                "certificateSigningRequest": string(),
                "notAfter": string(),
                "notBefore": string(),
                "serial": string(),
            },
            create=_create_authority,
            read=_read_authority,
            update=_update_authority,
            delete=_delete_authority,
        ),
        Resource(
            type="aws:acmpca/certificate:Certificate",
            title="ACM PCA Certificate",
            inputs={
                **REGION,
                "apiPassthrough": string(force_new=True, validate=json_document, same=same_policy, normal=normal_json),
                "certificateAuthorityArn": _AUTHORITY_ARN,
                "certificateSigningRequest": string(required=True, force_new=True),
                "signingAlgorithm": string(required=True, force_new=True, allowed=_ALGORITHMS),
                "templateArn": string(force_new=True, validate=_template),
                "validity": object_of(
                    {
                        "type": string(
                            required=True,
                            force_new=True,
                            allowed=("END_DATE", "ABSOLUTE", "DAYS", "MONTHS", "YEARS"),
                        ),
                        "value": string(required=True, force_new=True, validate=_end),
                    },
                    required=True,
                    force_new=True,
                ),
            },
            outputs={"arn": string(), "certificate": string(), "certificateChain": string()},
            create=_issue,
            read=_read_issued,
            delete=_revoke,
        ),
        Resource(
            type="aws:acmpca/certificateAuthorityCertificate:CertificateAuthorityCertificate",
            title="ACM PCA Certificate Authority Certificate",
            inputs={
                **REGION,
                "certificate": string(required=True, force_new=True),
                "certificateAuthorityArn": _AUTHORITY_ARN,
                "certificateChain": string(force_new=True),
            },
            outputs={},
            create=_import,
            read=_read_imported,
            delete=_nothing,
        ),
        Resource(
            type="aws:acmpca/permission:Permission",
            title="ACM PCA Permission",
            inputs={
                **REGION,
                "actions": set_of(
                    string(allowed=("IssueCertificate", "GetCertificate", "ListPermissions")),
                    required=True,
                    force_new=True,
                ),
                "certificateAuthorityArn": _AUTHORITY_ARN,
                "principal": string(required=True, force_new=True, allowed=("acm.amazonaws.com",)),
                "sourceAccount": string(computed=True, force_new=True),
            },
            outputs={"policy": string()},
            create=_permit,
            read=_read_permission,
            delete=_revoke_permission,
        ),
    )
}
