"""A clock for the age of queued messages that a wrong or jumping wall clock cannot fool.

Most Raspberry Pis have no clock chip: they boot in the past and jump when NTP answers. So age is counted in *elapsed
seconds*: by the monotonic clock while the device is up (it survives a restart of the agent), and across a reboot by the
wall clock, but only if the kernel called it synchronised at both readings (STA_UNSYNC of adjtimex(2)) and they are in
order. Otherwise the time since boot is all that counts: messages are kept too long rather than dropped too early.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reading:
    """What is kept on disk to carry the clock on.

    Attributes:
        elapsed: Seconds since the queue was made.
        boot_id: The kernel's random name for the boot (`/proc/sys/kernel/random/boot_id`).
        monotonic: The monotonic clock's seconds in that boot.
        wall: The wall clock's seconds since 1970.
        synchronised: Whether the kernel called the wall clock synchronised.
    """

    elapsed: float
    boot_id: str
    monotonic: float
    wall: float
    synchronised: bool


class AgeClock:
    """Counts the seconds since the queue was made, across restarts and reboots."""

    def __init__(
        self,
        now: Callable[[], float],
        monotonic: Callable[[], float],
        boot_id: str,
        synchronised: Callable[[], bool] = lambda: False,
    ) -> None:
        """Make the clock, at zero.

        Args:
            now: The wall clock, in seconds since 1970.
            monotonic: A clock that never jumps and runs on through a restart of the agent, in seconds.
            boot_id: The kernel's name for this boot.
            synchronised: Tells whether the kernel calls the wall clock synchronised.
        """
        self._now = now
        self._monotonic = monotonic
        self._boot_id = boot_id
        self.synchronised = synchronised
        self._origin = monotonic()

    def restore(self, last: Reading) -> None:
        """Carry on from the newest reading on disk."""
        monotonic = self._monotonic()
        if last.boot_id == self._boot_id:
            passed = monotonic - last.monotonic
        else:
            known = last.synchronised and self.synchronised()
            passed = max(monotonic, self._now() - last.wall if known else 0.0)
        self._origin = monotonic - last.elapsed - max(0.0, passed)

    def elapsed(self) -> float:
        """Give the seconds since the queue was made."""
        return self._monotonic() - self._origin

    def reading(self) -> Reading:
        """Give what `restore` needs after a restart."""
        return Reading(self.elapsed(), self._boot_id, self._monotonic(), self._now(), self.synchronised())
