"""Faults of a site: what befalls its gateways and its LAN."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from typing import Any

from lab.errors import LabError
from lab.path import build, network, nftables
from lab.path.live import Device, LiveNetwork
from lab.path.parts import HOME_INTERFACE
from lab.path.site import BRIDGE, LAN
from lab.path.stand_ins.ask import SYSTEMD_SOCKET, AskError

NAMES = {
    "gateway-killed": "the site's gateway has lost its power and stays off; it boots when the fault ends",
    "gateway-rebooted": "the site's gateway is shut down in good order, and boots when the fault ends",
    "lan-cut": "the switch of the site's LAN has lost its power",
    "tunnel-down": "packets of the site's gateway to Client VPN are lost",
    "mosquitto-killed": "mosquitto on the site's gateway is killed and stays away",
}
_MOSQUITTO = "mosquitto.service"

Action = Callable[[], Awaitable[None]]


class SiteFaults:
    """How each begins and is undone; a site without its gateway has none."""

    def __init__(self, live: LiveNetwork) -> None:
        self.live = live
        self._without_broker: list[str] = []
        self.actions: dict[str, tuple[Action, Action]] = {
            "gateway-killed": (self._power_off("gateway-killed"), self._power_on("gateway-killed")),
            "gateway-rebooted": (self._shut_down, self._power_on("gateway-rebooted")),
            "lan-cut": (self._cut_lan, self._mend_lan),
            "tunnel-down": (self._lose_tunnel, self._find_tunnel),
            "mosquitto-killed": (self._kill_mosquitto, self._start_mosquitto),
        }

    def _gateways(self) -> list[Device]:
        site = self.live.site
        found = [self.live.devices[name] for name in site.gateways if name in self.live.devices] if site else []
        if not found:
            raise LabError(
                "the lab has no site whose gateway is on: `python -m lab up --site GATEWAY=NEIGHBOUR,…` makes one"
            )
        return found

    # -- power -----------------------------------------------------------------------------------------------------

    def _power_off(self, fault: str) -> Action:
        async def power_off() -> None:
            self.live.off[fault] = tuple(device.host.name for device in self._gateways())
            await build.rebuild(self.live)

        return power_off

    def _power_on(self, fault: str) -> Action:
        async def power_on() -> None:
            self.live.off.pop(fault, None)
            await build.rebuild(self.live)

        return power_on

    async def _shut_down(self) -> None:
        await asyncio.gather(*(_ask(device, {"command": "shut-down"}) for device in self._gateways()))
        await self._power_off("gateway-rebooted")()

    # -- packets ---------------------------------------------------------------------------------------------------

    async def _cut_lan(self) -> None:
        self._gateways()
        network.set_links(LAN, self._cables(), up=False)

    async def _mend_lan(self) -> None:
        network.set_links(LAN, self._cables(), up=True)

    def _cables(self) -> list[str]:
        # The switch itself as well: a cable that is plugged in meanwhile leads nowhere.
        return [BRIDGE, *(link.a.interface for link in self.live.links.values() if link.a.host == LAN)]

    def _servers(self) -> list[str]:
        return [name for name, host in self.live.hosts.items() if host.kind == "client-vpn"]

    async def _lose_tunnel(self) -> None:
        gateways = {device.host.name for device in self._gateways()}
        homes = [
            address.partition("/")[0]
            for link in self.live.links.values()
            if link.b.host in gateways and link.b.interface == HOME_INTERFACE
            for address in link.b.addresses
        ]
        for host in self._servers():
            network.set_filter(host, nftables.drop_table(sources=homes))

    async def _find_tunnel(self) -> None:
        for host in self._servers():
            network.set_filter(host, nftables.NO_DROP_TABLE)

    # -- the local broker ------------------------------------------------------------------------------------------

    async def _kill_mosquitto(self) -> None:
        for device in self._gateways():
            await _ask(device, {"command": "kill", "units": [_MOSQUITTO], "signal": signal.SIGKILL})
            self._without_broker.append(device.host.name)
            await _ask(device, {"command": "stop", "units": [_MOSQUITTO]})

    async def _start_mosquitto(self) -> None:
        while self._without_broker:
            # A gateway that is off meanwhile starts it when it boots.
            if device := self.live.devices.get(self._without_broker[-1]):
                await _ask(device, {"command": "start", "units": [_MOSQUITTO]})
            self._without_broker.pop()


async def _ask(device: Device, question: dict[str, Any]) -> None:
    try:
        await asyncio.to_thread(device.ask, SYSTEMD_SOCKET, question)
    except (OSError, AskError) as error:
        raise LabError(f"{device.host.name}: {error}") from error
