"""`aws:acm/certificate:Certificate`. Source: terraform-provider-aws ``internal/service/acm/certificate.go``.

An imported certificate is imported again, under the same ARN, when its body, chain or key changes. The provider never
reads any of the three back, so the state keeps what the program gave.
"""

from datetime import datetime

from lab.providers.aws.clients import attempt
from lab.providers.aws.common import arn
from lab.providers.aws.description import Answer, Description, State, settled
from lab.providers.errors import Failure, ProviderError
from lab.providers.schema import Timeouts, object_of, set_of, string
from lab.providers.values import Properties
from lab.providers.waiting import Call

_IMPORTED = {"certificateBody": "Certificate", "certificateChain": "CertificateChain", "privateKey": "PrivateKey"}
_KEY_ALGORITHMS = (
    "RSA_1024",
    "RSA_2048",
    "RSA_3072",
    "RSA_4096",
    "EC_prime256v1",
    "EC_secp384r1",
    "EC_secp521r1",
)


def _create(call: Call, inputs: Properties) -> str:
    acm, arguments = call.client("acm"), _CERTIFICATE.creation(call, inputs)
    if not inputs.get("domainName"):
        imported = {**_material(inputs), **({"Tags": arguments["Tags"]} if "Tags" in arguments else {})}
        return str(attempt("importing ACM Certificate", lambda: acm.import_certificate(**imported))["CertificateArn"])
    if not inputs.get("certificateAuthorityArn") and not inputs.get("validationMethod"):
        raise ProviderError(
            "`certificateAuthorityArn` or `validationMethod` must be set when creating an ACM certificate"
        )
    what = f"requesting ACM Certificate ({inputs['domainName']})"
    return str(attempt(what, lambda: acm.request_certificate(**arguments))["CertificateArn"])


def _material(inputs: Properties) -> dict[str, bytes]:
    return {argument: inputs[name].encode() for name, argument in _IMPORTED.items() if inputs.get(name)}


def _seen(call: Call, certificate: Answer, state: Properties) -> Properties:
    del call, state
    validations = certificate.get("DomainValidationOptions") or []
    summary = certificate.get("RenewalSummary")
    methods = [entry.get("ValidationMethod") for entry in validations]
    return {
        "domainValidationOptions": [_validation(entry) for entry in validations if "ResourceRecord" in entry],
        "keyAlgorithm": _key_algorithm(str(certificate.get("KeyAlgorithm", ""))),
        "notAfter": _moment(certificate.get("NotAfter")),
        "notBefore": _moment(certificate.get("NotBefore")),
        "pendingRenewal": False,
        "renewalSummaries": [
            {
                "renewalStatus": summary.get("RenewalStatus"),
                "renewalStatusReason": summary.get("RenewalStatusReason"),
                "updatedAt": _moment(summary.get("UpdatedAt")),
            }
        ]
        if summary
        else [],
        "validationEmails": sorted({mail for entry in validations for mail in entry.get("ValidationEmails") or []}),
        "validationMethod": next((method for method in methods if method), "NONE"),
    }


def _validation(entry: Answer) -> Properties:
    record = entry["ResourceRecord"]
    return {
        "domainName": entry.get("DomainName"),
        "resourceRecordName": record.get("Name"),
        "resourceRecordType": record.get("Type"),
        "resourceRecordValue": record.get("Value"),
    }


def _key_algorithm(name: str) -> str:
    """DescribeCertificate answers with hyphens where the request has underscores."""
    return next((known for known in _KEY_ALGORITHMS if known.replace("-", "_") == name.replace("-", "_")), name)


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _import_again(call: Call, identifier: str, state: Properties, inputs: Properties, changed: frozenset[str]) -> None:
    del state
    acm = call.client("acm")
    if changed & _IMPORTED.keys():
        attempt(
            f"importing ACM Certificate ({identifier})",
            lambda: acm.import_certificate(CertificateArn=identifier, **_material(inputs)),
        )


