"""Fixtures: a lab for each module, and devices on it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.path.agent.house import Device, House, running_house


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    """A running lab; what the machine lacks fails it, and the error says how to get it."""
    with running_house() as running:
        yield running


@pytest.fixture
def pi(house: House) -> Iterator[Device]:
    """A device with nothing of the agent on it."""
    device = house.device("pi-1")
    yield device
    device.reset()


@pytest.fixture(scope="module")
def installed(house: House) -> Iterator[Device]:
    """A device that is installed and healthy, for all tests of a module."""
    device = house.device("pi-1")
    done = device.install()
    assert done.returncode == 0, done.stderr
    device.wait_until_healthy()
    yield device
    device.reset()
