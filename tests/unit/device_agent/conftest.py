"""Fixtures of the device agent's unit tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from .material import FakeSystem


@pytest.fixture
def system(tmp_path: Path) -> FakeSystem:
    """A machine with OpenVPN and systemd, and nothing of ours."""
    return FakeSystem.make(tmp_path / "root")
