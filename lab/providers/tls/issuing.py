"""What self-signed and locally signed certificates share.

Source: terraform-provider-tls ``internal/provider/common_cert.go`` (createCertificate) and Go's ``crypto/x509``.
"""

import secrets
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID

from lab import clock
from lab.providers.errors import ProviderError
from lab.providers.schema import Created, Property, boolean, integer, list_of, string
from lab.providers.tls.pem import PrivateKey, PublicKey, digest
from lab.providers.values import UNKNOWN, Properties
from lab.providers.waiting import Call

_ALIKE = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
# Usage → cryptography's name of it.
_KEY_USAGES = {
    **{name: name for name in (*_ALIKE, "encipher_only", "decipher_only")},
    "cert_signing": "key_cert_sign",
    "crl_signing": "crl_sign",
}
_EXTENDED_KEY_USAGES = {
    "any_extended": ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
    "server_auth": ExtendedKeyUsageOID.SERVER_AUTH,
    "client_auth": ExtendedKeyUsageOID.CLIENT_AUTH,
    "code_signing": ExtendedKeyUsageOID.CODE_SIGNING,
    "email_protection": ExtendedKeyUsageOID.EMAIL_PROTECTION,
    "ipsec_end_system": x509.ObjectIdentifier("1.3.6.1.5.5.7.3.5"),
    "ipsec_tunnel": x509.ObjectIdentifier("1.3.6.1.5.5.7.3.6"),
    "ipsec_user": x509.ObjectIdentifier("1.3.6.1.5.5.7.3.7"),
    "timestamping": ExtendedKeyUsageOID.TIME_STAMPING,
    "ocsp_signing": ExtendedKeyUsageOID.OCSP_SIGNING,
    "microsoft_server_gated_crypto": x509.ObjectIdentifier("1.3.6.1.4.1.311.10.3.3"),
    "netscape_server_gated_crypto": x509.ObjectIdentifier("2.16.840.1.113730.4.1"),
    "microsoft_commercial_code_signing": x509.ObjectIdentifier("1.3.6.1.4.1.311.2.1.22"),
    "microsoft_kernel_code_signing": x509.ObjectIdentifier("1.3.6.1.4.1.311.61.1.1"),
}

ISSUED: dict[str, Property] = {
    "allowedUses": list_of(
        string(allowed=tuple(sorted((*_KEY_USAGES, *_EXTENDED_KEY_USAGES)))), required=True, force_new=True
    ),
    "earlyRenewalHours": integer(default=0, minimum=0),
    "isCaCertificate": boolean(default=False, force_new=True),
    "maxPathLength": integer(default=-1, minimum=-1, force_new=True),
    "setSubjectKeyId": boolean(default=False, force_new=True),
    "validityPeriodHours": integer(required=True, minimum=0, force_new=True),
}
CERTIFICATE: dict[str, Property] = {
    **dict.fromkeys(("certPem", "validityEndTime", "validityStartTime"), string()),
    "readyForRenewal": boolean(),
}


