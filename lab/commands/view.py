"""``python -m lab view``."""

import argparse
import json
import subprocess
import webbrowser
from typing import Any

from lab.errors import LabError
from lab.path import hosts, lifecycle
from lab.path.faults import NAMES
from lab.report import Report
from lab.state import Lab
from lab.view import scene
from lab.view.server import Answers, Cache, Server

HELP = """\
show the path in a browser, live, and break it there

One page on loopback: each hop with its address, state and counters, the messages that pass, the public way that is
refused, a button for every fault of `lab fault`, and what `device-agent doctor` says at that moment. The printed
address holds a token: whoever has it can break this lab. Ends at Ctrl-C; the lab goes on."""

_EXAMINATION_TIMEOUT = 180.0
_PUBLISH_TIMEOUT = 30.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1 (default: a free one)")
    parser.add_argument("--open", action="store_true", help="open the page in this machine's browser")


def run(arguments: argparse.Namespace, lab: Lab, report: Report) -> int:
    """Serve the page until interrupted.

    Raises:
        LabError: The lab's network is down, or the port is taken.
    """
    lifecycle.ask(lab, {"command": "hosts"}, timeout=10)
    with serve(lab, arguments.port) as server:
        print(server.url, flush=True)
        report.say("Ctrl-C ends the page; the lab goes on")
        if arguments.open:
            webbrowser.open(server.url)
        server.serve_forever()
    return 0


def serve(lab: Lab, port: int = 0) -> Server:
    """Return the page's server, bound and not yet serving.

    Raises:
        LabError: The port is taken.
    """
    answers = Answers(
        scene=Cache(lambda device: _scene(lab, device)),
        faults=NAMES,
        begin_fault=lambda name, seconds: lifecycle.ask(lab, {"command": "fault", "name": name, "seconds": seconds}),
        end_fault=lambda name: lifecycle.ask(lab, {"command": "end-fault", "name": name}),
        doctor=lambda device: _doctor(lab, device),
        publish=lambda device: _publish(lab, device),
    )
    try:
        return Server(answers, port)
    except OSError as error:
        raise LabError(f"port {port} of 127.0.0.1 cannot be used: {error.strerror}; choose another --port") from error


def _scene(lab: Lab, device: str) -> dict[str, Any]:
    status = lifecycle.status(lab)
    chosen = device or next(iter(scene.devices(status)), "")
    latest = lifecycle.ask(lab, {"command": "latest"}) if status["running"] else {}
    return scene.draw(status, latest, chosen)


def _doctor(lab: Lab, device: str) -> Any:
    done = _run(lab, device, ["device-agent", "doctor", "--json"], _EXAMINATION_TIMEOUT)
    try:
        return json.loads(done.stdout)
    except ValueError:
        raise LabError(f"`device-agent doctor` on {device}: {_said(done.stderr)}") from None


def _publish(lab: Lab, device: str) -> dict[str, bool]:
    done = _run(lab, device, ["device-agent", "publish", "view", '{"from": "the page"}'], _PUBLISH_TIMEOUT)
    if done.returncode != 0:
        raise LabError(f"`device-agent publish` on {device}: {_said(done.stderr)}")
    return {"queued": True}


def _run(lab: Lab, device: str, argv: list[str], timeout: float) -> subprocess.CompletedProcess[str]:
    try:
        return hosts.run(lab, device, argv, timeout=timeout)
    except subprocess.TimeoutExpired:
        raise LabError(f"`{' '.join(argv[:2])}` on {device} did not end within {timeout:g} s") from None


def _said(text: str) -> str:
    return text.strip().splitlines()[-1] if text.strip() else "it said nothing"
