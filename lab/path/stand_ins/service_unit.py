"""One service: its start, its watch, its restarts and its end (systemd.service(5))."""

import asyncio
import contextlib
import os
import signal
import time
from typing import Any

from lab.path import processes
from lab.path.stand_ins import address_filter, execution, unit_files
from lab.path.stand_ins.journal import log
from lab.path.stand_ins.unit_files import Unit, UnitError


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
        if self.name.endswith(".timer"):
            self._set("active", "waiting")
            return
        if unit.get("Type", "simple") not in ("simple", "exec", "notify", "oneshot", "notify-reload"):
            raise UnitError(f"{self.name}: Type={unit.get('Type')} is not supported here")
        await self._end_task()
        self._stop_requested = False
        self._up = asyncio.get_running_loop().create_future()
        self._set("activating", "start")
        self._task = asyncio.create_task(self._run(unit))
        await self._up

    async def stop(self) -> None:
        self._stop_requested = True
        if self.active_state in ("inactive", "failed"):
            return
        await self._end_task()
        unit = self.unit()
        self._set("deactivating", "stop")
        for line in unit.all("ExecStop"):
            await self._control(unit, line)
        await self._kill(unit)
        address_filter.release(unit)
        for line in unit.all("ExecStopPost"):
            await self._control(unit, line)
        execution.remove_runtime_directory(unit, stopped=self._stop_requested)
        self.result = "success"
        self._set("inactive", "dead")

    def kill(self, number: int) -> None:
        """Send its main process a signal.

        Raises:
            UnitError: It has none.
        """
        if self.main is None or not self.main.running:
            raise UnitError(f"{self.name} has no process to send a signal to")
        self.main.send(number)

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
            "UnitFileState": unit_files.enabled_state(self.name),
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
            execution.remove_runtime_directory(unit, stopped=self._stop_requested)
            await self._kill(unit)
            address_filter.release(unit)
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
        execution.make_directories(unit)
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
        main = self.main = self._spawn(unit, commands[0])
        if kind.startswith("notify"):
            await self._wait_until_ready(unit, main)
        if main.running:
            for line in unit.all("ExecStartPost"):
                await self._control(unit, line)
            self._set("active", "running")
            log(self.name, f"Started {unit.get('Description', self.name, 'Unit')}.")
            self._answer(None)
            await self._watch(unit, main)
        code = await main.wait()
        self.exit_status = code if code >= 0 else -code
        log(self.name, f"Main process exited, code={'exited' if code >= 0 else 'killed'}, status={self.exit_status}")
        return code

    async def _wait_until_ready(self, unit: Unit, main: processes.Process) -> None:
        ready = asyncio.create_task(self._ready.wait())
        timeout = unit.seconds("TimeoutStartSec", 90)
        ended: set[asyncio.Future[Any]] = {ready, main.exited}
        await asyncio.wait(
            ended,
            timeout=None if timeout == float("inf") else timeout,
            return_when=asyncio.FIRST_COMPLETED,
        )
        if not ready.done():
            ready.cancel()
            if main.running:
                self.result = "timeout"
                log(self.name, "Start operation timed out. Terminating.")
                await self._kill(unit)

    async def _watch(self, unit: Unit, main: processes.Process) -> None:
        limit = unit.seconds("WatchdogSec", 0)
        self._alive = time.monotonic()
        while main.running and 0 < limit < float("inf"):
            left = self._alive + limit - time.monotonic()
            if left <= 0:
                self.result = "watchdog"
                log(self.name, f"Watchdog timeout (limit {limit:g}s)!")
                main.send(signal.SIGABRT)
                return
            await asyncio.wait({main.exited}, timeout=left)

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

    def _spawn(self, unit: Unit, line: str) -> processes.Process:
        return execution.spawn(unit, line, execution.environment(unit, self.extra_environment))

    async def _control(self, unit: Unit, line: str, *, required: bool = False) -> None:
        main = str(self.main.pid) if self.main else ""
        variables = execution.environment(unit, self.extra_environment) | {"MAINPID": main}
        _, ignore = unit_files.command(unit, line, variables)
        code = await execution.spawn(unit, line, variables).wait()
        if code != 0 and required and not ignore:
            self.exit_status = abs(code)
            raise UnitError(f"{self.name}: `{line}` failed with status {code}")

    async def _kill(self, unit: Unit) -> None:
        if self.main is None:
            return
        pid = self.main.pid
        if self.main.running:
            number = getattr(signal, unit.get("KillSignal", "SIGTERM"))
            await self.main.stop(number=number, timeout=min(unit.seconds("TimeoutStopSec", 90), 3600))
        self.main = None
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
