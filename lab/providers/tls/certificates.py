"""`tls:index/certRequest:CertRequest`, `…/selfSignedCert:SelfSignedCert` and `…/locallySignedCert:LocallySignedCert`.

Source: terraform-provider-tls ``internal/provider/resource_{cert_request,self_signed_cert,locally_signed_cert}.go``.
"""

import hashlib

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from lab.providers.errors import ProviderError
from lab.providers.schema import Created, Resource, boolean, force_new, string
from lab.providers.tls import pem
from lab.providers.tls.issuing import CERTIFICATE, ISSUED, issue, keep, read_certificate, renewal
from lab.providers.tls.subject import SUBJECT, alternative_names, distinguished_name
from lab.providers.values import Properties
from lab.providers.waiting import Call


def _request(_call: Call, inputs: Properties) -> Created:
    key = pem.private_key(inputs["privateKeyPem"], "privateKeyPem")
    builder = x509.CertificateSigningRequestBuilder().subject_name(distinguished_name(inputs.get("subject")))
    names = alternative_names(inputs)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    made = builder.sign(key, pem.digest(key))
    identifier = hashlib.sha1(made.public_bytes(serialization.Encoding.DER)).hexdigest()  # noqa: S324  # an id
    text = made.public_bytes(serialization.Encoding.PEM).decode()
    return Created(identifier, {"certRequestPem": text, "keyAlgorithm": pem.algorithm(key)})


def _sign_itself(_call: Call, inputs: Properties) -> Created:
    key = pem.private_key(inputs["privateKeyPem"], "privateKeyPem")
    subject, names = distinguished_name(inputs.get("subject")), alternative_names(inputs)
    made = issue(inputs, subject=subject, names=names, public_key=key.public_key(), signer=key, issuer=None)
    return Created(made.id, {**made.outputs, "keyAlgorithm": pem.algorithm(key)})


def _sign_locally(_call: Call, inputs: Properties) -> Created:
    request = pem.request(inputs["certRequestPem"], "certRequestPem")
    signer = pem.private_key(inputs["caPrivateKeyPem"], "caPrivateKeyPem")
    issuer = pem.certificate(inputs["caCertPem"], "caCertPem")
    if signer.public_key() != issuer.public_key():  # Go: "provided PrivateKey doesn't match parent's PublicKey"
        raise ProviderError("Failed to create certificate: caPrivateKeyPem doesn't match the public key of caCertPem")
    key = request.public_key()
    if not isinstance(key, pem.PublicKey):
        raise ProviderError(
            "Failed to create certificate: certRequestPem has a key that is neither RSA, ECDSA nor Ed25519"
        )
    names = _names_of(request)
    made = issue(inputs, subject=request.subject, names=names, public_key=key, signer=signer, issuer=issuer)
    return Created(made.id, {**made.outputs, "caKeyAlgorithm": pem.algorithm(signer)})


def _names_of(request: x509.CertificateSigningRequest) -> list[x509.GeneralName]:
    """The request's DNS names, addresses and URIs; other kinds are left behind, as the provider does."""
    try:
        names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    kept = (x509.DNSName, x509.IPAddress, x509.UniformResourceIdentifier)
    return sorted((name for name in names if isinstance(name, kept)), key=lambda name: kept.index(type(name)))


_KEY = string(required=True, force_new=True, secret=True)
CERT_REQUEST = Resource(
    type="tls:index/certRequest:CertRequest",
    title="TLS Certificate Request",
    inputs={**SUBJECT, "privateKeyPem": _KEY},
    outputs={"certRequestPem": string(), "keyAlgorithm": string()},
    create=_request,
    framework=True,
)
SELF_SIGNED_CERT = Resource(
    type="tls:index/selfSignedCert:SelfSignedCert",
    title="TLS Self Signed Certificate",
    inputs={
        **ISSUED,
        **force_new(SUBJECT),
        "privateKeyPem": _KEY,
        "setAuthorityKeyId": boolean(default=False, force_new=True),
    },
    outputs={**CERTIFICATE, "keyAlgorithm": string()},
    create=_sign_itself,
    read=read_certificate,
    update=keep,
    due=renewal,
    framework=True,
)
LOCALLY_SIGNED_CERT = Resource(
    type="tls:index/locallySignedCert:LocallySignedCert",
    title="TLS Locally Signed Certificate",
    inputs={
        **ISSUED,
        "caCertPem": string(required=True, force_new=True),
        "caPrivateKeyPem": _KEY,
        "certRequestPem": string(required=True, force_new=True),
    },
    outputs={**CERTIFICATE, "caKeyAlgorithm": string()},
    create=_sign_locally,
    read=read_certificate,
    update=keep,
    due=renewal,
    framework=True,
)
