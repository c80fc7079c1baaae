"""``python -m lab sync``."""

import argparse
import json
import sys

from lab.path import lifecycle
from lab.report import Report
from lab.state import Lab

HELP = """\
bring the network up to date with the cloud

After a later `pulumi up`, or a change made with boto3 or the AWS CLI: the cloud is read again and only what changed is
touched, so that a change of a security group disturbs no connection."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="the changes as a JSON list")


def run(arguments: argparse.Namespace, lab: Lab, report: Report) -> int:
    """Read the cloud, do what differs, and print it."""
    changes = lifecycle.sync(lab, report)
    if arguments.json:
        json.dump(changes, sys.stdout)
        print()
    else:
        print("\n".join(changes) or "nothing differs")
    return 0
