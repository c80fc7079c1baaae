"""The keys that a device makes for itself, and the certificate requests that leave it.

`openssl` makes both: the standard library makes no keys, awscrt no requests, and every Debian has the program, since
ca-certificates depends on it. Keys pass through pipes only, never through an argument or a file wider than 0600.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from device_agent._exceptions import DeviceAgentError, UsageError
from device_agent.files import WantedFile, make_folder, reporting, write_file
from device_agent.installation import DEVICE_KEYS_DIRECTORY, DIRECTORY, check_file
from device_agent.system import System

VPN_KEY_FILE = f"{DEVICE_KEYS_DIRECTORY}/vpn.pem"
IOT_KEY_FILE = f"{DEVICE_KEYS_DIRECTORY}/iot.pem"
REQUEST_VERSION = 1
# Client VPN takes RSA of 1024 or 2048 bits alone
# (https://docs.aws.amazon.com/vpn/latest/clientvpn-admin/mutual.html), AWS IoT P-256 too
# (https://docs.aws.amazon.com/iot/latest/developerguide/x509-client-certs.html).
_RSA = ("-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048")
_P256 = ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-pkeyopt", "ec_param_enc:named_curve")
_OPENSSL_TIMEOUT = 300.0
"""Seconds for a key: a Pi Zero with little entropy takes its time."""
# A thing's name that is a common name as well, which X.520 allows 64 characters.
_NAME = re.compile(r"[a-zA-Z0-9:_-]{1,64}")


@dataclass(frozen=True, slots=True)
class DeviceKeys:
    """The PEM of the keys that were made on this device; None where there is none."""

    vpn: str | None = field(default=None, repr=False)
    iot: str | None = field(default=None, repr=False)


def load_device_keys(system: System) -> DeviceKeys:
    """Read the device's own keys.

    Raises:
        InstallationError: A key can be read or changed by others.
    """
    return DeviceKeys(vpn=_read(system, VPN_KEY_FILE), iot=_read(system, IOT_KEY_FILE))


def make_request(system: System, name: str) -> dict[str, object]:
    """Make the keys that are not there yet, and certificate requests for both.

    Args:
        system: The machine.
        name: The device's name, which becomes the requests' common name.

    Returns:
        The request as it is printed: `version`, `name`, `vpnCertificateRequestPem` and `iotCertificateRequestPem`.

    Raises:
        DeviceAgentError: The name is none, openssl is missing, or a key cannot be written.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"the name {name!a} cannot be used; allowed is 1 to 64 of letters, digits, ':', '_' and '-': give --name"
        )
    keys = _make_keys(system, ((VPN_KEY_FILE, _RSA), (IOT_KEY_FILE, _P256)))
    return {
        "version": REQUEST_VERSION,
        "name": name,
        "vpnCertificateRequestPem": _request(system, name, str(keys.vpn)),
        "iotCertificateRequestPem": _request(system, name, str(keys.iot)),
    }


def make_iot_request(system: System, name: str) -> str:
    """Make the key for AWS IoT if it is not there yet, and a certificate request for it, PEM.

    Raises:
        DeviceAgentError: openssl is missing, or the key cannot be written.
    """
    return _request(system, name, str(_make_keys(system, ((IOT_KEY_FILE, _P256),)).iot))


def _make_keys(system: System, wanted: tuple[tuple[str, tuple[str, ...]], ...]) -> DeviceKeys:
    with _locked(system):
        for path, algorithm in wanted:
            if not system.path(path).exists():
                key = _openssl(system, "genpkey", *algorithm)
                write_file(system, path, WantedFile(content=key.encode("ascii"), mode=0o600))
        return load_device_keys(system)


@contextmanager
def _locked(system: System) -> Iterator[None]:
    """Let one command at a time make keys, so that none is ever overwritten."""
    make_folder(system, DIRECTORY)
    make_folder(system, DEVICE_KEYS_DIRECTORY, mode=0o700)
    with reporting(f"{DEVICE_KEYS_DIRECTORY} cannot be opened"):
        lock = os.open(system.path(DEVICE_KEYS_DIRECTORY), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _read(system: System, path: str) -> str | None:
    if not system.path(path).exists():
        return None
    check_file(system, path, secret=True)
    return system.path(path).read_text("ascii")


def _request(system: System, name: str, key: str) -> str:
    # Without the system's configuration, which may ask for fields or add extensions of its own.
    words = ("req", "-new", "-sha256", "-key", "/dev/stdin", "-subj", f"/CN={name}", "-config", "/dev/null")
    return _openssl(system, *words, key=key)


def _openssl(system: System, *words: str, key: str | None = None) -> str:
    done = system.run(["openssl", *words], input=key, timeout=_OPENSSL_TIMEOUT)
    if done.returncode == 127:
        raise UsageError("there is no openssl, which makes the keys; `sudo apt install openssl`")
    if done.returncode or "-----BEGIN" not in done.stdout:
        said = done.stderr.strip().splitlines()
        raise DeviceAgentError(f"`openssl {words[0]}` failed: {said[-1] if said else f'exit code {done.returncode}'}")
    return done.stdout
