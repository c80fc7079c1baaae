"""Fixtures: the lab, the package, and a virtual machine in the lab."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.device.home_network import HomeNetwork
from tests.device.image import Image, image, missing
from tests.device.machine import Machine, words_of
from tests.device.pi import Pi, readme_commands
from tests.path.agent.house import House, running_house

PROJECT = Path(__file__).parents[2]
RELEASES = [pytest.param(13, id="debian-13"), pytest.param(12, id="debian-12", marks=pytest.mark.slow)]


@pytest.fixture(scope="session")
def house() -> Iterator[House]:
    """A lab that runs, on a machine that can carry virtual machines besides."""
    if problems := missing():
        # Continuous integration has to have all of it; elsewhere the other tiers are worth their run.
        (pytest.fail if os.environ.get("CI") else pytest.skip)("; ".join(problems))
    with running_house() as running:
        yield running


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The agent's Debian package for amd64, and two that are the same but for a later version."""
    folder = tmp_path_factory.mktemp("package")
    first = build_package(folder, "--architecture", "amd64")
    return [first, *(_later(first, number) for number in (1, 2))]


def _later(package: Path, number: int) -> Path:
    name, version, rest = package.name.split("_")
    tree = package.parent / f"later-{number}"
    subprocess.run(["dpkg-deb", "--raw-extract", package, tree], check=True)
    control = tree / "DEBIAN/control"
    control.write_text(control.read_text().replace(f"Version: {version}\n", f"Version: {version}+{number}\n"))
    target = package.with_name(f"{name}_{version}+{number}_{rest}")
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "-Zgzip", "--build", tree, target], check=True, capture_output=True
    )
    return target


def build_package(folder: Path, *options: str) -> Path:
    """Build the package as `make deb` does."""
    done = subprocess.run(
        [PROJECT / "packaging/build-deb", *options, folder], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.splitlines()[-1])


@pytest.fixture(scope="session", params=RELEASES)
def disk(request: pytest.FixtureRequest) -> Iterator[Future[Image]]:
    """An image that is made beside whatever else has to be."""
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(image, request.param)


@pytest.fixture(scope="session")
def pi(disk: Future[Image], house: House, packages: list[Path]) -> Iterator[Pi]:
    """A fresh Debian on which the README's commands were run, with its bundle; each test leaves it as it was."""
    network = HomeNetwork(house.lab, "pi-1")
    machine = Machine(disk.result(), network, files={package.name: package for package in packages})
    try:
        network.serve_dhcp()
        machine.wake()
        made = Pi(house, machine, "pi-1")
        install_package(machine, packages[0])
        made.before = made.snapshot()
        done = made.install()
        assert done.returncode == 0, words_of(done)
        yield made
    finally:
        machine.close()
        network.close()


def install_package(machine: Machine, package: Path) -> None:
    """Install the package as the README says."""
    (command,) = readme_commands(r"sudo apt install \./private-iot-agent_")
    machine.shell(f"cd /home/pi && tar xf /dev/vdb {package.name} && chown -R pi: .")
    run_as_pi(machine, command.replace("arm64", "amd64").replace("apt install", "apt install --yes"))


def run_as_pi(machine: Machine, command: str, *, timeout: float = 1000) -> str:
    """Run a command of the README as the device's ordinary user."""
    done = machine.run("runuser", "-l", "pi", "-c", command, timeout=timeout)
    assert done.returncode == 0, words_of(done)
    return done.stdout
