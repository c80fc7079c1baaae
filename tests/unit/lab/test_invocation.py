"""Commands that the lab tells the user to type are commands that work where the user is."""

import sys
from pathlib import Path

import pytest

from lab.invocation import typed
from lab.state import Lab

DEFAULT = Lab("default", Path("/nowhere/default"))
OTHER = Lab("other", Path("/nowhere/other"))


def interpreter(monkeypatch: pytest.MonkeyPatch, path: Path, search_path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.write_text("")
    path.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(path))
    monkeypatch.setenv("PATH", str(search_path))


def test_an_active_environments_interpreter_is_python(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    interpreter(monkeypatch, tmp_path / "bin/python", tmp_path / "bin")
    assert typed(DEFAULT, "status") == "python -m lab status"


def test_an_environment_below_the_current_directory_is_named_from_here(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    interpreter(monkeypatch, tmp_path / ".venv/bin/python", tmp_path)
    monkeypatch.chdir(tmp_path)
    assert typed(OTHER, "exec", "--", "true") == ".venv/bin/python -m lab exec --lab other -- true"


def test_an_interpreter_elsewhere_is_named_in_full(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    interpreter(monkeypatch, tmp_path / "elsewhere/python3", tmp_path)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert typed(DEFAULT, "status") == f"{tmp_path}/elsewhere/python3 -m lab status"
