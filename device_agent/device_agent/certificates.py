"""PEM, certificates and private keys, checked with the standard library alone.

Three questions decide whether an identity can work, and each has one source here:

- *Does the key belong to the certificate, is the chain unbroken?* OpenSSL answers, through `ssl`: the pair is loaded
  from anonymous memory (memfd_create(2); no key reaches a disk), and a TLS handshake with itself proves the chain.
- *From when to when, whose, by whom?* `ssl` has no public call for a certificate that is not a peer's, so a small DER
  reader takes the few fields it needs (RFC 5280, section 4.1).
- *Is it PEM, and of the right type?* RFC 7468's strict form.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from device_agent._exceptions import CertificateError

_BLOCK = re.compile(
    r"-----BEGIN (?P<label>[A-Z0-9 ]{1,40})-----[ \t]*\r?\n"
    r"(?P<body>[A-Za-z0-9+/=\r\n \t]*)"
    r"-----END (?P=label)-----[ \t]*"
)
_KEY_LABELS = ("PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
WARN_DAYS = 30
"""Days before a certificate's end at which the agent and doctor begin to warn."""
DAY = 24 * 3600.0
_COMMON_NAME = bytes.fromhex("550403")
_BASIC_CONSTRAINTS = bytes.fromhex("551d13")
_ALT_NAMES = bytes.fromhex("551d11")
# X509_V_FLAG_NO_CHECK_TIME of openssl/x509_vfy.h: dates are judged apart, with the clock that was passed in.
_NO_CHECK_TIME = 0x200000


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """What the agent needs to know of an X.509 certificate.

    Attributes:
        subject: The subject's common name, or an empty text.
        issuer: The issuer's common name, or an empty text.
        not_before: The first second of its validity, since 1970 (UTC).
        not_after: The last second.
        authority: Whether it may issue others (basicConstraints cA).
        dns_names: The DNS names of subjectAltName.
        fingerprint: SHA-256 of the DER in hexadecimal, which is AWS IoT's certificate ID.
    """

    subject: str
    issuer: str
    not_before: float
    not_after: float
    authority: bool
    dns_names: tuple[str, ...]
    fingerprint: str


def date(seconds: float) -> str:
    """Write a moment as `2026-11-24 07:00 UTC`, also one that a 32-bit time_t ends before (2038)."""
    return f"{_EPOCH + timedelta(seconds=seconds):%Y-%m-%d %H:%M UTC}"


def read_certificates(pem: str, field: str) -> list[Certificate]:
    """Read PEM that holds one certificate or more and nothing else.

    `field` is what to call it in an error, such as `iot.certificatePem`.

    Raises:
        CertificateError: The text is not PEM, holds another type, or a certificate is malformed.
    """
    found = []
    for label, der in _blocks(pem, field):
        if label != "CERTIFICATE":
            raise CertificateError(f"{field} holds a {label}; a CERTIFICATE belongs there")
        found.append(parse_certificate(der, field))
    return found


def check_private_key(pem: str, field: str) -> None:
    """Refuse anything but the PEM of one unencrypted private key.

    Raises:
        CertificateError: It is something else.
    """
    if "ENCRYPTED" in pem:
        raise CertificateError(f"{field} is encrypted; a device has nobody to type its passphrase, give it unencrypted")
    blocks = _blocks(pem, field)
    if len(blocks) != 1 or blocks[0][0] not in _KEY_LABELS:
        labels = ", ".join(label for label, _der in blocks)
        raise CertificateError(f"{field} holds {labels}; one PRIVATE KEY belongs there")


def check_pair(certificate_pem: str, key_pem: str, certificate_field: str, key_field: str) -> None:
    """Refuse a private key that does not belong to the certificate.

    The certificate may have its intermediates after it; the fields are what to call both in an error.

    Raises:
        CertificateError: They do not match, or OpenSSL refuses one (a key under 2048 bits, say).
    """
    _context(ssl.PROTOCOL_TLS_CLIENT, certificate_pem, key_pem, certificate_field, key_field)


def check_chain(certificate_pem: str, key_pem: str, ca_pem: str, field: str, ca_field: str) -> None:
    """Refuse a client certificate that does not chain to the authorities, by a TLS handshake in memory.

    The certificate plays both sides; the server's side demands and verifies it as Client VPN's endpoint would. Dates
    are left to `check_dates`.

    Raises:
        CertificateError: The chain is broken, or the certificate is not for clients.
    """
    client = _context(ssl.PROTOCOL_TLS_CLIENT, certificate_pem, key_pem, field, field)
    client.check_hostname = False
    client.verify_mode = ssl.CERT_NONE
    server = _context(ssl.PROTOCOL_TLS_SERVER, certificate_pem, key_pem, field, field)
    server.verify_mode = ssl.CERT_REQUIRED
    server.verify_flags |= ssl.VerifyFlags(_NO_CHECK_TIME)
    try:
        server.load_verify_locations(cadata=ca_pem)
        _handshake(client, server)
    except ssl.SSLCertVerificationError as error:
        raise CertificateError(f"{field} does not chain to {ca_field}: {error.verify_message}") from None
    except ssl.SSLError as error:
        raise CertificateError(f"{field} cannot be checked against {ca_field}: {error.reason}") from None


