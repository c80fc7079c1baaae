"""`aws:acm/certificate:Certificate`. Source: terraform-provider-aws ``internal/service/acm/certificate.go``.

An imported certificate is imported again, under the same ARN, when its body, chain or key changes. The provider never
reads any of the three back, so the state keeps what the program gave.
"""

from lab.providers.aws.clients import trying
from lab.providers.aws.common import arn
from lab.providers.aws.description import Description, Operation, State, served
from lab.providers.aws.shapes import Answer, arguments, from_api
from lab.providers.errors import Failure, ProviderError
from lab.providers.schema import Timeouts, object_of, set_of, string
from lab.providers.values import Properties

_IMPORTED = ("certificateBody", "certificateChain", "privateKey")
_KEY_ALGORITHMS = (
    *("RSA_1024", "RSA_2048", "RSA_3072", "RSA_4096"),
    *("EC_prime256v1", "EC_secp384r1", "EC_secp521r1"),
)
_SUMMARY = dict.fromkeys(("renewalStatus", "renewalStatusReason", "updatedAt"), string())


def _create(op: Operation) -> str:
    if not op.inputs.get("domainName"):
        with trying("importing ACM Certificate"):
            answer = op.api.import_certificate(**op.kind.creation(op, "import_certificate"))
        return str(answer["CertificateArn"])
    if not op.inputs.get("certificateAuthorityArn") and not op.inputs.get("validationMethod"):
        raise ProviderError(
            "`certificateAuthorityArn` or `validationMethod` must be set when creating an ACM certificate"
        )
    with trying(f"requesting ACM Certificate ({op.inputs['domainName']})"):
        answer = op.api.request_certificate(**op.kind.creation(op, "request_certificate"))
    return str(answer["CertificateArn"])


def _import_again(op: Operation) -> None:
    if op.changed & {*_IMPORTED}:
        material = {name: op.inputs[name] for name in _IMPORTED if op.inputs.get(name)}
        with trying(f"importing ACM Certificate ({op.id})"):
            op.api.import_certificate(
                CertificateArn=op.id, **arguments(op.api, "import_certificate", material, op.kind.fields)
            )


def _seen(_op: Operation, certificate: Answer) -> Properties:
    validations = certificate.get("DomainValidationOptions") or []
    summary = certificate.get("RenewalSummary")
    methods = [entry.get("ValidationMethod") for entry in validations]
    algorithm = str(certificate.get("KeyAlgorithm", ""))
    return {
        "domainValidationOptions": [_validation(entry) for entry in validations if "ResourceRecord" in entry],
        # DescribeCertificate answers with hyphens where the request has underscores.
        "keyAlgorithm": next((known for known in _KEY_ALGORITHMS if known == algorithm.replace("-", "_")), algorithm),
        "pendingRenewal": False,
        "renewalSummaries": [from_api(_SUMMARY, summary, {})] if summary else [],
        "validationEmails": sorted({mail for entry in validations for mail in entry.get("ValidationEmails") or []}),
        "validationMethod": next((method for method in methods if method), "NONE"),
    }


def _validation(entry: Answer) -> Properties:
    record = {f"resourceRecord{name}": value for name, value in entry["ResourceRecord"].items()}
    return {"domainName": entry.get("DomainName"), **record}


def _check(inputs: Properties) -> list[Failure]:
    failures = []
    for name in ("certificateBody", "certificateChain"):
        text = inputs.get(name)
        if isinstance(text, str) and "-----BEGIN CERTIFICATE-----" not in text:
            failures.append(Failure(name, "not a PEM certificate: there is no -----BEGIN CERTIFICATE-----"))
    return failures


_REQUESTED = ("certificateAuthorityArn", "domainName", "validationMethod")
_CERTIFICATE = Description(
    type="aws:acm/certificate:Certificate",
    title="ACM Certificate",
    exactly_one_of=(("domainName", "privateKey"),),
    check=_check,
    timeouts=Timeouts(create=300, delete=1200),
    service="acm",
    inputs={
        "certificateAuthorityArn": string(
            force_new=True, conflicts=("certificateBody", "privateKey", "validationMethod"), validate=arn
        ),
        "certificateBody": string(requires=("privateKey",), conflicts=_REQUESTED),
        "certificateChain": string(conflicts=_REQUESTED),
        "domainName": string(
            computed=True,
            force_new=True,
            conflicts=_IMPORTED,
            validate=lambda name: "cannot end with a period" if name.endswith(".") else None,
        ),
        "earlyRenewalDuration": string(conflicts=(*_IMPORTED, "validationMethod")),
        "keyAlgorithm": string(computed=True, force_new=True, conflicts=_IMPORTED, allowed=_KEY_ALGORITHMS),
        "options": object_of(
            {
                "certificateTransparencyLoggingPreference": string(default="ENABLED", allowed=("ENABLED", "DISABLED")),
                "export": string(computed=True, allowed=("ENABLED", "DISABLED")),
            },
            computed=True,
        ),
        "privateKey": string(secret=True),
        "subjectAlternativeNames": set_of(string(), computed=True, force_new=True, conflicts=_IMPORTED),
        "validationMethod": string(
            computed=True,
            force_new=True,
            conflicts=("certificateAuthorityArn", *_IMPORTED),
            allowed=("DNS", "EMAIL", "HTTP"),
        ),
        "validationOptions": set_of(
            object_of({"domainName": string(required=True), "validationDomain": string(required=True)}),
            force_new=True,
            conflicts=_IMPORTED,
        ),
    },
    outputs={
        "domainValidationOptions": set_of(string()),
        "renewalSummaries": set_of(string()),
        "validationEmails": set_of(string()),
        **dict.fromkeys(("notAfter", "notBefore", "pendingRenewal", "renewalEligibility", "status", "type"), string()),
    },
    find=("describe_certificate", "CertificateArn", "Certificate"),
    gone=("ResourceNotFoundException",),
    create=_create,
    fields={
        "arn": "CertificateArn",
        "certificateBody": "Certificate",
        "validationOptions": "DomainValidationOptions",
    },
    kept=(*_IMPORTED, "earlyRenewalDuration", "validationOptions"),
    # findCertificateByARN in the provider's file: a validation that timed out counts as gone.
    state=State("Status", gone=("VALIDATION_TIMED_OUT",)),
    tags=True,
    modify=("update_certificate_options", "CertificateArn"),
    seen=_seen,
    more=_import_again,
    delete=("delete_certificate", "CertificateArn"),
    busy=("ResourceInUseException",),
)

RESOURCES = served(_CERTIFICATE)
