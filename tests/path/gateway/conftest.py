"""Fixtures: one gateway for the module's tests, and ways to reach it by the endpoint's name."""

import shutil
from collections.abc import Iterator

import pytest

from tests.path.gateway.stack import Stack, Tunnel, running_stack


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A running gateway before a running mosquitto."""
    assert shutil.which("mosquitto"), "mosquitto is not installed: tools/install-system-packages brings it"
    with running_stack(tmp_path_factory.mktemp("gateway")) as running:
        yield running


@pytest.fixture(scope="module")
def private_way(stack: Stack) -> Iterator[Tunnel]:
    """The endpoint's name leads to the interface endpoint."""
    tunnel = Tunnel(stack.endpoint)
    yield tunnel
    tunnel.close()


@pytest.fixture(scope="module")
def public_way(stack: Stack) -> Iterator[Tunnel]:
    """The endpoint's name leads to the public address."""
    tunnel = Tunnel(stack.public)
    yield tunnel
    tunnel.close()
