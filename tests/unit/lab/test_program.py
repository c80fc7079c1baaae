"""Which Pulumi program a lab runs, and the file that lets it. That Pulumi takes the file, the path tier shows."""

from pathlib import Path

import pytest
import yaml

from lab.__main__ import main
from lab.engine.program import CHECKOUT, Program
from lab.errors import LabError
from lab.state import Lab


@pytest.fixture
def project(tmp_path: Path) -> Path:
    directory = tmp_path / "project"
    directory.mkdir()
    (directory / "Pulumi.yaml").write_text("name: orchard\nruntime: python\n")
    return directory


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    made = Lab("one", tmp_path / "lab")
    made.create()
    return made


def init(project: Path, *more: str) -> int:
    return main(["init", str(project), *more])


def test_without_a_word_it_is_this_projects_own_program() -> None:
    assert Program() == Program.of(CHECKOUT)
    Program().require_stack_file()


def test_init_writes_a_stack_that_the_lab_takes(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert init(project, "--region", "eu-central-1") == 0
    assert capsys.readouterr().out == f"{project}/Pulumi.lab.yaml\n"
    program = Program.of(project)
    program.require_stack_file()
    assert (program.project, program.stack, program.region) == ("orchard", "lab", "eu-central-1")
    assert Program.of(project, region="us-east-1").region == "us-east-1"


def test_init_takes_the_settings_of_another_stack_over_and_leaves_its_secrets(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = {"aws:region": "eu-west-1", "orchard:trees": 5, "orchard:password": {"secure": "v1:AAAA"}}
    (project / "Pulumi.dev.yaml").write_text(yaml.safe_dump({"encryptionsalt": "v1:other", "config": config}))
    assert init(project, "--like", "dev", "--stack", "trial") == 0
    assert Program.of(project, stack="trial").configuration() == {"orchard:trees": 5, "aws:region": "eu-west-1"}
    assert "v1:" not in (project / "Pulumi.trial.yaml").read_text().replace("v1:q4JCDdjzox8=:v1:ll", "")
    assert "orchard:password is a secret of stack dev: left out" in capsys.readouterr().err


def test_init_leaves_a_file_alone(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "Pulumi.lab.yaml").write_text("config: {}\n")
    assert init(project) == 1
    assert (project / "Pulumi.lab.yaml").read_text() == "config: {}\n"
    assert f"{project}/Pulumi.lab.yaml is there already: it is left alone" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--region", "frankfurt"], "Region 'frankfurt' has no Region's form"),
        (["--stack", "a/b"], "stack 'a/b': use 1 to 100 letters"),
        (["--stack", "../x"], "stack '../x': use 1 to 100 letters"),
    ],
)
def test_init_refuses_names_that_cannot_be_ones(
    project: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    assert init(project, *words) == 1
    assert said in capsys.readouterr().err
    assert [file.name for file in project.iterdir()] == ["Pulumi.yaml"]


def test_a_folder_without_a_project_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert init(tmp_path) == 1
    assert f"{tmp_path} has no Pulumi.yaml: name the folder of a Pulumi project" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["- a\n", "a: [\n", "'"])
def test_a_file_that_is_no_mapping_is_refused(project: Path, text: str) -> None:
    (project / "Pulumi.lab.yaml").write_text(text)
    with pytest.raises(LabError, match=r"Pulumi\.lab\.yaml"):
        Program.of(project)


def test_a_stack_without_a_file_is_refused_with_the_command_that_writes_it(project: Path) -> None:
    with pytest.raises(LabError, match=rf"`python -m lab init {project} --stack trial` writes it"):
        Program.of(project, stack="trial").require_stack_file()


def test_a_stack_with_another_passphrase_is_refused(project: Path) -> None:
    (project / "Pulumi.dev.yaml").write_text("encryptionsalt: v1:other\n")
    with pytest.raises(LabError, match=r"Pulumi\.dev\.yaml is not a lab's stack"):
        Program.of(project, stack="dev").require_stack_file()


def test_up_refuses_before_anything_is_made(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert main(["up", "--program", str(project), "--only", "cloud"]) == 1
    assert f"`python -m lab init {project}` writes it" in capsys.readouterr().err
    assert not (tmp_path / "state").exists()


def test_a_lab_keeps_its_program(project: Path, lab: Lab) -> None:
    assert Program.remembered(lab) is None
    program = Program.of(project, region="eu-central-1")
    program.remember(lab)
    program.remember(lab)
    assert Program.remembered(lab) == program
    with pytest.raises(LabError, match="take another --lab NAME"):
        Program().remember(lab)
    assert Program.remembered(lab) == program


def test_the_projects_own_python_is_used_where_it_is_there(project: Path) -> None:
    (project / "Pulumi.yaml").write_text("name: orchard\nruntime: {name: python, options: {virtualenv: venv}}\n")
    assert Program.of(project).executables is None
    with pytest.raises(LabError, match=rf"`pulumi install --cwd {project}`, or take the lab's own"):
        Program.of(project).require_environment()
    (project / "venv/bin").mkdir(parents=True)
    (project / "venv/bin/python").touch()
    assert Program.of(project).executables == project / "venv/bin"
    Program.of(project).require_environment()
