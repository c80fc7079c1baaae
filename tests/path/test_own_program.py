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

from tests.documented_commands import LAB, PYTEST, block
from tests.example_project import copy_example

pytestmark = pytest.mark.path

CHECKOUT = Path(__file__).resolve().parents[2]
REGION = "eu-central-1"


# A person agrees to the plan.
PULUMI = 'pulumi() { command pulumi "$@" --yes --skip-preview; }'


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return copy_example(tmp_path / "my-project")


def run(document: str, command: str, *, cwd: Path, environment: dict[str, str], **other: str) -> str:
    """Run the block of a document that has a command, as it stands there but for what is called otherwise here."""
    script = "\n".join(["set -euo pipefail", PULUMI, *block(document, command)])
    for named, here in other.items():
        script = script.replace(named, here)
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=cwd,
        env={**os.environ, "PATH": path, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=560,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.timeout(600)
def test_the_documented_test_of_a_program_of_ones_own_passes(project: Path) -> None:
    (example,) = re.findall(r"^```python\n(.*?)^```$", (CHECKOUT / LAB).read_text(), re.MULTILINE | re.DOTALL)
    (project / "test_path.py").write_text(example)
    init = [sys.executable, "-m", "lab", "init", str(project), "--region", REGION]
    subprocess.run(init, cwd=CHECKOUT, check=True, timeout=200)
    (project.parent / "private-iot").symlink_to(CHECKOUT)
    printed = run(LAB, PYTEST, cwd=project.parent, environment={"PYTEST_ADDOPTS": "-q -p no:cacheprovider"})
    assert re.search(rf"^{example.count('def test_')} passed", printed, re.MULTILINE), printed


@pytest.mark.timeout(600)
def test_the_lab_runs_a_program_of_ones_own_and_follows_a_pulumi_up_of_ones_own(project: Path, tmp_path: Path) -> None:
    environment = {"XDG_STATE_HOME": str(tmp_path / "state"), "PRIVATE_IOT_LAB": "own-program"}

    def documented(command: str) -> str:
        names = {"../my-project": str(project), "press-1": "tomatoes"}
        return run(LAB, command, cwd=CHECKOUT, environment=environment, **names)

    def lab(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "lab", *words],
            cwd=CHECKOUT,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    try:
        printed = documented("python -m lab init ../my-project --region eu-central-1")
        assert re.search(r"^default via 192\.168\.\d+\.1 dev wlan0", printed, re.MULTILINE), printed
        assert not list((tmp_path / "state").glob("private-iot/labs/*")), "`down` leaves nothing"
        before = sorted(project.iterdir())
        assert "host tomatoes: added" in documented("python -m lab up --only cloud --program ../my-project")
        assert lab("sync") == "nothing differs\n"
        status = json.loads(lab("status", "--json"))
        assert status["engine"]["program"] == str(project)
        assert status["engine"]["resources"] > 50
        (vpn,) = [hop for hop in status["path"]["hops"] if hop["hop"] == "client-vpn"]
        assert len(vpn["associations"]) == 2
        assert sorted(project.iterdir()) == before, "the lab wrote into the project"
    finally:
        lab("down")
