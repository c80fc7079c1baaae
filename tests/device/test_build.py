"""The agent's Debian package as `make deb` builds it, for both architectures: nothing is installed here."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.device.conftest import PROJECT, build_package

pytestmark = [pytest.mark.device, pytest.mark.timeout(600)]


@pytest.fixture(scope="module", params=["amd64", "arm64"])
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_package(tmp_path_factory.mktemp(request.param), "--architecture", request.param)


def unpack(package: Path, folder: Path) -> Path:
    subprocess.run(["dpkg-deb", "--extract", package, folder], check=True)
    return folder


def test_lintian_finds_no_error(built: Path) -> None:
    done = subprocess.run(
        ["lintian", "--allow-root", "--fail-on=error", "--tag-display-limit=0", built],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "E:" not in done.stdout


def test_the_library_is_of_the_packages_architecture(built: Path, tmp_path: Path) -> None:
    (library,) = unpack(built, tmp_path).glob("opt/private-iot-agent/lib/python3/site-packages/_awscrt*.so")
    # e_machine of an ELF file, System V ABI: 62 is x86-64, 183 AArch64.
    machine = int.from_bytes(library.read_bytes()[18:20], "little")
    assert machine == {"amd64": 62, "arm64": 183}[built.stem.rsplit("_", 1)[1]]


def test_all_of_the_agent_imports_from_the_package_alone(tmp_path: Path) -> None:
    tree = unpack(build_package(tmp_path, "--architecture", "amd64"), tmp_path / "tree")
    site = tree / "opt/private-iot-agent/lib/python3/site-packages"
    names = [
        ".".join(path.relative_to(site).with_suffix("").parts)
        for path in (site / "device_agent").rglob("*.py")
        if path.name != "__init__.py"
    ]
    assert len(names) > 50
    program = (
        "import importlib, sys\nsys.path.append(sys.argv[1])\nfor name in sys.argv[2:]: importlib.import_module(name)"
    )
    subprocess.run([sys.executable, "-I", "-S", "-c", program, site, *names], check=True)


def test_nothing_in_it_names_the_machine_that_built_it(built: Path, tmp_path: Path) -> None:
    tree = unpack(built, tmp_path)
    files = [path for path in tree.rglob("*") if path.is_file() and not path.is_symlink() and path.suffix != ".so"]
    assert len(files) > 50
    assert [path for path in files if str(PROJECT).encode() in path.read_bytes()] == []


def test_all_is_roots_and_nobody_else_may_write(built: Path) -> None:
    listing = subprocess.run(["dpkg-deb", "--contents", built], capture_output=True, text=True, check=True).stdout
    for line in listing.splitlines():
        mode, owner = line.split()[:2]
        assert owner == "root/root", line
        assert mode.startswith("l") or (mode[5], mode[8]) == ("-", "-"), line


def test_a_32_bit_system_gets_one_line_with_the_remedy(tmp_path: Path) -> None:
    done = subprocess.run(
        [PROJECT / "packaging/build-deb", "--architecture", "armhf", tmp_path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "Raspberry Pi OS (64-bit)" in done.stderr
    assert list(tmp_path.iterdir()) == []
