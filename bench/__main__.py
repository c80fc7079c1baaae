"""Run the benchmarks: `python -m bench [--devices 1,10,100] [--json FILE]`."""

import argparse
import json
import sys
from pathlib import Path

from bench import engine
from lab.report import Report

_COLUMNS = ("devices", "resources", "resources_a_device", "seconds", "empty_seconds", "ratio", "growth", "state_bytes")


def main() -> int:
    """Measure `pulumi up` against as many empty resources and print a row for each number of devices.

    Returns:
        0.
    """
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "--devices",
        type=lambda text: tuple(int(number) for number in text.split(",")),
        default=engine.DEVICES,
        help="numbers of devices, with commas (default: 1,10,100)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there as well")
    arguments = parser.parse_args()
    rows = engine.measure(Report(), arguments.devices)
    print("  ".join(f"{column:>18}" for column in _COLUMNS))
    for row in rows:
        print("  ".join(f"{row.get(column, ''):>18}" for column in _COLUMNS))
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
