"""`aws:acmpca/…`: authorities of AWS Private CA, what they issue, and ACM's permission.

Source: terraform-provider-aws ``internal/service/acmpca/{certificate_authority,certificate,
certificate_authority_certificate,permission}.go``. Deleting a certificate revokes it; an active authority is disabled
before it is deleted. Left out: revocation configurations, which the components do not use.
"""

import json
import re
from datetime import UTC, datetime
from typing import Any

from lab.providers.aws.clients import tolerated
from lab.providers.aws.common import POLICY, arn, length
from lab.providers.aws.description import Description, Operation, State, served
from lab.providers.aws.shapes import Answer
from lab.providers.schema import boolean, force_new, integer, object_of, set_of, string
from lab.providers.values import Properties

_GONE = ("ResourceNotFoundException",)
_COMMON: dict[str, Any] = {"service": "acm-pca", "gone": _GONE}
# Part of a subject → its longest value.
_SUBJECT = {
    **dict.fromkeys(("commonName", "distinguishedNameQualifier", "organization", "organizationalUnit", "title"), 64),
    **dict.fromkeys(("locality", "pseudonym", "state"), 128),
    "country": 2,
    "generationQualifier": 3,
    "givenName": 16,
    "initials": 5,
    "surname": 40,
}
_ML_DSA = ("ML_DSA_44", "ML_DSA_65", "ML_DSA_87")
_KEYS = (
    *("RSA_2048", "RSA_3072", "RSA_4096", "EC_prime256v1", "EC_secp384r1", "EC_secp521r1"),
    *(*_ML_DSA, "SM2"),
)
_ALGORITHMS = (
    *(f"SHA{bits}WITH{kind}" for bits in (256, 384, 512) for kind in ("ECDSA", "RSA", "RSA_PSS")),
    *("SM3WITHSM2", *_ML_DSA),
)
_STANDARDS = ("FIPS_140_2_LEVEL_2_OR_HIGHER", "FIPS_140_2_LEVEL_3_OR_HIGHER", "CCPC_LEVEL_1_OR_HIGHER")


def _authority_seen(op: Operation, authority: Answer) -> Properties:
    """An authority's own certificate and its request, and what a new one does not have yet."""
    active, named = authority["Status"] == "ACTIVE", {"CertificateAuthorityArn": op.id}
    later = {"notAfter": "NotAfter", "notBefore": "NotBefore", "serial": "Serial"}
    own = op.api.get_certificate_authority_certificate(**named) if active else {}
    return {
        "certificate": own.get("Certificate", ""),
        "certificateChain": own.get("CertificateChain", ""),
        "certificateSigningRequest": op.api.get_certificate_authority_csr(**named)["Csr"],
        "enabled": authority["Status"] != "DISABLED",
        **{name: "" for name, field in later.items() if not authority.get(field)},
    }


def _enable(op: Operation) -> None:
    if "enabled" in op.changed:
        status = "ACTIVE" if op.inputs["enabled"] else "DISABLED"
        op.api.update_certificate_authority(CertificateAuthorityArn=op.id, Status=status)


def _disable(op: Operation) -> None:
    if op.thing.get("Status") == "ACTIVE":
        op.api.update_certificate_authority(CertificateAuthorityArn=op.id, Status="DISABLED")


def _delete_authority(op: Operation) -> None:
    if op.thing:
        days = int(op.state.get("permanentDeletionTimeInDays") or 30)
        op.api.delete_certificate_authority(CertificateAuthorityArn=op.id, PermanentDeletionTimeInDays=days)


AUTHORITY = Description(
    type="aws:acmpca/certificateAuthority:CertificateAuthority",
    title="ACM PCA Certificate Authority",
    **_COMMON,
    inputs={
        "certificateAuthorityConfiguration": object_of(
            {
                "keyAlgorithm": string(required=True, force_new=True, allowed=_KEYS),
                "signingAlgorithm": string(required=True, force_new=True, allowed=_ALGORITHMS),
                "subject": object_of(
                    {name: string(force_new=True, validate=length(0, most)) for name, most in _SUBJECT.items()},
                    required=True,
                    force_new=True,
                ),
            },
            required=True,
        ),
        "enabled": boolean(default=True),
        "keyStorageSecurityStandard": string(computed=True, force_new=True, allowed=_STANDARDS),
        "permanentDeletionTimeInDays": integer(default=30, minimum=7, maximum=30),
        "type": string(default="SUBORDINATE", force_new=True, allowed=("ROOT", "SUBORDINATE")),
        "usageMode": string(computed=True, allowed=("GENERAL_PURPOSE", "SHORT_LIVED_CERTIFICATE")),
    },
    outputs=dict.fromkeys(
        ("certificate", "certificateChain", "certificateSigningRequest", "notAfter", "notBefore", "serial"), string()
    ),
    find=("describe_certificate_authority", "CertificateAuthorityArn", "CertificateAuthority"),
    create=("create_certificate_authority", "CertificateAuthorityArn"),
    key="arn",
    fields={"type": "CertificateAuthorityType"},
    kept=("permanentDeletionTimeInDays",),
    state=State("Status", gone=("DELETED",)),
    tags=True,
    seen=_authority_seen,
    more=_enable,
    before_delete=_disable,
    delete=_delete_authority,
    # For as many days it can be restored.
    stays=True,
)


