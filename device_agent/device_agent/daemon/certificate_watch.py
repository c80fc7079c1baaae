"""The device's certificate: read again when its files change, and its end announced 30 days ahead."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from device_agent._exceptions import DeviceAgentError
from device_agent.certificates import date, read_certificates
from device_agent.daemon.loop import Loop
from device_agent.installation import CERTIFICATE_FILE, DEVICE_FILE, PRIVATE_KEY_FILE, ROOT_CA_FILE, Installation
from device_agent.system import System

LOOK_EVERY = 2.0
"""Seconds between looks at the files."""
WARN_DAYS = 30
_DAY = 24 * 3600.0
_log = logging.getLogger(__name__)

Marks = tuple[tuple[int, int, int] | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Validity:
    """How long a certificate still holds.

    Attributes:
        file: Where it is.
        subject: Its common name.
        fingerprint: SHA-256 of its DER, AWS IoT's certificate ID.
        expires: Its last moment, for people.
        days_left: Whole days until then; below 0 it has expired.
        warning: What to do about it, or None.
    """

    file: str
    subject: str
    fingerprint: str
    expires: str
    days_left: int
    warning: str | None


def validity(pem: str, file: str, now: float) -> Validity:
    """Read how long the first certificate of a PEM text still holds.

    Args:
        pem: The text.
        file: Where it comes from.
        now: The wall clock, in seconds since 1970.

    Returns:
        Its validity.

    Raises:
        CertificateError: The text holds no certificate.
    """
    certificate = read_certificates(pem, file)[0]
    days = int((certificate.not_after - now) // _DAY)
    warning = None
    if days < 0:
        warning = f"the certificate {file} expired on {date(certificate.not_after)}; install a new bundle"
    elif days < WARN_DAYS:
        warning = (
            f"the certificate {file} has {days} days left; install a new bundle before {date(certificate.not_after)}"
        )
    return Validity(
        file=file,
        subject=certificate.subject,
        fingerprint=certificate.fingerprint,
        expires=date(certificate.not_after),
        days_left=days,
        warning=warning,
    )


class CertificateWatch:
    """Looks at the files of the installation. All calls on the loop's thread."""

    def __init__(
        self, system: System, loop: Loop, installation: Installation, on_change: Callable[[Installation], None]
    ) -> None:
        """Prepare; `start` begins.

        Args:
            system: The machine.
            loop: The loop.
            installation: The installation that is in use.
            on_change: Called with the new installation after its files have changed.
        """
        self._system = system
        self._loop = loop
        self._installation = installation
        self._on_change = on_change
        self._in_use = self._marks()
        self._last = self._in_use
        self._warned_at = -float("inf")
        self.found: list[Validity] = []
        self.error: str | None = None

    def start(self) -> None:
        """Begin to look."""
        self._read_validity()
        self._look()

    def _look(self) -> None:
        marks = self._marks()
        # Files that still change are left alone until they are the same twice in a row.
        if marks != self._in_use and marks == self._last:
            self._reload(marks)
        self._last = marks
        if self._system.monotonic() - self._warned_at > _DAY:
            self._read_validity()
        self._loop.call_later(LOOK_EVERY, self._look)

    def _reload(self, marks: Marks) -> None:
        try:
            installation = Installation.load(self._system)
            validity(installation.certificate_file.read_text("utf-8"), CERTIFICATE_FILE, self._system.now())
        except (DeviceAgentError, OSError, ValueError) as error:
            if str(error) != self.error:
                _log.error("the new certificates cannot be used, the agent goes on with the old ones: %s", error)
            self.error = str(error)
            return
        self.error = None
        self._in_use = marks
        self._installation = installation
        _log.info("the certificates on the device have changed; connecting with the new ones")
        self._read_validity()
        self._on_change(installation)

    def _read_validity(self) -> None:
        self._warned_at = self._system.monotonic()
        try:
            text = self._installation.certificate_file.read_text("utf-8")
            self.found = [validity(text, CERTIFICATE_FILE, self._system.now())]
        except (DeviceAgentError, OSError, ValueError) as error:
            self.error = str(error)
            return
        for certificate in self.found:
            if certificate.warning:
                _log.warning("%s", certificate.warning)

    def _marks(self) -> Marks:
        return tuple(
            _mark(self._system.path(file)) for file in (DEVICE_FILE, CERTIFICATE_FILE, PRIVATE_KEY_FILE, ROOT_CA_FILE)
        )


def _mark(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size
