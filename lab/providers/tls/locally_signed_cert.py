"""`tls:index/locallySignedCert:LocallySignedCert`.

Source: terraform-provider-tls ``internal/provider/resource_locally_signed_cert.go``.
"""

from cryptography import x509

from lab.providers.errors import ProviderError
from lab.providers.schema import Created, Resource, string
from lab.providers.tls import pem
from lab.providers.tls.issuing import CERTIFICATE, ISSUED, forget, issue, keep, read_certificate, renewal
from lab.providers.values import Properties
from lab.providers.waiting import Call


def _create(call: Call, inputs: Properties) -> Created:
    del call
    request = pem.request(inputs["certRequestPem"], "certRequestPem")
    signer = pem.private_key(inputs["caPrivateKeyPem"], "caPrivateKeyPem")
    issuer = pem.certificate(inputs["caCertPem"], "caCertPem")
    if signer.public_key() != issuer.public_key():  # Go: "provided PrivateKey doesn't match parent's PublicKey"
        raise ProviderError("Failed to create certificate: caPrivateKeyPem doesn't match the public key of caCertPem")
    public_key = request.public_key()
    if not isinstance(public_key, pem.PublicKey):
        raise ProviderError(
            "Failed to create certificate: certRequestPem has a key that is neither RSA, ECDSA nor Ed25519"
        )
    made = issue(
        inputs,
        subject=request.subject,
        names=_alternative_names(request),
        public_key=public_key,
        signer=signer,
        issuer=issuer,
    )
    return Created(made.id, {**made.outputs, "caKeyAlgorithm": pem.algorithm(signer)})


def _alternative_names(request: x509.CertificateSigningRequest) -> list[x509.GeneralName]:
    """The request's DNS names, addresses and URIs; other kinds are left behind, as the provider does."""
    try:
        names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    kept = (x509.DNSName, x509.IPAddress, x509.UniformResourceIdentifier)
    return sorted((name for name in names if isinstance(name, kept)), key=lambda name: kept.index(type(name)))


LOCALLY_SIGNED_CERT = Resource(
    type="tls:index/locallySignedCert:LocallySignedCert",
    title="TLS Locally Signed Certificate",
    inputs={
        **ISSUED,
        "caCertPem": string(required=True, force_new=True),
        "caPrivateKeyPem": string(required=True, force_new=True, secret=True),
        "certRequestPem": string(required=True, force_new=True),
    },
    outputs={**CERTIFICATE, "caKeyAlgorithm": string()},
    create=_create,
    read=read_certificate,
    update=keep,
    delete=forget,
    due=renewal,
    framework=True,
)
