"""install is ended at every single call into the system, by each thing that can end it: a whole identity remains.

Each run of `install` is repeated once for every call that it makes: files (os) and programs. It cannot prove what a
disk does with what was written but not synchronised; the power cuts of the device tier do.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import io
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from device_agent.__main__ import main
from device_agent.install.bundle import Bundle, parse_bundle
from device_agent.install.slots import current_slot, slot_files, wanted_links
from device_agent.installation import AGENT_SERVICE, OPENVPN_SERVICE, QUEUE_FILE, Installation
from device_agent.system import Completed

from .material import NOW, FakeSession, FakeSystem, amazon_root, bundle, encode, issue, snapshot

CALLS = (
    *("open", "write", "fsync", "replace", "rename", "unlink", "rmdir", "mkdir", "symlink", "link"),
    *("chmod", "fchmod", "chown"),
)
OLD = bundle()


def _new() -> dict[str, Any]:
    fresh = issue("AWS IoT Certificate pi-1 anew", amazon_root())
    made = bundle(iot__certificatePem=fresh.certificate_pem, iot__privateKeyPem=fresh.key_pem)
    del made["iot"]["rootCaPem"]
    return made


NEW = _new()


class PowerCutError(BaseException):
    """Nothing runs any more; what is on disk at this moment is what counts."""


class Faults:
    """Counts the calls into the system under a root, and lets one of them go wrong."""

    def __init__(self, system: FakeSystem, monkeypatch: pytest.MonkeyPatch) -> None:
        self._root = str(system.root)
        self.count = 0
        self.at: int | None = None
        self.again_at: int | None = None
        self.fault: Callable[[], None] = lambda: None
        self.after = False
        # The disk's own time is not what is asked for here.
        monkeypatch.setattr(os, "fsync", lambda _descriptor: None)
        for name in CALLS:
            monkeypatch.setattr(os, name, self._wrapped(getattr(os, name)))
        run = FakeSystem.run
        monkeypatch.setattr(FakeSystem, "run", lambda *words, **more: self._counted(lambda: run(*words, **more)))

    def _wrapped(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **more: Any) -> Any:
            # shutil.rmtree names its files below a folder's descriptor.
            below = isinstance(arguments[0], int) or more.get("dir_fd") is not None
            if below or str(arguments[0]).startswith(self._root):
                return self._counted(lambda: real(*arguments, **more))
            return real(*arguments, **more)

        return call

    def _counted(self, call: Callable[[], Any]) -> Any:
        self.count += 1
        due = self.count in (self.at, self.again_at)
        if due and not self.after:
            self.fault()
        result = call()
        if due and self.after:
            self.fault()
        return result


@pytest.fixture
def system() -> Iterator[FakeSystem]:
    """A machine in memory where there is a file system for that: thousands of folders come and go."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as folder:
        yield FakeSystem.make(Path(folder) / "root")


@pytest.fixture
def faults(system: FakeSystem, monkeypatch: pytest.MonkeyPatch) -> Faults:
    monkeypatch.setattr("device_agent.commands.install.parse_bundle", lambda data, **_more: parsed(data))
    return Faults(system, monkeypatch)


@functools.cache
def parsed(data: bytes) -> Bundle:
    """Read each of the two bundles once: that its certificates fit is asked elsewhere."""
    return parse_bundle(data, device=None, now=NOW.timestamp())


def install(system: FakeSystem, document: dict[str, Any], *words: str) -> int:
    before = sys.stdin
    sys.stdin = io.TextIOWrapper(io.BytesIO(encode(document)))
    try:
        return main(["install", "-", *words], system)
    finally:
        sys.stdin = before


def holds(system: FakeSystem, document: dict[str, Any]) -> bool:
    """Tell whether this bundle's identity is installed, every byte of it, and found where the services look."""
    slot = current_slot(system)
    if slot is None:
        return False
    wanted = slot_files(parsed(encode(document)), slot)
    whole = all(item.matches(system, path) for path, item in wanted.items())
    led = all(os.path.lexists(system.path(path)) for path in wanted_links())
    return whole and led and Installation.load(system).name == "pi-1"


