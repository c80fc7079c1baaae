"""The README's second way, pipx, on a fresh Debian that has only what the README's own lines bring.

It cannot prove the Python index: the machine has no internet, and pip finds the same wheels in a folder.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.device.conftest import PROJECT, RELEASES, run_as_pi
from tests.device.home_network import HomeNetwork
from tests.device.image import image
from tests.device.machine import Machine, words_of
from tests.device.pi import Pi, readme_commands
from tests.path.agent.house import House

pytestmark = [pytest.mark.device, pytest.mark.slow, pytest.mark.timeout(2400)]

_WHEELS = ("awscrt", "awsiotsdk", "hatchling", "packaging", "pathspec", "pluggy", "tomlkit", "trove-classifiers")
"""What the agent depends on, and what builds it: as requirements/development.txt pins them."""
_PIPX_OWN = "wheel==0.45.1"
"""What pipx 1.1 puts beside pip and setuptools, which Debian itself has in /usr/share/python-wheels."""


def download_wheels(folder: Path) -> None:
    """Download the wheels for Python 3.11 and later on amd64."""
    wanted, lines = False, []
    for line in (PROJECT / "requirements/development.txt").read_text(encoding="utf-8").splitlines():
        if line[:1].isalpha():
            wanted = line.partition("==")[0] in _WHEELS
        lines += [line] * wanted
    requirements = folder.parent / "wheels.txt"
    requirements.write_text("\n".join(lines) + "\n", encoding="utf-8")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "download", "--no-deps"]
    target = [
        *("--only-binary=:all:", "--implementation=cp", "--python-version=3.11", "--abi=abi3", "--abi=none"),
        *("--platform=manylinux2014_x86_64", "--platform=manylinux_2_17_x86_64", f"--dest={folder}"),
    ]
    subprocess.run([*pip, *target, "--require-hashes", f"--requirement={requirements}"], check=True)
    subprocess.run([*pip, *target, _PIPX_OWN], check=True)


@pytest.fixture(scope="module", params=RELEASES)
def fresh(request: pytest.FixtureRequest, house: House, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pi]:
    wheels = tmp_path_factory.mktemp("pipx") / "wheels"
    download_wheels(wheels)
    network = HomeNetwork(house.lab, "pi-2")
    machine = Machine(image(request.param), network, files={"device_agent": PROJECT / "device_agent", "wheels": wheels})
    try:
        network.serve_dhcp()
        machine.wake()
        machine.shell(
            "cd /home/pi && tar xf /dev/vdb && chown -R pi: . && printf '[global]\\nno-index = true\\n"
            "find-links = /home/pi/wheels /usr/share/python-wheels\\n' >/etc/pip.conf"
        )
        yield Pi(house, machine, "pi-2")
    finally:
        machine.close()
        network.close()


def test_the_readmes_lines_for_pipx_lead_to_a_healthy_path(fresh: Pi) -> None:
    (packages,) = readme_commands("sudo apt install openvpn ")
    (restart,) = readme_commands("sudo systemctl restart systemd-resolved$")
    (pipx,) = readme_commands("sudo env PIPX_HOME=")
    run_as_pi(fresh.machine, packages.replace("apt install", "apt install --yes"))
    assert fresh.machine.run("resolvectl", "status").returncode != 0, "Debian's packages need no restart any more"
    run_as_pi(fresh.machine, restart)
    assert fresh.machine.run("resolvectl", "status").returncode == 0
    run_as_pi(fresh.machine, pipx, timeout=1200)
    done = fresh.install()
    assert done.returncode == 0, words_of(done)
    fresh.wait_until_healthy()
