"""A lab's network as a whole: up, sync, status, down."""

import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from typing import Any

from lab.errors import LabError
from lab.path import control, preflight
from lab.path.services import ROOT
from lab.path.site import Site
from lab.report import Report
from lab.state import Lab

STAGES = ("starting the network's sandbox", "building the network")
"""The steps that `up` reports."""
PYTHON = sys.executable
"""What runs the network's sandbox."""
_START_TIMEOUT = 30.0
_STOP_TIMEOUT = 10.0


def up(lab: Lab, region: str, url: str, report: Report, site: Site | None = None) -> list[str]:
    """Build the network of what the cloud has, or bring it up to date where it is there already.

    Args:
        url: Where the cloud answers.
        site: Which devices are in a LAN of their own; None leaves that as it is.

    Returns:
        What was done, one line each.

    Raises:
        LabError: The machine lacks something, or the network cannot be built.
    """
    if not _running(lab):
        preflight.require(lab)
        with report.step(STAGES[0]):
            _start(lab)
    with report.step(STAGES[1]):
        return _sync(lab, report, {"url": url, "region": region, "site": site.document() if site else None})


def sync(lab: Lab, report: Report) -> list[str]:
    """Bring the network up to date with the cloud, touching only what changed.

    Returns:
        What was done, one line each; none where nothing differs.

    Raises:
        LabError: The network is down, or cannot be built.
    """
    with report.step("bringing the network up to date"):
        return _sync(lab, report, {})


def _sync(lab: Lab, report: Report, arguments: dict[str, Any]) -> list[str]:
    result = ask(lab, {"command": "sync", **arguments})
    for note in result["notes"]:
        report.say(f"note: {note}")
    changes: list[str] = result["changes"]
    return changes


def status(lab: Lab) -> dict[str, Any]:
    """Return the state of every hop.

    Returns:
        ``running`` and, where it is true, what `lab.path.status.describe` returns.
    """
    if not _running(lab):
        return {"running": False}
    described: dict[str, Any] = ask(lab, {"command": "status"})
    return {"running": True, **described}


def down(lab: Lab) -> None:
    """Take the network away with everything that it left; nothing happens when there is none."""
    try:
        connection = control.connect(lab.path_directory)
    except OSError:
        connection = None
    if connection is not None:
        with connection:
            pid = control.peer(connection)
        with contextlib.suppress(ProcessLookupError):
            _end(pid)
    for entry in lab.path_directory.glob("*"):
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def ask(lab: Lab, question: dict[str, Any], *, timeout: float | None = 120) -> Any:
    """Put a question to the lab's sandbox.

    Raises:
        LabError: It is down, or refused.
    """
    try:
        connection = control.connect(lab.path_directory)
    except OSError as error:
        raise LabError(f"the network of lab {lab.name!r} is down: start it with `python -m lab up`") from error
    with connection:
        try:
            return control.ask(connection, question, timeout=timeout)
        except TimeoutError as error:
            raise LabError(f"the network of lab {lab.name!r} did not answer within {timeout:g} s") from error


def _running(lab: Lab) -> bool:
    try:
        control.connect(lab.path_directory).close()
    except OSError:
        return False
    return True


def _start(lab: Lab) -> None:
    user = ["--user", "--map-root-user"] if os.geteuid() != 0 else []
    log = lab.path_directory / "sandbox.log"
    argv = [
        # A session of its own: the sandbox outlives whoever starts it, and ends by `down`.
        *("setsid", "--fork", "unshare", *user, "--mount", "--pid", "--fork", "--mount-proc", "--kill-child"),
        *(PYTHON, "-m", "lab.path.sandbox", "--directory", str(lab.path_directory)),
        *("--authority", str(lab.cloud_directory / "authority")),
    ]
    with log.open("wb") as output:
        subprocess.run(
            argv,
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd="/",
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
    deadline = time.monotonic() + _START_TIMEOUT
    while not _running(lab):
        said = log.read_text(errors="replace").strip()
        if said or time.monotonic() > deadline:
            raise LabError(f"the network's sandbox did not start: {said or 'it said nothing'}")
        time.sleep(0.01)


def _end(pid: int) -> None:
    descriptor = os.pidfd_open(pid)
    try:
        for number, timeout in ((signal.SIGTERM, _STOP_TIMEOUT), (signal.SIGKILL, _STOP_TIMEOUT)):
            signal.pidfd_send_signal(descriptor, number)
            if select.select([descriptor], [], [], timeout)[0]:
                return
    finally:
        os.close(descriptor)
    raise LabError(f"process {pid}, the network's sandbox, did not end")
