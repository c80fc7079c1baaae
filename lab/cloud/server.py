"""Start, find and stop the process that serves AWS's APIs.

The server is a daemon: it outlives its starter and ends by `stop`. Its directory holds

* ``server.json``: ``{"url": …, "pid": …}``, written when the server answers
* ``server.log``: its requests and tracebacks
* ``authority/``: the root certificate and its key

All other state is in the process's memory.
"""

import contextlib
import fcntl
import json
import os
import select
import signal
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

STATE_FILE = "server.json"
LOG_FILE = "server.log"
START_TIMEOUT = 60.0
"""Seconds that a server may take to answer; two are usual, a busy machine needs more."""
STOP_TIMEOUT = 10.0
"""Seconds between the polite signal and the one that cannot be refused."""


class CloudServerError(Exception):
    """The server did not start; the message ends with the last lines of its log."""


@dataclass(frozen=True)
class CloudServer:
    """A server that answers.

    Attributes:
        url: base address, such as ``http://127.0.0.1:41234``; the value for ``AWS_ENDPOINT_URL``.
        pid: the process.
    """

    url: str
    pid: int


def start(directory: Path, *, port: int = 0) -> CloudServer:
    """Start the server of a directory, or return the one that already runs there.

    Args:
        directory: where the server keeps its files; made with mode 0700 if it is missing.
        port: TCP port on 127.0.0.1; 0 takes a free one.

    Returns:
        The server, once it answers.

    Raises:
        CloudServerError: it ended, or did not answer within `START_TIMEOUT`.
    """
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _alone(directory):
        return running(directory) or _spawn(directory, port)


@contextlib.contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Keep others from starting a server of the same directory meanwhile."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _spawn(directory: Path, port: int) -> CloudServer:
    (directory / STATE_FILE).unlink(missing_ok=True)
    log = directory / LOG_FILE
    arguments = [sys.executable, "-m", "lab.cloud", "--directory", str(directory), "--port", str(port)]
    # posix_spawn instead of subprocess: a Popen object would complain about a daemon that outlives it.
    pid = os.posix_spawn(
        sys.executable,
        arguments,
        _environment(),
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
    )
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline:
        server = running(directory)
        if server is not None and server.pid == pid:
            return server
        if os.waitpid(pid, os.WNOHANG) != (0, 0):
            raise CloudServerError(f"The cloud server ended before it answered. {LOG_FILE}: {_last_lines(log)}")
        time.sleep(0.05)
    _end(pid)
    raise CloudServerError(
        f"The cloud server did not answer within {START_TIMEOUT:.0f} s. {LOG_FILE}: {_last_lines(log)}"
    )


def running(directory: Path) -> CloudServer | None:
    """Return the server of a directory if it answers, else None."""
    try:
        state = json.loads((directory / STATE_FILE).read_text())
        server = CloudServer(url=state["url"], pid=state["pid"])
        with urllib.request.urlopen(f"{server.url}/_lab/health", timeout=5) as response:  # noqa: S310 - loopback, written by the server
            health = json.load(response)
    except (OSError, ValueError, KeyError, urllib.error.URLError):
        return None
    # Another process may have the port by now: the answer has to be that of the one that wrote the file.
    return server if health.get("pid") == server.pid else None


def stop(directory: Path) -> bool:
    """End the server of a directory, and its state with it.

    Returns:
        Whether there was one.
    """
    server = running(directory)
    if server is not None:
        _end(server.pid)
    (directory / STATE_FILE).unlink(missing_ok=True)
    return server is not None


def _end(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        process = os.pidfd_open(pid)
        try:
            signal.pidfd_send_signal(process, signal.SIGTERM)
            if not select.select([process], [], [], STOP_TIMEOUT)[0]:
                signal.pidfd_send_signal(process, signal.SIGKILL)
                select.select([process], [], [], STOP_TIMEOUT)
        finally:
            os.close(process)
    # Only the starter is the parent; for anybody else the system collects the exit code.
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)


def _environment() -> dict[str, str]:
    """The environment of the server: the caller's, less everything that points at an AWS account."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "MOTO_"))}
    root = str(Path(__file__).resolve().parents[2])
    paths = [root, *filter(None, [environment.get("PYTHONPATH")])]
    return environment | {
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONUNBUFFERED": "1",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def _last_lines(log: Path, count: int = 15) -> str:
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-count:])
    except OSError as error:
        return str(error)
