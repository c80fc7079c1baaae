"""The command line: `device-agent COMMAND`."""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType, ModuleType

from device_agent import __doc__ as summary
from device_agent._exceptions import DeviceAgentError, SdkMissingError
from device_agent.system import System

COMMANDS = (
    "request",
    "install",
    "provision",
    "fetch",
    "renew",
    "doctor",
    "pubsub",
    "run",
    "publish",
    "status",
    "metrics",
    "config",
    "mqtt",
    "gateway",
    "neighbour",
    "uninstall",
)
_EPILOG = """\
a device's life:
  pulumi stack output devices --show-secrets --json | jq '.["pi-1"]' | ssh pi sudo device-agent install -
  ssh pi sudo device-agent doctor
  ssh pi sudo device-agent pubsub
  echo '{"celsius": 21.5}' | device-agent publish telemetry
  device-agent status

exit codes: 0 done (doctor: healthy), 1 doctor has warnings, 2 anything else; the reason is one line on standard error
"""


def main(argv: Sequence[str] | None = None, system: System | None = None) -> int:
    """Run one command.

    Args:
        argv: The arguments; the process's by default.
        system: The machine; the real one by default.

    Returns:
        The exit code: the command's, 2 for an error, 130 when interrupted, 128 plus the number of a signal.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    with _exit_code() as outcome:
        arguments = _parser(words[0] if words and words[0] in COMMANDS else None).parse_args(words)
        command = importlib.import_module(f"device_agent.commands.{arguments.command}")
        outcome.append(command.run(arguments, system or System()))
        sys.stdout.flush()
    return outcome[-1]


def _parser(chosen: str | None) -> argparse.ArgumentParser:
    """Build the parser; only the chosen command's module is imported, or all for the overview."""
    parser = argparse.ArgumentParser(
        prog="device-agent",
        description=summary,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name in COMMANDS:
        if chosen in (None, name):
            module: ModuleType = importlib.import_module(f"device_agent.commands.{name}")
            command = commands.add_parser(
                name,
                help=module.HELP,
                description=module.HELP,
                formatter_class=argparse.RawDescriptionHelpFormatter,
                allow_abbrev=False,
            )
            module.add_arguments(command)
    return parser


@contextmanager
def _exit_code() -> Iterator[list[int]]:
    """Turn whatever ends a command into an exit code, and errors into one line on standard error."""
    outcome: list[int] = []
    previous = {number: signal.signal(number, _end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield outcome
    except DeviceAgentError as error:
        outcome.append(_fail(str(error), error.exit_code))
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in ("awscrt", "_awscrt", "awsiot"):
            raise
        outcome.append(_fail(str(SdkMissingError()), SdkMissingError.exit_code))
    except _EndedError as ended:
        outcome.append(_fail(f"ended by {ended.number.name}", 128 + ended.number))
    except KeyboardInterrupt:
        outcome.append(_fail("interrupted", 130))
    except BrokenPipeError:
        # Whoever read our output has gone; Python would complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        outcome.append(2)
    except OSError as error:
        outcome.append(_fail(f"{error.filename or 'the system'}: {error.strerror or error}", 2))
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


class _EndedError(BaseException):
    """The process was told to end; raised where it stands, so that what is half done is undone."""

    def __init__(self, number: signal.Signals) -> None:
        super().__init__(number)
        self.number = number


def _end(number: int, _frame: FrameType | None) -> None:
    raise _EndedError(signal.Signals(number))


def _fail(message: str, code: int) -> int:
    print(f"device-agent: {' '.join(message.split())}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
