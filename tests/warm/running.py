"""Starts the warm process, and makes the program that has it start others."""

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from lab.cloud.authority import Authority
from lab.engine import CHECKOUT

STARTER = Path(__file__).with_name("starter.py")
READY = b"ready\n"
DEBUG = "PRIVATE_IOT_TESTS_DEBUG"
"""In the environment of a program whose debug messages are looked at: the SDK asks the engine to take each, three or
more a resource, and the engine drops them unless it was called with ``--debug``."""


@contextlib.contextmanager
def running(directory: Path) -> Iterator[Path]:
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
