"""The real CLI, the lab's plugins and a cloud for each module."""

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.cloud import server
from lab.engine import CHECKOUT, Engine, PluginSource, find_or_build, provide_plugins
from lab.errors import LabError
from lab.report import Report
from lab.state import Lab
from tests.engine.aws import Cloud
from tests.engine.stack import Stack

# The tier runs with the stand-ins; whoever has the vendor's plugins can run it with those.
PLUGINS = PluginSource(os.environ.get("PRIVATE_IOT_TEST_PLUGINS", PluginSource.STANDIN))

StackFactory = Callable[..., Stack]


@pytest.fixture(scope="session")
def pulumi() -> Path:
    """The CLI, built when first needed; without Go and without Pulumi there is nothing to run."""
    try:
        return find_or_build(Report())
    except LabError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory, pulumi: Path) -> Lab:
    """A lab whose plugin home every test shares."""
    lab = Lab("engine-tests", tmp_path_factory.mktemp("lab"))
    lab.create()
    engine = Engine(lab, pulumi, "http://127.0.0.1:9")
    provide_plugins(pulumi, engine.home, PLUGINS, Report(), environment=engine.environment())
    return lab


@contextlib.contextmanager
def _running_cloud(directory: Path) -> Iterator[Cloud]:
    started = server.start(directory)
    try:
        yield Cloud(started.url)
    finally:
        server.stop(directory)


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """An empty cloud for the module."""
    with _running_cloud(tmp_path_factory.mktemp("cloud")) as cloud:
        yield cloud


@pytest.fixture
def own_cloud(tmp_path: Path) -> Iterator[Cloud]:
    """An empty cloud for the test, which may leave it in any state."""
    with _running_cloud(tmp_path / "cloud") as cloud:
        yield cloud


@pytest.fixture(scope="session")
def new_stack(tmp_path_factory: pytest.TempPathFactory, pulumi: Path, lab: Lab) -> StackFactory:
    """Make a stack with a state of its own in a cloud."""

    def make(
        cloud: Cloud, name: str = "lab", *, project: Path = CHECKOUT, config: dict[str, Any] | None = None
    ) -> Stack:
        directory = tmp_path_factory.mktemp(f"stack-{name}")
        backend = directory / "state"
        backend.mkdir()
        engine = Engine(lab, pulumi, cloud.url, backend=backend)
        stack = Stack(engine, directory, project, name, {"aws:region": engine.region, **(config or {})})
        stack.initialise()
        return stack

    return make
