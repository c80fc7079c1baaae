"""Measure the program, the lab and the device agent, each against something else in the same run.

Every figure is a ratio of two things on the same machine in the same run: absolute times say more about the machine
than about this project. docs/performance.md tells what each figure is and what limits it.
"""

import argparse
import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bench import device_stacks, engine, fleet, footprint, lab_up, laboratory, messages, recovery, results, site
from bench.errors import BenchError
from bench.tables import TABLES
from lab.cloud.server import CloudServerError
from lab.errors import LabError
from lab.report import Report

SECTIONS = {
    "engine": "`pulumi preview` and `up` against as many empty resources, by the number of devices, with the growth",
    "fleet": "devices provisioned by a claim through the lab's front, against the cloud alone; `pulumi up` beside them",
    "lab-up": "`python -m lab up` from nothing, stage by stage, and the memory it holds",
    "messages": "the agent, awsiotsdk, paho-mqtt and a mosquitto bridge through one tunnel: rate and latency",
    "site": "a neighbour through a gateway beside a tunnel of its own; two brokers on a device",
    "recovery": "after an outage of the tunnel: the agent beside plain awsiotsdk, under the same fault",
    "footprint": "import time, memory, idle processor time and a backlog of each peer",
}
_IN_ONE_LAB = ("messages", "recovery", "footprint")
_EPILOG = """\
sections:
{sections}

examples:
  python -m bench                                  everything; an hour or more, most of it 1000 devices and 600 s
  python -m bench engine --devices 1,10            two sizes of the program alone, then all of device stacks
  python -m bench engine --devices none            device stacks alone, up to 1000 devices
  python -m bench messages --messages 1000         a quick look at the peers
  python -m bench recovery --outages 5,60 --json recovery.json

The tables on standard output are Markdown; progress goes to standard error. Each run also writes its figures to
bench/results/, with the versions and the machine's size. The network sections need what `python -m lab up` needs, and
the network once, to install the peers. Let nothing else run meanwhile.

exit codes: 0 all was measured, 1 a section could not be (the others are), 2 the arguments are wrong"""


def main(argv: Sequence[str] | None = None) -> int:
    """Measure the sections that are asked for and print a table or two for each.

    Returns:
        0, or 1 where a section could not be measured.
    """
    arguments = parse(argv)
    if arguments.show:
        earlier = json.loads(arguments.show.read_text())
        print(results.heading(earlier))
        for section, measured in earlier["sections"].items():
            _show(section, measured)
        return 0
    report = Report()
    path = results.default_path()
    found: dict[str, Any] = {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": results.machine(),
        "versions": results.versions(),
        "sections": {},
    }
    print(results.heading(found), flush=True)
    failed = False
    with contextlib.ExitStack() as stack:
        work = _work(arguments, report, stack)
        for section in arguments.sections:
            try:
                measured = work[section]()
            except (BenchError, LabError, CloudServerError, subprocess.SubprocessError) as error:
                report.warn(f"{section} could not be measured: {error}")
                failed = True
                # Whatever the lab has been through, the next section gets another.
                stack.close()
                continue
            found["sections"][section] = measured
            for file in filter(None, (path, arguments.json)):
                results.write(file, found)
            _show(section, measured)
    report.say(f"written to {path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}")
    return 1 if failed else 0


def _show(section: str, measured: dict[str, Any]) -> None:
    for title, text in TABLES[section](measured):
        print(f"\n### {title}\n\n{text}", flush=True)


def _work(
    arguments: argparse.Namespace, report: Report, stack: contextlib.ExitStack
) -> dict[str, Callable[[], dict[str, Any]]]:
    """Return what measures each section; three of them share one lab, which starts with the first of them."""
    shared: list[laboratory.Laboratory] = []

    def lab() -> laboratory.Laboratory:
        if not shared:
            shared.append(stack.enter_context(laboratory.running(report)))
            stack.callback(shared.clear)
        return shared[0]

    return {
        "engine": lambda: engine.measure(
            report,
            arguments.devices,
            arguments.limit,
            arguments.beside,
            split=device_stacks.Split(arguments.stack_size, arguments.jobs),
        ),
        "fleet": lambda: fleet.measure(report, arguments.provisioned),
        "lab-up": lambda: lab_up.measure(report, arguments.repeat),
        "messages": lambda: messages.measure(report, lab(), arguments.messages, arguments.repeat),
        "site": lambda: _site(arguments, report),
        "recovery": lambda: recovery.measure(report, lab(), arguments.outages),
        "footprint": lambda: footprint.measure(report, lab(), arguments.idle),
    }


