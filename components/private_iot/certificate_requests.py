"""Certificate requests (PKCS #10) that devices made with keys of their own: read, checked, refused. No Pulumi here.

`device-agent request` prints one JSON object a device::

    {"version": 1, "name": NAME, "vpnCertificateRequestPem": PEM, "iotCertificateRequestPem": PEM}

A request asks for its name and nothing else. The VPN's key is RSA of 2048 bits, since Client VPN takes 1024 or 2048
(Client VPN administrator guide, "Mutual authentication in AWS Client VPN") and 1024 is too short. AWS IoT takes RSA of
2048 bits or more, P-256, P-384 and P-521 (AWS IoT API reference, CreateCertificateFromCsr).
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtensionOID, NameOID

from private_iot.errors import ArgumentError
from private_iot.names import device_name

VERSION = 1
SIZE_LIMIT = 64 * 1024
"""Bytes of a request's file: two requests are about 2 kB."""
_FIELDS = ("version", "name", "vpnCertificateRequestPem", "iotCertificateRequestPem")
_MAKE_ANEW = "make it anew with device-agent request"


@dataclass(frozen=True, slots=True)
class DeviceRequest:
    """What one device asks for: two certificate requests, PEM, whose common name is the device's."""

    name: str
    vpn_certificate_request_pem: str
    iot_certificate_request_pem: str


def vpn_request(argument: str, name: str, pem: object) -> str:
    """Return a device's request for its VPN certificate in one canonical form, which white space does not change.

    Raises:
        ArgumentError: It is no request, not signed by its own key, for another name, or its key is not RSA 2048.
    """
    return _checked(argument, name, pem, "vpnCertificateRequestPem", _check_vpn_key)


def iot_request(argument: str, name: str, pem: object) -> str:
    """Return a device's request for its AWS IoT certificate in one canonical form.

    Raises:
        ArgumentError: It is no request, not signed by its own key, for another name, or AWS IoT does not take its key.
    """
    return _checked(argument, name, pem, "iotCertificateRequestPem", _check_iot_key)


def parse_request(argument: str, text: str | bytes) -> DeviceRequest:
    """Return the request that `device-agent request` printed.

    Args:
        argument: What the text is, for the message: a file's path, or an argument's name.
        text: The JSON object.

    Raises:
        ArgumentError: It is none, too large, of another version, or one of its certificate requests is refused.
    """
    if len(text) > SIZE_LIMIT:
        raise ArgumentError(argument, f"{len(text)} bytes", f"a request has at most {SIZE_LIMIT} bytes", _MAKE_ANEW)
    try:
        read = json.loads(text)
    except (ValueError, RecursionError):
        raise ArgumentError(argument, _shown(text), "it must be one JSON object", _MAKE_ANEW) from None
    if not isinstance(read, dict):
        raise ArgumentError(argument, type(read).__name__, "it must be one JSON object", _MAKE_ANEW)
    if read.get("version") != VERSION or isinstance(read.get("version"), bool):
        raise ArgumentError(
            argument,
            _shown(str(read.get("version"))),
            f"the version of a request must be {VERSION}",
            "use the agent and the components of one release",
        )
    if set(read) != set(_FIELDS):
        differing = ", ".join(sorted(_shown(str(key)) for key in set(read) ^ set(_FIELDS)))
        raise ArgumentError(argument, differing, f"a request has {', '.join(_FIELDS)} and nothing else", _MAKE_ANEW)
    name = device_name(argument, read["name"])
    return DeviceRequest(
        name,
        vpn_request(argument, name, read["vpnCertificateRequestPem"]),
        iot_request(argument, name, read["iotCertificateRequestPem"]),
    )


def read_requests(argument: str, folder: Path) -> tuple[DeviceRequest, ...]:
    """Return the requests of a folder's `*.json` files, by name; a folder that is not there holds none.

    Raises:
        ArgumentError: A file cannot be read or is refused, or two are of one device.
    """
    found: dict[str, tuple[DeviceRequest, Path]] = {}
    for path in sorted(folder.glob("*.json")):
        try:
            # One byte more than is taken shows that there is more.
            with path.open("rb") as file:
                text = file.read(SIZE_LIMIT + 1)
        except OSError as error:
            raise ArgumentError(
                argument, str(path), f"it cannot be read: {error.strerror}", "mend it or take it away"
            ) from None
        request = parse_request(f"{argument}: {path}", text)
        if request.name in found:
            raise ArgumentError(
                argument,
                str(path),
                f"{request.name} is also the device of {found[request.name][1]}",
                "keep one request a device",
            )
        found[request.name] = (request, path)
    return tuple(found[name][0] for name in sorted(found))


def check_no_stack_key(argument: str, requested: tuple[str, ...], devices: tuple[str, ...]) -> None:
    """Refuse a device whose keys would be made twice: on the device and by the stack.

    Raises:
        ArgumentError: A device is among both.
    """
    for name in requested:
        if name in devices:
            raise ArgumentError(
                argument,
                name,
                "the device also stands among those whose keys the stack makes",
                "take it out there, or remove its request",
            )


def _checked(argument: str, name: str, pem: object, field: str, check_key: Callable[[str, str, Any], None]) -> str:
    argument = f"{argument}: {field}"
    if not isinstance(pem, str):
        raise ArgumentError(argument, type(pem).__name__, f"the request of {name} must be a PEM text", _MAKE_ANEW)
    try:
        request = x509.load_pem_x509_csr(pem.encode())
        common_names = [
            attribute.value if attribute.oid == NameOID.COMMON_NAME else None for attribute in request.subject
        ]
        asks_for_more = any(extension.oid == ExtensionOID.SUBJECT_ALTERNATIVE_NAME for extension in request.extensions)
        signed = request.is_signature_valid
        key = request.public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm, InvalidSignature):
        raise ArgumentError(argument, name, "it must be one PEM certificate request (PKCS #10)", _MAKE_ANEW) from None
    if not signed:
        raise ArgumentError(argument, name, "its signature is not of its own key", _MAKE_ANEW)
    if common_names != [name]:
        subject = _shown(request.subject.rfc4514_string())
        raise ArgumentError(
            argument, subject, f"the request of {name} must be for CN={name} and nothing else", "correct the name"
        )
    if asks_for_more:
        raise ArgumentError(argument, name, "it asks for a subject alternative name, which no device has", _MAKE_ANEW)
    check_key(argument, name, key)
    return request.public_bytes(serialization.Encoding.PEM).decode()


def _check_vpn_key(argument: str, name: str, key: Any) -> None:
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size != 2048:
        raise ArgumentError(
            argument,
            f"{name} with {_kind(key)}",
            "AWS Client VPN takes RSA keys of 2048 bits (of 1024 too, which is too short)",
            _MAKE_ANEW,
        )


def _check_iot_key(argument: str, name: str, key: Any) -> None:
    if isinstance(key, rsa.RSAPublicKey) and key.key_size >= 2048:
        return
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)):
        return
    raise ArgumentError(
        argument,
        f"{name} with {_kind(key)}",
        "AWS IoT takes keys on P-256, P-384 or P-521, and RSA of 2048 bits or more",
        _MAKE_ANEW,
    )


def _kind(key: Any) -> str:
    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA {key.key_size}"
    return str(key.curve.name) if isinstance(key, ec.EllipticCurvePublicKey) else type(key).__name__.strip("_")


def _shown(text: str | bytes) -> str:
    """Return the beginning of a text that may be anything, in one line of ASCII."""
    beginning = text[:60] if isinstance(text, str) else text[:60].decode("latin-1")
    return beginning.encode("unicode_escape").decode() + ("…" if len(text) > 60 else "")
