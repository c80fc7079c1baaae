"""The host's journal, as files: one for what is logged, one for what each unit prints."""

import os
import time
from pathlib import Path

JOURNAL = Path("/run/log/journal.log")


def log(name: str, text: str) -> None:
    """Add a line to the journal."""
    JOURNAL.parent.mkdir(parents=True, exist_ok=True)
    with JOURNAL.open("a", encoding="utf-8") as stream:
        stream.write(f"{time.strftime('%b %d %H:%M:%S', time.gmtime())} {os.uname().nodename} {name}: {text}\n")


def unit_log(name: str) -> Path:
    """Return the file that takes what a unit prints."""
    JOURNAL.parent.mkdir(parents=True, exist_ok=True)
    return JOURNAL.with_name(f"{name.replace('/', '-')}.log")
