"""One long run: bring up, publish, break, wait, count."""

import subprocess
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from lab.errors import LabError
from lab.report import Report
from lab.state import Lab
from soak import figures, watch
from soak.errors import SoakError
from soak.schedule import NAMES, SITE_NAMES, Fault, schedule
from soak.site import Site, running_site
from soak.watch import Program, Seen

TELL_EVERY = 30.0
DRAIN = 120.0
"""Seconds after the last message within which all of them have to arrive."""
_TICK = 0.25
_SETTLE = 5.0


@dataclass(frozen=True)
class Options:
    """What is run.

    Attributes:
        rate: Messages a second from each device.
        site: Whether the devices are a site: a gateway, two neighbours and a sensor.
    """

    seconds: float
    seed: int
    rate: float
    devices: int
    site: bool = False

    def document(self) -> dict[str, Any]:
        """Return what was asked for."""
        return {key: value for key, value in asdict(self).items() if key != "site" or value}


@dataclass
class Happened:
    """A fault as it was made; times are seconds after the first message."""

    fault: Fault
    began: float
    ended: float | None = None


class _Faults:
    """Follows the schedule; each fault has a thread, since beginning one takes the lab up to some seconds."""

    def __init__(self, site: Site, drawn: Sequence[Fault], clock: Callable[[], float], report: Report) -> None:
        self.happened: list[Happened] = []
        self._site = site
        self._to_come = list(drawn)
        self.clock = clock
        self._report = report
        self._pool = ThreadPoolExecutor(thread_name_prefix="fault")
        self._beginning: dict[Future[None], Happened] = {}
        self._under_way: list[Happened] = []

    def follow(self) -> None:
        """Begin what is due, and tell what has ended.

        Raises:
            SoakError: A fault could not be made.
        """
        while self._to_come and self._to_come[0].start <= self.clock():
            fault = self._to_come.pop(0)
            happened = Happened(fault, round(self.clock(), 1))
            self.happened.append(happened)
            self._say(f"{self._title(fault)} begins" + (f", for {fault.duration:g} s" if fault.duration else ""))
            self._beginning[self._pool.submit(self._begin, fault)] = happened
        for future in [future for future in self._beginning if future.done()]:
            happened = self._beginning.pop(future)
            try:
                future.result()
            except (LabError, SoakError, subprocess.TimeoutExpired) as error:
                raise SoakError(f"the fault {happened.fault.name} could not be made: {error}") from error
            self._under_way.append(happened)
        still = self._site.faults() if self._under_way else {}
        for happened in [item for item in self._under_way if item.fault.name not in still]:
            self._under_way.remove(happened)
            happened.ended = round(self.clock(), 1)
            self._say(f"{self._title(happened.fault)} has ended")

    @property
    def over(self) -> bool:
        """Whether none is to come or under way."""
        return not (self._to_come or self._beginning or self._under_way)

    def close(self) -> None:
        """Wait for those that begin just now."""
        self._pool.shutdown(cancel_futures=True)

    def _begin(self, fault: Fault) -> None:
        if fault.device is None:
            self._site.begin_fault(fault.name, fault.duration, fault.value)
        else:
            self._site.break_device(self._site.devices[fault.device], fault.name)

    def _title(self, fault: Fault) -> str:
        if fault.device is not None:
            return f"{fault.name} on {self._site.devices[fault.device].name}"
        return f"{fault.name} ({fault.value:g})" if fault.value else fault.name

    def _say(self, text: str) -> None:
        self._report.say(f"{self.clock():7.1f} s  {text}")


