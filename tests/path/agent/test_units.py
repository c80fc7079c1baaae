"""systemd's own judgement of the units that install writes: each line known and well-formed, the service well closed.

It cannot prove that the sandbox holds, or that the agent works in it: no test here runs systemd as process number 1.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest
from device_agent.install.restart_unit import restart_unit
from device_agent.install.units import agent_unit, neighbour_unit, openvpn_drop_in
from device_agent.installation import (
    AGENT_SERVICE,
    NEIGHBOUR_SERVICE,
    NEIGHBOUR_TRIAL_SERVICE,
    OPENVPN_SERVICE,
    RESTART_SERVICE,
    TRIAL_SERVICE,
)

from lab.path.packages import unpacked

pytestmark = pytest.mark.path

MOST_EXPOSURE = 20
"""Tenths, of 100: systemd 252 gives 16, most of it for the network and the local socket that the agent is there for."""
MOST_EXPOSURE_OF_ROOT = 35
"""The same for a service of root with CAP_NET_ADMIN, which sets a route and writes one file of /etc."""
Analyze = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def analyze() -> Analyze:
    """systemd-analyze, installed or out of the distribution's packages; systemd itself is not installed for a test."""
    program = shutil.which("systemd-analyze")
    environment = {**os.environ, "SYSTEMD_COLORS": "0"}
    if program is None:
        program = str(next(unpacked("systemd").glob("**/bin/systemd-analyze")))
        library = next(unpacked("libsystemd-shared").glob("**/libsystemd-shared-*.so"))
        environment["LD_LIBRARY_PATH"] = str(library.parent)

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([str(program), *words], env=environment, capture_output=True, text=True, check=False)

    return run


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """A folder with all that install writes for systemd, and the distribution's own unit of the tunnel."""
    text = agent_unit(python="/usr/bin/python3", vpc_cidr=IPv4Network("10.0.0.0/16"), home=False)
    (tmp_path / AGENT_SERVICE).write_text(text)
    (tmp_path / RESTART_SERVICE).write_text(restart_unit([OPENVPN_SERVICE, AGENT_SERVICE]))
    for name, slot in ((NEIGHBOUR_SERVICE, None), (NEIGHBOUR_TRIAL_SERVICE, "/etc/private-iot/slots/b")):
        gateways = [IPv4Address("192.168.1.10"), IPv4Address("192.168.1.11")]
        (tmp_path / name).write_text(neighbour_unit(python="/usr/bin/python3", gateways=gateways, slot=slot))
    template = next(
        path
        for folder in ("/usr/lib", "/lib")
        if (path := Path(folder, "systemd/system/openvpn-client@.service")).is_file()
    )
    for name in (OPENVPN_SERVICE, TRIAL_SERVICE):
        shutil.copy(template, tmp_path / name)
    drop_in = tmp_path / f"{OPENVPN_SERVICE}.d/private-iot.conf"
    drop_in.parent.mkdir()
    drop_in.write_text(openvpn_drop_in())
    return tmp_path


@pytest.mark.parametrize(
    "unit", [AGENT_SERVICE, RESTART_SERVICE, OPENVPN_SERVICE, NEIGHBOUR_SERVICE, NEIGHBOUR_TRIAL_SERVICE]
)
def test_systemd_knows_every_line_of_the_units(analyze: Analyze, units: Path, unit: str) -> None:
    done = analyze("verify", "--man=no", str(units / unit))
    complaints = [line for line in (done.stdout + done.stderr).splitlines() if str(units) in line or unit in line]
    assert (done.returncode, complaints) == (0, [])


def test_a_line_that_systemd_does_not_know_would_be_found(analyze: Analyze, units: Path) -> None:
    unit = units / AGENT_SERVICE
    unit.write_text(unit.read_text().replace("ProtectSystem=strict", "ProtectSystems=strict"))
    assert "ProtectSystems" in analyze("verify", "--man=no", str(unit)).stderr


def test_the_agents_service_is_closed_as_far_as_its_task_allows(analyze: Analyze, units: Path) -> None:
    words = ("security", "--offline=true", "--no-pager", f"--threshold={MOST_EXPOSURE}")
    done = analyze(*words, str(units / AGENT_SERVICE))
    assert done.returncode == 0, done.stdout
    unit = units / AGENT_SERVICE
    unit.write_text(unit.read_text().partition("IPAddressDeny=any")[0])
    assert analyze(*words, str(unit)).returncode == 1, "the threshold lets an open service pass"


def test_a_neighbours_service_is_closed_but_for_what_it_sets(analyze: Analyze, units: Path) -> None:
    words = ("security", "--offline=true", "--no-pager", f"--threshold={MOST_EXPOSURE_OF_ROOT}")
    done = analyze(*words, str(units / NEIGHBOUR_SERVICE))
    assert done.returncode == 0, done.stdout