def _check(inputs: Properties) -> list[Failure]:
    failures = []
    for name in ("certificateBody", "certificateChain"):
        text = inputs.get(name)
        if isinstance(text, str) and "-----BEGIN CERTIFICATE-----" not in text:
            failures.append(Failure(name, "not a PEM certificate: there is no -----BEGIN CERTIFICATE-----"))
    return failures


_NOT_FOR_IMPORTED = tuple(_IMPORTED)
_CERTIFICATE = Description(
    type="aws:acm/certificate:Certificate",
    title="ACM Certificate",
    service="acm",
    inputs={
        "certificateAuthorityArn": string(
            force_new=True, conflicts=("certificateBody", "privateKey", "validationMethod"), validate=arn
        ),
        "certificateBody": string(
            requires=("privateKey",), conflicts=("certificateAuthorityArn", "domainName", "validationMethod")
        ),
        "certificateChain": string(conflicts=("certificateAuthorityArn", "domainName", "validationMethod")),
        "domainName": string(
            computed=True,
            force_new=True,
            conflicts=_NOT_FOR_IMPORTED,
            validate=lambda name: "cannot end with a period" if name.endswith(".") else None,
        ),
        "earlyRenewalDuration": string(conflicts=(*_NOT_FOR_IMPORTED, "validationMethod")),
        "keyAlgorithm": string(computed=True, force_new=True, conflicts=_NOT_FOR_IMPORTED, allowed=_KEY_ALGORITHMS),
        "options": object_of(
            {
                "certificateTransparencyLoggingPreference": string(default="ENABLED", allowed=("ENABLED", "DISABLED")),
                "export": string(computed=True, allowed=("ENABLED", "DISABLED")),
            },
            computed=True,
        ),
        "privateKey": string(secret=True),
        "subjectAlternativeNames": set_of(string(), computed=True, force_new=True, conflicts=_NOT_FOR_IMPORTED),
        "validationMethod": string(
            computed=True,
            force_new=True,
            conflicts=("certificateAuthorityArn", *_NOT_FOR_IMPORTED),
            allowed=("DNS", "EMAIL", "HTTP"),
        ),
        "validationOptions": set_of(
            object_of({"domainName": string(required=True), "validationDomain": string(required=True)}),
            force_new=True,
            conflicts=_NOT_FOR_IMPORTED,
        ),
    },
    outputs={
        "domainValidationOptions": set_of(string()),
        "notAfter": string(),
        "notBefore": string(),
        "pendingRenewal": string(),
        "renewalEligibility": string(),
        "renewalSummaries": set_of(string()),
        "status": string(),
        "type": string(),
        "validationEmails": set_of(string()),
    },
    find=("describe_certificate", "CertificateArn", "Certificate"),
    gone=("ResourceNotFoundException",),
    create=_create,
    sent=(
        "certificateAuthorityArn",
        "domainName",
        "keyAlgorithm",
        "options",
        "subjectAlternativeNames",
        "validationMethod",
        "validationOptions",
    ),
    fields={"arn": "CertificateArn", "validationOptions": "DomainValidationOptions"},
    kept=(*_IMPORTED, "earlyRenewalDuration", "validationOptions"),
    # findCertificateByARN in the provider's file: a validation that timed out counts as gone.
    state=State("Status", gone=("VALIDATION_TIMED_OUT",)),
    tags="acm",
    modify=("update_certificate_options", "CertificateArn"),
    modified=("options",),
    seen=_seen,
    more=_import_again,
    delete=("delete_certificate", "CertificateArn"),
    busy=("ResourceInUseException",),
)

RESOURCES = settled(
    [
        _CERTIFICATE.resource(
            exactly_one_of=(("domainName", "privateKey"),), check=_check, timeouts=Timeouts(create=300, delete=1200)
        )
    ]
)
