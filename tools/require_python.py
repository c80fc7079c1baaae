"""Refuse an interpreter that is too old, with the remedy, before anything is installed."""

import sys

MINIMUM = (3, 11)

if sys.version_info < MINIMUM:
    found = ".".join(map(str, sys.version_info[:3]))
    sys.exit(f"Python {found} is too old: private-iot needs 3.11 or later. Try `make PYTHON=python3.11 setup`.")
