"""A device's process number 1: runs units as systemd does, as far as services go (systemd.service(5)).

Done: ``Type=simple|exec|notify|oneshot``, ``ExecStartPre|ExecStart|ExecStartPost|ExecStop|ExecReload``, ``Restart=``
with ``RestartSec=`` and the start limit, ``WatchdogSec=``, ``NOTIFY_SOCKET``, ``RuntimeDirectory=`` and its siblings,
``User=`` where the sandbox has more than one user, ``Environment=``, ``EnvironmentFile=``, ``WorkingDirectory=``,
``Wants=|Requires=|BindsTo=|PartOf=`` among services. Not done: sandboxing (``ProtectSystem=``, ``IPAddressDeny=`` and
so on), cgroups, sockets, timers and targets.
"""

import asyncio
import contextlib
import json
import os
import pwd
import shutil
import signal
import socket
import struct
import sys
import time
from pathlib import Path
from typing import Any

from lab.path import processes
from lab.path.stand_ins import polkit, unit_files
from lab.path.stand_ins.unit_files import Unit, UnitError

SOCKET = "/run/systemd/private-iot.sock"
NOTIFY_SOCKET = "/run/systemd/notify"
JOURNAL = Path("/run/log/journal.log")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_DIRECTORIES = {
    "RuntimeDirectory": "/run",
    "StateDirectory": "/var/lib",
    "CacheDirectory": "/var/cache",
    "LogsDirectory": "/var/log",
    "ConfigurationDirectory": "/etc",
}


def log(name: str, text: str) -> None:
    """Add a line to the host's journal."""
    JOURNAL.parent.mkdir(parents=True, exist_ok=True)
    with JOURNAL.open("a", encoding="utf-8") as stream:
        stream.write(f"{time.strftime('%b %d %H:%M:%S', time.gmtime())} {os.uname().nodename} {name}: {text}\n")


