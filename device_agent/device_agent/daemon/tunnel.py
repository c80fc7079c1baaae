"""Nudging the tunnel: restarting OpenVPN when the path through it is dead.

OpenVPN notices a dead peer only after `ping-restart` (60 s in AWS's profile), and then waits ever longer between its
own attempts. A restart begins anew at once. The agent's user may restart this one unit by a polkit rule that
`device-agent install` writes. Restarts keep a distance that leaves a slow handshake the time to succeed, and a random
part, so that a thousand devices do not return in step.
"""

from __future__ import annotations

import logging
import random

from device_agent.daemon.loop import Loop
from device_agent.installation import OPENVPN_SERVICE
from device_agent.system import Completed, System

GRACE = 10.0
"""Seconds of a dead path before the first restart, if the tunnel's interface is gone: OpenVPN may be at it already."""
APART = 20.0
"""Seconds between restarts in the first ten minutes, give or take a quarter."""
PATIENT_AFTER = 600.0
"""Seconds of a dead path after which restarts are `APART_LATER` apart."""
APART_LATER = 60.0

_log = logging.getLogger(__name__)


class Tunnel:
    """Restarts the tunnel, but not too often. All calls on the loop's thread."""

    def __init__(self, system: System, loop: Loop) -> None:
        """Prepare.

        Args:
            system: The machine.
            loop: The loop.
        """
        self._system = system
        self._loop = loop
        self._dead_since: float | None = None
        self._not_before = -float("inf")
        self._running = False
        self.restarts = 0
        self.error: str | None = None

    def path_is_dead(self, reason: str, *, interface: str | None) -> None:
        """Restart the tunnel if it is time to. Called again and again while the path is dead.

        Args:
            reason: Why it is dead.
            interface: The tunnel's interface, if there is one: then OpenVPN does not know yet.
        """
        now = self._system.monotonic()
        if self._dead_since is None:
            self._dead_since = now
            if interface is None:
                self._not_before = max(self._not_before, now + GRACE)
        if self._running or now < self._not_before:
            return
        apart = APART if now - self._dead_since < PATIENT_AFTER else APART_LATER
        self._not_before = now + apart * random.uniform(0.75, 1.25)  # noqa: S311 - no secret
        self._running = True
        self.restarts += 1
        _log.warning("restarting %s: %s", OPENVPN_SERVICE, reason)
        self._loop.in_background(
            lambda: self._system.run(["systemctl", "restart", OPENVPN_SERVICE], timeout=60), self._done
        )

    def path_is_alive(self) -> None:
        """Take note that the path is there."""
        self._dead_since = None

    def _done(self, result: Completed) -> None:
        self._running = False
        if result.returncode == 0:
            self.error = None
            return
        words = (result.stderr or result.stdout).strip().splitlines()
        error = f"{OPENVPN_SERVICE} cannot be restarted: {words[-1] if words else f'exit code {result.returncode}'}"
        if error != self.error:
            _log.error("%s", error)
        self.error = error
