"""A device's process number 1: runs units as systemd does, as far as services go (systemd.service(5)).

Done: ``Type=simple|exec|notify|oneshot``, ``ExecStartPre|ExecStart|ExecStartPost|ExecStop|ExecReload``, ``Restart=``
with ``RestartSec=`` and the start limit, ``WatchdogSec=``, ``NOTIFY_SOCKET``, ``RuntimeDirectory=`` and its siblings,
``User=`` where the sandbox has more than one user, ``Environment=``, ``EnvironmentFile=``, ``WorkingDirectory=``,
``Wants=|Requires=|BindsTo=|PartOf=`` among services, ``After=`` at boot and shutdown, and as root
``IPAddressDeny=|IPAddressAllow=``, also of scopes that a call of the bus starts. A timer is active
and never elapses. Not done: other sandboxing (``ProtectSystem=`` and so on), limits of control groups, sockets and
targets.
"""

import asyncio
import contextlib
import json
import os
import socket
import struct
import sys
from pathlib import Path
from typing import Any

from lab.path import processes
from lab.path.stand_ins import address_filter, execution, journal, polkit, unit_files
from lab.path.stand_ins.ask import SYSTEMD_SOCKET
from lab.path.stand_ins.service_unit import ServiceUnit
from lab.path.stand_ins.unit_files import UnitError


def _authorize(connection: Any, request: dict[str, Any]) -> None:
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _pid, user, _group = struct.unpack("3i", credentials)
    units = [unit_files.full_name(name) for name in request.get("units", [])]
    if not polkit.allows(user, request["command"], units):
        raise UnitError("Interactive authentication required.")


