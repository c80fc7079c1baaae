"""``python -m lab env``."""

import argparse
import json
import shlex
from collections.abc import Mapping

from lab.cloud import server
from lab.engine import Engine, Program, find_or_build
from lab.errors import LabError
from lab.report import Report
from lab.state import Lab

HELP = """\
print the environment of the lab for a shell

  eval "$(python -m lab env)"

In that shell plain `pulumi`, boto3 and the AWS CLI work against the lab and against nothing else: what the shell
knew of an AWS account or of Pulumi is unset. Start a shell of its own with `bash` first, to have the old environment
back when you leave it."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="one JSON object instead; null is a variable to unset")


def run(arguments: argparse.Namespace, lab: Lab, report: Report) -> int:
    """Print what a lab changes in an environment.

    Raises:
        LabError: The lab's cloud does not run.
    """
    cloud = server.running(lab.cloud_directory)
    if cloud is None:
        raise LabError(f"the cloud of lab {lab.name!r} does not run: `python -m lab up --only cloud` starts it")
    settings = Engine(lab, find_or_build(report), cloud.url, Program.remembered(lab) or Program()).settings()
    if arguments.json:
        print(json.dumps(settings, indent=2))
        return 0
    print(shell_lines(settings))
    return 0


def shell_lines(settings: Mapping[str, str | None]) -> str:
    """Return settings as lines for a POSIX shell.

    Args:
        settings: Variable → value, ``None`` for one to unset.
    """
    return "\n".join(
        f"unset {name}" if value is None else f"export {name}={shlex.quote(value)}"
        for name, value in sorted(settings.items())
    )
