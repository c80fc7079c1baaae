"""Takes delivered VPN certificates from MQTT to the service that may put them in place, and tells how that ended.

The agent itself may read neither the VPN's key nor change anything in /etc: it puts the message down in its state
directory and starts one unit, which judges it as root (see `install.renewal`). A retained message comes again with each
connection; its digest tells that it was dealt with.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from device_agent._exceptions import DeviceAgentError
from device_agent.certificates import date
from device_agent.daemon.loop import Loop
from device_agent.files import WantedFile, write_file
from device_agent.install.renewal import Renewal, check_size, digest_of, load_renewal
from device_agent.installation import DELIVERED_FILE, RENEWAL_SERVICE, USER
from device_agent.system import Completed, System
from device_agent.topics import TopicError, check_topic

LOOK_EVERY = 2.0
"""Seconds between looks at how a delivery ends, while it is judged."""
RETRY_AFTER = 3600.0
"""Seconds after which a delivery whose trial failed is tried again, twice as long each time; 30 times at most."""
MOST_ATTEMPTS = 30
JUDGED_WITHIN = 900.0
"""Seconds that a delivery may be judged, its trial included; its unit has as long."""
_log = logging.getLogger(__name__)


class CertificateDelivery:
    """Handles one topic. All calls on the loop's thread."""

    def __init__(
        self, system: System, loop: Loop, topic_prefix: str, on_told: Callable[[], None], *, wanted: bool = True
    ) -> None:
        """Prepare.

        Args:
            system: The machine.
            loop: The loop.
            topic_prefix: What the device's topics begin with.
            on_told: Called when there is another result to tell.
            wanted: Whether there is anything that a delivery could renew.
        """
        self._system = system
        self._loop = loop
        self._on_told = on_told
        self._pending: str | None = None
        self._before: Renewal | None = None
        self._until = 0.0
        self._local: Renewal | None = None
        self.topic = f"{topic_prefix}/agent/certificates" if wanted else ""
        if not wanted:
            return
        try:
            check_topic(self.topic)
        except TopicError as error:
            _log.warning("no certificates can be delivered to this device: %s", error)
            self.topic = ""

    def start(self) -> None:
        """Wait for the end of a trial that goes on: the agent itself is started anew within it."""
        last = self._last()
        if last is not None and last.result == "started":
            self._wait_for(last.digest)

    def received(self, payload: bytes) -> None:
        """Take a delivery, unless it was dealt with."""
        digest = digest_of(payload)
        last = self._last()
        if digest == self._pending or (last is not None and last.digest == digest and not self._due(last)):
            return
        try:
            check_size(payload)
            write_file(self._system, DELIVERED_FILE, WantedFile(content=payload, mode=0o600, owner=USER))
        except DeviceAgentError as error:
            self._end(Renewal(digest=digest, result="refused", detail=str(error), at=self._system.now()))
            return
        _log.info("a VPN certificate was delivered; %s judges it", RENEWAL_SERVICE)
        self._pending = digest
        self._start()

    def status(self) -> dict[str, dict[str, str]]:
        """Give the last result, for the status message; empty if nothing was ever delivered."""
        last = self._last()
        if last is None or last.result == "started":
            return {}
        return {"certificate": {"result": last.result, "detail": last.detail, "at": date(last.at)}}

    def _last(self) -> Renewal | None:
        return self._local or load_renewal(self._system)

    def _due(self, last: Renewal) -> bool:
        """Tell whether a trial that failed or was cut off is to be tried again."""
        if last.result not in ("failed", "started") or last.attempts >= MOST_ATTEMPTS:
            return False
        waited = self._system.now() - last.at
        return not 0 <= waited < RETRY_AFTER * 2 ** min(last.attempts - 1, 5)

    def _start(self) -> None:
        self._before = load_renewal(self._system)
        words = ["systemctl", "start", "--no-block", RENEWAL_SERVICE]
        self._loop.in_background(lambda: self._system.run(words, timeout=60), self._started)

    def _started(self, done: Completed | Exception) -> None:
        if self._judged():
            self._look()
        elif isinstance(done, Exception) or done.returncode:
            said = str(done) if isinstance(done, Exception) else (done.stderr.strip().splitlines() or ["?"])[-1]
            digest, self._pending = str(self._pending), None
            detail = f"{RENEWAL_SERVICE} cannot be started: {said}"
            self._end(Renewal(digest=digest, result="failed", detail=detail, at=self._system.now()))
        else:
            self._wait_for(str(self._pending))

    def _wait_for(self, digest: str) -> None:
        self._pending, self._until = digest, self._system.monotonic() + JUDGED_WITHIN
        self._look()

    def _judged(self) -> bool:
        """Tell whether the pending delivery has come to its end."""
        found = load_renewal(self._system)
        return found is not None and found.digest == self._pending and found.result != "started"

    def _look(self) -> None:
        if self._judged():
            self._pending = None
            self._end(None)
        elif self._pending is None or self._system.monotonic() > self._until:
            self._pending = None
        elif self._another_ended():
            self._start()
        else:
            self._loop.call_later(LOOK_EVERY, self._look)

    def _another_ended(self) -> bool:
        """Tell whether the unit was at another delivery when this one came: then nobody has looked at this one."""
        found = load_renewal(self._system)
        return found is not None and found != self._before and found.result != "started"

    def _end(self, local: Renewal | None) -> None:
        self._local = local
        last = self._last()
        if last is not None:
            level = logging.INFO if last.result in ("installed", "unchanged") else logging.WARNING
            _log.log(level, "the delivered certificate is %s: %s", last.result, last.detail)
        self._on_told()
