"""``python -m lab init``."""

import argparse
from pathlib import Path
from typing import Any

from lab.engine.program import REGION, STACK, Program
from lab.report import Report
from lab.state import Lab

HELP = f"""\
let the lab run a Pulumi project of your own: write its Pulumi.{STACK}.yaml

The file makes `{STACK}` a stack of your project beside those that you have; `lab up --program DIR` deploys it into the
lab. With --like the settings of another stack are taken over, but for its secrets. A file that is there is left
alone."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("directory", type=Path, metavar="DIR", help="folder of the Pulumi project")
    parser.add_argument("--stack", default=STACK, help=f"name of the stack (default: {STACK})")
    parser.add_argument("--region", help=f"the AWS Region (default: that of --like, else {REGION})")
    parser.add_argument("--like", metavar="STACK", help="take the settings of this stack over")


def run(arguments: argparse.Namespace, lab: Lab, report: Report) -> int:
    """Write the stack's file.

    Raises:
        LabError: There is no such project or stack, or the file is there.
    """
    del lab
    config: dict[str, Any] = {}
    region = arguments.region
    if arguments.like:
        like = Program.of(arguments.directory, stack=arguments.like)
        config = like.configuration()
        region = region or like.region
    secrets = sorted(key for key, value in config.items() if isinstance(value, dict) and "secure" in value)
    program = Program.of(arguments.directory, stack=arguments.stack, region=region)
    program.write_stack_file({key: value for key, value in config.items() if key not in secrets})
    print(program.stack_file)
    for key in secrets:
        report.say(f"{key} is a secret of stack {arguments.like}: left out; set it with `pulumi config set` if needed")
    return 0
