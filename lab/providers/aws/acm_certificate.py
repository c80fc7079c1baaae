"""`aws:acm/certificate:Certificate`. Source: terraform-provider-aws ``internal/service/acm/certificate.go``.

An imported certificate is imported again, under the same ARN, when its body, chain or key changes. The provider never
reads any of the three back, so the state keeps what the program gave.
"""

from datetime import datetime
from typing import Any

from lab.providers.aws.common import REGION, TAGS, arn, attempt, has_code, picked, unless_gone
from lab.providers.aws.tags import changes, from_list, to_list
from lab.providers.errors import Failure, ProviderError
from lab.providers.schema import Resource, Timeouts, object_of, set_of, string
from lab.providers.values import Properties
from lab.providers.waiting import Call

_GONE = ("ResourceNotFoundException",)
_IMPORTED = ("certificateBody", "certificateChain", "privateKey")
_KEY_ALGORITHMS = (
    "RSA_1024",
    "RSA_2048",
    "RSA_3072",
    "RSA_4096",
    "EC_prime256v1",
    "EC_secp384r1",
    "EC_secp521r1",
)


def _find(call: Call, identifier: str) -> dict[str, Any] | None:
    acm = call.client("acm")
    answer = unless_gone(
        f"reading ACM Certificate ({identifier})",
        _GONE,
        lambda: acm.describe_certificate(CertificateArn=identifier)["Certificate"],
    )
    # findCertificateByARN in the provider's file: a validation that timed out counts as gone.
    return None if answer is None or answer.get("Status") == "VALIDATION_TIMED_OUT" else dict(answer)


def _create(call: Call, inputs: Properties) -> str:
    acm = call.client("acm")
    tags = {"Tags": to_list(inputs["tagsAll"])} if inputs.get("tagsAll") else {}
    if inputs.get("domainName"):
        if not inputs.get("certificateAuthorityArn") and not inputs.get("validationMethod"):
            raise ProviderError(
                "`certificateAuthorityArn` or `validationMethod` must be set when creating an ACM certificate"
            )
        arguments = picked(
            inputs,
            {
                "CertificateAuthorityArn": "certificateAuthorityArn",
                "DomainName": "domainName",
                "KeyAlgorithm": "keyAlgorithm",
                "SubjectAlternativeNames": "subjectAlternativeNames",
                "ValidationMethod": "validationMethod",
            },
        )
        options = inputs.get("validationOptions") or []
        if options:
            names = {"DomainName": "domainName", "ValidationDomain": "validationDomain"}
            arguments["DomainValidationOptions"] = [picked(option, names) for option in options]
        answer = attempt(
            f"requesting ACM Certificate ({inputs['domainName']})",
            lambda: acm.request_certificate(**arguments, **_options(inputs), **tags),
        )
    else:
        answer = attempt("importing ACM Certificate", lambda: acm.import_certificate(**_material(inputs), **tags))
    return str(answer["CertificateArn"])


def _options(inputs: Properties) -> dict[str, Any]:
    names = {
        "CertificateTransparencyLoggingPreference": "certificateTransparencyLoggingPreference",
        "Export": "export",
    }
    options = picked(inputs.get("options") or {}, names)
    return {"Options": options} if options else {}


def _material(inputs: Properties) -> dict[str, bytes]:
    names = {"Certificate": "certificateBody", "CertificateChain": "certificateChain", "PrivateKey": "privateKey"}
    return {argument: text.encode() for argument, text in picked(inputs, names).items()}


