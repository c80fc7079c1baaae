"""What OpenVPN says of itself, through its management interface (OpenVPN's doc/management-notes.txt).

The drop-in that `device-agent install` writes opens it as a socket that only the agent's user may use. A tunnel whose
drop-in is older has none: `state` is then None, and what OpenVPN is at has to be guessed.
"""

from __future__ import annotations

import logging
import re
import selectors
import socket
from collections.abc import Callable

from device_agent.daemon.loop import Loop
from device_agent.installation import MANAGEMENT_SOCKET
from device_agent.system import System

CONNECTED = "CONNECTED"
PAUSING = "RECONNECTING"
PROGRESSING = frozenset({"AUTH", "AUTH_PENDING", "GET_CONFIG", "ASSIGN_IP", "ADD_ROUTES"})
"""States after the server's first answer: a handshake, or the resolver's script, is under way."""
COUNT_EVERY = 1
"""Seconds between two counts of bytes, while they are asked for."""
QUIET = 0
"""The verbosity (`verb`, openvpn(8)) for a long outage: one or two lines an attempt in place of eight."""
USUAL = 3
"""The verbosity of AWS's profiles and of ours."""
REFUSED_FOR = 60.0
"""Seconds until OpenVPN is asked again after it has hung up without a word."""
_LONGEST_LINE = 4096

_log = logging.getLogger(__name__)


class Management:
    """The agent's end of OpenVPN's management interface. All calls on the loop's thread.

    Attributes:
        state: OpenVPN's state, such as `CONNECTED`, `WAIT` or `RECONNECTING`; None if it cannot be asked.
        state_since: The monotonic clock when the state began, or was first seen.
        heard_at: When the count of bytes from the server last rose, or counting began.
        spoke_at: When OpenVPN last said anything, or counting began; while it runs a script it says nothing.
        away_since: When OpenVPN hung up that could be asked before: it ends, or is being started; None if it can be
            asked, or never could.
    """

    def __init__(self, system: System, loop: Loop, on_state: Callable[[str], None] = lambda _state: None) -> None:
        """Prepare; `look` connects.

        Args:
            system: The machine.
            loop: The loop.
            on_state: Called with each new state.
        """
        self._system = system
        self._loop = loop
        self._on_state = on_state
        self._socket: socket.socket | None = None
        self._line = b""
        self._bytes_in = -1
        self._counting = False
        self._not_before = -float("inf")
        self._verbosity: int | None = None
        self._quiet = False
        self.state: str | None = None
        self.away_since: float | None = None
        self.state_since = self.heard_at = self.spoke_at = -float("inf")

    def look(self) -> None:
        """Connect if OpenVPN is there and there is no connection. To be called every second."""
        if self._socket is not None or self._system.monotonic() < self._not_before:
            return
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            connection.connect(str(self._system.path(MANAGEMENT_SOCKET)))
        except OSError:
            connection.close()
            return
        self._socket, self._line, self._bytes_in = connection, b"", -1
        self._verbosity, self._quiet = None, False
        self._loop.watch(connection, selectors.EVENT_READ, self._read)
        self._send("state on", "state", "verb")
        if self._counting:
            self._send(f"bytecount {COUNT_EVERY}")

    def count_bytes(self, *, wanted: bool) -> None:
        """Have the bytes counted that come from the server, or no longer."""
        if wanted == self._counting:
            return
        self._counting = wanted
        self.heard_at = self.spoke_at = self._system.monotonic()
        self._bytes_in = -1
        self._send(f"bytecount {COUNT_EVERY if wanted else 0}")

    def be_quiet(self, *, wanted: bool) -> None:
        """Have OpenVPN log next to nothing, or as its profile says."""
        if self._verbosity is not None and wanted != self._quiet:
            self._quiet = wanted
            self._send(f"verb {QUIET if wanted else self._verbosity}")

    def retry(self) -> None:
        """Have OpenVPN end its pause between two attempts."""
        self._send("signal SIGUSR1")

    def close(self) -> None:
        """Hang up; OpenVPN goes on."""
        self.be_quiet(wanted=False)
        self._hang_up()

    def _hang_up(self) -> None:
        if self._socket is not None:
            self._loop.unwatch(self._socket)
            self._socket.close()
            self._socket = None
        if self.state is not None:
            self.away_since = self._system.monotonic()
        self.state = None

    def _send(self, *commands: str) -> None:
        if self._socket is None:
            return
        try:
            self._socket.send("".join(f"{command}\n" for command in commands).encode("ascii"))
        except OSError:
            self._hang_up()

    def _read(self, _events: int) -> None:
        if self._socket is None:
            return
        try:
            data = self._socket.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            if self.state is None:
                # It hangs up on other users than the one it is told to talk to, and logs each.
                self._not_before = self._system.monotonic() + REFUSED_FOR
            self._hang_up()
            return
        self.spoke_at = self._system.monotonic()
        *lines, rest = (self._line + data).split(b"\n")
        self._line = rest[:_LONGEST_LINE]
        for line in lines:
            self._take(line.decode("ascii", "replace").strip())

    def _take(self, line: str) -> None:
        if found := re.match(r"(?:>STATE:)?\d+,([A-Z_]+),", line):
            if found[1] != self.state:
                self.state, self.state_since = found[1], self._system.monotonic()
                self.away_since = None
                self._on_state(found[1])
        elif found := re.match(r">BYTECOUNT:(\d+),", line):
            if int(found[1]) > self._bytes_in >= 0:
                self.heard_at = self._system.monotonic()
            self._bytes_in = int(found[1])
        elif found := re.match(r"SUCCESS: verb=(\d+)", line):
            self._verbosity = int(found[1])
            if self._verbosity == QUIET:
                # An agent that was killed in an outage left it so.
                self._verbosity, self._quiet = USUAL, True
                self.be_quiet(wanted=False)
        elif line.startswith("ERROR:"):
            _log.warning("OpenVPN's management interface: %s", line[:200])
