"""The lab for a program of one's own: the documented example, run as it stands, and a network built afterwards.

The program is examples/import_components: another Region by a provider of its own, two zones, TCP.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.example_project import copy_example

pytestmark = pytest.mark.path

CHECKOUT = Path(__file__).resolve().parents[2]
REGION = "eu-central-1"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return copy_example(tmp_path / "greenhouse")


def _run(*argv: str, cwd: Path, environment: dict[str, str], timeout: float = 280) -> str:
    done = subprocess.run(
        argv,
        cwd=cwd,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.timeout(600)
def test_the_documented_test_of_a_program_of_ones_own_passes(project: Path) -> None:
    lab = [sys.executable, "-m", "lab", "init", str(project), "--region", REGION]
    _run(*lab, cwd=CHECKOUT, environment={})
    (example,) = re.findall(r"^```python\n(.*?)^```$", (CHECKOUT / "docs/lab.md").read_text(), re.MULTILINE | re.DOTALL)
    (project / "test_path.py").write_text(example)
    plugin = ("-p", "lab.pytest_plugin", "-p", "no:cacheprovider", "--lab-program", str(project), "-q", "test_path.py")
    printed = _run(
        sys.executable, "-m", "pytest", *plugin, cwd=project, environment={"PYTHONPATH": str(CHECKOUT)}, timeout=560
    )
    assert re.search(rf"^{example.count('def test_')} passed", printed, re.MULTILINE), printed


@pytest.mark.timeout(600)
def test_the_network_follows_a_pulumi_up_of_ones_own(project: Path, tmp_path: Path) -> None:
    environment = {"XDG_STATE_HOME": str(tmp_path / "state"), "PRIVATE_IOT_LAB": "own-program"}

    def lab(*words: str) -> str:
        return _run(sys.executable, "-m", "lab", *words, cwd=CHECKOUT, environment=environment)

    lab("init", str(project), "--region", REGION)
    try:
        lab("up", "--only", "cloud", "--program", str(project))
        before = sorted(project.iterdir())
        line = f'eval "$({sys.executable} -m lab env)" && pulumi up --stack lab --yes --skip-preview --cwd {project}'
        _run("bash", "-euc", line, cwd=CHECKOUT, environment=environment)
        assert "host tomatoes: added" in lab("sync")
        assert lab("sync") == "nothing differs\n"
        status = json.loads(lab("status", "--json"))
        assert status["engine"]["program"] == str(project)
        assert status["engine"]["resources"] > 50
        (vpn,) = [hop for hop in status["path"]["hops"] if hop["hop"] == "client-vpn"]
        assert len(vpn["associations"]) == 2
        assert sorted(project.iterdir()) == before, "the lab wrote into the project"
    finally:
        lab("down")
