"""One question and one answer, each a line of JSON, over a socket in the lab's directory."""

import contextlib
import json
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lab.errors import LabError

NAME = "control.sock"


@contextlib.contextmanager
def _short(directory: Path) -> Iterator[str]:
    """Yield a short name of a directory: a socket's address has at most 108 bytes (unix(7))."""
    descriptor = os.open(directory, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def listen(directory: Path, name: str = NAME) -> socket.socket:
    """Return a socket that listens in a directory, for its owner alone."""
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with _short(directory) as short:
        Path(short, name).unlink(missing_ok=True)
        previous = os.umask(0o177)
        try:
            server.bind(f"{short}/{name}")
        finally:
            os.umask(previous)
    server.listen()
    return server


def connect(directory: Path, name: str = NAME) -> socket.socket:
    """Return a socket that is connected to the one that listens in a directory.

    Raises:
        OSError: Nobody listens.
    """
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _short(directory) as short:
            client.connect(f"{short}/{name}")
    except BaseException:
        client.close()
        raise
    return client


def peer(connection: socket.socket) -> int:
    """Return the other side's process id as this process's namespace counts it (unix(7), SO_PEERCRED)."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid, _, _ = struct.unpack("3i", credentials)
    return int(pid)


def ask(connection: socket.socket, question: dict[str, Any], *, timeout: float | None) -> Any:
    """Send a question and return the answer.

    Args:
        connection: From `connect`.
        question: With the key ``command``.
        timeout: Seconds to wait for the answer, or None for as long as it takes.

    Raises:
        LabError: The other side refused, with its own sentence, or ended.
    """
    connection.settimeout(timeout)
    connection.sendall(json.dumps(question).encode() + b"\n")
    with connection.makefile("rb") as stream:
        line = stream.readline()
    if not line:
        raise LabError("the data path ended while it was asked: see its log, or start it again with `python -m lab up`")
    answer = json.loads(line)
    if "error" in answer:
        raise LabError(answer["error"])
    return answer["result"]
