"""Who a certificate is for: the distinguished name and the alternative names.

Source: terraform-provider-tls ``internal/provider/common_cert.go``; the order of the name's parts is Go's
``crypto/x509/pkix`` (ToRDNSequence).
"""

import ipaddress
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.x509.oid import NameOID

from lab.providers.errors import ProviderError
from lab.providers.schema import Property, list_of, object_of, string
from lab.providers.values import Properties

_PARTS = {
    "country": NameOID.COUNTRY_NAME,
    "organization": NameOID.ORGANIZATION_NAME,
    "organizationalUnit": NameOID.ORGANIZATIONAL_UNIT_NAME,
    "locality": NameOID.LOCALITY_NAME,
    "province": NameOID.STATE_OR_PROVINCE_NAME,
    "streetAddresses": NameOID.STREET_ADDRESS,
    "postalCode": NameOID.POSTAL_CODE,
    "commonName": NameOID.COMMON_NAME,
    "serialNumber": NameOID.SERIAL_NUMBER,
    "emailAddress": NameOID.EMAIL_ADDRESS,
}


def _address(value: str) -> str | None:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return f"Invalid IP address: {value!r} is neither an IPv4 nor an IPv6 address"
    return None


def _uri(value: str) -> str | None:
    return None if urlsplit(value).scheme else f"Invalid URI: {value!r} has no scheme"


SUBJECT: dict[str, Property] = {
    "subject": object_of({name: string() if name != "streetAddresses" else list_of(string()) for name in _PARTS}),
    "dnsNames": list_of(string()),
    "ipAddresses": list_of(string(validate=_address)),
    "uris": list_of(string(validate=_uri)),
}


def distinguished_name(subject: Properties | None) -> x509.Name:
    """The name; empty without a subject.

    Raises:
        ProviderError: For a part that X.509 does not allow, such as a country that is not of two letters.
    """
    attributes: list[x509.NameAttribute[Any]] = []
    for part, oid in _PARTS.items():
        value = (subject or {}).get(part)
        for text in value if isinstance(value, list) else [value]:
            if text:
                try:
                    attributes.append(x509.NameAttribute(oid, text))
                except ValueError as error:
                    raise ProviderError(f"Invalid Certificate Subject: {part} {text!r}: {error}") from None
    return x509.Name(attributes)


def alternative_names(inputs: Properties) -> list[x509.GeneralName]:
    """The DNS names, addresses and URIs, in that order, as Go's crypto/x509 writes them."""
    names: list[x509.GeneralName] = [x509.DNSName(name) for name in inputs.get("dnsNames") or []]
    names += [x509.IPAddress(ipaddress.ip_address(address)) for address in inputs.get("ipAddresses") or []]
    names += [x509.UniformResourceIdentifier(uri) for uri in inputs.get("uris") or []]
    return names
