"""Faults for a while: each is undone after its time inside the sandbox, whatever becomes of who asked for it."""

import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from lab.errors import LabError
from lab.path import build, network, nftables, site_faults, wall_clock
from lab.path.live import LiveNetwork
from lab.path.parts import INTERNET
from lab.path.services import Running

# A Pi without a clock chip boots with the time of its last shutdown, or of its image.
CLOCK_SKEW = "-400d"
_RETRY = 1.0
"""Seconds until a fault that could not be undone at its time is tried again."""

PATH_NAMES = {
    "vpn-killed": "the Client VPN server is killed and stays away; it says no goodbye",
    "vpn-frozen": "the Client VPN server holds its port and does nothing",
    "endpoint-unreachable": "packets to the interface endpoint's addresses are lost in the VPC",
    "dns-down": "the VPC's resolver is gone",
    "broker-down": "AWS IoT's broker is gone behind its front",
    "internet-down": "the home network has lost the internet",
    "clock-skew": "the device has booted with a clock 400 days behind",
    "certificate-expired": "AWS IoT shows a server certificate that has expired",
}
NAMES = {**PATH_NAMES, **site_faults.NAMES}

Action = Callable[[], Awaitable[None]]


@dataclass
class _Active:
    until: float
    undo: Action
    timer: asyncio.Task[None] | None = None


class Faults:
    def __init__(self, live: LiveNetwork) -> None:
        self.live = live
        self._active: dict[str, _Active] = {}
        self._actions: dict[str, tuple[Action, Action]] = {
            "vpn-killed": (self._hold("client-vpn "), self._release("client-vpn ")),
            "vpn-frozen": (self._signal("client-vpn ", signal.SIGSTOP), self._signal("client-vpn ", signal.SIGCONT)),
            "endpoint-unreachable": (self._lose_endpoints, self._find_endpoints),
            "dns-down": (self._hold("vpc", "-dns"), self._release("vpc", "-dns")),
            "broker-down": (self._hold("broker"), self._release("broker")),
            "internet-down": (self._lose_internet, self._find_internet),
            "clock-skew": (self._skew_clocks, self._set_clocks),
            "certificate-expired": (self._expire_certificate, self._renew_certificate),
            **site_faults.SiteFaults(live).actions,
        }

    def active(self) -> dict[str, float]:
        """Return the seconds that each fault still lasts."""
        return {name: max(0.0, round(fault.until - time.monotonic(), 1)) for name, fault in self._active.items()}

    async def start(self, name: str, seconds: float) -> dict[str, Any]:
        """Begin a fault.

        Raises:
            LabError: There is no such fault, it is under way, or it cannot be made.
        """
        if name not in self._actions:
            raise LabError(f"fault {name!r} is not known: use one of {', '.join(NAMES)}")
        if not 0 < seconds <= 86400:
            raise LabError(f"a fault of {seconds:g} s: use more than 0 and at most 86400 seconds")
        begin, undo = self._actions[name]
        async with self.live.lock:
            if name in self._active:
                raise LabError(f"fault {name} is under way already, for another {self.active()[name]:g} s")
            try:
                await begin()
            except BaseException:
                # Half a fault is undone like a whole one.
                with contextlib.suppress(Exception):
                    await undo()
                raise
            fault = _Active(time.monotonic() + seconds, undo)
            fault.timer = asyncio.create_task(self._expire(name, seconds))
            self._active[name] = fault
        return {"fault": name, "seconds": seconds, "description": NAMES[name]}

    async def end(self, name: str) -> dict[str, Any]:
        """End a fault before its time; nothing happens when it is over.

        Raises:
            Exception: It cannot be undone; it stays under way, and is tried again once its time is over.
        """
        async with self.live.lock:
            fault = self._active.get(name)
            if fault is None:
                return {"fault": name, "ended": False}
            await fault.undo()
            del self._active[name]
        if fault.timer and fault.timer is not asyncio.current_task():
            fault.timer.cancel()
        return {"fault": name, "ended": True}

    async def _expire(self, name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        while True:
            try:
                await self.end(name)
                return
            except Exception as error:  # noqa: BLE001 (whoever asked for the fault is gone: nobody else undoes it)
                print(f"fault {name} cannot be undone yet: {error}", file=sys.stderr, flush=True)
            await asyncio.sleep(_RETRY)

    # -- services --------------------------------------------------------------------------------------------------

    def _services(self, prefix: str, suffix: str = "") -> list[Running]:
        return [
            running for name, running in self.live.running.items() if name.startswith(prefix) and name.endswith(suffix)
        ]

    def _hold(self, prefix: str, suffix: str = "") -> Action:
        async def hold() -> None:
            chosen = self._services(prefix, suffix)
            if not chosen:
                raise LabError("there is nothing of that kind in the lab's network to take away")
            await asyncio.gather(*(running.hold() for running in chosen))

        return hold

    def _release(self, prefix: str, suffix: str = "") -> Action:
        async def release() -> None:
            await asyncio.gather(*(running.release() for running in self._services(prefix, suffix)))

        return release

    def _signal(self, prefix: str, number: int) -> Action:
        async def send() -> None:
            for running in self._services(prefix):
                if running.process:
                    running.process.send(number)

        return send

    # -- packets ---------------------------------------------------------------------------------------------------

    def _vpcs(self) -> list[str]:
        return [name for name, host in self.live.hosts.items() if host.kind == "vpc"]

    async def _lose_endpoints(self) -> None:
        cloud = self.live.cloud
        addresses = [
            interface.address
            for endpoint in (cloud.vpc_endpoints if cloud else ())
            for interface in (cloud.interfaces_of(endpoint) if cloud else ())
        ]
        if not addresses:
            raise LabError("the cloud has no interface endpoint that could become unreachable")
        for host in self._vpcs():
            network.set_filter(host, nftables.drop_table(addresses=addresses))

    async def _find_endpoints(self) -> None:
        for host in self._vpcs():
            network.set_filter(host, nftables.NO_DROP_TABLE)

    async def _lose_internet(self) -> None:
        network.set_filter(INTERNET, nftables.drop_table(devices="lan-*"))

    async def _find_internet(self) -> None:
        network.set_filter(INTERNET, nftables.NO_DROP_TABLE)

    # -- clocks and certificates -----------------------------------------------------------------------------------

    async def _skew_clocks(self) -> None:
        await wall_clock.set_devices(self.live, CLOCK_SKEW)

    async def _set_clocks(self) -> None:
        await wall_clock.set_devices(self.live, "")

    async def _expire_certificate(self) -> None:
        self.live.authority.expired = True
        await build.rebuild(self.live)

    async def _renew_certificate(self) -> None:
        self.live.authority.expired = False
        await build.rebuild(self.live)