class ServiceUnit:
    """One service and what has become of it."""

    def __init__(self, name: str, extra_environment: dict[str, str]) -> None:
        self.name = name
        self.extra_environment = extra_environment
        self.active_state = "inactive"
        self.sub_state = "dead"
        self.result = "success"
        self.status_text = ""
        self.exit_status = 0
        self.restarts = 0
        self.main: processes.Process | None = None
        self.control: processes.Process | None = None
        self.since = 0.0
        self._task: asyncio.Task[None] | None = None
        self._up: asyncio.Future[None] | None = None
        self._ready: asyncio.Event = asyncio.Event()
        self._alive: float = 0.0
        self._starts: list[float] = []
        self._stop_requested = False

    def unit(self) -> Unit:
        """Return the unit as its files say now."""
        return unit_files.load(self.name)

    # -- what systemctl asks for -----------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start it and wait until it is up.

        Raises:
            UnitError: It failed.
        """
        if self.active_state in ("active", "activating", "reloading"):
            return
        unit = self.unit()
        if unit.get("Type", "simple") not in ("simple", "exec", "notify", "oneshot", "notify-reload"):
            raise UnitError(f"{self.name}: Type={unit.get('Type')} is not supported here")
        await self._end_task()
        self._stop_requested = False
        self._up = asyncio.get_running_loop().create_future()
        self._set("activating", "start")
        self._task = asyncio.create_task(self._run(unit))
        await self._up

    async def stop(self) -> None:
        """Stop it and wait until it is gone."""
        self._stop_requested = True
        if self.active_state in ("inactive", "failed"):
            return
        await self._end_task()
        unit = self.unit()
        self._set("deactivating", "stop")
        for line in unit.all("ExecStop"):
            await self._control(unit, line)
        await self._kill(unit)
        for line in unit.all("ExecStopPost"):
            await self._control(unit, line)
        self._remove_runtime_directory(unit)
        self.result = "success"
        self._set("inactive", "dead")

    async def reload(self) -> None:
        """Run ``ExecReload=``.

        Raises:
            UnitError: It is not running or has none.
        """
        unit = self.unit()
        if self.active_state != "active" or not unit.all("ExecReload"):
            raise UnitError(f"{self.name} cannot be reloaded")
        for line in unit.all("ExecReload"):
            await self._control(unit, line)

    def notify(self, fields: dict[str, str]) -> None:
        """Take a message of sd_notify(3)."""
        if "STATUS" in fields:
            self.status_text = fields["STATUS"]
        if fields.get("READY") == "1":
            self._ready.set()
        if fields.get("WATCHDOG") == "1":
            self._alive = time.monotonic()

    def properties(self) -> dict[str, str]:
        """Return what ``systemctl show`` prints."""
        try:
            unit: Unit | None = self.unit()
        except UnitError:
            unit = None
        return {
            "Id": self.name,
            "LoadState": "loaded" if unit else "not-found",
            "ActiveState": self.active_state,
            "SubState": self.sub_state,
            "Result": self.result,
            "UnitFileState": enabled_state(self.name),
            "FragmentPath": str(unit.path) if unit else "",
            "DropInPaths": " ".join(map(str, unit.drop_ins)) if unit else "",
            "Description": unit.get("Description", self.name, "Unit") if unit else self.name,
            "Type": unit.get("Type", "simple") if unit else "",
            "Restart": unit.get("Restart", "no") if unit else "",
            "MainPID": str(self.main.pid if self.main and self.main.running else 0),
            "ExecMainStatus": str(self.exit_status),
            "NRestarts": str(self.restarts),
            "StatusText": self.status_text,
            "ActiveEnterTimestamp": time.strftime("%a %Y-%m-%d %H:%M:%S UTC", time.gmtime(self.since))
            if self.since
            else "",
        }

    # -- one life after the other ----------------------------------------------------------------------------------

    async def _run(self, unit: Unit) -> None:
        while True:
            self._starts.append(time.monotonic())
            try:
                code = await self._live(unit)
                failed = code != 0 and not self._counts_as_success(unit, code)
                self.result = (
                    self.result if self.result in ("watchdog", "timeout") else self._result(code, failed=failed)
                )
            except (UnitError, OSError, LookupError) as error:
                log(self.name, str(error))
                self.exit_status, self.result = 203, "exit-code"
                code = 203
            self._remove_runtime_directory(unit)
            await self._kill(unit)
            if not self._restarts(unit, code):
                self._set(
                    "failed" if self.result != "success" else "inactive",
                    "failed" if self.result != "success" else "dead",
                )
                self._answer(
                    f"{self.name} failed: {self.result}, status {self.exit_status}"
                    if self.result != "success"
                    else None
                )
                return
            self._set("activating", "auto-restart")
            self._answer(f"{self.name} failed at first and is being restarted: status {self.exit_status}")
            await asyncio.sleep(unit.seconds("RestartSec", 0.1))
            if self._limited(unit):
                self.result = "start-limit-hit"
                self._set("failed", "failed")
                log(self.name, "Start request repeated too quickly.")
                return
            self.restarts += 1
            log(self.name, f"Scheduled restart job, restart counter is at {self.restarts}.")
            unit = self.unit()

    async def _live(self, unit: Unit) -> int:
        """Start the program, wait for its end and return its status."""
        self._ready.clear()
        self.result, self.exit_status, self.status_text = "success", 0, ""
        self._make_directories(unit)
        for line in unit.all("ExecStartPre"):
            await self._control(unit, line, required=True)
        kind = unit.get("Type", "simple")
        if kind == "oneshot":
            for line in unit.all("ExecStart"):
                await self._control(unit, line, required=True)
            self._set("active", "exited")
            self._answer(None)
            if unit.flag("RemainAfterExit"):
                await asyncio.Event().wait()
            return 0
        commands = unit.all("ExecStart")
        if len(commands) != 1:
            raise UnitError(f"{self.name}: {len(commands)} ExecStart= lines; this type has exactly one")
        self.main = self._spawn(unit, commands[0])
        if kind.startswith("notify"):
            await self._wait_until_ready(unit)
        if self.main.running:
            for line in unit.all("ExecStartPost"):
                await self._control(unit, line)
            self._set("active", "running")
            log(self.name, f"Started {unit.get('Description', self.name, 'Unit')}.")
            self._answer(None)
            await self._watch(unit)
        code = await self.main.wait()
        self.exit_status = code if code >= 0 else -code
        log(self.name, f"Main process exited, code={'exited' if code >= 0 else 'killed'}, status={self.exit_status}")
        return code

    async def _wait_until_ready(self, unit: Unit) -> None:
        assert self.main is not None  # noqa: S101 (spawned just before)
        ready = asyncio.create_task(self._ready.wait())
        timeout = unit.seconds("TimeoutStartSec", 90)
        ended: set[asyncio.Future[Any]] = {ready, self.main.exited}
        await asyncio.wait(
            ended,
            timeout=None if timeout == float("inf") else timeout,
            return_when=asyncio.FIRST_COMPLETED,
        )
        if not ready.done():
            ready.cancel()
            if self.main.running:
                self.result = "timeout"
                log(self.name, "Start operation timed out. Terminating.")
                await self._kill(unit)

    async def _watch(self, unit: Unit) -> None:
        assert self.main is not None  # noqa: S101 (spawned just before)
        limit = unit.seconds("WatchdogSec", 0)
        self._alive = time.monotonic()
        while self.main.running and 0 < limit < float("inf"):
            left = self._alive + limit - time.monotonic()
            if left <= 0:
                self.result = "watchdog"
                log(self.name, f"Watchdog timeout (limit {limit:g}s)!")
                self.main.send(signal.SIGABRT)
                return
            await asyncio.wait({self.main.exited}, timeout=left)

    def _result(self, code: int, *, failed: bool) -> str:
        if not failed:
            return "success"
        return "exit-code" if code > 0 else "signal"

    def _counts_as_success(self, unit: Unit, code: int) -> bool:
        clean = {-signal.SIGHUP, -signal.SIGINT, -signal.SIGTERM, -signal.SIGPIPE}
        listed = unit.words("SuccessExitStatus")
        return code in clean or str(code) in listed

    def _restarts(self, unit: Unit, code: int) -> bool:
        """Apply the table "Exit causes and the effect of the Restart= settings" of systemd.service(5)."""
        if self._stop_requested or str(code) in unit.words("RestartPreventExitStatus"):
            return False
        if str(code) in unit.words("RestartForceExitStatus"):
            return True
        policies = {
            "success": ("always", "on-success"),
            "exit-code": ("always", "on-failure"),
            "signal": ("always", "on-failure", "on-abnormal", "on-abort"),
            "timeout": ("always", "on-failure", "on-abnormal"),
            "watchdog": ("always", "on-failure", "on-abnormal", "on-watchdog"),
        }
        return unit.get("Restart", "no") in policies[self.result]

    def _limited(self, unit: Unit) -> bool:
        interval = unit.seconds("StartLimitIntervalSec", 10, "Unit")
        burst = int(unit.get("StartLimitBurst", "5", "Unit"))
        self._starts = [moment for moment in self._starts if moment > time.monotonic() - interval]
        return interval > 0 and len(self._starts) >= burst

    # -- processes -------------------------------------------------------------------------------------------------

    def _environment(self, unit: Unit) -> dict[str, str]:
        environment = {"PATH": _PATH, "LANG": "C.UTF-8", **self.extra_environment}
        environment["INVOCATION_ID"] = os.urandom(16).hex()
        for line in unit.words("Environment"):
            key, _, value = line.partition("=")
            environment[key] = value
        for file in unit.all("EnvironmentFile"):
            path = Path(file.removeprefix("-"))
            if not path.is_file() and file.startswith("-"):
                continue
            for line in path.read_text(encoding="utf-8").splitlines():
                if "=" in line and not line.lstrip().startswith("#"):
                    key, _, value = line.strip().partition("=")
                    environment[key] = value.strip("\"'")
        for key, base in _DIRECTORIES.items():
            names = unit.words(key)
            if names:
                variable = {"RuntimeDirectory": "RUNTIME_DIRECTORY", "StateDirectory": "STATE_DIRECTORY"}.get(
                    key, key.removesuffix("Directory").upper() + "_DIRECTORY"
                )
                environment[variable] = ":".join(f"{base}/{name}" for name in names)
        if unit.get("Type").startswith("notify") or unit.get("WatchdogSec"):
            environment["NOTIFY_SOCKET"] = NOTIFY_SOCKET
        if 0 < unit.seconds("WatchdogSec", 0) < float("inf"):
            environment["WATCHDOG_USEC"] = str(int(unit.seconds("WatchdogSec", 0) * 1e6))
        return environment

    def _spawn(self, unit: Unit, line: str) -> processes.Process:
        environment = self._environment(unit)
        words, _ = unit_files.command(unit, line, environment)
        if not Path(words[0]).is_absolute():
            words[0] = shutil.which(words[0], path=environment["PATH"]) or words[0]
        directory = unit.get("WorkingDirectory", "/")
        if not Path(directory.removeprefix("-")).is_dir() and not directory.startswith("-"):
            raise UnitError(f"{self.name}: WorkingDirectory={directory} does not exist")
        JOURNAL.parent.mkdir(parents=True, exist_ok=True)
        # One pipe through `logger`-like prefixing would hide the end of a program; lines go to the unit's own file.
        with unit_log(self.name).open("ab") as output:
            return processes.start(
                [*_as_user(unit), *words],
                environment=environment,
                directory=directory.removeprefix("-"),
                output=output,
            )

    async def _control(self, unit: Unit, line: str, *, required: bool = False) -> None:
        main = str(self.main.pid) if self.main else ""
        environment = self._environment(unit) | {"MAINPID": main}
        _, ignore = unit_files.command(unit, line, environment)
        process = self._spawn(unit, line.replace("$MAINPID", main))
        code = await process.wait()
        if code != 0 and required and not ignore:
            self.exit_status = abs(code)
            raise UnitError(f"{self.name}: `{line}` failed with status {code}")

    async def _kill(self, unit: Unit) -> None:
        if self.main is None or not self.main.running:
            return
        number = getattr(signal, unit.get("KillSignal", "SIGTERM"))
        pid = self.main.pid
        await self.main.stop(number=number, timeout=min(unit.seconds("TimeoutStopSec", 90), 3600))
        if unit.get("KillMode", "control-group") == "control-group":
            # Each service leads a session of its own, which stands for its control group.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)

    async def _end_task(self) -> None:
        if self._task and not self._task.done():
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        self._answer(f"{self.name} was stopped while it started")

    def _make_directories(self, unit: Unit) -> None:
        user = unit.get("User") or "root"
        for key, base in _DIRECTORIES.items():
            for name in unit.words(key):
                path = Path(base) / name
                path.mkdir(parents=True, exist_ok=True)
                path.chmod(int(unit.get(f"{key}Mode", "0755"), 8))
                if key != "ConfigurationDirectory" and user != "root" and many_users():
                    shutil.chown(path, user, unit.get("Group") or None)

    def _remove_runtime_directory(self, unit: Unit) -> None:
        preserve = unit.get("RuntimeDirectoryPreserve", "no")
        if preserve == "no" or (preserve == "restart" and self._stop_requested):
            for name in unit.words("RuntimeDirectory"):
                shutil.rmtree(f"/run/{name}", ignore_errors=True)

    def _set(self, active: str, sub: str) -> None:
        if active == "active" and self.active_state != "active":
            self.since = time.time()
        self.active_state, self.sub_state = active, sub

    def _answer(self, error: str | None) -> None:
        if self._up and not self._up.done():
            if error:
                self._up.set_exception(UnitError(error))
            else:
                self._up.set_result(None)


def unit_log(name: str) -> Path:
    """Return the file that takes what a unit prints."""
    return JOURNAL.with_name(f"{name.replace('/', '-')}.log")


def many_users() -> bool:
    """Whether this user namespace has users beside root."""
    return int(Path("/proc/self/uid_map").read_text().split()[2]) > 1


def _as_user(unit: Unit) -> list[str]:
    user, group = unit.get("User"), unit.get("Group")
    if user in ("", "root") or not many_users():
        return []
    pwd.getpwnam(user)
    groups = unit.words("SupplementaryGroups")
    words = ["setpriv", f"--reuid={user}", f"--regid={group}" if group else f"--regid={pwd.getpwnam(user).pw_gid}"]
    return [*words, f"--groups={','.join(groups)}" if groups else "--init-groups", "--"]


def enabled_state(name: str) -> str:
    """Return what ``systemctl is-enabled`` prints."""
    if (unit_files.WANTS_DIRECTORY / name).resolve() == Path("/dev/null"):
        return "masked"
    if any(unit_files.WANTS_DIRECTORY.glob(f"*.wants/{name}")) or any(
        unit_files.WANTS_DIRECTORY.glob(f"*.requires/{name}")
    ):
        return "enabled"
    try:
        unit = unit_files.load(name)
    except UnitError:
        return "not-found"
    return "disabled" if "Install" in unit.sections else "static"


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
            case "daemon-reload":
                pass  # Unit files are read anew at every start.
            case _:
                raise UnitError(f"unknown command {command}")
        return {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection."""
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
    Path(SOCKET).parent.mkdir(parents=True, exist_ok=True)
    JOURNAL.parent.mkdir(parents=True, exist_ok=True)
    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notify.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    notify.bind(NOTIFY_SOCKET)
    Path(NOTIFY_SOCKET).chmod(0o777)
    notify.setblocking(False)
    loop = asyncio.get_running_loop()
    loop.add_reader(notify, manager.notified, notify)
    journal = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    journal.bind("/dev/log")
    journal.setblocking(False)
    loop.add_reader(journal, lambda: log("syslog", journal.recv(65536).decode(errors="replace").rstrip("\0\n")))
    server = await asyncio.start_unix_server(manager.serve, SOCKET)
    # As D-Bus: everybody may ask, polkit decides.
    Path(SOCKET).chmod(0o666)
    resolved = processes.start(
        [sys.executable, "-m", "lab.path.stand_ins.resolved"], environment=os.environ, output=sys.stdout.buffer
    )
    async with server:
        await resolved.wait()
    raise SystemExit("the stand-in for systemd-resolved ended")


def main() -> None:
    """Serve until killed."""
    asyncio.run(_main())


if __name__ == "__main__":
    main()
