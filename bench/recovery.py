"""How long until messages arrive again after an outage: the agent beside plain awsiotsdk, through the same fault.

Three devices of one lab lose the same Client VPN server at the same moment. One has what `device-agent install` makes.
The others have the stack's own .conf under the distribution's unit without a drop-in, and awsiotsdk's MQTT 5 client:
one with its defaults, whose keep-alive is 20 minutes, one with a keep-alive of 30 s. All publish ten messages a second.
"""

import contextlib
import json
import sys
import time
from typing import Any

from bench import summary
from bench.laboratory import CERTIFICATE, DEVICES, KEEP_ALIVE, KEY, TUNNEL, Laboratory, Program
from lab.path import hosts, lifecycle
from lab.report import Report

OUTAGES = (5.0, 60.0, 600.0)
FAULT = "vpn-killed"
EVERY = 0.1
BOUND = 180.0
"""Seconds after the fault's end that a peer has to come back in."""
SETTLE = 20.0
DRAIN = 50.0
"""What a peer still holds at the end has 20 s to arrive, and a second more for each 50 messages of the outage: half the
rate to which awsiotsdk holds itself."""
_POLL = 0.05
AGENT_DEVICE, DEFAULT_DEVICE, CAREFUL_DEVICE = DEVICES[:3]
TITLES = {
    AGENT_DEVICE: "device agent",
    CAREFUL_DEVICE: f"awsiotsdk, keep-alive {KEEP_ALIVE} s",
    DEFAULT_DEVICE: "awsiotsdk, defaults",
}


def measure(report: Report, laboratory: Laboratory, outages: tuple[float, ...] = OUTAGES) -> dict[str, Any]:
    """Break the tunnel for each time and wait for all peers.

    Args:
        laboratory: A running lab with the three devices.
        outages: Seconds of each fault.

    Returns:
        ``rows``: for each outage and peer what `bench.summary.recovery` returns, with the ratio to awsiotsdk with its
        keep-alive set.
    """
    laboratory.install_agent(AGENT_DEVICE)
    rows: list[dict[str, Any]] = []
    with laboratory.listener() as listener:
        for outage in outages:
            with report.step(f"{FAULT} for {outage:g} s, and up to {BOUND:g} s until all are back"):
                rows += _outage(laboratory, listener, outage)
    return {"fault": FAULT, "every_seconds": EVERY, "bound_seconds": BOUND, "rows": rows}


def _outage(laboratory: Laboratory, listener: Program, outage: float) -> list[dict[str, Any]]:
    # All begin anew each time: what one outage did to a peer is not the next one's.
    laboratory.run(AGENT_DEVICE, "systemctl", "restart", TUNNEL)
    laboratory.wait_connected(AGENT_DEVICE)
    for device in (CAREFUL_DEVICE, DEFAULT_DEVICE):
        laboratory.give_plain_tunnel(device)
    runs = {device: f"recovery-{outage:g}-{device}".replace(".", "-") for device in TITLES}
    settle = SETTLE + outage / EVERY / DRAIN
    with contextlib.ExitStack() as stack:
        programs = {
            device: stack.enter_context(laboratory.program(device, argv))
            for device, argv in _programs(laboratory).items()
        }
        for device, program in programs.items():
            program.send({"do": "steady", "run": runs[device], "every": EVERY, "settle": settle})
        for run in runs.values():
            listener.ask(run=run, count=50, within=60, timeout=70)
        began = time.monotonic()
        lifecycle.ask(laboratory.lab, {"command": "fault", "name": FAULT, "seconds": outage})
        while FAULT in lifecycle.ask(laboratory.lab, {"command": "faults"}):
            time.sleep(_POLL)
        ended = time.monotonic()
        waiting = set(runs)
        while waiting and time.monotonic() < ended + BOUND:
            time.sleep(1)
            waiting -= {device for device in waiting if _last(listener, runs[device]) > ended}
        for program in programs.values():
            program.send({"do": "stop"})
        published = {device: program.receive(settle + 30)["published"] for device, program in programs.items()}
        # What the agent still holds is on its way; what a plain client gave up is not.
        for device, run in runs.items():
            if device not in waiting:
                listener.ask(run=run, count=published[device], within=SETTLE, timeout=SETTLE + 10)
    rows = []
    for device, run in runs.items():
        heard = listener.ask(run=run)
        row = summary.recovery(
            heard["arrivals"],
            fault_began=began,
            fault_ended=ended,
            published=published[device],
            copies=heard["copies"],
        )
        rows.append({"outage": outage, "peer": TITLES[device], **row, "tunnel_unit": _unit(laboratory, device)})
    base = next(row for row in rows if row["peer"] == TITLES[CAREFUL_DEVICE])
    for row in rows:
        row["ratio"] = summary.ratio(row["seconds"], base["seconds"])
    return rows


def _programs(laboratory: Laboratory) -> dict[str, list[str]]:
    def plain(device: str, **further: int) -> list[str]:
        options = {
            "endpoint": laboratory.endpoint,
            "certificate": CERTIFICATE,
            "key": KEY,
            "client_id": device,
            "topic": laboratory.topic(device),
            "flow_control": "default",
            **further,
        }
        return [sys.executable, "-m", "bench.peers.sdk", json.dumps(options)]

    return {
        AGENT_DEVICE: [sys.executable, "-m", "bench.peers.agent"],
        CAREFUL_DEVICE: plain(CAREFUL_DEVICE, keep_alive=KEEP_ALIVE),
        DEFAULT_DEVICE: plain(DEFAULT_DEVICE),
    }


def _last(listener: Program, run: str) -> float:
    arrivals = listener.ask(run=run)["arrivals"]
    return float(arrivals[-1][1]) if arrivals else 0.0


def _unit(laboratory: Laboratory, device: str) -> str:
    """Return whether the tunnel's unit still runs: without `Restart=` one that has ended stays so."""
    return hosts.run(laboratory.lab, device, ["systemctl", "is-active", TUNNEL]).stdout.strip()
