"""Another date for programs that are not the lab's own: those of the devices, and the servers of Client VPN."""

import asyncio
import contextlib

from lab import clock
from lab.path import build, hosts, packages
from lab.path.live import Device, LiveNetwork
from lab.path.stand_ins.ask import SYSTEMD_SOCKET


async def set_devices(live: LiveNetwork, offset: str) -> None:
    """Let every device boot with a wall clock that is off.

    Args:
        offset: Such as ``-400d`` (faketime(1)); empty for the right one.
    """
    library = await asyncio.to_thread(packages.libfaketime) if offset else None
    for device in live.devices.values():
        await _reboot(device, hosts.skew_clock(device.base, library, offset) if library else {})


async def follow(live: LiveNetwork) -> None:
    """Take up the lab's date (`lab.clock`): the devices, the servers of Client VPN, and AWS IoT's certificate."""
    days = clock.days_ahead()
    offset = f"+{days}d" if days else ""
    library = await asyncio.to_thread(packages.libfaketime)
    for name, running in live.running.items():
        if name.startswith("client-vpn "):
            running.environment = hosts.wall_clock(str(library), offset) if offset else {}
            await running.stop()
            await running.start()
    await build.rebuild(live)
    await set_devices(live, offset)


async def _reboot(device: Device, extra: dict[str, str]) -> None:
    """Start a device's units anew with a changed environment: a clock is wrong from boot on."""
    hosts.set_environment(device.base, extra)
    await asyncio.to_thread(device.ask, SYSTEMD_SOCKET, {"command": "environment", "environment": extra})
    units = await asyncio.to_thread(device.ask, SYSTEMD_SOCKET, {"command": "list"})
    names = [unit["Id"] for unit in units["units"] if unit["ActiveState"] in ("active", "activating")]
    for name in names:
        with contextlib.suppress(Exception):
            # A unit that cannot start with a wrong clock is what the fault is about.
            await asyncio.to_thread(device.ask, SYSTEMD_SOCKET, {"command": "restart", "units": [name]})
