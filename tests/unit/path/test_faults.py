"""The list of faults: one that cannot be undone stays on it, and is undone later.

Cannot prove what a fault does to a network: the path tier makes each of them.
"""

import asyncio
from pathlib import Path
from typing import Any, cast

import pytest

from lab.errors import LabError
from lab.path import faults
from lab.path.faults import Faults
from lab.path.live import LiveNetwork
from lab.path.parts import Service
from lab.path.services import Running, ServiceError


class Hop:
    """Something that can be broken, and that cannot be mended for a while."""

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self.done: list[str] = []

    async def begin(self) -> None:
        self.done.append("broken")

    async def undo(self) -> None:
        await asyncio.sleep(0)
        if self.failures:
            self.failures -= 1
            raise LabError("it is too early")
        self.done.append("mended")

    def faults(self) -> Faults:
        live = LiveNetwork(Path("/nowhere"), cast("Any", None))
        made = Faults(live)
        made._actions["dns-down"] = (self.begin, self.undo)
        return made


def test_a_fault_that_cannot_be_undone_stays_under_way_until_it_can() -> None:
    async def run() -> None:
        hop = Hop(failures=1)
        made = hop.faults()
        await made.start("dns-down", 60)
        with pytest.raises(LabError, match="too early"):
            await made.end("dns-down")
        assert list(made.active()) == ["dns-down"]
        with pytest.raises(LabError, match="under way already"):
            await made.start("dns-down", 60)
        assert await made.end("dns-down") == {"fault": "dns-down", "ended": True}
        assert made.active() == {}
        assert hop.done == ["broken", "mended"]

    asyncio.run(run())


def test_at_its_time_it_is_tried_until_it_is_undone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(faults, "_RETRY", 0.001)

    async def run() -> None:
        hop = Hop(failures=3)
        made = hop.faults()
        await made.start("dns-down", 0.001)
        while made.active():
            await asyncio.sleep(0.001)
        assert hop.done == ["broken", "mended"]

    asyncio.run(asyncio.wait_for(run(), 60))
    assert capsys.readouterr().err == "fault dns-down cannot be undone yet: it is too early\n" * 3


def test_of_two_who_end_it_at_once_one_undoes_it() -> None:
    async def run() -> None:
        hop = Hop()
        made = hop.faults()
        await made.start("dns-down", 60)
        ends = await asyncio.gather(made.end("dns-down"), made.end("dns-down"))
        assert [one["ended"] for one in ends] == [True, False]
        assert hop.done == ["broken", "mended"]

    asyncio.run(run())


def test_a_service_that_does_not_start_again_is_held_down_as_before(tmp_path: Path) -> None:
    class Stubborn(Running):
        failures = 1

        async def start(self) -> None:
            if self.failures:
                self.failures -= 1
                raise ServiceError("it ended at once")

    async def run() -> None:
        service = Stubborn(Service("dns", "vpc", ("true",), ()), tmp_path / "log")
        await service.hold()
        with pytest.raises(ServiceError):
            await service.release()
        assert service.held
        await service.release()
        assert not service.held

    asyncio.run(run())
