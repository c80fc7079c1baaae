"""Fixtures: the lab, the package, and machines in the lab. What the machine that runs the tests lacks fails them."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.device.home_network import HomeNetwork
from tests.device.image import image
from tests.device.machine import Machine, words_of
from tests.device.pi import Pi, readme_commands
from tests.path.agent.house import House, running_house

PROJECT = Path(__file__).parents[2]
RELEASES = [pytest.param(13, id="debian-13"), pytest.param(12, id="debian-12", marks=pytest.mark.slow)]


@pytest.fixture(scope="session")
def house() -> Iterator[House]:
    """A lab that runs."""
    with running_house() as running:
        yield running


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The agent's Debian package for this machine's architecture."""
    return build_package(tmp_path_factory.mktemp("package"))


def build_package(folder: Path, *options: str) -> Path:
    """Build the package as `make deb` does."""
    done = subprocess.run(
        [PROJECT / "packaging/build-deb", *options, folder], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.splitlines()[-1])


@pytest.fixture(scope="session", params=RELEASES)
def pi(request: pytest.FixtureRequest, house: House, package: Path) -> Iterator[Pi]:
    """A fresh Debian on which the README's commands were run, with its bundle; each test leaves it as it was."""
    network = HomeNetwork(house.lab, "pi-1")
    machine = Machine(image(request.param), network, files={package.name: package})
    try:
        network.serve_dhcp()
        machine.boot()
        made = Pi(house, machine, "pi-1")
        (command,) = readme_commands(r"sudo apt install \./private-iot-agent_")
        machine.shell("cd /home/pi && tar xf /dev/vdb && chown -R pi: .")
        run_as_pi(machine, command.replace("arm64", "amd64").replace("apt install", "apt install --yes"))
        made.before = made.snapshot()
        done = made.install()
        assert done.returncode == 0, words_of(done)
        yield made
    finally:
        machine.close()
        network.close()


def run_as_pi(machine: Machine, command: str, *, timeout: float = 600) -> str:
    """Run a command of the README as the device's ordinary user."""
    done = machine.run("runuser", "-l", "pi", "-c", command, timeout=timeout)
    assert done.returncode == 0, words_of(done)
    return done.stdout
