"""Makes a lab's network what its cloud says: reads the cloud, plans, and touches only what differs."""

import asyncio
import signal
import subprocess
import time
from typing import Any

from lab.errors import LabError
from lab.path import hosts, network, packages, sandbox_paths
from lab.path.live import Device, LiveNetwork
from lab.path.parts import HOME_INTERFACE, Host, Plan, Service
from lab.path.plan import plan
from lab.path.read import Aws, read
from lab.path.services import Running
from lab.path.site import BRIDGE
from lab.path.stand_ins.ask import RESOLVED_SOCKET, SYSTEMD_SOCKET, AskError

_HOST_TIMEOUT = 20.0


async def sync(live: LiveNetwork, url: str | None, region: str | None) -> dict[str, Any]:
    """Read the cloud and make the network what it says.

    Args:
        url: Where the cloud answers, if that is new.
        region: The Region, if that is new.

    Returns:
        ``changes``, ``notes`` and ``seconds`` for reading and building.

    Raises:
        LabError: The cloud cannot be read, or the network cannot be built.
    """
    if url and region and (live.aws is None or (live.aws.url, live.aws.region) != (url, region)):
        live.aws = Aws(url, region)
    if live.aws is None:
        raise LabError("the network does not know its cloud yet: `python -m lab up` tells it")
    started = time.monotonic()
    live.cloud = await asyncio.to_thread(read, live.aws)
    read_at = time.monotonic()
    changes = await rebuild(live)
    seconds = {"read": round(read_at - started, 3), "build": round(time.monotonic() - read_at, 3)}
    notes = live.plan.notes if live.plan else ()
    return {"changes": changes, "notes": notes, "seconds": seconds}


async def rebuild(live: LiveNetwork) -> list[str]:
    """Make the network what the cloud said when it was last read.

    Returns:
        What was done, one line each; none where nothing differs.
    """
    if live.cloud is None:
        return []
    live.plan = plan(live.cloud, live.authority.server(live.cloud.region), live.site)
    return await _apply(live, live.plan)


async def _apply(live: LiveNetwork, new: Plan) -> list[str]:
    changes: list[str] = []
    services = {service.name: service for service in new.services}
    off = {name for names in live.off.values() for name in names}
    links = {(link.a.host, link.a.interface): link for link in new.links if off.isdisjoint((link.a.host, link.b.host))}
    wanted = {host.name: host for host in new.hosts if host.name not in off}
    await _stop_services(live, services, changes)
    # A device that lost its process number 1 has lost its power: it is made anew.
    dead = {name for name, device in live.devices.items() if not device.init.running}
    gone = [name for name, host in live.hosts.items() if name not in wanted or wanted[name].kind != host.kind]
    gone += dead.difference(gone)
    for key, link in list(live.links.items()):
        if links.get(key) != link or link.a.host in gone or link.b.host in gone:
            network.delete_link(live.links.pop(key))
            changes.append(f"link {key[0]} {key[1]}: removed")
    for name in gone:
        await _remove_host(live, name, keep_files=name in off)
        changes.append(f"host {name}: removed")
    added = [host for name, host in wanted.items() if name not in live.hosts]
    for host in added:
        _add_host(live, host)
        changes.append(f"host {host.name}: added")
    for host in wanted.values():
        _set_nameserver(live, host)
    for name, addresses in new.loopback:
        if live.loopback.get(name, ()) != addresses:
            network.set_loopback(name, addresses, live.loopback.get(name, ()))
            live.loopback[name] = addresses
    fresh = {key: link for key, link in links.items() if key not in live.links}
    for key, link in fresh.items():
        network.add_link(link)
        live.links[key] = link
        changes.append(f"link {key[0]} {key[1]}: added")
    for name, text in new.filters:
        if live.filters.get(name) != text:
            network.set_filter(name, text)
            changes.append(f"packet filter of {name}: {'replaced' if name in live.filters else 'added'}")
            live.filters[name] = text
    changes += await _start_services(live, services)
    for device in live.devices.values():
        if any(device.host.name == link.b.host for link in fresh.values()):
            await _configure_lan(live, device)
    return changes