def _issuing(op: Operation) -> Answer:
    """Of a validity AWS takes a number: an end date as YYYYMMDDHHMMSS (ExpandValidityValue)."""
    kind, value, given = *(op.inputs["validity"][name] for name in ("type", "value")), op.inputs.get("apiPassthrough")
    if kind == "END_DATE":
        value = datetime.fromisoformat(value).astimezone(UTC).strftime("%Y%m%d%H%M%S")
    return {
        "ApiPassthrough": json.loads(given) if given else None,
        "Validity": {"Type": kind, "Value": int(value)},
    }


def _revoke(op: Operation) -> None:
    from cryptography import x509  # noqa: PLC0415  # the data sources load this module, and few stacks have an authority

    serial = f"{x509.load_pem_x509_certificate(op.state['certificate'].encode()).serial_number:x}"
    serial = serial.zfill(len(serial) + len(serial) % 2)
    with tolerated("InvalidStateException", "RequestAlreadyProcessedException", "InvalidRequestException"):
        op.api.revoke_certificate(
            CertificateAuthorityArn=op.state["certificateAuthorityArn"],
            CertificateSerial=":".join(serial[at : at + 2] for at in range(0, len(serial), 2)),
            RevocationReason="UNSPECIFIED",
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


_AUTHORITY_ARN = string(required=True, validate=arn)
_CERTIFICATE = Description(
    type="aws:acmpca/certificate:Certificate",
    title="ACM PCA Certificate",
    service="acm-pca",
    inputs=force_new(
        {
            "apiPassthrough": string(**POLICY),
            "certificateAuthorityArn": _AUTHORITY_ARN,
            "certificateSigningRequest": string(required=True),
            "signingAlgorithm": string(required=True, allowed=_ALGORITHMS),
            "templateArn": string(validate=_template),
            "validity": object_of(
                force_new(
                    {
                        "type": string(required=True, allowed=("END_DATE", "ABSOLUTE", "DAYS", "MONTHS", "YEARS")),
                        "value": string(required=True, validate=_end),
                    }
                ),
                required=True,
            ),
        }
    ),
    outputs={"certificate": string(), "certificateChain": string()},
    find=("get_certificate", "CertificateArn", ""),
    gone=(*_GONE, "RequestInProgressException"),
    create=("issue_certificate", "CertificateArn"),
    identity=("/certificate/", "certificateAuthorityArn", "serial"),
    key="arn",
    fields={"certificateSigningRequest": "Csr"},
    kept=("certificateSigningRequest", "signingAlgorithm", "templateArn", "validity", "apiPassthrough"),
    arguments=_issuing,
    delete=_revoke,
    stays=True,
)


def _find_own(op: Operation) -> Answer | None:
    """An authority's certificate, which it has from its import on."""
    if Operation(op.call, AUTHORITY, op.id).thing.get("Status", "PENDING_CERTIFICATE") == "PENDING_CERTIFICATE":
        return None
    return dict(op.api.get_certificate_authority_certificate(CertificateAuthorityArn=op.id))


_OWN_CERTIFICATE = Description(
    type="aws:acmpca/certificateAuthorityCertificate:CertificateAuthorityCertificate",
    title="ACM PCA Certificate Authority Certificate",
    **_COMMON,
    inputs=force_new(
        {
            "certificate": string(required=True),
            "certificateAuthorityArn": _AUTHORITY_ARN,
            "certificateChain": string(),
        }
    ),
    find=_find_own,
    create=("import_certificate_authority_certificate", ""),
    key="certificateAuthorityArn",
    # The provider only forgets it: AWS has no call that takes an authority's certificate away.
    delete=lambda _op: None,
    stays=True,
)


def _permission_id(op: Operation, _answer: Answer) -> str:
    names = ("certificateAuthorityArn", "principal", "sourceAccount")
    return ",".join(op.inputs.get(name) or "" for name in names)


_PERMISSION = Description(
    type="aws:acmpca/permission:Permission",
    title="ACM PCA Permission",
    service="acm-pca",
    inputs=force_new(
        {
            "actions": set_of(string(allowed=("IssueCertificate", "GetCertificate", "ListPermissions")), required=True),
            "certificateAuthorityArn": _AUTHORITY_ARN,
            "principal": string(required=True, allowed=("acm.amazonaws.com",)),
            "sourceAccount": string(computed=True),
        }
    ),
    outputs={"policy": string()},
    find=("list_permissions", "", "Permissions"),
    match={"Principal": "principal"},
    gone=(*_GONE, "InvalidStateException"),
    create=("create_permission", _permission_id),
    identity=(",", "certificateAuthorityArn", "principal", "sourceAccount"),
    form="ARN,PRINCIPAL,ACCOUNT",
    delete=("delete_permission", ""),
)

RESOURCES = served(AUTHORITY, _CERTIFICATE, _OWN_CERTIFICATE, _PERMISSION)
