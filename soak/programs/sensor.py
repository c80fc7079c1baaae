"""Publish numbered messages by mosquitto_pub at a steady rate, as a sensor does: runs in the lab's host `sensor`.

Each second the numbers that are due go to mosquitto_pub as a batch; a batch that it cannot publish is tried again. A
line is printed for each number once the broker has acknowledged it.

mosquitto acknowledges what it has in its memory, and has it on its disk ten seconds later at the latest; what the agent
had taken by then or not, a broker that is killed may have lost it. So whoever cannot publish sends the last seconds
again as well. It ends when its standard input does.
"""

import json
import select
import subprocess
import sys
import time

AGAIN = 15.0
"""Seconds; more than the broker's `autosave_interval`."""
_EVERY = 1.0
_TIMEOUT = 20.0
_RETRY = 0.5


def main(topic: str, rate: float, *client: str) -> None:
    """Publish until standard input ends.

    Args:
        topic: At the broker.
        client: Options of mosquitto_pub: host, user, password and QoS.
    """
    argv = ["mosquitto_pub", *client, "-k", "5", "-t", topic, "-l"]
    started, next_number, told = time.monotonic(), 0, -1
    kept: list[tuple[float, str]] = []
    ends = False
    while not ends:
        ends = bool(select.select([sys.stdin], [], [], _EVERY)[0])
        now = time.monotonic()
        due = range(next_number, int((now - started) * rate))
        batch = [(now, json.dumps({"number": number, "due": time.time()})) for number in due]
        next_number = due.stop
        if not _publish(argv, [line for _at, line in batch]):
            batch = [item for item in kept if item[0] > now - AGAIN] + batch
            while not _publish(argv, [line for _at, line in batch]):
                time.sleep(_RETRY)
        for number in range(told + 1, next_number):
            _say({"number": number, "at": time.time()})
        told = next_number - 1
        kept = [item for item in kept if item[0] > now - AGAIN] + batch


def _publish(argv: list[str], lines: list[str]) -> bool:
    try:
        done = subprocess.run(
            argv,
            input="".join(f"{line}\n" for line in lines),
            text=True,
            timeout=_TIMEOUT,
            capture_output=True,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def _say(line: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), *sys.argv[3:])
