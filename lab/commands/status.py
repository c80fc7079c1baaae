"""``python -m lab status``."""

import argparse
import json
import sys
from typing import Any

from lab.cloud import server
from lab.engine import Program, source_of
from lab.path import lifecycle
from lab.report import Report
from lab.state import Lab

HELP = """\
tell what of the lab runs

Exit code 0 when the lab's cloud runs, 3 when it does not."""

NOT_RUNNING = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="one JSON object instead of lines for people")


def run(arguments: argparse.Namespace, lab: Lab, report: Report) -> int:
    del report
    status = describe(lab)
    if arguments.json:
        json.dump(status, sys.stdout, indent=2)
        print()
    else:
        print("\n".join(_lines(status)))
    return 0 if status["cloud"]["running"] else NOT_RUNNING


def describe(lab: Lab) -> dict[str, Any]:
    """Return the state of a lab's parts.

    Returns:
        ``lab``, ``directory``, ``exists``, ``cloud`` (``running``, ``url``, ``pid``), ``engine`` (``plugins``,
        ``program``, ``stack``, ``resources``: how many the stack's state has, ``null`` before the first `up`) and
        ``path`` (what the network says of itself, ``null`` where there is none).
    """
    cloud = server.running(lab.cloud_directory)
    path = None
    program = Program.remembered(lab) or Program()
    if lab.exists and any(lab.path_directory.iterdir()):
        path = lifecycle.status(lab)
    return {
        "lab": lab.name,
        "directory": str(lab.directory),
        "exists": lab.exists,
        "cloud": {
            "running": cloud is not None,
            "url": cloud.url if cloud else None,
            "pid": cloud.pid if cloud else None,
        },
        "engine": {
            "plugins": source_of(lab.engine_directory / "home"),
            "program": str(program.directory),
            "stack": program.stack,
            "resources": _resources(lab, program),
        },
        "path": path,
    }


def _resources(lab: Lab, program: Program) -> int | None:
    state = lab.engine_directory / "state/.pulumi/stacks" / program.project / f"{program.stack}.json"
    try:
        checkpoint = json.loads(state.read_text(encoding="utf-8"))["checkpoint"]
    except (OSError, ValueError, KeyError):
        return None
    return len((checkpoint.get("latest") or {}).get("resources") or [])


def _lines(status: dict[str, Any]) -> list[str]:
    cloud, engine, path = status["cloud"], status["engine"], status["path"]
    resources = "no state" if engine["resources"] is None else f"{engine['resources']} resources"
    lines = [
        f"lab     {status['lab']} in {status['directory']}" + ("" if status["exists"] else " (not there)"),
        f"cloud   {cloud['url']}, process {cloud['pid']}" if cloud["running"] else "cloud   not running",
        f"engine  stack {engine['stack']} of {engine['program']}: {resources}; plugins: {engine['plugins'] or 'none'}",
    ]
    if path is None:
        return [*lines, "path    no network"]
    lines.append("path    " + ("up" if path["running"] else "not running"))
    for hop in path.get("hops", []):
        addresses = " ".join(hop.get("addresses") or [])
        lines.append(f"        {hop['hop']:13}{hop['state']:6}{hop['name']}  {addresses}".rstrip())
    return [*lines, *(f"        note: {note}" for note in path.get("notes", []))]
