"""``python -m lab``: the command line of the lab."""

import argparse
import importlib
import sys
from collections.abc import Callable, Sequence
from typing import Protocol, cast

from lab.errors import LabError
from lab.report import Report
from lab.state import NAME_VARIABLE, Lab

# In the order in which a newcomer meets them.
COMMANDS = ("up", "init", "env", "status", "sync", "exec", "fault", "demo", "view", "down")

_DESCRIPTION = """\
The whole private path on this machine, with no AWS account: AWS's APIs on a loopback port, the real Pulumi engine
against them, and the network that they describe, made of namespaces, OpenVPN, DNS, TLS and MQTT."""

_EPILOG = f"""\
the cloud alone, for a shell in which plain pulumi, boto3 and the AWS CLI work:
  python -m lab up --only cloud
  eval "$(python -m lab env)"
  pulumi up --stack lab --yes

the whole path:
  python -m lab demo
  python -m lab exec -- device-agent doctor
  python -m lab down

Several labs live side by side: give each a --lab NAME, or set {NAME_VARIABLE}.
A lab is one directory below ${{XDG_STATE_HOME:-~/.local/state}}/private-iot/labs; nothing of ~/.pulumi or ~/.aws is
read or written. Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not running (status), 130 interrupted."""


class Command(Protocol):
    """What a module of ``lab.commands`` provides."""

    HELP: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace, Lab, Report], int]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: The words after ``python -m lab``; the process's own by default.

    Returns:
        The exit code.
    """
    parser, commands = _parser()
    arguments = parser.parse_args(argv)
    report = Report(quiet=arguments.quiet)
    try:
        return commands[arguments.command].run(arguments, Lab.named(arguments.lab), report)
    except LabError as error:
        print(f"lab {arguments.command}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"lab {arguments.command}: interrupted", file=sys.stderr)
        return 130


def _parser() -> tuple[argparse.ArgumentParser, dict[str, Command]]:
    parser = argparse.ArgumentParser(
        prog="python -m lab",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_common(parser, lab=None, quiet=False)
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", title="commands")
    commands: dict[str, Command] = {}
    for name in COMMANDS:
        module = cast("Command", importlib.import_module(f"lab.commands.{name}"))
        summary = module.HELP.strip().splitlines()[0]
        subparser = subparsers.add_parser(
            name,
            help=summary,
            description=module.HELP,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        # Given after the command as well as before it; absent there, it leaves alone what was given before.
        _add_common(subparser, lab=argparse.SUPPRESS, quiet=argparse.SUPPRESS)
        module.add_arguments(subparser)
        commands[name] = module
    return parser, commands


def _add_common(parser: argparse.ArgumentParser, *, lab: str | None, quiet: bool | str) -> None:
    parser.add_argument(
        "--lab", metavar="NAME", default=lab, help=f"which lab (default: ${NAME_VARIABLE}, else 'default')"
    )
    parser.add_argument("--quiet", action="store_true", default=quiet, help="no progress on standard error")


if __name__ == "__main__":
    sys.exit(main())
