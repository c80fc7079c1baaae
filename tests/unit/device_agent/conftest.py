"""Fixtures of the device agent's unit tests."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path

import pytest
from device_agent.install import bundle, claim, renewal

from device_agent import __main__ as command_line
from device_agent import certificates, session

from .material import FakeSystem


@pytest.fixture(autouse=True, scope="session")
def _once() -> Iterator[None]:
    """What follows from its arguments alone is done once: hundreds of installations take the same few certificates."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command_line, "_parser", functools.cache(command_line._parser))
        for name in ("check_pair", "check_chain"):
            check = functools.cache(getattr(certificates, name))
            for module in (bundle, claim, renewal):
                if hasattr(module, name):
                    patch.setattr(module, name, check)
        yield


@pytest.fixture(autouse=True)
def _sessions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sessions with AWS IoT are the machine's own pretended one."""
    monkeypatch.setattr(session, "open_session", lambda system, _installation, **_more: system.state["session"])


@pytest.fixture
def system(tmp_path: Path) -> FakeSystem:
    """A machine with OpenVPN and systemd, and nothing of ours."""
    return FakeSystem.make(tmp_path / "root")
