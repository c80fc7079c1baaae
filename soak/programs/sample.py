"""Print at intervals the memory of the agent and of OpenVPN, and the agent's own status: runs in a device's host."""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from device_agent.client import AgentNotRunningError, Channel

_TIMEOUT = 2.0


def main(interval: float) -> None:
    """Sample until the process is ended.

    Args:
        interval: Seconds between two samples.
    """
    while True:
        line = {"at": time.monotonic(), "agent": _memory(_is_agent), "openvpn": _memory(_is_openvpn)}
        sys.stdout.write(json.dumps({**line, "status": _status()}) + "\n")
        sys.stdout.flush()
        time.sleep(interval)


def _memory(wanted: Callable[[list[str]], bool]) -> dict[str, int] | None:
    """Return the number and the resident bytes (VmRSS, proc(5)) of the first process that is wanted."""
    for process in sorted(Path("/proc").glob("[0-9]*"), key=lambda path: int(path.name)):
        try:
            if wanted((process / "cmdline").read_text(errors="replace").split("\0")[:-1]):
                lines = (process / "status").read_text().splitlines()
                resident = next(line.split()[1] for line in lines if line.startswith("VmRSS:"))
                return {"pid": int(process.name), "bytes": int(resident) * 1024}
        except (OSError, StopIteration):
            continue  # it has ended meanwhile
    return None


def _is_agent(words: list[str]) -> bool:
    return words[-3:] == ["-m", "device_agent", "run"] and Path(words[0]).name.startswith("python")


def _is_openvpn(words: list[str]) -> bool:
    return bool(words) and Path(words[0]).name == "openvpn"


def _status() -> dict[str, Any] | None:
    """Return the agent's status; None while none answers, which is what some faults are about."""
    try:
        with Channel(timeout=_TIMEOUT) as channel:
            channel.send({"command": "status"})
            status: dict[str, Any] = channel.receive()["status"]
            return status
    except (AgentNotRunningError, OSError, ValueError, KeyError):
        return None


if __name__ == "__main__":
    main(float(sys.argv[1]))
