"""The package as it is shipped: what the wheel holds, and the example against the installed wheel.

Cannot prove that the dependencies can be had: the wheel is installed without them, beside those of this environment.
"""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SOURCE = ROOT / "components" / "private_iot"
EXAMPLE = ROOT / "examples" / "import_components"
RUN_EXAMPLE = """
import gc
gc.disable()  # as tests/conftest.py does, for the SDK's modules
import sys, pytest, private_iot
print(private_iot.__file__)
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", "-W", "error", "test_import_components.py"]))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy without anything that a build leaves behind."""
    folder = tmp_path_factory.mktemp("wheel")
    copy = shutil.copytree(ROOT / "components", folder / "components", ignore=shutil.ignore_patterns("__pycache__"))
    # The build backend alone: pip asks it three times, in a process each.
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder], cwd=copy, check=True)
    [built] = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the installed wheel and nothing else."""
    target = tmp_path_factory.mktemp("installed")
    options = ("--target", target, "--no-deps", "--no-index", "--disable-pip-version-check")
    subprocess.run([sys.executable, "-m", "pip", "install", *options, wheel], check=True, capture_output=True)
    return target


def test_the_wheel_holds_every_module_and_the_type_marker_and_nothing_else(wheel: Path) -> None:
    modules = {f"private_iot/{path.name}" for path in SOURCE.glob("*.py")}
    assert len(modules) > 10
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert held == modules | {"private_iot/py.typed"}


def test_the_wheel_asks_for_what_the_documentation_gives_a_reason_for_and_nothing_else(wheel: Path) -> None:
    [name] = [name for name in zipfile.ZipFile(wheel).namelist() if name.endswith("/METADATA")]
    text = zipfile.ZipFile(wheel).read(name).decode()
    required = [line.split()[1] for line in text.splitlines() if line.startswith("Requires-Dist:")]
    packages = {re.split("[<>]", requirement)[0] for requirement in required}
    assert packages == {"boto3", "cryptography", "pulumi", "pulumi-aws", "pulumi-tls"}
    assert metadata.version("private-iot") in text


def test_the_example_runs_against_the_installed_wheel(installed: Path, tmp_path: Path) -> None:
    project = shutil.copytree(EXAMPLE, tmp_path / "project", ignore=shutil.ignore_patterns("__pycache__", ".venv"))
    done = subprocess.run(
        [sys.executable, "-c", RUN_EXAMPLE],
        cwd=project,
        env={
            **os.environ,
            "PYTHONPATH": str(installed),
            "PYTHONDONTWRITEBYTECODE": "1",
            # The plugins of this environment cost half of the time, and the example asks for none.
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert Path(done.stdout.splitlines()[0]) == installed / "private_iot" / "__init__.py"
    assert "3 passed" in done.stdout
