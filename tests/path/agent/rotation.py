"""Another certificate for a device, made through AWS IoT's API as a rotation makes it."""

from __future__ import annotations

from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from lab.path.read import Aws


@dataclass(frozen=True)
class FreshCertificate:
    """What AWS IoT has issued, and the key that it is for."""

    id: str
    pem: str
    key_pem: str = field(repr=False)


def issue(aws: Aws, thing: str, policy: str, *, active: bool = True) -> FreshCertificate:
    """Issue a certificate and attach it to thing and policy."""
    iot = aws.client("iot")
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, thing)])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    issued = iot.create_certificate_from_csr(
        certificateSigningRequest=request.public_bytes(serialization.Encoding.PEM).decode(), setAsActive=active
    )
    iot.attach_policy(policyName=policy, target=issued["certificateArn"])
    iot.attach_thing_principal(thingName=thing, principal=issued["certificateArn"])
    key_pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    return FreshCertificate(issued["certificateId"], issued["certificatePem"], key_pem)
