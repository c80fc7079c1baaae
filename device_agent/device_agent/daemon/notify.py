"""Telling systemd how the service is: sd_notify(3) by hand, since it is one datagram."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from contextlib import suppress


class Notifier:
    """Sends to systemd's socket; does nothing where there is none."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        """Read what systemd asks for.

        Args:
            environment: The process's by default; `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID` matter.
        """
        environment = os.environ if environment is None else environment
        address = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) if address else None
        wanted = environment.get("WATCHDOG_USEC", "")
        mine = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self.watchdog: float | None = int(wanted) / 1e6 if wanted.isdigit() and int(wanted) and mine else None
        """Seconds within which a sign of life is due, or None."""

    def ready(self) -> None:
        """Say that the service has started."""
        self._send("READY=1")

    def stopping(self) -> None:
        """Say that the service is about to end."""
        self._send("STOPPING=1")

    def status(self, text: str) -> None:
        """Say in one line how it is, for `systemctl status`."""
        self._send(f"STATUS={' '.join(text.split())}")

    def alive(self) -> None:
        """Give the sign of life that the watchdog waits for."""
        self._send("WATCHDOG=1")

    def close(self) -> None:
        """Give the socket back."""
        if self._socket is not None:
            self._socket.close()

    def _send(self, text: str) -> None:
        if self._socket is not None:
            with suppress(OSError):
                self._socket.sendto(text.encode(), self._address)
