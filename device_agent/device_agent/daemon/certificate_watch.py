"""How long the certificates still hold, and their end announced 30 days ahead.

The files are not watched: whatever changes them (`install`, a delivered certificate) starts the agent anew.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from device_agent._exceptions import DeviceAgentError
from device_agent.certificates import DAY, WARN_DAYS, date, read_certificates
from device_agent.daemon.loop import Loop
from device_agent.installation import CERTIFICATE_FILE, Installation
from device_agent.system import System

_log = logging.getLogger(__name__)


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
    days = int((certificate.not_after - now) // DAY)
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
    """Reads the certificate's validity once a day. All calls on the loop's thread."""

    def __init__(self, system: System, loop: Loop, installation: Installation) -> None:
        """Prepare; `start` begins."""
        self._system = system
        self._loop = loop
        self._installation = installation
        self.found: list[Validity] = []
        self.error: str | None = None

    def start(self) -> None:
        """Read it now, and again each day."""
        try:
            text = self._installation.certificate_file.read_text("utf-8")
            self.found = [validity(text, CERTIFICATE_FILE, self._system.now())]
            self.error = None
        except (DeviceAgentError, OSError, ValueError, ArithmeticError) as error:
            # TLS judges the certificate; one that cannot be read here is no reason to end.
            self.error = f"the certificate's end is not known: {error}"
            _log.warning("%s", self.error)
        for certificate in self.found:
            if certificate.warning:
                _log.warning("%s", certificate.warning)
        self._loop.call_later(DAY, self.start)
