"""``python -m lab sync``."""

import argparse
import json
import sys

from lab.cloud import server
from lab.engine import Program
from lab.errors import LabError
from lab.invocation import typed
from lab.path import lifecycle
from lab.report import Report
from lab.state import Lab

HELP = """\
bring the network up to date with the cloud

After a later `pulumi up`, or a change made with boto3 or the AWS CLI: the cloud is read again and only what changed is
touched, so that a change of a security group disturbs no connection. Where the lab has no network yet (after
`up --only cloud` and a `pulumi up` of your own), it is built."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="the changes as a JSON list")


def run(arguments: argparse.Namespace, lab: Lab, report: Report) -> int:
    """Read the cloud, do what differs, and print it.

    Raises:
        LabError: The lab's cloud does not run, or the network cannot be built.
    """
    cloud = server.running(lab.cloud_directory)
    if cloud is None:
        raise LabError(f"the cloud of lab {lab.name!r} does not run: `{typed(lab, 'up')}` starts it")
    program = Program.remembered(lab) or Program()
    changes = lifecycle.up(lab, program.region, cloud.url, report)
    if arguments.json:
        json.dump(changes, sys.stdout)
        print()
    else:
        print("\n".join(changes) or "nothing differs")
    return 0
