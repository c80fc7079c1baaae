"""`tls:index/selfSignedCert:SelfSignedCert`.

Source: terraform-provider-tls ``internal/provider/resource_self_signed_cert.go``.
"""

from lab.providers.schema import Created, Resource, boolean, force_new, string
from lab.providers.tls import pem
from lab.providers.tls.issuing import CERTIFICATE, ISSUED, forget, issue, keep, read_certificate, renewal
from lab.providers.tls.subject import SUBJECT, alternative_names, distinguished_name
from lab.providers.values import Properties
from lab.providers.waiting import Call


def _create(call: Call, inputs: Properties) -> Created:
    del call
    key = pem.private_key(inputs["privateKeyPem"], "privateKeyPem")
    made = issue(
        inputs,
        subject=distinguished_name(inputs.get("subject")),
        names=alternative_names(inputs),
        public_key=key.public_key(),
        signer=key,
        issuer=None,
    )
    return Created(made.id, {**made.outputs, "keyAlgorithm": pem.algorithm(key)})


SELF_SIGNED_CERT = Resource(
    type="tls:index/selfSignedCert:SelfSignedCert",
    title="TLS Self Signed Certificate",
    inputs={
        **ISSUED,
        **force_new(SUBJECT),
        "privateKeyPem": string(required=True, force_new=True, secret=True),
        "setAuthorityKeyId": boolean(default=False, force_new=True),
    },
    outputs={**CERTIFICATE, "keyAlgorithm": string()},
    create=_create,
    read=read_certificate,
    update=keep,
    delete=forget,
    due=renewal,
    framework=True,
)
