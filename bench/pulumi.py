"""Pulumi with a time limit: a run that takes too long is stopped with all that it started, and said to be."""

import contextlib
import os
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.engine import Engine

_GRACE = 30.0
_LOOK = 0.25
"""Seconds between looks at the memory."""


@dataclass(frozen=True)
class Outcome:
    """What became of a run.

    Attributes:
        seconds: Its wall time; None where it did not end well.
        note: Why it did not.
        said: What Pulumi said to that.
        peak_bytes: The most memory that its own process had resident (VmHWM), its plugins left out.
    """

    seconds: float | None
    note: str = ""
    said: str = ""
    peak_bytes: int | None = None

    @property
    def done(self) -> bool:
        return self.seconds is not None


def run(
    engine: Engine,
    arguments: Sequence[str],
    *,
    limit: float,
    cwd: Path,
    variables: Mapping[str, str] | None = None,
    pulumi: bool = True,
) -> Outcome:
    """Run Pulumi, for so long at most.

    Args:
        cwd: The project's directory.
        pulumi: Whether the arguments are those of the CLI; otherwise they are a program's that runs it.
    """
    words = [str(engine.pulumi), "--non-interactive", "--color", "never", *arguments] if pulumi else [*arguments]
    started = time.monotonic()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            words,
            cwd=cwd,
            env={**engine.environment(), **(variables or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # Its plugins have process groups of their own; the session is what they share.
            start_new_session=True,
        )
        peak: int | None = None
        try:
            while (code := _wait(process, min(_LOOK, started + limit - time.monotonic()))) is None:
                peak = _peak(process.pid) or peak
                if time.monotonic() >= started + limit:
                    _stop(process)
                    return Outcome(None, f"stopped after {limit:g} s", peak_bytes=peak)
            seconds = time.monotonic() - started
        except BaseException:
            _stop(process)
            raise
        if code != 0:
            output.seek(0)
            lines = output.read().decode(errors="replace").splitlines()
            said = next((line.strip() for line in lines if "error:" in line), "")
            return Outcome(None, f"failed with {code}", said, peak)
    return Outcome(seconds, peak_bytes=peak)


def _wait(process: "subprocess.Popen[bytes]", seconds: float) -> int | None:
    with contextlib.suppress(subprocess.TimeoutExpired):
        return process.wait(max(0.0, seconds))
    return None


def _peak(pid: int) -> int | None:
    """Return the most that a process has had resident so far (proc(5), ``VmHWM``); None once it has ended."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return None


def _stop(process: "subprocess.Popen[bytes]") -> None:
    """Ask for the end as Ctrl-C does, and end all that is left of the session."""
    process.send_signal(signal.SIGINT)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_GRACE)
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # The fourth field after the command's name is the session (proc(5)).
            if int(stat.read_text().rpartition(")")[2].split()[3]) == process.pid:
                _kill(int(stat.parent.name))
    process.wait()


def _kill(pid: int) -> None:
    """End a process and return when it has ended."""
    descriptor = os.pidfd_open(pid)
    try:
        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        select.select([descriptor], [], [], _GRACE)
    finally:
        os.close(descriptor)
