"""The one process that owns a lab's network: number 1 of its own process and mount namespaces.

``unshare … python -m lab.path.sandbox`` runs it. It stays in the machine's network namespace, since the cloud answers
on a loopback port there, and makes every other namespace below its own; when it ends, for whatever reason, the kernel
ends and frees all of it. It answers questions on the socket of `lab.path.control`.
"""

import argparse
import asyncio
import contextlib
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from lab.errors import LabError
from lab.path import control, hosts, network, packages, processes, sandbox_paths, status
from lab.path.addresses import AddressError
from lab.path.certificates import Authority
from lab.path.connections import Connections
from lab.path.faults import Faults
from lab.path.model import Cloud
from lab.path.network import CommandError
from lab.path.parts import Host, Link, Plan, Service
from lab.path.plan import plan
from lab.path.read import Aws, read
from lab.path.services import Running, ServiceError
from lab.path.stand_ins import resolved
from lab.path.stand_ins.ask import AskError, ask

_HOST_TIMEOUT = 20.0


class Device:
    """A device's host that runs."""

    def __init__(self, host: Host, base: Path, init: processes.Process) -> None:
        self.host = host
        self.base = base
        self.init = init

    def ask(self, socket_path: str, question: dict[str, Any]) -> Any:
        """Put a question to one of the host's stand-ins."""
        return ask(str(self.base / socket_path.lstrip("/")), question)