@contextlib.contextmanager
def kept(system: FakeSystem) -> Iterator[None]:
    """Put the machine back as it is now when the block ends."""
    copy = system.root.with_name("kept")
    shutil.copytree(system.root, copy, symlinks=True, copy_function=shutil.copy)
    state = {name: value.copy() if isinstance(value, set | dict) else value for name, value in system.state.items()}
    session: FakeSession = system.state["session"]
    calls, on_message = session.calls.copy(), session.on_message
    try:
        yield
    finally:
        shutil.rmtree(system.root)
        copy.rename(system.root)
        system.state.update(state)
        session.calls[:], session.on_message = calls, on_message


def _eio() -> None:
    raise OSError(errno.EIO, "Input/output error")


def _power_cut() -> None:
    raise PowerCutError


ENDS: dict[str, Callable[[], None]] = {
    "EIO": _eio,
    "Ctrl-C": lambda: signal.raise_signal(signal.SIGINT),
    "SIGHUP": lambda: signal.raise_signal(signal.SIGHUP),
}


def _calls(system: FakeSystem, faults: Faults, document: dict[str, Any], *words: str) -> int:
    with kept(system):
        faults.count = 0
        assert install(system, document, *words) == 0
        return faults.count


def _check(system: FakeSystem, where: str) -> None:
    assert holds(system, OLD) or holds(system, NEW), f"{where}: no whole identity is left"


def _finish(system: FakeSystem, expected: set[str], where: str) -> None:
    """The next installation, with nothing in its way, ends as if nothing had happened."""
    assert install(system, NEW, "--no-verify") == 0, where
    assert holds(system, NEW), where
    found = {name.replace("slots/b", "slots/a").replace("/b.conf", "/a.conf") for name in snapshot(system.root)}
    assert found == expected, where
    assert system.state["active"] == {AGENT_SERVICE, OPENVPN_SERVICE}, where


@pytest.fixture
def upgraded(system: FakeSystem, faults: Faults) -> set[str]:
    """A machine with the old bundle; gives the names of all files that it has with the new one."""
    assert install(system, OLD) == 0
    with kept(system):
        assert install(system, NEW) == 0
        return {name.replace("slots/b", "slots/a").replace("/b.conf", "/a.conf") for name in snapshot(system.root)}


@pytest.mark.parametrize(
    ("end", "after"), [("EIO", False), ("Ctrl-C", True), ("SIGHUP", False)], ids=["EIO", "Ctrl-C", "SIGHUP"]
)
def test_a_replacement_that_ends_at_any_call_leaves_one_whole_identity(
    system: FakeSystem, faults: Faults, upgraded: set[str], end: str, after: bool
) -> None:
    total = _calls(system, faults, NEW)
    faults.fault, faults.after = ENDS[end], after
    assert total > 80
    for call in range(1, total + 1):
        where = f"{end} {'after' if after else 'before'} call {call} of {total}"
        with kept(system):
            faults.count, faults.at = 0, call
            code = install(system, NEW)
            faults.at = None
            assert code in (0, 2, 129, 130), where
            _check(system, where)
            assert system.state["active"] >= {AGENT_SERVICE, OPENVPN_SERVICE}, where
            if end == "EIO":
                _finish(system, upgraded, where)


def test_a_replacement_whose_disk_fails_for_good_at_any_call_leaves_one_whole_identity(
    system: FakeSystem, faults: Faults, upgraded: set[str]
) -> None:
    total = _calls(system, faults, NEW)
    faults.fault = _eio
    for call in range(1, total + 1):
        with kept(system):
            faults.count, faults.at = 0, call

            def fail_from_now_on() -> None:
                faults.at = faults.count + 1
                _eio()

            faults.fault = fail_from_now_on
            install(system, NEW)
            faults.at = None
            _check(system, f"a disk that fails from call {call} on")
            _finish(system, upgraded, f"after a disk that failed from call {call} on")