class Manager:
    """All services of a host and the socket that `systemctl` asks."""

    def __init__(self) -> None:
        self.environment: dict[str, str] = {}
        self.units: dict[str, ServiceUnit] = {}
        self.booting: asyncio.Task[None] | None = None

    def service(self, name: str) -> ServiceUnit:
        """Return a service by its name, with or without suffix."""
        name = unit_files.full_name(name)
        if name not in self.units:
            self.units[name] = ServiceUnit(name, self.environment)
        return self.units[name]

    async def start(self, name: str) -> None:
        """Start a service after the services that it wants and requires.

        Raises:
            UnitError: It, or one that it requires, failed.
        """
        service = self.service(name)
        unit = service.unit()
        for key in ("Requires", "BindsTo", "Wants"):
            for other in unit.words(key, "Unit"):
                if other.endswith(".service"):
                    try:
                        await self.service(other).start()
                    except UnitError:
                        if key != "Wants":
                            raise
        await service.start()

    async def stop(self, name: str) -> None:
        """Stop a service and those that are part of it or bound to it."""
        for other in [unit for unit in self.units.values() if unit.active_state != "inactive"]:
            with contextlib.suppress(UnitError):
                keys = [word for key in ("PartOf", "BindsTo", "Requires") for word in other.unit().words(key, "Unit")]
                if unit_files.full_name(name) in keys:
                    await other.stop()
        await self.service(name).stop()

    async def boot(self) -> None:
        """Start what is enabled, in the order of ``After=``; a unit that fails keeps no other from its start."""
        started: dict[str, asyncio.Task[None]] = {}

        async def start(name: str) -> None:
            await asyncio.gather(*(started[other] for other in self._after(name) if other in started))
            with contextlib.suppress(UnitError):
                await self.start(name)

        names = sorted({link.name for link in unit_files.WANTS_DIRECTORY.glob("*.target.wants/*.service")})
        started |= {name: asyncio.create_task(start(name)) for name in names}
        await asyncio.gather(*started.values())

    async def shut_down(self) -> None:
        """Stop everything, in the order in which `boot` would start it, turned round."""
        running = [unit.name for unit in self.units.values() if unit.active_state not in ("inactive", "failed")]
        stopped: dict[str, asyncio.Task[None]] = {}

        async def stop(name: str) -> None:
            await asyncio.gather(*(stopped[other] for other in running if name in self._after(other)))
            with contextlib.suppress(UnitError):
                await self.service(name).stop()

        stopped |= {name: asyncio.create_task(stop(name)) for name in running}
        await asyncio.gather(*stopped.values())

    def _after(self, name: str) -> list[str]:
        try:
            return self.service(name).unit().words("After", "Unit")
        except UnitError:
            return []

    async def handle(self, request: dict[str, Any]) -> dict[str, Any]:
        """Answer one request of `systemctl` or of the sandbox."""
        command, names = request["command"], request.get("units", [])
        match command:
            case "start":
                for name in names:
                    await self.start(name)
            case "stop":
                for name in names:
                    await self.stop(name)
            case "restart":
                for name in names:
                    await self.stop(name)
                    await self.start(name)
            case "reload":
                for name in names:
                    await self.service(name).reload()
            case "kill":
                for name in names:
                    self.service(name).kill(request["signal"])
            case "boot":
                self.booting = asyncio.create_task(self.boot())
            case "shut-down":
                await self.shut_down()
            case "show":
                return {"units": [self.service(name).properties() for name in names]}
            case "list":
                return {"units": [unit.properties() for unit in self.units.values()]}
            case "environment":
                # Units that run take the new environment with their next start.
                self.environment.clear()
                self.environment.update(request["environment"])
            case "reset-failed":
                for unit in self.units.values():
                    if unit.active_state == "failed":
                        unit._set("inactive", "dead")
            case "StartTransientUnit":
                address_filter.start_scope(names[0], request["pids"], request["allowed"], request["denied"])
            case "daemon-reload":
                pass  # Unit files are read anew at every start.
            case _:
                raise UnitError(f"unknown command {command}")
        return {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = json.loads(await reader.readline())
            _authorize(writer.get_extra_info("socket"), request)
            answer: dict[str, Any] = {"result": await self.handle(request)}
        except UnitError as error:
            answer = {"error": str(error)}
        except (ValueError, KeyError, OSError) as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        writer.write(json.dumps(answer).encode() + b"\n")
        with contextlib.suppress(OSError):
            await writer.drain()
        writer.close()

    def notified(self, connection: socket.socket) -> None:
        """Take one message of sd_notify(3); it counts for the service whose main process sent it."""
        data, ancillary, _, _ = connection.recvmsg(4096, socket.CMSG_SPACE(12))
        pid = next(
            (
                int.from_bytes(content[:4], sys.byteorder)
                for level, kind, content in ancillary
                if level == socket.SOL_SOCKET and kind == socket.SCM_CREDENTIALS
            ),
            0,
        )
        fields = dict(line.partition("=")[::2] for line in data.decode(errors="replace").splitlines())
        for unit in self.units.values():
            if unit.main and unit.main.pid == pid:
                unit.notify(fields)


async def _main() -> None:
    processes.handle_children()
    manager = Manager()
    Path(SYSTEMD_SOCKET).parent.mkdir(parents=True, exist_ok=True)
    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notify.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    notify.bind(execution.NOTIFY_SOCKET)
    Path(execution.NOTIFY_SOCKET).chmod(0o777)
    notify.setblocking(False)
    loop = asyncio.get_running_loop()
    loop.add_reader(notify, manager.notified, notify)
    messages = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    messages.bind("/dev/log")
    messages.setblocking(False)
    loop.add_reader(
        messages, lambda: journal.log("syslog", messages.recv(65536).decode(errors="replace").rstrip("\0\n"))
    )
    server = await asyncio.start_unix_server(manager.serve, SYSTEMD_SOCKET)
    # As D-Bus: everybody may ask, polkit decides.
    Path(SYSTEMD_SOCKET).chmod(0o666)
    resolved = processes.start(
        [sys.executable, "-m", "lab.path.stand_ins.resolved"], environment=os.environ, output=sys.stdout.buffer
    )
    async with server:
        await resolved.wait()
    raise SystemExit("the stand-in for systemd-resolved ended")


def main() -> None:
    asyncio.run(_main())


if __name__ == "__main__":
    main()