def issue(
    inputs: Properties,
    *,
    subject: x509.Name,
    names: list[x509.GeneralName],
    public_key: PublicKey,
    signer: PrivateKey,
    issuer: x509.Certificate | None,
) -> Created:
    """Makes a certificate.

    Args:
        inputs: The resource's inputs, those of `ISSUED` among them.
        subject: Whom it is for.
        names: Its alternative names.
        public_key: The key that it certifies.
        signer: The key that signs it.
        issuer: The certificate of the CA; None for a self-signed one.

    Raises:
        ProviderError: For a CA without a subject, or where an authority key id is asked for and the issuer has none.
    """
    authority = bool(inputs["isCaCertificate"])
    if authority and not list(subject):
        raise ProviderError(
            "Invalid Certificate Subject: Must contain at least one Distinguished Name when creating Certificate "
            "Authority (CA)"
        )
    start = clock.now()
    try:
        end = start + timedelta(hours=inputs["validityPeriodHours"])
    except OverflowError:
        raise ProviderError(
            f"validityPeriodHours: {inputs['validityPeriodHours']} hours from now is past the year 9999; give fewer"
        ) from None
    serial = secrets.randbits(128) or 1
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if issuer is None else issuer.subject)
        .public_key(public_key)
        .serial_number(serial)
        .not_valid_before(start)
        .not_valid_after(end)
    )
    usages = [_KEY_USAGES[use] for use in inputs["allowedUses"] if use in _KEY_USAGES]
    if usages:
        builder = builder.add_extension(_key_usage(usages), critical=True)
    extended = [_EXTENDED_KEY_USAGES[use] for use in inputs["allowedUses"] if use in _EXTENDED_KEY_USAGES]
    if extended:
        builder = builder.add_extension(x509.ExtendedKeyUsage(extended), critical=False)
    # As in Go, a path length of zero without MaxPathLenZero counts as none.
    path = inputs["maxPathLength"] if authority and inputs["maxPathLength"] > 0 else None
    builder = builder.add_extension(x509.BasicConstraints(ca=authority, path_length=path), critical=True)
    own = x509.SubjectKeyIdentifier.from_public_key(public_key)
    if authority or inputs["setSubjectKeyId"]:
        builder = builder.add_extension(own, critical=False)
    identifier = _authority_key_id(inputs, own, issuer)
    if identifier is not None:
        builder = builder.add_extension(x509.AuthorityKeyIdentifier(identifier, None, None), critical=False)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=not list(subject))
    made = builder.sign(signer, digest(signer))
    return Created(
        str(serial),
        {
            "certPem": made.public_bytes(serialization.Encoding.PEM).decode(),
            "readyForRenewal": False,
            "validityEndTime": _text(end),
            "validityStartTime": _text(start),
        },
    )


def _key_usage(usages: list[str]) -> x509.KeyUsage:
    wanted = {name: name in usages for name in _KEY_USAGES.values()}
    # cryptography insists, RFC 5280 4.2.1.3
    wanted["key_agreement"] |= wanted["encipher_only"] or wanted["decipher_only"]
    return x509.KeyUsage(**wanted)


def _authority_key_id(
    inputs: Properties, own: x509.SubjectKeyIdentifier, issuer: x509.Certificate | None
) -> bytes | None:
    """The issuer's subject key id where it has one; of a self-signed certificate its own, where that is asked for."""
    if issuer is not None:
        try:
            return issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
        except x509.ExtensionNotFound:
            return None
    if not inputs.get("setAuthorityKeyId"):
        return None
    if not (inputs["isCaCertificate"] or inputs["setSubjectKeyId"]):
        raise ProviderError("Invalid Certificate Authority: Could not determine Authority Key Identifier")
    return own.digest


def _text(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def read_certificate(call: Call, identifier: str, state: Properties) -> Properties | None:
    """The state, in which readyForRenewal turns true once the time for it has come."""
    return {**state, "readyForRenewal": _is_due(state, state)} if state else None


def renewal(state: Properties, inputs: Properties) -> frozenset[str]:
    """What a plan replaces a certificate for though no input changed: it has expired, or its early renewal has come.

    Any `up` plans, so any `up` renews (modifyPlanIfCertificateReadyForRenewal in ``common_cert.go``).
    """
    return frozenset({"readyForRenewal"}) if _is_due(state, inputs) else frozenset()


def _is_due(state: Properties, inputs: Properties) -> bool:
    early = inputs.get("earlyRenewalHours") or 0
    if "validityEndTime" not in state or early is UNKNOWN:
        return False
    return clock.now() >= datetime.fromisoformat(state["validityEndTime"]) - timedelta(hours=early)


def keep(call: Call, identifier: str, state: Properties, inputs: Properties, changed: frozenset[str]) -> None:
    """What can change in place, earlyRenewalHours, changes only the state."""
