"""``python -m soak``: the command line of the long run."""

import argparse
import json
import random
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from lab.errors import LabError
from lab.report import Report
from lab.state import Lab, write_file
from soak import figures
from soak.errors import SoakError
from soak.run import Options, run
from soak.schedule import NAMES, SHORTEST_RUN, SITE_NAMES
from soak.site import LAN

_MOST_SECONDS = 86_400.0
# What AWS IoT lets one connection publish is 100 a second; a queue has to shrink while messages are added.
_MOST_RATE = 50.0
_MOST_DEVICES = 8
SITE = (*LAN.gateways, *LAN.neighbours)
_DESCRIPTION = """\
A long run over the lab's private path: each device publishes numbered messages at a steady rate while faults that are
drawn from a seed break its path. Behind AWS IoT's front it is counted what arrives, on the device's home network what
leaves outside the tunnel, and the memory of the agent and of OpenVPN is watched. The lab is the run's own."""
_EPILOG = "\n".join(
    [
        "faults:",
        *(f"  {name:<21} {text}" for name, text in NAMES.items()),
        "of a site, which has no faults of lines:",
        *(f"  {name:<21} {text}" for name, text in SITE_NAMES.items() if name not in NAMES),
        "",
        "exit codes: 0 all delivered and nothing outside the tunnel, 1 not so, 2 the run could not be made,",
        "130 interrupted. Progress goes to standard error, the table to standard output.",
    ]
)


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    report = Report()
    signal.signal(signal.SIGTERM, _interrupt)
    seed = arguments.seed if arguments.seed is not None else random.SystemRandom().randrange(2**32)
    options = Options(
        arguments.seconds, seed, arguments.rate, len(SITE) if arguments.site else arguments.devices, arguments.site
    )
    try:
        if arguments.json is not None and not arguments.json.parent.is_dir():
            raise SoakError(f"--json {arguments.json}: there is no directory {arguments.json.parent}")
        found = run(options, Lab.named(arguments.lab), report)
    except (SoakError, LabError, OSError, subprocess.SubprocessError) as error:
        sys.stderr.write(f"soak: {error} (seed {seed})\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write(f"soak: interrupted (seed {seed})\n")
        return 130
    sys.stdout.write("\n".join(figures.table(found)) + "\n")
    if arguments.json is not None:
        write_file(arguments.json, json.dumps(found, indent=2) + "\n", mode=0o644)
    return 0 if found["passed"] else 1


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m soak",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--seconds",
        type=_between(SHORTEST_RUN, _MOST_SECONDS),
        default=600.0,
        help="how long messages are published (default: 600)",
    )
    parser.add_argument("--seed", type=int, metavar="N", help="of the faults (default: a new one, which is printed)")
    parser.add_argument(
        "--rate", type=_between(0.1, _MOST_RATE), default=20.0, help="messages a second from each device (default: 20)"
    )
    parser.add_argument(
        "--devices", type=int, choices=range(1, _MOST_DEVICES + 1), default=1, metavar="N", help="1 to 8 (default: 1)"
    )
    parser.add_argument(
        "--site",
        action="store_true",
        help="a site instead: a gateway whose broker a sensor publishes at, and two neighbours with the agent",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there as well")
    parser.add_argument("--lab", metavar="NAME", default="soak", help="name of the run's own lab (default: soak)")
    return parser


class _Between:
    """A number within limits."""

    def __init__(self, least: float, most: float) -> None:
        self.least, self.most = least, most

    def __call__(self, text: str) -> float:
        value = float(text)
        if not self.least <= value <= self.most:
            raise argparse.ArgumentTypeError(f"{text}: use {self.least:g} to {self.most:g}")
        return value

    def __repr__(self) -> str:
        return "number"


def _between(least: float, most: float) -> _Between:
    return _Between(least, most)


if __name__ == "__main__":
    sys.exit(main())