def _site(arguments: argparse.Namespace, report: Report) -> dict[str, Any]:
    with laboratory.running(report, site.DEVICES, site.SITE) as lab:
        return site.measure(report, lab, arguments.messages, arguments.repeat)


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the arguments.

    Returns:
        ``sections`` in the order of `SECTIONS`, and the options.

    Raises:
        SystemExit: They are wrong; 2.
    """
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=_EPILOG.format(sections="\n".join(f"  {name:<10} {text}" for name, text in SECTIONS.items())),
    )
    parser.add_argument("sections", nargs="*", metavar="SECTION", help="what to measure (default: everything)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    parser.add_argument(
        "--show", type=Path, metavar="FILE", help="print the tables of an earlier run's file, and measure nothing"
    )
    parser.add_argument(
        "--devices",
        type=_list(_whole),
        default=engine.DEVICES,
        help="engine: numbers of devices in one stack (1,10,100,1000), or none",
    )
    parser.add_argument(
        "--beside",
        type=_list(_whole),
        default=engine.BESIDE,
        help="engine: numbers of devices in stacks beside a base stack (1,10,100,300,1000), or none",
    )
    parser.add_argument(
        "--stack-size",
        type=_whole,
        default=device_stacks.SPLIT.size,
        metavar="N",
        help=f"engine: devices of one device stack ({device_stacks.SPLIT.size})",
    )
    parser.add_argument(
        "--jobs",
        type=_whole,
        default=device_stacks.SPLIT.jobs,
        metavar="N",
        help=f"engine: device stacks that run at once ({device_stacks.SPLIT.jobs})",
    )
    parser.add_argument(
        "--limit",
        type=_positive,
        default=engine.LIMIT,
        metavar="SECONDS",
        help=f"engine: stop a run of Pulumi after so long ({engine.LIMIT:g})",
    )
    parser.add_argument(
        "--provisioned", type=_whole, default=fleet.PROVISIONED, metavar="N", help="fleet: devices (1000)"
    )
    parser.add_argument(
        "--messages", type=_whole, default=5000, metavar="N", help="messages, site: of each burst (5000)"
    )
    parser.add_argument(
        "--repeat", type=_whole, default=3, metavar="N", help="lab-up, messages, site: repetitions, for the medians (3)"
    )
    parser.add_argument(
        "--outages", type=_list(_positive), default=recovery.OUTAGES, help="recovery: seconds of each (5,60,600)"
    )
    parser.add_argument(
        "--idle", type=_positive, default=footprint.IDLE, metavar="SECONDS", help="footprint: time of idling (60)"
    )
    arguments = parser.parse_args(argv)
    unknown = sorted(set(arguments.sections) - set(SECTIONS))
    if unknown:
        parser.error(f"no section is named {', '.join(unknown)}: choose from {', '.join(SECTIONS)}")
    arguments.sections = [name for name in SECTIONS if name in (arguments.sections or SECTIONS)]
    if arguments.show and not arguments.show.is_file():
        parser.error(f"--show {arguments.show}: there is no such file")
    if arguments.json and not arguments.json.absolute().parent.is_dir():
        parser.error(f"--json {arguments.json}: its folder does not exist")
    return arguments


def _whole(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) <= 1_000_000:
        raise argparse.ArgumentTypeError(f"{text!r}: use a whole number from 1 to 1000000")
    return int(text)


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 86400:
        raise argparse.ArgumentTypeError(f"{text!r}: use more than 0 and at most 86400 seconds")
    return value


def _list(of: Callable[[str], Any]) -> Callable[[str], tuple[Any, ...]]:
    def read(text: str) -> tuple[Any, ...]:
        return () if text == "none" else tuple(sorted({of(part) for part in text.split(",")}))

    return read


def _end(number: int, _frame: object) -> None:
    """End the run by a signal: whatever runs is removed, which a second signal must not interrupt."""
    for ignored in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ignored, signal.SIG_IGN)
    # The exit code is a shell's for a command that a signal ended.
    sys.exit(128 + number)


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _end)
    sys.exit(main())
