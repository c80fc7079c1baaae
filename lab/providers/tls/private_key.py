"""`tls:index/privateKey:PrivateKey`.

Source: terraform-provider-tls ``internal/provider/resource_private_key.go``, ``common_key.go``.
"""

import base64
import hashlib

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from lab.providers.schema import Created, Resource, integer, string
from lab.providers.tls.pem import CURVES, KNOWN, PrivateKey
from lab.providers.values import Properties
from lab.providers.waiting import Call


def _create(_call: Call, inputs: Properties) -> Created:
    key: PrivateKey
    if inputs["algorithm"] == "RSA":
        key = rsa.generate_private_key(public_exponent=65537, key_size=inputs["rsaBits"])
    elif inputs["algorithm"] == "ECDSA":
        key = ec.generate_private_key(CURVES[inputs["ecdsaCurve"]]())
    else:
        key = ed25519.Ed25519PrivateKey.generate()
    pem = _private(key, traditional=not isinstance(key, ed25519.Ed25519PrivateKey))
    KNOWN[pem] = key
    public = key.public_key()
    der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return Created(
        hashlib.sha1(der).hexdigest(),  # noqa: S324 - the id as the provider makes it (hashForState), not a safeguard
        {
            "privateKeyPem": pem,
            "privateKeyPemPkcs8": _private(key, traditional=False),
            "publicKeyPem": public.public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            ).decode(),
            **_openssh(key),
        },
    )


def _private(key: PrivateKey, *, traditional: bool) -> str:
    """PKCS#1 or SEC 1 where the key's kind has such a form (Ed25519 has none), else PKCS#8."""
    form = serialization.PrivateFormat.TraditionalOpenSSL if traditional else serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


def _openssh(key: PrivateKey) -> dict[str, str]:
    """OpenSSH's forms and fingerprints; empty for P-224, which OpenSSH does not know."""
    names = ("privateKeyOpenssh", "publicKeyOpenssh", "publicKeyFingerprintMd5", "publicKeyFingerprintSha256")
    if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP224R1):
        return dict.fromkeys(names, "")
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    ).decode()
    line = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode()
    blob = base64.b64decode(line.split()[1])
    md5 = hashlib.md5(blob).hexdigest()  # noqa: S324 - OpenSSH's old fingerprint, not a safeguard
    sha256 = base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
    pairs = ":".join(md5[at : at + 2] for at in range(0, len(md5), 2))
    return dict(zip(names, (private, f"{line}\n", pairs, f"SHA256:{sha256}"), strict=True))


PRIVATE_KEY = Resource(
    type="tls:index/privateKey:PrivateKey",
    title="TLS Private Key",
    inputs={
        "algorithm": string(required=True, allowed=("RSA", "ECDSA", "ED25519")),
        "ecdsaCurve": string(default="P224", allowed=tuple(CURVES)),
        "rsaBits": integer(default=2048, minimum=1024, maximum=16384),
    },
    outputs={
        **dict.fromkeys(("privateKeyOpenssh", "privateKeyPem", "privateKeyPemPkcs8"), string(secret=True)),
        **dict.fromkeys(
            ("publicKeyFingerprintMd5", "publicKeyFingerprintSha256", "publicKeyOpenssh", "publicKeyPem"), string()
        ),
    },
    create=_create,
    framework=True,
)
