"""What a certificate of AWS Private CA is like: its template's extensions, and its last second.

Sources: AWS Private CA user guide, "AWS Private CA template varieties" and "Template definitions"; API reference,
"Validity". A template decides the extensions; of the request only the subject, the key and, where the template passes
nothing else through, the subject alternative name count.
"""

import calendar
import datetime
from collections.abc import Mapping
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPublicKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID

from lab.cloud.acmpca.exceptions import ValidationError

ROOT = "RootCACertificate/V1"
_SERVER, _CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH
_USES = {
    ROOT: None,
    "EndEntityCertificate/V1": (_SERVER, _CLIENT),
    "EndEntityClientAuthCertificate/V1": (_CLIENT,),
    "EndEntityServerAuthCertificate/V1": (_SERVER,),
}
SHORT_LIVED_LIMIT = datetime.timedelta(days=7)
"""Longest validity in the mode SHORT_LIVED_CERTIFICATE (user guide, "AWS Private CA modes")."""


def template_name(arn: str | None) -> str:
    """Return the name and version of a template; without one it is that of an end entity.

    Raises:
        ValidationError: The lab does not know it.
    """
    name = (arn or "arn:aws:acm-pca:::template/EndEntityCertificate/V1").rpartition("template/")[2]
    if name not in _USES:
        raise ValidationError(f"The lab knows the templates {', '.join(_USES)}; got {arn}")
    return name


def extensions(
    template: str, request: x509.CertificateSigningRequest, issuer: CertificateIssuerPublicKeyTypes
) -> list[tuple[x509.ExtensionType, bool]]:
    """Return a template's extensions, each with whether it is critical.

    Args:
        template: As `template_name` returns it.
        request: What was asked for.
        issuer: The authority's key.
    """
    uses = _USES[template]
    authority = uses is None
    found: list[tuple[x509.ExtensionType, bool]] = [
        (x509.BasicConstraints(ca=authority, path_length=None), True),
        (x509.SubjectKeyIdentifier.from_public_key(request.public_key()), False),
        (_key_usage(authority=authority), True),
    ]
    if uses is not None:
        found.append((x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer), False))
        found.append((x509.ExtendedKeyUsage(list(uses)), False))
        try:
            names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        except x509.ExtensionNotFound:
            return found
        found.append((names.value, names.critical))
    return found


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=not authority,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def not_after(validity: Mapping[str, Any], now: datetime.datetime) -> datetime.datetime:
    """Return when a certificate ends.

    Args:
        validity: `Type` and `Value`: a number of DAYS, MONTHS or YEARS, seconds since the epoch (ABSOLUTE), or
            YYYYMMDDHHMMSS (END_DATE).
        now: In UTC.

    Raises:
        ValidationError: It is none of these, or not after now.
    """
    kind, value = validity.get("Type"), int(validity.get("Value") or 0)
    try:
        match kind:
            case "DAYS":
                end = now + datetime.timedelta(days=value)
            case "MONTHS" | "YEARS":
                months = now.month - 1 + (value if kind == "MONTHS" else value * 12)
                year, month = now.year + months // 12, months % 12 + 1
                end = now.replace(year=year, month=month, day=min(now.day, calendar.monthrange(year, month)[1]))
            case "ABSOLUTE":
                end = datetime.datetime.fromtimestamp(value, datetime.UTC)
            case "END_DATE":
                end = datetime.datetime.strptime(f"{value:014d}+0000", "%Y%m%d%H%M%S%z")
            case _:
                raise ValidationError(f"Validity.Type has to be END_DATE, ABSOLUTE, DAYS, MONTHS or YEARS; got {kind}")
    except (ValueError, OverflowError) as error:
        raise ValidationError(f"Validity.Value {value} is no {kind}: {error}") from error
    if end <= now:
        raise ValidationError(f"The certificate would have ended at {end.isoformat()}")
    return end
