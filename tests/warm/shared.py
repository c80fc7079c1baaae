"""One warm process for all tests of a run, whichever tier they are of, and for all workers of pytest-xdist."""

import atexit
import contextlib
import functools
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.cloud.authority import Authority
from lab.engine import CHECKOUT

STARTER = Path(__file__).with_name("starter.py")
READY = b"ready\n"
DEBUG = "PRIVATE_IOT_TESTS_DEBUG"
"""In the environment of a program whose debug messages are looked at: the SDK asks the engine to take each, three or
more a resource, and the engine drops them unless it was called with ``--debug``."""
_VARIABLE = "PRIVATE_IOT_TESTS_WARM_PYTHON"


def pytest_configure(config: pytest.Config) -> None:
    """Keep one warm process for all of several workers: it takes seconds to import."""
    # Go's collector takes a sixth of the processor time of an engine that lives for seconds.
    os.environ.setdefault("GOGC", "400")
    if config.getoption("numprocesses", None) and _VARIABLE not in os.environ:
        os.environ[_VARIABLE] = str(python())
        config.add_cleanup(_forget)


def _forget() -> None:
    os.environ.pop(_VARIABLE, None)


@functools.cache
def python() -> Path:
    """Return what starts a Python warm; where no other process keeps it, this one does until its end."""
    if shared := os.environ.get(_VARIABLE):
        return Path(shared)
    stack = contextlib.ExitStack()
    atexit.register(stack.close)
    directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="warm-")))
    return stack.enter_context(_running(directory))


@contextlib.contextmanager
def _running(directory: Path) -> Iterator[Path]:
    """Keep the warm process; give the program that starts others from it, a `python` of its arguments.

    Beside the program is a root for the clouds, `authority`: a key takes longer than all else that a cloud starts with.
    """
    Authority.load_or_create(directory / "authority")
    address = directory / "warm"
    program = directory / "python"
    program.write_text(f"#!{sys.executable} -IS\n{STARTER.read_text()}\nstart({str(address)!r}, {sys.executable!r})\n")
    program.chmod(0o755)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(address))
        listener.listen(128)
        command = [sys.executable, "-m", "tests.warm.process", str(listener.fileno())]
        environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
        # It ends when its input does, with this process at the latest.
        with subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=[listener.fileno()],
            env=environment,
            cwd=CHECKOUT,
            start_new_session=True,
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            # Nobody's deadline begins before it has imported.
            assert process.stdout.readline() == READY, "the warm process has ended"
            try:
                yield program
            finally:
                process.stdin.close()
