"""The agent's one loop: timers, sockets, and what other threads hand over.

The standard library's asyncio would do as much; it costs 6.5 MB of resident memory and 30 ms at import on top of all
else that the agent needs, on machines that have little of either.
"""

from __future__ import annotations

import heapq
import itertools
import os
import selectors
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from device_agent.system import System

LONGEST_WAIT = 10.0
"""Seconds after which the loop turns though nothing happened, so that it can tell that it lives."""


class Timer:
    """A call that is due at a moment, and may be cancelled."""

    __slots__ = ("call", "when")

    def __init__(self, when: float, call: Callable[[], None]) -> None:
        self.when = when
        self.call: Callable[[], None] | None = call

    def cancel(self) -> None:
        """Make sure that the call is not made; harmless afterwards."""
        self.call = None


class Loop:
    """Runs calls one after the other on the thread that called `run`."""

    def __init__(self, system: System) -> None:
        """Make a loop.

        Args:
            system: The clock.
        """
        self.system = system
        self._selector = selectors.DefaultSelector()
        self._timers: list[tuple[float, int, Timer]] = []
        self._numbers = itertools.count()
        self._calls: deque[Callable[[], None]] = deque()
        self._stopping = False
        # Set by whoever hands over, and taken back before what was handed over is looked at.
        self._woken_up = False
        # Non-blocking both ways: a full counter is as good as one more.
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._selector.register(self._wake, selectors.EVENT_READ, self._woken)

    # For any thread

    def hand_over(self, call: Callable[[], None]) -> None:
        """Have the loop's thread make a call soon.

        Args:
            call: What to call.
        """
        self._calls.append(call)
        if not self._woken_up:
            self._woken_up = True
            with suppress(BlockingIOError):
                os.eventfd_write(self._wake, 1)

    # For the loop's thread

    def call_later(self, seconds: float, call: Callable[[], None]) -> Timer:
        """Make a call after some time.

        Args:
            seconds: How long to wait.
            call: What to call.

        Returns:
            The timer, which may be cancelled.
        """
        timer = Timer(self.system.monotonic() + seconds, call)
        heapq.heappush(self._timers, (timer.when, next(self._numbers), timer))
        return timer

    def in_background(self, work: Callable[[], Any], done: Callable[[Any], None]) -> None:
        """Do what may block on a thread of its own.

        Args:
            work: What to do; its exception counts as its result.
            done: Called on the loop's thread with the result.
        """

        def run() -> None:
            try:
                result = work()
            except Exception as error:  # noqa: BLE001 - handed on whole
                result = error
            self.hand_over(lambda: done(result))

        # A daemon: a resolver that never answers must not keep the process from ending.
        threading.Thread(target=run, daemon=True, name="background").start()

    def watch(self, file: Any, events: int, call: Callable[[int], None]) -> None:
        """Call whenever a file is ready, until `unwatch`.

        Args:
            file: A socket, or anything with `fileno()`.
            events: `selectors.EVENT_READ`, `EVENT_WRITE` or both.
            call: Called with the events that are ready.
        """
        if file in self._selector.get_map():
            self._selector.modify(file, events, call)
        else:
            self._selector.register(file, events, call)

    def unwatch(self, file: Any) -> None:
        """Watch a file no longer; harmless if it is not watched."""
        if file in self._selector.get_map():
            self._selector.unregister(file)

    def next_timer(self) -> float | None:
        """Give the moment of the next timer on the monotonic clock, or None if there is none."""
        while self._timers and self._timers[0][2].call is None:
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else None

    def run(self) -> None:
        """Turn until `stop`."""
        while not self._stopping:
            self.turn(LONGEST_WAIT)

    def turn(self, longest: float) -> None:
        """Wait for something to do, no longer than given, and do what is due; what comes meanwhile waits for the next.

        Args:
            longest: Seconds.
        """
        upcoming = self.next_timer()
        if upcoming is not None:
            longest = min(longest, max(0.0, upcoming - self.system.monotonic()))
        for key, events in self._selector.select(0 if self._calls else longest):
            key.data(events)
        for _call in range(len(self._calls)):
            self._calls.popleft()()
        now, first_new = self.system.monotonic(), next(self._numbers)
        while self._timers and self._timers[0][:2] <= (now, first_new):
            call, timer.call = (timer := heapq.heappop(self._timers)[2]).call, None
            if call is not None:
                call()

    def stop(self) -> None:
        """End `run` after this turn."""
        self._stopping = True

    def close(self) -> None:
        """Give the system's resources back."""
        self._selector.close()
        os.close(self._wake)

    def _woken(self, _events: int) -> None:
        with suppress(BlockingIOError):
            os.eventfd_read(self._wake)
        self._woken_up = False