def _read(call: Call, identifier: str, state: Properties) -> Properties | None:
    certificate = _find(call, identifier)
    if certificate is None:
        return None
    acm = call.client("acm")
    tags = attempt(
        f"listing tags for ACM Certificate ({identifier})",
        lambda: acm.list_tags_for_certificate(CertificateArn=identifier)["Tags"],
    )
    validations = certificate.get("DomainValidationOptions") or []
    options = certificate.get("Options") or {}
    summary = certificate.get("RenewalSummary")
    imported = certificate.get("Type") == "IMPORTED"
    return {
        **{name: state.get(name) for name in _IMPORTED},
        "arn": certificate["CertificateArn"],
        "certificateAuthorityArn": certificate.get("CertificateAuthorityArn"),
        "domainName": certificate.get("DomainName"),
        "domainValidationOptions": [_validation(entry) for entry in validations if "ResourceRecord" in entry],
        "earlyRenewalDuration": state.get("earlyRenewalDuration"),
        "keyAlgorithm": _key_algorithm(str(certificate.get("KeyAlgorithm", ""))),
        "notAfter": _moment(certificate.get("NotAfter")),
        "notBefore": _moment(certificate.get("NotBefore")),
        "options": {
            "certificateTransparencyLoggingPreference": options.get("CertificateTransparencyLoggingPreference"),
            "export": options.get("Export"),
        }
        if options
        else None,
        "pendingRenewal": False,
        "renewalEligibility": certificate.get("RenewalEligibility"),
        "renewalSummaries": [
            {
                "renewalStatus": summary.get("RenewalStatus"),
                "renewalStatusReason": summary.get("RenewalStatusReason"),
                "updatedAt": _moment(summary.get("UpdatedAt")),
            }
        ]
        if summary
        else [],
        "status": certificate.get("Status"),
        "subjectAlternativeNames": sorted(certificate.get("SubjectAlternativeNames") or []),
        "tagsAll": from_list(tags),
        "type": certificate.get("Type"),
        "validationEmails": sorted({mail for entry in validations for mail in entry.get("ValidationEmails") or []}),
        "validationMethod": "NONE" if imported else _validation_method(certificate),
        "validationOptions": state.get("validationOptions"),
    }


def _validation(entry: dict[str, Any]) -> Properties:
    record = entry["ResourceRecord"]
    return {
        "domainName": entry.get("DomainName"),
        "resourceRecordName": record.get("Name"),
        "resourceRecordType": record.get("Type"),
        "resourceRecordValue": record.get("Value"),
    }


def _validation_method(certificate: dict[str, Any]) -> str:
    methods = [entry.get("ValidationMethod") for entry in certificate.get("DomainValidationOptions") or []]
    return next((method for method in methods if method), "NONE")


def _key_algorithm(name: str) -> str:
    """DescribeCertificate answers with hyphens where the request has underscores."""
    return next((known for known in _KEY_ALGORITHMS if known.replace("-", "_") == name.replace("-", "_")), name)


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _update(call: Call, identifier: str, state: Properties, inputs: Properties, changed: frozenset[str]) -> None:
    acm = call.client("acm")
    if changed & set(_IMPORTED):
        attempt(
            f"importing ACM Certificate ({identifier})",
            lambda: acm.import_certificate(CertificateArn=identifier, **_material(inputs)),
        )
    if "options" in changed and inputs.get("options"):
        attempt(
            f"updating ACM Certificate ({identifier})",
            lambda: acm.update_certificate_options(CertificateArn=identifier, **_options(inputs)),
        )
    if "tagsAll" in changed:
        put, removed = changes(state, inputs)
        what = f"updating tags of ACM Certificate ({identifier})"
        if removed:
            gone = [{"Key": key} for key in removed]
            attempt(what, lambda: acm.remove_tags_from_certificate(CertificateArn=identifier, Tags=gone))
        if put:
            attempt(what, lambda: acm.add_tags_to_certificate(CertificateArn=identifier, Tags=to_list(put)))


def _delete(call: Call, identifier: str, state: Properties) -> None:
    del state
    acm = call.client("acm")
    what = f"deleting ACM Certificate ({identifier})"
    unless_gone(
        what,
        _GONE,
        lambda: call.retry(
            what,
            lambda: acm.delete_certificate(CertificateArn=identifier),
            while_error=has_code("ResourceInUseException"),
        ),
    )


def _check(inputs: Properties) -> list[Failure]:
    failures = []
    for name in ("certificateBody", "certificateChain"):
        text = inputs.get(name)
        if isinstance(text, str) and "-----BEGIN CERTIFICATE-----" not in text:
            failures.append(Failure(name, "not a PEM certificate: there is no -----BEGIN CERTIFICATE-----"))
    return failures


_NOT_FOR_IMPORTED = ("certificateBody", "certificateChain", "privateKey")

RESOURCES = {
    "aws:acm/certificate:Certificate": Resource(
        type="aws:acm/certificate:Certificate",
        title="ACM Certificate",
        inputs={
            **REGION,
            **TAGS,
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
                    "certificateTransparencyLoggingPreference": string(
                        default="ENABLED", allowed=("ENABLED", "DISABLED")
                    ),
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
            "arn": string(),
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
        exactly_one_of=(("domainName", "privateKey"),),
        check=_check,
        create=_create,
        read=_read,
        update=_update,
        delete=_delete,
        timeouts=Timeouts(create=300, delete=1200),
        import_id="ARN",
    )
}