async def _stop_services(live: LiveNetwork, wanted: dict[str, Service], changes: list[str]) -> None:
    gone = [name for name in live.running if name not in wanted]
    await asyncio.gather(*(live.running[name].stop() for name in gone))
    for name in gone:
        del live.running[name]
        changes.append(f"service {name}: stopped")


async def _start_services(live: LiveNetwork, wanted: dict[str, Service]) -> list[str]:
    # The broker is before the gateway in the plan, and the gateway waits for no one: all of them start at once.
    results = await asyncio.gather(*(_start_or_change(live, service) for service in wanted.values()))
    return [result for result in results if result]


async def _start_or_change(live: LiveNetwork, service: Service) -> str | None:
    current = live.running.get(service.name)
    if current is None:
        current = Running(service, live.directory / "log" / f"{service.name.replace(' ', '_')}.log")
        await current.start()
        live.running[service.name] = current
        return f"service {service.name}: started"
    done = await current.change(service)
    return f"service {service.name}: {done}" if done else None


def _add_host(live: LiveNetwork, host: Host) -> None:
    network.add_namespace(host.name, forwards=host.kind not in ("device", "lan", "sensor"))
    live.hosts[host.name] = host
    if host.kind == "lan":
        network.add_bridge(host.name, BRIDGE)
    if host.kind == "device":
        if host.name in live.kept:
            live.kept.remove(host.name)
            base = hosts.wake(host.name)
        else:
            base = hosts.prepare(
                host.name,
                root_ca=live.authority.root,
                script=packages.update_systemd_resolved(),
            )
        init = hosts.boot(host.name, base, live.directory / "log" / f"host_{host.name}.log")
        live.devices[host.name] = Device(host, base, init)


def _set_nameserver(live: LiveNetwork, host: Host) -> None:
    live.hosts[host.name] = host
    if host.kind == "device":
        live.devices[host.name].host = host
        return
    path = sandbox_paths.RESOLVERS / host.name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"nameserver {host.nameserver}\n" if host.nameserver else "", encoding="utf-8")


async def _remove_host(live: LiveNetwork, name: str, *, keep_files: bool) -> None:
    device = live.devices.pop(name, None)
    if device:
        await device.init.stop(number=signal.SIGKILL)
        if keep_files:
            live.kept.add(name)
        else:
            # The kernel ends what is left of the host a moment later, and the folder is busy until then.
            subprocess.run(["rm", "-rf", "--one-file-system", str(device.base)], check=False)
    network.delete_namespace(name)
    for kept in (live.loopback, live.filters):
        kept.pop(name, None)
    del live.hosts[name]


async def _configure_lan(live: LiveNetwork, device: Device) -> None:
    """Tell a device the DNS server of its home network, as DHCP does, and let it go on with its boot."""
    deadline = time.monotonic() + _HOST_TIMEOUT
    shown = network.command(["ip", "-n", device.host.name, "-o", "link", "show", "dev", HOME_INTERFACE])
    index = int(shown.partition(":")[0])
    question = {"command": "SetLinkDNS", "index": index, "servers": [device.host.nameserver]}
    while True:
        try:
            device.ask(RESOLVED_SOCKET, question)
            break
        except (OSError, AskError) as error:
            if not device.init.running or time.monotonic() > deadline:
                log = live.directory / "log" / f"host_{device.host.name}.log"
                raise LabError(f"host {device.host.name} did not boot ({error}): see {log}") from error
            await asyncio.sleep(0.01)
    if not device.booted:
        # As at a boot in which the network is there before what needs it.
        device.ask(SYSTEMD_SOCKET, {"command": "boot"})
        device.booted = True
