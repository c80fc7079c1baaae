"""The same messages through the same tunnel by each peer, one after another, from one device of one lab."""

import contextlib
import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import bridge
from bench.environment import peers_python
from bench.errors import BenchError
from bench.laboratory import AGENT, CERTIFICATE, DEVICES, KEEP_ALIVE, KEY, ROOTS, Laboratory, Program
from bench.peers.program import SIZE
from bench.process import cost
from bench.summary import median, percentile, ratio
from lab.report import Report

DEVICE = DEVICES[0]
REPETITIONS = 3
PACED = 500
PAUSE = 0.01
"""Seconds: 100 messages a second, the most that AWS IoT takes from one connection (general/latest/gr/iot-core.html)."""
ALONE = 20
LONG_PAUSE = 0.5
"""Seconds after each of the messages that are truly alone: whatever is put off for a moment is done before the next."""
SLOW_PEER = 300
"""The most messages for the SDK with its own limit of 100 a second: its rate needs no more to be seen."""
ARRIVAL = 120.0
BASE = "awsiotsdk, flow control off"

TITLES = {
    "agent": "device agent (on disk first)",
    "sdk": BASE,
    "sdk-default": "awsiotsdk, defaults",
    "paho": "paho-mqtt",
    "bridge": "mosquitto bridge, saved at every change",
    "bridge-default": "mosquitto bridge, saved every 30 min (default)",
}


@dataclass
class Peers:
    """Runs each peer's program on a device, one at a time: AWS IoT allows one connection a client ID."""

    laboratory: Laboratory
    paho: Path

    @contextlib.contextmanager
    def running(self, name: str, device: str) -> Iterator[Program]:
        """Run a peer while the block runs."""
        options = {
            "endpoint": self.laboratory.endpoint,
            "port": 8883,
            "client_id": device,
            "topic": self.laboratory.topic(device),
            "certificate": CERTIFICATE,
            "key": KEY,
            "roots": ROOTS,
            # The same for all, and the agent's own: what an idle peer costs depends on it.
            "keep_alive": KEEP_ALIVE,
            "flow_control": "default" if name == "sdk-default" else "none",
        }
        local = {"endpoint": "127.0.0.1", "port": bridge.PORT, "client_id": "local", "topic": bridge.LOCAL_TOPIC}
        with contextlib.ExitStack() as stack:
            if name == "agent":
                self.laboratory.run(device, "systemctl", "start", AGENT)
                stack.callback(self.laboratory.run, device, "systemctl", "stop", AGENT)
                self.laboratory.wait_connected(device)
                argv = [sys.executable, "-m", "bench.peers.agent"]
            elif name.startswith("sdk"):
                argv = [sys.executable, "-m", "bench.peers.sdk", json.dumps(options)]
            elif name == "paho":
                argv = [str(self.paho), "-m", "bench.peers.paho", json.dumps(options)]
            elif name == "local-broker":
                stack.enter_context(bridge.agents_broker(self.laboratory, device))
                argv = [str(self.paho), "-m", "bench.peers.paho", json.dumps(local)]
            else:
                saving = bridge.EVERY_CHANGE if name == "bridge" else bridge.DEFAULT
                broker = stack.enter_context(bridge.running(self.laboratory, device, saving))
                self.laboratory.wait_for_port(device, bridge.PORT)
                argv = [str(self.paho), "-m", "bench.peers.paho", json.dumps(local)]
            program = stack.enter_context(self.laboratory.program(device, argv))
            if name.startswith("bridge"):
                program.ready["pid"] = broker
            elif name == "agent":
                program.ready["pid"] = self.laboratory.agent_pid(device)
            yield program


