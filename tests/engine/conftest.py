"""The real CLI, the lab's plugins and a cloud for each module."""

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lab.engine import CHECKOUT, Engine, PluginSource, find_or_build, provide_plugins
from lab.errors import LabError
from lab.report import Report
from lab.state import Lab
from tests.engine.aws import Cloud
from tests.engine.stack import Stack
from tests.warm import shared
from tests.warm.shared import pytest_configure
from tests.warm.toolchain import WarmEngine, warm_cli, warm_cloud, warm_plugins

# The tier runs with the stand-ins; whoever has the vendor's plugins can run it with those.
PLUGINS = PluginSource(os.environ.get("PRIVATE_IOT_TEST_PLUGINS", PluginSource.STANDIN))

# pytest looks for its hooks here.
__all__ = ["pytest_configure"]
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


def _lab(directory: Path, pulumi: Path) -> Lab:
    lab = Lab("engine-tests", directory)
    lab.create()
    engine = Engine(lab, pulumi, "http://127.0.0.1:9")
    provide_plugins(pulumi, engine.home, PLUGINS, Report(), environment=engine.environment())
    return lab


@pytest.fixture(scope="session")
def python() -> Path:
    """What starts a Python warm."""
    return shared.python()


@pytest.fixture(scope="session")
def warm_engine(tmp_path_factory: pytest.TempPathFactory, pulumi: Path, python: Path) -> Engine:
    """Pulumi whose Python processes start warm, with a plugin home that every test shares."""
    lab = _lab(tmp_path_factory.mktemp("lab"), pulumi)
    engine = WarmEngine(lab, warm_cli(pulumi, python, tmp_path_factory.mktemp("bin")), "", python=python)
    warm_plugins(engine.home, python)
    return engine


@pytest.fixture(scope="session")
def cold_engine(tmp_path_factory: pytest.TempPathFactory, pulumi: Path) -> Engine:
    """Pulumi as a user has it, for tests of how its processes start and are killed."""
    return Engine(_lab(tmp_path_factory.mktemp("lab"), pulumi), pulumi, "")


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory, python: Path) -> Iterator[Cloud]:
    """An empty cloud for the module."""
    with warm_cloud(tmp_path_factory.mktemp("cloud"), python) as started:
        yield Cloud(started.url)


@pytest.fixture
def own_cloud(tmp_path: Path, python: Path) -> Iterator[Cloud]:
    """An empty cloud for the test, which may leave it in any state."""
    with warm_cloud(tmp_path / "cloud", python) as started:
        yield Cloud(started.url)


@pytest.fixture(scope="session")
def new_stack(tmp_path_factory: pytest.TempPathFactory, warm_engine: Engine) -> StackFactory:
    """Make a stack with a state of its own in a cloud."""

    def make(
        cloud: Cloud,
        name: str = "lab",
        *,
        project: Path = CHECKOUT,
        config: dict[str, Any] | None = None,
    ) -> Stack:
        directory = tmp_path_factory.mktemp(f"stack-{name}")
        backend = directory / "state"
        backend.mkdir()
        engine = replace(warm_engine, url=cloud.url, backend=backend)
        stack = Stack(engine, directory, project, name, {"aws:region": engine.region, **(config or {})})
        stack.initialise()
        return stack

    return make
