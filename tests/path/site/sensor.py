"""The sensor of a site: mosquitto_pub in the LAN, and who counts behind AWS IoT's front what has come of it."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

from lab.path.parts import IOT, service_directory
from lab.sensor import client_options, open_broker
from soak.site import module
from tests.path.path_lab import Output, wait_for

from .site import GATEWAY, SENSOR, LabSite

TOPIC = "sensors/count"
_PATIENCE = 30


def open_to_sensor(site: LabSite) -> None:
    """Give the gateway a broker that the LAN may use."""
    site.do(GATEWAY, *open_broker(["sensors/#"], ["commands/# -> lamp/#"]))


def client(site: LabSite, program: str, *argv: str) -> tuple[str, ...]:
    """Return the words of one of mosquitto's clients on the sensor."""
    return (program, *client_options(site.own[GATEWAY]), *argv)


class Batch:
    """Numbers that mosquitto_pub publishes, one a line: some now, and the rest when `finish` is called.

    As long as a number is to come mosquitto_pub is not done, so that a broker that is killed meanwhile fails it.
    """

    def __init__(self, site: LabSite, numbers: range) -> None:
        self._site = site
        self._numbers = numbers
        self.output = site.start(SENSOR, *client(site, "mosquitto_pub", "-l", "-t", TOPIC))
        self._write(numbers[: len(numbers) // 2])

    def finish(self, patience: float = _PATIENCE) -> bool:
        """Publish the rest, and tell whether the broker has acknowledged all."""
        self._write(self._numbers[len(self._numbers) // 2 :])
        stdin = self.output.process.stdin
        assert stdin is not None
        with suppress(BrokenPipeError):
            stdin.close()
        # After a lost connection mosquitto_pub 2.0.11 may wait for ever for answers to what it sent over it.
        with suppress(subprocess.TimeoutExpired):
            self.output.process.wait(patience)
        done = self.output.process.poll() == 0
        self.output.close()
        return done

    def _write(self, numbers: Iterable[int]) -> None:
        stdin = self.output.process.stdin
        assert stdin is not None
        with suppress(BrokenPipeError):
            stdin.write("".join(f'{{"number": {number}}}\n' for number in numbers))
            stdin.flush()


def publish(site: LabSite, numbers: range) -> None:
    """Publish numbers, again and again until the broker has acknowledged them all."""
    wait_for(lambda: Batch(site, numbers).finish(), f"{numbers} at the broker", 240)


class Arrivals:
    """How often each number has come behind AWS IoT's front."""

    def __init__(self, output: Output) -> None:
        self._output = output

    def count(self) -> Counter[int]:
        said = [json.loads(line) for line in list(self._output.lines)]
        return Counter(line["number"] for line in said if "number" in line)

    def wait_for(self, numbers: Iterable[int], seconds: float = 240) -> None:
        wanted = set(numbers)
        wait_for(lambda: wanted <= set(self.count()), f"{len(wanted)} numbers at AWS IoT", seconds)


@contextmanager
def arrivals(site: LabSite, prefix: str) -> Iterator[Arrivals]:
    """Count while the block runs."""
    broker = f"{service_directory('broker')}/mosquitto.sock"
    output = site.start(IOT, *module("listen", broker, f"{prefix}/{TOPIC}"))
    try:
        output.wait_for('"listening"')
        yield Arrivals(output)
    finally:
        output.close()