def measure(report: Report, laboratory: Laboratory, count: int, repetitions: int = REPETITIONS) -> dict[str, Any]:
    """Measure every peer.

    Args:
        count: Messages of a burst.
        repetitions: How often; the medians are given.

    Returns:
        ``rows`` for each peer, ``fsyncs_per_second`` of the disk that the durable ones write to, and what was run.
    """
    peers = Peers(laboratory, peers_python(report))
    samples: dict[str, list[dict[str, float]]] = {name: [] for name in TITLES}
    laboratory.install_agent(DEVICE)
    laboratory.run(DEVICE, "systemctl", "stop", AGENT)
    with laboratory.listener() as listener:
        # Round by round, so that whatever else the machine does meets all of them.
        for number in range(1, repetitions + 1):
            with report.step(f"round {number} of {repetitions}: {count} messages by each peer"):
                for name, taken in samples.items():
                    taken.append(once(peers, listener, name, f"{name}-{number}", count))
    rows: list[dict[str, Any]] = [
        {"peer": TITLES[name], **{key: median([sample[key] for sample in taken]) for key in taken[0]}, "samples": taken}
        for name, taken in samples.items()
    ]
    if not rows[0]["written_bytes_paced"]:
        raise BenchError(f"the agent's queue in {laboratory.disk} wrote nothing to a disk: is that folder in memory?")
    base = next(row for row in rows if row["peer"] == BASE)
    for row in rows:
        row["rate_ratio"] = ratio(row["messages_per_second"], base["messages_per_second"])
        row["processor_ratio"] = ratio(row["processor_us"], base["processor_us"])
        row["arrival_ratio"] = ratio(row["arrival_p50_ms"], base["arrival_p50_ms"])
    return {
        "count": count,
        "slow_count": min(count, SLOW_PEER),
        "paced": PACED,
        "payload_bytes": SIZE,
        "repetitions": repetitions,
        "fsyncs_per_second": fsyncs_per_second(laboratory.disk),
        "rows": rows,
    }


def once(peers: Peers, listener: Program, name: str, run: str, count: int, *, device: str = DEVICE) -> dict[str, float]:
    """Let one peer do its work once.

    Args:
        run: A name of this work's own.
        count: Messages of the burst.
    """
    number = min(count, SLOW_PEER) if name == "sdk-default" else count
    with peers.running(name, device) as program:
        # The way is open, and every part of it has run once.
        program.ask(do="burst", run=f"{run}-first", count=50, timeout=ARRIVAL)
        _arrived(listener, f"{run}-first", 50)
        pid = int(program.ready["pid"])
        costs = [cost(peers.laboratory, DEVICE, pid)]
        burst = program.ask(do="burst", run=f"{run}-burst", count=number, timeout=ARRIVAL)
        last = _arrived(listener, f"{run}-burst", number)
        costs.append(cost(peers.laboratory, DEVICE, pid))
        paced = program.ask(do="paced", run=f"{run}-paced", count=PACED, pause=PAUSE, timeout=ARRIVAL)
        _arrived(listener, f"{run}-paced", PACED)
        costs.append(cost(peers.laboratory, DEVICE, pid))
        program.ask(do="paced", run=f"{run}-alone", count=ALONE, pause=LONG_PAUSE, timeout=ARRIVAL)
        _arrived(listener, f"{run}-alone", ALONE)
        costs.append(cost(peers.laboratory, DEVICE, pid))
    arrivals = dict(listener.ask(run=f"{run}-paced")["arrivals"])
    arrival = [(arrivals[position] - sent) * 1000 for position, sent in enumerate(paced["sent"])]
    accepted = [seconds * 1000 for seconds in paced["accepted"]]
    return {
        "messages_per_second": number / (last - burst["first"]),
        "accepted_per_second": number / (burst["accepted"] - burst["first"]),
        "accepted_p50_ms": percentile(accepted, 50),
        "accepted_p99_ms": percentile(accepted, 99),
        "arrival_p50_ms": percentile(arrival, 50),
        "arrival_p99_ms": percentile(arrival, 99),
        "processor_us": costs[1].processor_time_since(costs[0]) / 1000 / number,
        "written_bytes_burst": (costs[1].written - costs[0].written) / number,
        "written_bytes_paced": (costs[2].written - costs[1].written) / PACED,
        "written_bytes_alone": (costs[3].written - costs[2].written) / ALONE,
    }


def _arrived(listener: Program, run: str, count: int) -> float:
    """Wait for all messages of a run, and return when the last one came."""
    answer = listener.ask(run=run, count=count, within=ARRIVAL, timeout=ARRIVAL + 10)
    if answer["distinct"] != count:
        raise BenchError(f"{answer['distinct']} of {count} messages of {run} arrived within {ARRIVAL:g} s")
    return float(answer["last"])


def fsyncs_per_second(directory: Path, count: int = 200) -> float:
    """Return how many small writes a second the disk makes durable one by one: no durable queue can do better."""
    path = directory / "fsync"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        # Over blocks that the file has already, as a write-ahead log does: a file that grows costs its journal as well.
        os.write(descriptor, b"." * 4096 * count)
        os.fsync(descriptor)
        started = time.monotonic()
        for number in range(count):
            os.pwrite(descriptor, b"-" * 4096, number * 4096)
            os.fdatasync(descriptor)
        return count / (time.monotonic() - started)
    finally:
        os.close(descriptor)
        path.unlink()