def run(options: Options, lab: Lab, report: Report) -> dict[str, Any]:
    """Make one long run in a lab of its own.

    Args:
        lab: A lab that does not exist yet; it is gone afterwards.

    Returns:
        The figures, as `soak.figures.collect` has them.

    Raises:
        SoakError: The run could not be made.
        LabError: The lab could not be brought up.
    """
    names = SITE_NAMES if options.site else NAMES
    drawn = schedule(options.seed, options.seconds, options.devices, site=options.site)
    report.say(f"seed {options.seed}: {len(drawn)} faults of {len({fault.name for fault in drawn})} kinds")
    with running_site(lab, options.devices, report, site=options.site) as site:
        seen = {device.name: Seen() for device in site.devices}
        with ExitStack() as stack:
            helpers = [stack.enter_context(watch.listening(site, seen))]
            for device in site.devices:
                helpers.append(stack.enter_context(watch.sampling(site, device, seen[device.name])))
                watch.count_outside(site, device)
            before = site.connections()
            at = datetime.now(UTC)
            started = time.monotonic()
            publishers = [
                stack.enter_context(watch.publishing(site, device, options.rate, seen[device.name]))
                for device in site.devices
            ]
            faults = _Faults(site, drawn, lambda: time.monotonic() - started, report)
            stack.callback(faults.close)
            stack.callback(site.end_faults)
            _follow(options, faults, [*publishers, *helpers], lambda: _tell(seen, report, started))
            for program in publishers:
                program.finish(DRAIN)
            published_until = time.monotonic()
            with report.step("waiting for the queue to drain"):
                _drain(seen, helpers)
            drained = time.monotonic() - published_until
            for device in site.devices:
                watch.prove_count(site, device)
                seen[device.name].outside = watch.outside(site, device)
            reconnections = site.connections() - before
        return figures.collect(
            options=options.document(),
            started=at,
            seconds=published_until - started,
            drained=drained,
            seen=seen,
            faults=[
                {
                    "name": item.fault.name,
                    "device": None if item.fault.device is None else site.devices[item.fault.device].name,
                    "description": names[item.fault.name],
                    "began": item.began,
                    "ended": item.ended,
                    "asked": item.fault.duration,
                    "value": item.fault.value,
                }
                for item in faults.happened
            ],
            reconnections=reconnections,
            allowed={device.name: device.allowed for device in site.devices},
        )


def _follow(options: Options, faults: _Faults, programs: Sequence[Program], tell: Callable[[], None]) -> None:
    """Let the faults happen until the time is over."""
    next_line = TELL_EVERY
    while faults.clock() < options.seconds or not faults.over:
        if faults.clock() > options.seconds + DRAIN:
            raise SoakError(f"the faults were not over {DRAIN:.0f} s after their time")
        faults.follow()
        for program in programs:
            program.check()
        if faults.clock() >= next_line:
            next_line += TELL_EVERY
            tell()
        time.sleep(_TICK)


def _tell(seen: dict[str, Seen], report: Report, started: float) -> None:
    report.say(f"{time.monotonic() - started:7.1f} s  {_line(seen)}")


def _line(seen: dict[str, Seen]) -> str:
    published = sum(len(item.published) for item in seen.values())
    delivered = sum(len({arrival.number for arrival in list(item.arrivals)}) for item in seen.values())
    queued = sum(item.status["queue"]["depth"] for item in seen.values())
    away = [name for name, item in seen.items() if not item.status["connection"]["connected"]]
    state = f"not connected: {', '.join(away)}" if away else "connected"
    return f"{published} published, {delivered} delivered, {queued} queued; {state}"


def _drain(seen: dict[str, Seen], helpers: Sequence[Program]) -> None:
    """Wait until all has arrived, or until the agents have nothing left to send, or for `DRAIN` seconds."""
    deadline = time.monotonic() + DRAIN
    empty_since: float | None = None
    while time.monotonic() < deadline:
        missing = any(set(item.published) - {arrival.number for arrival in item.arrivals} for item in seen.values())
        empty = all(item.status["queue"]["depth"] == 0 for item in seen.values())
        if empty and not missing:
            return
        empty_since = (empty_since or time.monotonic()) if empty else None
        # What has left the queue and not arrived by now does not arrive.
        if empty_since is not None and time.monotonic() - empty_since > _SETTLE:
            return
        for program in helpers:
            program.check()
        time.sleep(_TICK)
