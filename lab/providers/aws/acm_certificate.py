"""`aws:acm/certificate:Certificate`. Source: terraform-provider-aws ``internal/service/acm/certificate.go``.

An imported certificate is imported again, under the same ARN, when its body, chain or key changes. The provider never
reads any of the three back, so the state keeps what the program gave. Left out: certificates of ACM's own public
authority, with their validation; one that is requested is a private authority's.
"""

from lab.providers.aws.clients import trying
from lab.providers.aws.common import arn, pem
from lab.providers.aws.description import Description, Operation, served
from lab.providers.aws.shapes import Answer, arguments
from lab.providers.errors import ProviderError
from lab.providers.schema import Timeouts, set_of, string
from lab.providers.values import Properties

_IMPORTED = ("certificateBody", "certificateChain", "privateKey")
_KEY_ALGORITHMS = (
    *("RSA_1024", "RSA_2048", "RSA_3072", "RSA_4096"),
    *("EC_prime256v1", "EC_secp384r1", "EC_secp521r1"),
)


def _create(op: Operation) -> str:
    requested = op.inputs.get("domainName")
    if requested and not op.inputs.get("certificateAuthorityArn"):
        raise ProviderError("`certificateAuthorityArn` must be set: no certificate that ACM validates is served")
    operation = "request_certificate" if requested else "import_certificate"
    with trying(f"requesting ACM Certificate ({requested})" if requested else "importing ACM Certificate"):
        return str(getattr(op.api, operation)(**op.kind.creation(op, operation))["CertificateArn"])


def _import_again(op: Operation) -> None:
    material = {name: op.inputs[name] for name in _IMPORTED if op.inputs.get(name)}
    given = arguments(op.api, "import_certificate", material, op.kind.fields)
    with trying(f"importing ACM Certificate ({op.id})"):
        op.api.import_certificate(CertificateArn=op.id, **given)


def _seen(_op: Operation, certificate: Answer) -> Properties:
    # DescribeCertificate answers with hyphens where the request has underscores.
    return {"keyAlgorithm": str(certificate.get("KeyAlgorithm", "")).replace("-", "_"), "pendingRenewal": False}


_REQUESTED = ("certificateAuthorityArn", "domainName")
_CERTIFICATE = Description(
    type="aws:acm/certificate:Certificate",
    title="ACM Certificate",
    exactly_one_of=(("domainName", "privateKey"),),
    timeouts=Timeouts(create=300, delete=1200),
    service="acm",
    inputs={
        "certificateAuthorityArn": string(force_new=True, conflicts=("certificateBody", "privateKey"), validate=arn),
        "certificateBody": string(requires=("privateKey",), conflicts=_REQUESTED, validate=pem("CERTIFICATE")),
        "certificateChain": string(conflicts=_REQUESTED, validate=pem("CERTIFICATE")),
        "domainName": string(
            computed=True,
            force_new=True,
            conflicts=_IMPORTED,
            validate=lambda name: "cannot end with a period" if name.endswith(".") else None,
        ),
        "keyAlgorithm": string(computed=True, force_new=True, conflicts=_IMPORTED, allowed=_KEY_ALGORITHMS),
        "privateKey": string(secret=True),
        "subjectAlternativeNames": set_of(string(), computed=True, force_new=True, conflicts=_IMPORTED),
    },
    outputs=dict.fromkeys(
        ("notAfter", "notBefore", "pendingRenewal", "renewalEligibility", "status", "type"), string()
    ),
    find=("describe_certificate", "CertificateArn", "Certificate"),
    gone=("ResourceNotFoundException",),
    create=_create,
    fields={"arn": "CertificateArn", "certificateBody": "Certificate"},
    kept=_IMPORTED,
    tags=True,
    seen=_seen,
    more=_import_again,
    delete=("delete_certificate", "CertificateArn"),
    busy=("ResourceInUseException",),
)

RESOURCES = served(_CERTIFICATE)
