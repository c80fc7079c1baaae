"""Where a lab keeps its files. Cannot prove what a full disk or a network file system does."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.errors import LabError
from lab.state import Lab, cache_home, write_file

CHECKOUT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def _own_state_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("PRIVATE_IOT_LAB", raising=False)


def test_a_lab_lives_below_the_state_home_under_its_name(tmp_path: Path) -> None:
    assert Lab.named("blue").directory == tmp_path / "state" / "private-iot" / "labs" / "blue"


def test_the_name_comes_from_the_option_then_the_environment_then_the_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert Lab.named().name == "default"
    monkeypatch.setenv("PRIVATE_IOT_LAB", "green")
    assert Lab.named().name == "green"
    assert Lab.named("blue").name == "blue"


@given(st.text(min_size=1) | st.text("abz09-", min_size=1, max_size=40))
def test_a_name_is_refused_or_is_one_plain_path_component(name: str) -> None:
    if set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-") and len(name) <= 32 and name.strip("-") == name:
        lab = Lab.named(name)
        assert (lab.directory.parent.name, lab.directory.name) == ("labs", name)
    else:
        with pytest.raises(LabError) as refused:
            Lab.named(name)
        assert repr(name) in str(refused.value)


def test_a_relative_xdg_directory_is_ignored_as_the_specification_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_home() == tmp_path / ".cache" / "private-iot"


def test_a_new_lab_is_readable_by_its_owner_alone() -> None:
    lab = Lab.named("blue")
    lab.create()
    lab.create()
    assert Lab.named("blue").exists
    assert not Lab.named("green").exists
    for directory in (lab.directory, lab.cloud_directory, lab.engine_directory, lab.path_directory):
        assert directory.stat().st_mode & 0o777 == 0o700


def test_a_directory_that_is_not_a_lab_is_neither_used_nor_removed() -> None:
    lab = Lab.named("blue")
    lab.directory.mkdir(parents=True)
    precious = lab.directory / "thesis.txt"
    precious.write_text("years of work")
    with pytest.raises(LabError, match="is not empty and not a lab"):
        lab.create()
    with pytest.raises(LabError, match="left alone"):
        lab.remove()
    assert precious.read_text() == "years of work"


def test_a_directory_of_another_lab_is_not_removed() -> None:
    blue = Lab.named("blue")
    blue.create()
    with pytest.raises(LabError, match="says that it is lab 'blue', not 'green'"):
        Lab("green", blue.directory).remove()
    assert blue.exists


def test_removing_a_lab_leaves_its_neighbour() -> None:
    blue, green = Lab.named("blue"), Lab.named("green")
    blue.create()
    green.create()
    blue.remove()
    assert not blue.directory.exists()
    assert green.exists


TRY_TO_LOCK = """
from lab.errors import LabError
from lab.state import Lab
try:
    with Lab.named("blue").locked():
        print("locked")
except LabError as error:
    print(error)
"""


def try_to_lock() -> str:
    command = [sys.executable, "-c", TRY_TO_LOCK]
    return subprocess.run(command, cwd=CHECKOUT, check=True, capture_output=True, text=True, timeout=60).stdout


def test_a_second_process_cannot_change_a_lab_at_the_same_time() -> None:
    lab = Lab.named("blue")
    lab.create()
    with lab.locked():
        assert "is being changed by another process" in try_to_lock()
    assert try_to_lock() == "locked\n"


def test_a_file_that_cannot_be_written_leaves_the_old_one_and_no_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    write_file(file, "old")

    def fail(_descriptor: int) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="no space left"):
        write_file(file, "new")
    assert file.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["file"]
    assert file.stat().st_mode & 0o777 == 0o600
