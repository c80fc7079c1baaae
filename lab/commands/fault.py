"""``python -m lab fault``."""

import argparse
import json
import sys
import time

from lab.errors import LabError
from lab.path import lifecycle
from lab.path.faults import NAMES
from lab.report import Report
from lab.state import Lab

HELP = """\
break one hop for a while

The fault ends after its time, and at once when this command is interrupted; even if this command is killed, the network
ends it itself.

""" + "\n".join(f"  {name:<21} {text}" for name, text in NAMES.items())


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", choices=list(NAMES), metavar="NAME", help="which fault, of those above")
    parser.add_argument(
        "--for", dest="seconds", type=float, required=True, metavar="SECONDS", help="how long, in seconds"
    )
    parser.add_argument("--no-wait", action="store_true", help="return as soon as it has begun")
    parser.add_argument("--json", action="store_true", help="what was done as JSON")


def run(arguments: argparse.Namespace, lab: Lab, report: Report) -> int:
    """Begin the fault and wait for its end."""
    begun = lifecycle.ask(lab, {"command": "fault", "name": arguments.name, "seconds": arguments.seconds})
    report.say(f"{arguments.name} for {arguments.seconds:g} s: {begun['description']}")
    try:
        if not arguments.no_wait:
            with report.step("until it ends"):
                _wait(lab, arguments.name)
    except KeyboardInterrupt:
        try:
            lifecycle.ask(lab, {"command": "end-fault", "name": arguments.name})
        except LabError as error:
            report.warn(f"the fault could not be ended early: {error}")
        raise
    if arguments.json:
        json.dump(begun, sys.stdout)
        print()
    return 0


def _wait(lab: Lab, name: str) -> None:
    while name in (faults := lifecycle.ask(lab, {"command": "faults"})):
        time.sleep(min(1.0, faults[name] + 0.05))