class Sandbox:
    """What is there now, and how it becomes what a plan says.

    Args:
        directory: The lab's path directory, for the log files.
        authority: Issues AWS IoT's server certificate.
    """

    def __init__(self, directory: Path, authority: Authority) -> None:
        self.directory = directory
        self.authority = authority
        self.aws: Aws | None = None
        self.cloud: Cloud | None = None
        self.plan: Plan | None = None
        self.hosts: dict[str, Host] = {}
        self.devices: dict[str, Device] = {}
        self.links: dict[tuple[str, str], Link] = {}
        self.loopback: dict[str, tuple[str, ...]] = {}
        self.filters: dict[str, str] = {}
        self.running: dict[str, Running] = {}
        self.connections = Connections(self)
        self.faults = Faults(self)
        self.lock = asyncio.Lock()
        self.ended = asyncio.Event()

    # -- from one plan to the next ---------------------------------------------------------------------------------

    async def sync(self, url: str | None, region: str | None) -> dict[str, Any]:
        """Read the cloud and make the network what it says.

        Args:
            url: Where the cloud answers, if that is new.
            region: The Region, if that is new.

        Returns:
            ``changes``, ``notes`` and ``seconds`` for reading and building.

        Raises:
            LabError: The cloud cannot be read, or the network cannot be built.
        """
        if url and region and (self.aws is None or (self.aws.url, self.aws.region) != (url, region)):
            self.aws = Aws(url, region)
        if self.aws is None:
            raise LabError("the network does not know its cloud yet: `python -m lab up` tells it")
        started = time.monotonic()
        self.cloud = await asyncio.to_thread(read, self.aws)
        read_at = time.monotonic()
        changes = await self.rebuild()
        seconds = {"read": round(read_at - started, 3), "build": round(time.monotonic() - read_at, 3)}
        notes = self.plan.notes if self.plan else ()
        return {"changes": changes, "notes": notes, "seconds": seconds}

    async def rebuild(self) -> list[str]:
        """Make the network what the cloud said when it was last read.

        Returns:
            What was done, one line each; none where nothing differs.
        """
        if self.cloud is None:
            return []
        self.plan = plan(self.cloud, self.authority.server(self.cloud.region))
        return await self._apply(self.plan)

    async def _apply(self, new: Plan) -> list[str]:
        changes: list[str] = []
        services = {service.name: service for service in new.services}
        links = {(link.a.host, link.a.interface): link for link in new.links}
        wanted = {host.name: host for host in new.hosts}
        await self._stop_services(services, changes)
        # A device that lost its process number 1 has lost its power: it is made anew.
        off = {name for name, device in self.devices.items() if not device.init.running}
        gone = [name for name, host in self.hosts.items() if name not in wanted or wanted[name].kind != host.kind]
        gone += off.difference(gone)
        for key, link in list(self.links.items()):
            if links.get(key) != link or link.a.host in gone or link.b.host in gone:
                network.delete_link(self.links.pop(key))
                changes.append(f"link {key[0]} {key[1]}: removed")
        for name in gone:
            await self._remove_host(name)
            changes.append(f"host {name}: removed")
        added = [host for name, host in wanted.items() if name not in self.hosts]
        for host in added:
            self._add_host(host)
            changes.append(f"host {host.name}: added")
        for host in new.hosts:
            self._set_nameserver(host)
        for name, addresses in new.loopback:
            if self.loopback.get(name, ()) != addresses:
                network.set_loopback(name, addresses, self.loopback.get(name, ()))
                self.loopback[name] = addresses
        fresh = {key: link for key, link in links.items() if key not in self.links}
        for key, link in fresh.items():
            network.add_link(link)
            self.links[key] = link
            changes.append(f"link {key[0]} {key[1]}: added")
        for name, text in new.filters:
            if self.filters.get(name) != text:
                network.set_filter(name, text)
                changes.append(f"packet filter of {name}: {'replaced' if name in self.filters else 'added'}")
                self.filters[name] = text
        changes += await self._start_services(services)
        for device in self.devices.values():
            if any(device.host.name == link.b.host for link in fresh.values()):
                await self._configure_lan(device)
        return changes

    async def _stop_services(self, wanted: dict[str, Service], changes: list[str]) -> None:
        gone = [name for name in self.running if name not in wanted]
        await asyncio.gather(*(self.running[name].stop() for name in gone))
        for name in gone:
            del self.running[name]
            changes.append(f"service {name}: stopped")

    async def _start_services(self, wanted: dict[str, Service]) -> list[str]:
        # The broker is before the gateway in the plan, and the gateway waits for no one: all of them start at once.
        results = await asyncio.gather(*(self._start_or_change(service) for service in wanted.values()))
        return [result for result in results if result]

    async def _start_or_change(self, service: Service) -> str | None:
        current = self.running.get(service.name)
        if current is None:
            current = Running(service, self.directory / "log" / f"{service.name.replace(' ', '_')}.log")
            await current.start()
            self.running[service.name] = current
            return f"service {service.name}: started"
        done = await current.change(service)
        return f"service {service.name}: {done}" if done else None

    def _add_host(self, host: Host) -> None:
        network.add_namespace(host.name, forwards=host.kind != "device")
        self.hosts[host.name] = host
        if host.kind == "device":
            base = hosts.prepare(
                host.name,
                root_ca=self.authority.root,
                script=packages.update_systemd_resolved(),
            )
            init = hosts.boot(host.name, base, self.directory / "log" / f"host_{host.name}.log")
            self.devices[host.name] = Device(host, base, init)

    def _set_nameserver(self, host: Host) -> None:
        self.hosts[host.name] = host
        if host.kind == "device":
            self.devices[host.name].host = host
            return
        path = sandbox_paths.RESOLVERS / host.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"nameserver {host.nameserver}\n" if host.nameserver else "", encoding="utf-8")

    async def _remove_host(self, name: str) -> None:
        device = self.devices.pop(name, None)
        if device:
            await device.init.stop(number=signal.SIGKILL)
            # The kernel ends what is left of the host a moment later, and the folder is busy until then.
            subprocess.run(["rm", "-rf", "--one-file-system", str(device.base)], check=False)
        network.delete_namespace(name)
        for kept in (self.loopback, self.filters):
            kept.pop(name, None)
        del self.hosts[name]

    async def _configure_lan(self, device: Device) -> None:
        """Tell a device the DNS server of its home network, as DHCP does."""
        deadline = time.monotonic() + _HOST_TIMEOUT
        shown = network.command(["ip", "-n", device.host.name, "-o", "link", "show", "dev", "wlan0"])
        index = int(shown.partition(":")[0])
        question = {"command": "SetLinkDNS", "index": index, "servers": [device.host.nameserver]}
        while True:
            try:
                device.ask(resolved.SOCKET, question)
                return
            except (OSError, AskError) as error:
                if not device.init.running or time.monotonic() > deadline:
                    log = self.directory / "log" / f"host_{device.host.name}.log"
                    raise LabError(f"host {device.host.name} did not boot ({error}): see {log}") from error
                await asyncio.sleep(0.01)

    # -- questions -------------------------------------------------------------------------------------------------

    async def answer(self, question: dict[str, Any]) -> Any:
        """Answer one question.

        Raises:
            LabError: It cannot be done.
        """
        match question.get("command"):
            case "hosts":
                return {name: host.kind for name, host in self.hosts.items()}
            case "sync":
                async with self.lock:
                    return await self.sync(question.get("url"), question.get("region"))
            case "status":
                await self.connections.poll()
                return await status.describe(self)
            case "fault":
                return await self.faults.start(question["name"], float(question["seconds"]))
            case "faults":
                return self.faults.active()
            case "end-fault":
                return await self.faults.end(question["name"])
            case "down":
                self.ended.set()
                return None
            case other:
                raise LabError(f"the network does not know the command {other!r}")

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the questions of one connection, one after the other."""
        with contextlib.suppress(OSError):
            while line := await reader.readline():
                try:
                    answer: dict[str, Any] = {"result": await self.answer(json.loads(line))}
                except (LabError, AddressError, CommandError, ServiceError) as error:
                    answer = {"error": str(error)}
                except Exception as error:  # noqa: BLE001 (whoever asks must hear of every failure)
                    answer = {"error": f"{type(error).__name__}: {error}"}
                writer.write(json.dumps(answer).encode() + b"\n")
                await writer.drain()
        writer.close()


async def _main(arguments: argparse.Namespace) -> None:
    processes.handle_children()
    authority = Authority(arguments.authority)
    sandbox = Sandbox(arguments.directory, authority)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, sandbox.ended.set)
    server = await asyncio.start_unix_server(sandbox.serve, sock=control.listen(arguments.directory))
    watch = asyncio.create_task(sandbox.connections.watch())
    await sandbox.ended.wait()
    watch.cancel()
    server.close()
    await sandbox.connections.close()


def main() -> None:
    """Serve until `down`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--directory", type=Path, required=True, help="the lab's path directory")
    parser.add_argument("--authority", type=Path, required=True, help="the folder with root-ca.pem and root-ca.key")
    arguments = parser.parse_args()
    # A temporary file system takes everything that is made below: nothing is left when this process ends.
    network.command(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run"])
    sandbox_paths.HOSTS.mkdir(parents=True)
    (arguments.directory / "log").mkdir(exist_ok=True)
    asyncio.run(_main(arguments))
    sys.exit(0)


if __name__ == "__main__":
    main()
