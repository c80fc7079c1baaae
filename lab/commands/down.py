"""``python -m lab down``."""

import argparse

from lab.cloud import server
from lab.path import lifecycle
from lab.report import Report
from lab.state import Lab

HELP = """\
stop the lab and remove its directory

The network, the cloud's process and the lab's directory with the stack's state go. Nothing outside the lab is
touched, and `pulumi destroy` is not needed first: the resources lived in the cloud's memory."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    del parser


def run(arguments: argparse.Namespace, lab: Lab, report: Report) -> int:
    """Stop every part; nothing happens when there is no such lab.

    Raises:
        LabError: The directory is not a lab's, or another process is changing the lab.
    """
    del arguments
    if not lab.directory.exists():
        report.say(f"there is no lab {lab.name!r}")
        return 0
    with lab.locked():
        if lab.path_directory.exists() and any(lab.path_directory.iterdir()):
            with report.step("taking the network down"):
                lifecycle.down(lab)
        with report.step("stopping the cloud"):
            server.stop(lab.cloud_directory)
        lab.remove()
    report.say(f"lab {lab.name!r} is gone")
    return 0
