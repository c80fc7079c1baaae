"""Fixtures: a gateway with its broker, a device before it, and somebody who listens; and the whole lab."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from tests.path.agent_daemon.loopback import Device, Receiver, running_device
from tests.path.agent_daemon.sandbox import Sandbox, running_sandbox
from tests.path.gateway.stack import Stack, Tunnel, running_stack


@pytest.fixture
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A running gateway before a running mosquitto; tests may stop and start them."""
    assert shutil.which("mosquitto"), "mosquitto is not installed: tools/install-system-packages brings it"
    with running_stack(tmp_path_factory.mktemp("gateway")) as running:
        yield running


@pytest.fixture
def receiver(stack: Stack) -> Iterator[Receiver]:
    """A client that listens to all that the device publishes."""
    way = Tunnel(stack.endpoint)
    listening = Receiver(stack, way)
    yield listening
    listening.close()
    way.close()


@pytest.fixture
def device(stack: Stack) -> Iterator[Device]:
    """A device whose daemon is not started yet."""
    with running_device(stack) as installed:
        yield installed


@pytest.fixture(scope="package")
def sandbox() -> Iterator[Sandbox]:
    """A running lab whose device has the agent installed; each test leaves it connected."""
    with running_sandbox() as built:
        yield built
