"""`aws:iot/certificate:Certificate`. Source: terraform-provider-aws ``internal/service/iot/certificate.go``.

By a request, by a certificate of one's own (with or without its CA), or else AWS makes a key pair, which only the
answer to its creation holds: the state then keeps it, as a secret.
"""

from lab.providers.aws.common import REGION, attempt, unless_gone
from lab.providers.errors import Failure
from lab.providers.schema import Created, Resource, boolean, string
from lab.providers.values import Properties
from lab.providers.waiting import Call

_GONE = ("ResourceNotFoundException",)


def _create(call: Call, inputs: Properties) -> str | Created:
    iot = call.client("iot")
    active = bool(inputs["active"])
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


def _read(call: Call, identifier: str, state: Properties) -> Properties | None:
    iot = call.client("iot")
    found = unless_gone(
        f"reading IoT Certificate ({identifier})",
        _GONE,
        lambda: iot.describe_certificate(certificateId=identifier)["certificateDescription"],
    )
    if found is None:
        return None
    return {
        "active": found["status"] == "ACTIVE",
        "arn": found["certificateArn"],
        "caCertificateId": found.get("caCertificateId"),
        "caPem": state.get("caPem"),
        "certificatePem": found.get("certificatePem"),
        "csr": state.get("csr"),
        "privateKey": state.get("privateKey"),
        "publicKey": state.get("publicKey"),
    }


def _update(call: Call, identifier: str, state: Properties, inputs: Properties, changed: frozenset[str]) -> None:
    del state, changed
    _set_status(call, f"updating IoT Certificate ({identifier})", identifier, active=bool(inputs["active"]))


def _set_status(call: Call, what: str, identifier: str, *, active: bool) -> None:
    iot = call.client("iot")
    status = "ACTIVE" if active else "INACTIVE"
    attempt(what, lambda: iot.update_certificate(certificateId=identifier, newStatus=status))


def _delete(call: Call, identifier: str, state: Properties) -> None:
    iot = call.client("iot")
    if state.get("active"):
        unless_gone(
            f"disabling IoT Certificate ({identifier})",
            _GONE,
            lambda: iot.update_certificate(certificateId=identifier, newStatus="INACTIVE"),
        )
    unless_gone(
        f"deleting IoT Certificate ({identifier})", _GONE, lambda: iot.delete_certificate(certificateId=identifier)
    )


def _check(inputs: Properties) -> list[Failure]:
    request = inputs.get("csr")
    if isinstance(request, str) and "CERTIFICATE REQUEST-----" not in request:
        return [Failure("csr", "not a PEM certificate request: there is no -----BEGIN CERTIFICATE REQUEST-----")]
    return []


RESOURCES = {
    "aws:iot/certificate:Certificate": Resource(
        type="aws:iot/certificate:Certificate",
        title="IoT Certificate",
        inputs={
            **REGION,
            "active": boolean(required=True),
            "caPem": string(force_new=True, secret=True),
            "certificatePem": string(computed=True, force_new=True, secret=True),
            "csr": string(force_new=True),
        },
        outputs={
            "arn": string(),
            "caCertificateId": string(),
            "privateKey": string(secret=True),
            "publicKey": string(secret=True),
        },
        check=_check,
        create=_create,
        read=_read,
        update=_update,
        delete=_delete,
    )
}
