"""The lab of the network tier's own tests: the walk-through made by hand, one for the session."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.path import lifecycle
from lab.path.read import Aws
from lab.report import Report
from lab.state import Lab
from tests.path.path_lab import REGION, Identity, PathLab
from tests.path.walk_through_by_hand import TOPIC_PREFIX, WalkThrough, make
from tests.warm import shared
from tests.warm.shared import pytest_configure
from tests.warm.toolchain import warm_cloud, warm_network

# pytest looks for its hooks here.
__all__ = ["pytest_configure"]


class HandMadeLab(PathLab):
    """A lab whose cloud was filled with boto3."""

    made: WalkThrough


@pytest.fixture(scope="session")
def session_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HandMadeLab]:
    """The lab itself; what the machine lacks fails it, and the error says how to get it."""
    lab = Lab("path-tests", tmp_path_factory.mktemp("path-lab") / "lab")
    lab.create()
    with warm_cloud(lab.cloud_directory, shared.python()) as cloud:
        try:
            aws = Aws(cloud.url, REGION)
            made = make(aws)
            with warm_network(shared.python()):
                lifecycle.up(lab, REGION, aws.url, Report(quiet=True))
            running = HandMadeLab(lab, aws, made.iot_endpoint, made.vpc_endpoint_id, TOPIC_PREFIX)
            running.made = made
            device = made.devices["pi-1"]
            running.give(Identity("pi-1", device.config, device.certificate_pem, device.key_pem))
            yield running
        finally:
            lifecycle.down(lab)
    assert list(Path(lab.path_directory).iterdir()) == []


@pytest.fixture
def path_lab(session_lab: HandMadeLab) -> Iterator[HandMadeLab]:
    """The lab, whole before the test and whole after it: whoever breaks it mends it."""
    yield session_lab
    assert session_lab.sync() == [], "the test left a change that the network had not followed"
    assert {hop["state"] for hop in session_lab.status()["hops"] if hop["hop"] != "device"} == {"up"}
