"""Publish numbered messages at a steady rate, as a user's program on the device would: runs in a device's host.

A number is due by the clock, whatever happens; while no agent answers, numbers wait here and are handed over afterwards
in their order. A line is printed for each that the agent has accepted. It ends when its standard input does.
"""

import json
import select
import sys
import time

from device_agent.client import Publisher, PublishRefusedError

TIMEOUT = 300.0
"""Seconds to keep trying while no agent answers; far beyond the longest fault."""


def main(topic: str, rate: float) -> None:
    """Publish until standard input ends.

    Args:
        topic: Below the device's prefix.
    """
    number = 0
    # The monotonic clock: the wall clock is what some faults are about.
    started = time.monotonic()
    with Publisher(timeout=TIMEOUT) as publisher:
        while not _told_to_end(started + number / rate - time.monotonic()):
            line: dict[str, object] = {"number": number, "due": time.time()}
            try:
                publisher.publish(topic, json.dumps(line), id=f"soak-{number}")
            except PublishRefusedError as error:
                line["refused"] = str(error)
            _say({**line, "at": time.time()})
            number += 1


def _told_to_end(wait: float) -> bool:
    return bool(select.select([sys.stdin], [], [], max(0.0, wait))[0])


def _say(line: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
