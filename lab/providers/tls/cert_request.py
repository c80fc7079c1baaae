"""`tls:index/certRequest:CertRequest`.

Source: terraform-provider-tls ``internal/provider/resource_cert_request.go``.
"""

import hashlib

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from lab.providers.schema import Created, Resource, string
from lab.providers.tls import pem
from lab.providers.tls.issuing import forget
from lab.providers.tls.subject import SUBJECT, alternative_names, distinguished_name
from lab.providers.values import Properties
from lab.providers.waiting import Call


def _create(call: Call, inputs: Properties) -> Created:
    del call
    key = pem.private_key(inputs["privateKeyPem"], "privateKeyPem")
    builder = x509.CertificateSigningRequestBuilder().subject_name(distinguished_name(inputs.get("subject")))
    names = alternative_names(inputs)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    made = builder.sign(key, pem.digest(key))
    identifier = hashlib.sha1(made.public_bytes(serialization.Encoding.DER)).hexdigest()  # noqa: S324  # an id
    text = made.public_bytes(serialization.Encoding.PEM).decode()
    return Created(identifier, {"certRequestPem": text, "keyAlgorithm": pem.algorithm(key)})


def _read(call: Call, identifier: str, state: Properties) -> Properties | None:
    del call, identifier
    return dict(state) or None


CERT_REQUEST = Resource(
    type="tls:index/certRequest:CertRequest",
    title="TLS Certificate Request",
    inputs={**SUBJECT, "privateKeyPem": string(required=True, secret=True)},
    outputs={"certRequestPem": string(), "keyAlgorithm": string()},
    create=_create,
    read=_read,
    delete=forget,
    framework=True,
)