def check_dates(certificates: list[Certificate], now: float, field: str) -> None:
    """Refuse a certificate that is not valid now.

    `now` is in seconds since 1970.

    Raises:
        CertificateError: One is expired or not yet valid.
    """
    for found in certificates:
        if now < found.not_before:
            raise CertificateError(
                f"{field} ({found.subject}) is not valid before {date(found.not_before)} and this device's clock says"
                f" {date(now)}; set the clock (`timedatectl`) or wait"
            )
        if now > found.not_after:
            raise CertificateError(
                f"{field} ({found.subject}) expired on {date(found.not_after)} and this device's clock says"
                f" {date(now)}; issue a new one with `pulumi up`, or set the clock (`timedatectl`)"
            )


def parse_certificate(der: bytes, field: str) -> Certificate:
    """Read a certificate's DER.

    Raises:
        CertificateError: It is not a certificate.
    """
    try:
        return _parse(der)
    except (IndexError, ValueError, OverflowError) as error:
        raise CertificateError(f"{field} is not an X.509 certificate ({error})") from None


def _parse(der: bytes) -> Certificate:
    (certificate,) = _items(der)
    fields = _items(_items(certificate.content)[0].content)
    if fields[0].tag == 0xA0:  # the version, absent in version 1
        fields = fields[1:]
    _serial, _algorithm, issuer, validity, subject, _key, *rest = fields
    not_before, not_after = (_time(item) for item in _items(validity.content))
    extensions = _extensions(rest)
    constraints = _items(_items(extensions[_BASIC_CONSTRAINTS])[0].content) if _BASIC_CONSTRAINTS in extensions else []
    names = _items(_items(extensions[_ALT_NAMES])[0].content) if _ALT_NAMES in extensions else []
    return Certificate(
        subject=_common_name(subject.content),
        issuer=_common_name(issuer.content),
        not_before=not_before,
        not_after=not_after,
        authority=bool(constraints) and constraints[0].tag == 0x01 and constraints[0].content != b"\0",
        dns_names=tuple(name.content.decode("ascii") for name in names if name.tag == 0x82),
        fingerprint=hashlib.sha256(der).hexdigest(),
    )


@dataclass(frozen=True, slots=True)
class _Item:
    """One DER element: a tag of one byte and its content."""

    tag: int
    content: bytes


def _items(data: bytes) -> list[_Item]:
    """Split DER into its elements (X.690, section 8.1): definite lengths only, nothing left over."""
    found = []
    position = 0
    while position < len(data):
        tag, length, position = data[position], data[position + 1], position + 2
        if length >= 0x80:
            size = length & 0x7F
            if not 1 <= size <= 4:
                raise ValueError("bad DER length")
            length, position = int.from_bytes(data[position : position + size], "big"), position + size
        if position + length > len(data):
            raise ValueError("truncated DER")
        found.append(_Item(tag, data[position : position + length]))
        position += length
    return found


def _time(item: _Item) -> float:
    """Read UTCTime (years 1950 to 2049) or GeneralizedTime (RFC 5280, section 4.1.2.5)."""
    text = item.content.decode("ascii")
    if item.tag == 0x17:
        text = ("19" if text >= "50" else "20") + text
    elif item.tag != 0x18:
        raise ValueError("bad date")
    return (datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC) - _EPOCH).total_seconds()


def _common_name(name: bytes) -> str:
    for relative in _items(name):
        for attribute in _items(relative.content):
            kind, value = _items(attribute.content)
            if kind.content == _COMMON_NAME:
                text = value.content.decode("utf-16-be" if value.tag == 0x1E else "utf-8", "replace")
                return "".join(character if character.isprintable() else "?" for character in text)
    return ""


def _extensions(rest: list[_Item]) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = {}
    for item in rest:
        if item.tag == 0xA3:
            for extension in _items(_items(item.content)[0].content):
                kind, *_critical, value = _items(extension.content)
                found[kind.content] = value.content
    return found


def _blocks(pem: str, field: str) -> list[tuple[str, bytes]]:
    found = []
    position = 0
    for match in _BLOCK.finditer(pem):
        if pem[position : match.start()].strip():
            break
        try:
            der = base64.b64decode("".join(match["body"].split()), validate=True)
        except (binascii.Error, ValueError):
            raise CertificateError(f"{field} is not PEM: its base64 is damaged") from None
        found.append((match["label"], der))
        position = match.end()
    if not found or pem[position:].strip():
        raise CertificateError(f"{field} is not PEM: it has to hold -----BEGIN … END----- blocks and nothing else")
    return found


def _context(
    protocol: int, certificate_pem: str, key_pem: str, certificate_field: str, key_field: str
) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    try:
        with _in_memory(certificate_pem) as certificate, _in_memory(key_pem) as key:
            # The password keeps OpenSSL from asking at the terminal.
            context.load_cert_chain(certificate, key, password="")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise CertificateError(f"{key_field} is the key of another certificate than {certificate_field}") from None
        raise CertificateError(
            f"{certificate_field} with {key_field} cannot be used: {error.reason or 'not a key'}"
        ) from None
    return context


@contextmanager
def _in_memory(text: str) -> Iterator[str]:
    """Give a path to text that is in this process's memory alone."""
    descriptor = os.memfd_create("private-iot", os.MFD_CLOEXEC)
    try:
        with open(descriptor, "wb", closefd=False) as stream:
            stream.write(text.encode("utf-8"))
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def _handshake(client: ssl.SSLContext, server: ssl.SSLContext) -> None:
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [
        server.wrap_bio(to_server, to_client, server_side=True),
        client.wrap_bio(to_client, to_server),
    ]
    for _turn in range(6):  # two round trips at most; TLS 1.3's client ends before the server has verified it
        waiting = False
        for side in sides:
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                waiting = True
        if not waiting:
            return
    raise ssl.SSLError("the handshake does not end")
