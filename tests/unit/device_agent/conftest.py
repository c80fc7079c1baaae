"""Fixtures of the device agent's unit tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from device_agent import session

from .material import FakeSystem


@pytest.fixture(autouse=True)
def _sessions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sessions with AWS IoT are the machine's own pretended one."""
    monkeypatch.setattr(session, "open_session", lambda system, _installation, **_more: system.state["session"])


@pytest.fixture
def system(tmp_path: Path) -> FakeSystem:
    """A machine with OpenVPN and systemd, and nothing of ours."""
    return FakeSystem.make(tmp_path / "root")
