"""Which of the VPN's client certificates are revoked, and the list that says so. No Pulumi here.

The certificate of a device that is gone is gone from the program too, so its serial number has to be remembered:
`Register` does, one step of the program at a time. The list itself is made from nothing but the authority and the
serial numbers, so that the same of both give the same bytes.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from private_iot.errors import ArgumentError

ENTRIES_LIMIT = 20_000
"""Entries of a client certificate revocation list (Client VPN administrator guide, "Quotas")."""
_SERIAL_NUMBER = re.compile(r"[0-9a-fA-F]{16,40}")
"""The authority's serial numbers are random, 128 bits: shorter ones are typing errors, or another authority's."""


def serial_text(decimal: str | int) -> str:
    """Return a serial number as `openssl x509 -serial` prints it: upper-case hexadecimal digits, two a byte."""
    text = f"{int(decimal):X}"
    return text.zfill(len(text) + len(text) % 2)


def revoked_entry(argument: str, value: object, devices: Collection[str]) -> str:
    """Return an entry of `revoked`: a device's name as it is, a serial number in the form of `serial_text`.

    Args:
        argument: The argument's name.
        value: A name, or hexadecimal digits with or without colons between the bytes.
        devices: The names of the devices that there are.

    Raises:
        ArgumentError: It is neither; a name that is misspelt must not leave its certificate valid.
    """
    if isinstance(value, str):
        if value in devices:
            return value
        digits = value.replace(":", "")
        if _SERIAL_NUMBER.fullmatch(digits):
            return serial_text(int(digits, 16))
    raise ArgumentError(
        argument,
        value,
        "an entry is the name of a device that there is, or a serial number of 16 to 40 hexadecimal digits",
        "correct it; a device that was removed is revoked already, so take its name out",
    )


def check_entries(argument: str, number: int) -> None:
    """Refuse more entries than AWS takes.

    Raises:
        ArgumentError: There are more than 20,000.
    """
    if number > ENTRIES_LIMIT:
        raise ArgumentError(
            argument,
            f"{number} certificates",
            f"AWS Client VPN takes {ENTRIES_LIMIT} entries",
            "roll the authority, which makes every revoked certificate worthless (docs/operations.md)",
        )


@dataclass(frozen=True, slots=True)
class Register:
    """Every certificate that the authority issued to devices.

    Attributes:
        issued: Device → serial numbers, oldest first: a renewal leaves the one before valid.
        removed: Serial numbers of devices that are gone, sorted.
    """

    issued: Mapping[str, tuple[str, ...]]
    removed: tuple[str, ...]

    @classmethod
    def read(cls, state: Mapping[str, object]) -> Self:
        """Read what `state` returned; what is not there is empty."""
        issued, removed = state.get("issued"), state.get("removed")
        return cls(
            {str(name): tuple(serials) for name, serials in issued.items()} if isinstance(issued, Mapping) else {},
            tuple(removed) if isinstance(removed, (list, tuple)) else (),
        )

    def state(self) -> dict[str, object]:
        """Return it as JSON has it."""
        return {
            "issued": {name: list(self.issued[name]) for name in sorted(self.issued)},
            "removed": list(self.removed),
        }

    def follow(self, current: Mapping[str, str], *, complete: bool = True) -> "Register":
        """Return the register after the program's devices changed.

        Args:
            current: Device → the serial number of its certificate now.
            complete: Whether these are all; otherwise nobody who is missing counts as gone.

        Returns:
            With the new numbers added; those of a device that is not there any more have moved to `removed` for good.
        """
        issued = {
            name: (*(one for one in self.issued.get(name, ()) if one != serial), serial)
            for name, serial in current.items()
        }
        missing = {name: serials for name, serials in self.issued.items() if name not in current}
        if not complete:
            return Register({**missing, **issued}, self.removed)
        gone = {serial for serials in missing.values() for serial in serials}
        return Register(issued, tuple(sorted({*self.removed, *gone})))

    def revoked(self, entries: Iterable[str]) -> tuple[str, ...]:
        """Return the serial numbers that are revoked, sorted.

        Args:
            entries: Names of devices, all of whose certificates are meant, and serial numbers.
        """
        named = {serial for entry in entries for serial in self.issued.get(entry, (entry,))}
        return tuple(sorted({*self.removed, *named}))


def revocation_list(authority_certificate_pem: str, authority_private_key_pem: str, serials: Iterable[str]) -> str:
    """Sign the revocation list (RFC 5280, section 5), PEM.

    It is valid from the authority's first to its last second: AWS blocks every connection once a list has expired, and
    a date of today would make another list of the same certificates at every `pulumi up`. As in the lists of Easy-RSA,
    which AWS's guide makes, there is no CRL number: nobody who reads it compares numbers.

    Args:
        authority_certificate_pem: The authority's certificate.
        authority_private_key_pem: Its RSA key, not encrypted.
        serials: Hexadecimal serial numbers in any order.

    Raises:
        ValueError: The certificate or the key cannot be read.
    """
    authority = x509.load_pem_x509_certificate(authority_certificate_pem.encode())
    key = serialization.load_pem_private_key(authority_private_key_pem.encode(), password=None)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise ValueError("the authority's key is not RSA, which alone signs the same text with the same bytes")
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.subject)
        .last_update(authority.not_valid_before_utc)
        .next_update(authority.not_valid_after_utc)
        .add_extension(_key_identifier(authority), critical=False)
    )
    for serial in sorted({int(text, 16) for text in serials}):
        builder = builder.add_revoked_certificate(
            x509.RevokedCertificateBuilder()
            .serial_number(serial)
            .revocation_date(authority.not_valid_before_utc)
            .build()
        )
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def _key_identifier(authority: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    """Return what OpenSSL finds the authority by: its own identifier, however that was computed."""
    try:
        own = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        own = x509.SubjectKeyIdentifier.from_public_key(authority.public_key())
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own)
