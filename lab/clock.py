"""The lab's date: the machine's, or as many days ahead of it as a file says.

What a lab shows of years, certificates that are renewed and that expire, has to be seen within minutes. Every part of
the lab that writes or judges the dates of the VPN's certificates asks here, and programs that are not the lab's own,
OpenVPN and the device's, get the same date from libfaketime (`lab.path.wall_clock`).
"""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

VARIABLE = "PRIVATE_IOT_LAB_DAYS_AHEAD"
"""Names the file, which holds a whole number of days from 0 on; without it the lab has the machine's date."""


def days_ahead() -> int:
    """Return how many days the lab is ahead of the machine.

    Raises:
        OSError: The file cannot be read.
        ValueError: It holds no number.
    """
    file = os.environ.get(VARIABLE)
    return int(Path(file).read_text("ascii")) if file else 0


def now() -> datetime:
    """Return the lab's date, UTC."""
    return datetime.now(UTC) + timedelta(days=days_ahead())
