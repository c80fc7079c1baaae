"""Commands in a virtual machine by QEMU's guest agent (QEMU manual, "QEMU Guest Agent Protocol Reference")."""

from __future__ import annotations

import base64
import json
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_POLL = (0.05, 1.0)
"""Seconds between two looks at a command that runs: the first, and what it grows to. Each look costs the guest time."""


class GuestAgentError(Exception):
    """The agent does not answer, or refused a command."""


class GuestAgent:
    """One connection to the agent of a machine that runs.

    Args:
        path: QEMU's socket of the agent's port.
        patience: Seconds until the agent has to answer the first time.
    """

    def __init__(self, path: Path, *, patience: float) -> None:
        self._path = path
        self._patience = patience
        self._socket: socket.socket | None = None
        self._buffer = b""
        self._number = time.monotonic_ns()

    def close(self) -> None:
        """Close the connection."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def ask(self, command: str, **arguments: Any) -> Any:
        """Give a command of the agent's own and return its answer.

        Raises:
            GuestAgentError: The agent refused, or was silent for two minutes.
        """
        connection = self._connect()
        try:
            return self._exchange(connection, {"execute": command, "arguments": arguments}, 120)
        except OSError as error:
            self.close()
            raise GuestAgentError(f"{self._path}: {command}: {error}") from error

    def run(
        self, argv: Sequence[str], *, text: str | None, environment: dict[str, str], timeout: float
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in the guest, as root, to its end.

        Args:
            argv: The command.
            text: What it reads on standard input.
            environment: Its environment, whole.
            timeout: Seconds it may take; it is left running when they are over.

        Raises:
            subprocess.TimeoutExpired: It took too long.
            GuestAgentError: There is no such command, or the guest is gone.
        """
        until = time.monotonic() + timeout
        started = self.ask(
            "guest-exec",
            path=argv[0],
            arg=list(argv[1:]),
            env=[f"{key}={value}" for key, value in environment.items()],
            **{"capture-output": True, "input-data": base64.b64encode((text or "").encode()).decode()},
        )
        pause = _POLL[0]
        while True:
            state = self.ask("guest-exec-status", pid=started["pid"])
            if state["exited"]:
                break
            if time.monotonic() > until:
                raise subprocess.TimeoutExpired(list(argv), timeout)
            time.sleep(pause)
            pause = min(pause * 1.5, _POLL[1])
        code = state.get("exitcode", -state.get("signal", 0))
        out, err = (base64.b64decode(state.get(key, "")).decode(errors="replace") for key in ("out-data", "err-data"))
        return subprocess.CompletedProcess(list(argv), code, out, err)

    def _connect(self) -> socket.socket:
        """Connect, and wait until the agent answers: a machine that boots has none for a while."""
        if self._socket is not None:
            return self._socket
        until = time.monotonic() + self._patience
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(str(self._path))
        except OSError as error:
            connection.close()
            raise GuestAgentError(f"{self._path}: the machine is gone: {error}") from error
        self._buffer = b""
        while time.monotonic() < until:
            try:
                # The byte that no JSON has makes the agent forget half a question (guest-sync-delimited).
                connection.sendall(b"\xff")
                self._exchange(connection, {"execute": "guest-ping"}, 3)
            except (TimeoutError, GuestAgentError):
                continue
            except OSError as error:
                connection.close()
                raise GuestAgentError(f"{self._path}: the machine is gone: {error}") from error
            self._socket = connection
            return connection
        connection.close()
        raise GuestAgentError(f"{self._path}: the guest agent has not answered within {self._patience:g} s")

    def _exchange(self, connection: socket.socket, question: dict[str, Any], timeout: float) -> Any:
        """Put a question, and pass over answers to earlier ones that were given up."""
        self._number += 1
        number = self._number
        connection.settimeout(timeout)
        connection.sendall(json.dumps({**question, "id": number}).encode() + b"\n")
        until = time.monotonic() + timeout
        while True:
            line, found, rest = self._buffer.partition(b"\n")
            if found:
                self._buffer = rest
                answer = json.loads(line)
                if answer.get("id") != number:
                    continue
                if "error" in answer:
                    raise GuestAgentError(f"{question['execute']}: {answer['error'].get('desc', answer['error'])}")
                return answer["return"]
            connection.settimeout(max(0.01, until - time.monotonic()))
            received = connection.recv(65536)
            if not received:
                raise ConnectionError("closed")
            self._buffer += received
