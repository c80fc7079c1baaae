"""``journalctl``: what units printed and what was logged, with ``-u UNIT`` and ``-n LINES`` (journalctl(1))."""

import argparse

from lab.path.stand_ins import journal, unit_files


def main() -> int:
    parser = argparse.ArgumentParser(prog="journalctl", description=__doc__)
    parser.add_argument("-u", "--unit")
    parser.add_argument("-n", "--lines", default="0")
    parser.add_argument("--no-pager", action="store_true")
    parser.add_argument("-b", "--boot", action="store_true")
    parser.add_argument("-o", "--output")
    arguments = parser.parse_args()
    path = journal.unit_log(unit_files.full_name(arguments.unit)) if arguments.unit else journal.JOURNAL
    lines = path.read_text(errors="replace").splitlines() if path.is_file() else []
    print("\n".join(lines[-int(arguments.lines) :]) or "-- No entries --")
    return 0
