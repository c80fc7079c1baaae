"""What each peer costs while it does nothing, and what a backlog costs it: one device each, at the same time."""

import contextlib
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from bench.environment import peers_python
from bench.errors import BenchError
from bench.laboratory import AGENT, DEVICES, Laboratory, Program
from bench.messages import TITLES, Peers
from bench.process import cost, memory
from bench.summary import median, ratio
from lab.path import lifecycle
from lab.report import Report

IDLE = 60.0
BACKLOG = 10_000
IMPORTS = 7
_PEERS = dict(zip(("agent", "sdk", "paho", "bridge-default"), DEVICES, strict=True))
_TITLES = {**TITLES, "agent": "device agent", "sdk": "awsiotsdk", "bridge-default": "mosquitto bridge"}
_MODULES = {
    "agent": "device_agent.daemon.daemon",
    "sdk": "awsiot.mqtt5_client_builder",
    "paho": "paho.mqtt.client",
}
_FAULT = "vpn-killed"


def measure(report: Report, laboratory: Laboratory, idle: float = IDLE, backlog: int = BACKLOG) -> dict[str, Any]:
    """Measure every peer.

    Args:
        laboratory: A running lab with a device for each.
        idle: Seconds over which the idle processor time is counted.
        backlog: Messages that each is given while its tunnel leads nowhere.

    Returns:
        ``rows``: ``import_ms``, ``idle_bytes`` (VmRSS), ``idle_cpu_ms`` and
        ``idle_written_bytes`` a minute, ``backlog_bytes`` (VmHWM) for each.
    """
    paho = peers_python(report)
    with report.step("timing the imports"):
        imports = {
            name: import_milliseconds(paho if name == "paho" else Path(sys.executable), module)
            for name, module in _MODULES.items()
        }
    peers = Peers(laboratory, paho)
    with contextlib.ExitStack() as stack:
        with report.step("connecting each peer on a device of its own"):
            laboratory.install_agent(_PEERS["agent"])
            laboratory.run(_PEERS["agent"], "systemctl", "restart", AGENT)
            for name in ("sdk", "paho", "bridge-default"):
                laboratory.give_plain_tunnel(_PEERS[name])
            programs = {name: stack.enter_context(peers.running(name, device)) for name, device in _PEERS.items()}
            processes = {name: (_PEERS[name], int(program.ready["pid"])) for name, program in programs.items()}
            _prove(laboratory, programs)
        with report.step(f"{idle:g} s in which nobody publishes"):
            before = {name: cost(laboratory, *process) for name, process in processes.items()}
            time.sleep(idle)
            after = {name: cost(laboratory, *process) for name, process in processes.items()}
            used = {name: after[name].processor_time_since(before[name]) for name in _PEERS}
            written = {name: after[name].written - before[name].written for name in _PEERS}
            resident = {name: memory(laboratory, *process, "VmRSS") for name, process in processes.items()}
        with report.step(f"{backlog} messages to each while the tunnel leads nowhere"):
            lifecycle.ask(laboratory.lab, {"command": "fault", "name": _FAULT, "seconds": 600})
            try:
                for name, program in programs.items():
                    # What keeps messages for its programs has them once it has accepted them.
                    work = "burst" if name in ("agent", "bridge-default") else "backlog"
                    program.ask(do=work, run=f"backlog-{name}", count=backlog, timeout=300)
                most = {name: memory(laboratory, *process, "VmHWM") for name, process in processes.items()}
            finally:
                lifecycle.ask(laboratory.lab, {"command": "end-fault", "name": _FAULT})
    rows: list[dict[str, Any]] = [
        {
            "peer": _TITLES[name],
            "import_ms": imports.get(name),
            "idle_bytes": resident[name],
            "idle_cpu_ms": used[name] / 1e6 * 60 / idle,
            "idle_written_bytes": written[name] * 60 / idle,
            "backlog_bytes": most[name],
        }
        for name in _PEERS
    ]
    base = next(row for row in rows if row["peer"] == "awsiotsdk")
    for row in rows:
        for key in ("import_ms", "idle_bytes", "idle_cpu_ms", "backlog_bytes"):
            row[f"{key}_ratio"] = ratio(row[key], base[key])
    return {"idle_seconds": idle, "backlog": backlog, "rows": rows}


def import_milliseconds(python: Path, module: str, times: int = IMPORTS) -> float:
    """Return the median time that an import takes in a fresh interpreter, its own start left out."""
    program = f"import time; t = time.perf_counter(); import {module}; print(time.perf_counter() - t)"
    taken = []
    for _number in range(times):
        done = subprocess.run([str(python), "-c", program], capture_output=True, text=True, check=True, timeout=60)
        taken.append(float(done.stdout) * 1000)
    return median(taken)


def _prove(laboratory: Laboratory, programs: dict[str, Program]) -> None:
    """See a message of each arrive, so that what is measured is connected."""
    with laboratory.listener() as listener:
        for name, program in programs.items():
            program.ask(do="burst", run=f"idle-{name}", count=10)
            answer = listener.ask(run=f"idle-{name}", count=10, within=60)
            if answer["distinct"] != 10:
                raise BenchError(f"{answer['distinct']} of 10 messages of {_TITLES[name]} arrived")
