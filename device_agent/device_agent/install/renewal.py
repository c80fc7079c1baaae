"""A delivered VPN certificate: what is accepted of it, and how it takes the present one's place.

A certificate is public, so anybody who may publish on the device's topic can send one. It is accepted only for the key
and the name that the device has, from the authority that its profile trusts already, in date, and for longer than the
present one; and it counts only after the trial of a tunnel of its own.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from device_agent._exceptions import CertificateError, DeviceAgentError, InstallationError
from device_agent.certificates import check_chain, check_dates, check_pair, date, read_certificates
from device_agent.files import WantedFile, reporting, write_file
from device_agent.install.openvpn_profile import Profile, parse_profile
from device_agent.installation import (
    DELIVERED_FILE,
    OPENVPN_FILE,
    PRIVATE_KEY_FILE,
    RENEWAL_FILE,
    USER,
    Installation,
)
from device_agent.system import System

DELIVERY_VERSION = 1
DELIVERY_LIMIT = 32 * 1024
"""Bytes of a delivery: a certificate with its intermediates takes a few kB."""
_FIELDS = {"version", "vpnCertificatePem"}
_FIELD = "vpnCertificatePem"


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewal:
    """What became of the last delivery.

    Attributes:
        digest: SHA-256 of the delivery in hexadecimal, by which a retained message is known again.
        result: `installed`, `unchanged` (it is in place already), `refused` (it does not fit, for good), `failed` (its
            trial did, or the machine) or `started`.
        detail: What was seen, for people.
        attempts: How often it was tried.
        at: When, in seconds since 1970.
    """

    digest: str
    result: str
    detail: str
    attempts: int = 1
    at: float = 0.0


def digest_of(payload: bytes) -> str:
    """Name a delivery."""
    return hashlib.sha256(payload).hexdigest()


def load_renewal(system: System) -> Renewal | None:
    """Read what became of the last delivery, or None."""
    try:
        document = json.loads(system.path(RENEWAL_FILE).read_text("utf-8"))
        return Renewal(**document)
    except (OSError, ValueError, TypeError, RecursionError):
        return None


def store_renewal(system: System, renewal: Renewal) -> None:
    """Keep what became of a delivery, for the agent to tell.

    Raises:
        DeviceAgentError: It cannot be written.
    """
    content = json.dumps(asdict(renewal)).encode("utf-8")
    write_file(system, RENEWAL_FILE, WantedFile(content=content, mode=0o600, owner=USER))


def read_delivery(system: System) -> bytes:
    """Read the delivery that the agent has put down. The agent's user owns it, so nothing about it is trusted.

    Raises:
        DeviceAgentError: There is none, it is no regular file, or it is too large.
    """
    with reporting(f"{DELIVERED_FILE} cannot be read"):
        descriptor = os.open(system.path(DELIVERED_FILE), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as stream:
            payload = stream.read(DELIVERY_LIMIT + 1)
    check_size(payload)
    return payload


def check_size(payload: bytes) -> None:
    """Refuse a delivery that is too large to be one.

    Raises:
        CertificateError: It is.
    """
    if len(payload) > DELIVERY_LIMIT:
        raise CertificateError(f"the delivery has over {DELIVERY_LIMIT} bytes; it is no certificate")


def check_delivery(payload: bytes, profile: Profile, *, now: float) -> str | None:
    """Find the certificate in a delivery, and check all that can be checked of it here.

    Args:
        payload: The message: JSON with `version` 1 and `vpnCertificatePem`.
        profile: The profile that counts.
        now: The device's clock, in seconds since 1970.

    Returns:
        The certificate's PEM, or None if it is the present one.

    Raises:
        CertificateError: It does not fit; one line that says how.
    """
    check_size(payload)
    pem = _pem(payload)
    fresh, present = read_certificates(pem, _FIELD)[0], read_certificates(profile.cert, "the present certificate")[0]
    if fresh.fingerprint == present.fingerprint:
        return None
    if fresh.subject != present.subject:
        raise CertificateError(f"{_FIELD} is for {fresh.subject!a}; this device is {present.subject!a}")
    check_pair(pem, profile.key, _FIELD, "this device's VPN key")
    check_chain(pem, profile.key, profile.ca, _FIELD, "the authority that this device trusts")
    check_dates([fresh], now, _FIELD)
    if fresh.not_after <= present.not_after:
        raise CertificateError(
            f"{_FIELD} ends on {date(fresh.not_after)}, not later than the present one, {date(present.not_after)}"
        )
    return pem


def renewed_document(system: System, pem: str) -> dict[str, Any]:
    """Write what is installed as a bundle, with another VPN certificate in it.

    Raises:
        InstallationError: What is installed cannot be read.
    """
    installed = Installation.load(system)
    try:
        config = system.path(OPENVPN_FILE).read_text("ascii")
        iot = {
            "endpoint": installed.endpoint,
            "clientId": installed.client_id,
            "certificatePem": installed.certificate_file.read_text("ascii"),
            "privateKeyPem": system.path(PRIVATE_KEY_FILE).read_text("ascii"),
        }
        if installed.root_ca_file is not None:
            iot["rootCaPem"] = installed.root_ca_file.read_text("ascii")
    except (OSError, ValueError) as error:
        raise InstallationError(f"what is installed cannot be read: {error}") from error
    block = f"<cert>\n{pem.strip()}\n</cert>"
    return {
        "version": 1,
        "name": installed.name,
        "region": installed.region,
        "vpn": {"config": re.sub(r"<cert>.*</cert>", lambda _match: block, config, flags=re.DOTALL)},
        "iot": iot,
        "network": {
            "vpcCidr": str(installed.vpc_cidr),
            "dnsServer": str(installed.dns_server),
            "vpcEndpointId": installed.vpc_endpoint_id,
        },
        "topicPrefix": installed.topic_prefix,
    }


def present_profile(system: System) -> Profile:
    """Read the profile that counts.

    Raises:
        DeviceAgentError: It cannot be read.
    """
    with reporting(f"{Path(OPENVPN_FILE)} cannot be read"):
        return parse_profile(system.path(OPENVPN_FILE).read_text("ascii", "replace"), OPENVPN_FILE)


def _pem(payload: bytes) -> str:
    try:
        document = json.loads(payload.decode("utf-8"))
    except (ValueError, RecursionError):
        raise CertificateError("the delivery is not JSON") from None
    if not isinstance(document, dict) or document.get("version") != DELIVERY_VERSION or set(document) != _FIELDS:
        raise CertificateError(f"the delivery is not an object with version {DELIVERY_VERSION} and {_FIELD} alone")
    pem = document[_FIELD]
    if not isinstance(pem, str) or not pem.isascii():
        raise CertificateError(f"{_FIELD} is not PEM")
    return pem


def refusal_result(error: DeviceAgentError) -> str:
    """Tell whether a delivery that ended with an error may be tried again."""
    return "refused" if isinstance(error, CertificateError) else "failed"