def test_a_second_signal_while_it_is_undone_changes_nothing(
    system: FakeSystem, faults: Faults, upgraded: set[str]
) -> None:
    total = _calls(system, faults, NEW)
    faults.fault = ENDS["Ctrl-C"]
    for call in range(1, total + 1, 9):
        for later in range(1, 40, 5):
            with kept(system):
                faults.count, faults.at, faults.again_at = 0, call, call + later
                install(system, NEW)
                faults.at = faults.again_at = None
                where = f"Ctrl-C at call {call} and {later} later"
                _check(system, where)
                assert system.state["active"] >= {AGENT_SERVICE, OPENVPN_SERVICE}, where


def test_a_power_cut_at_any_call_leaves_one_whole_identity(
    system: FakeSystem, faults: Faults, upgraded: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk as it is at each call: no undo, no handler, nothing runs after it."""
    total = _calls(system, faults, NEW)
    dead = system.root.with_name("dead")
    copytree = shutil.copytree

    def freeze() -> None:
        at, faults.at = faults.at, None
        copytree(system.root, dead, symlinks=True, copy_function=shutil.copy)
        faults.at = at

    faults.fault = freeze
    for call in range(1, total + 1):
        with kept(system):
            faults.count, faults.at = 0, call
            install(system, NEW)
            faults.at = None
            shutil.rmtree(system.root)
            dead.rename(system.root)
            system.state["active"] = {AGENT_SERVICE, OPENVPN_SERVICE}
            _check(system, f"a power cut at call {call}")
            _finish(system, upgraded, f"after a power cut at call {call}")


def test_a_first_installation_that_ends_at_any_call_leaves_nothing_or_all(system: FakeSystem, faults: Faults) -> None:
    empty = snapshot(system.root)
    total = _calls(system, faults, NEW)
    with kept(system):
        assert install(system, NEW) == 0
        expected = set(snapshot(system.root))
    faults.fault = _eio
    for call in range(1, total + 1):
        with kept(system):
            faults.count, faults.at = 0, call
            code = install(system, NEW)
            faults.at = None
            where = f"EIO before call {call} of {total}"
            if code == 0 or current_slot(system) is not None:
                assert holds(system, NEW), where
            else:
                assert set(snapshot(system.root)) - set(empty) <= expected | {QUEUE_FILE}, where
            _finish(system, expected, where)


def test_an_uninstall_that_ends_at_any_call_is_finished_by_the_next(system: FakeSystem, faults: Faults) -> None:
    empty = snapshot(system.root)
    assert install(system, OLD) == 0
    with kept(system):
        faults.count = 0
        assert main(["uninstall", "--purge"], system) == 0
        total = faults.count
    faults.fault = _eio
    for call in range(1, total + 1):
        with kept(system):
            faults.count, faults.at = 0, call
            main(["uninstall", "--purge"], system)
            faults.at = None
            assert main(["uninstall", "--purge"], system) == 0
            assert snapshot(system.root) == empty, f"EIO at call {call}"


def test_a_failed_restart_of_systemd_is_told_with_what_could_not_be_put_back(
    system: FakeSystem, faults: Faults, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert install(system, OLD) == 0
    system.state["fail"] = {f"systemctl restart {AGENT_SERVICE}": Completed(1, "", "Job failed")}
    rename = os.replace

    def refuse(source: Any, target: Any) -> None:
        if str(target).endswith("/current") and Path(source).readlink() == Path("slots/a"):
            _eio()
        rename(source, target)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "replace", refuse)
        assert install(system, NEW, "--no-verify") == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "`systemctl restart private-iot-agent.service` failed: Job failed" in error
    assert "not all could be put back (/etc/private-iot/current cannot be written: Input/output error)" in error
    assert holds(system, NEW)
