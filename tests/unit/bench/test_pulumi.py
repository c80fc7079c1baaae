"""A run with a time limit, with a script in Pulumi's place. Cannot prove how the real one ends its plugins."""

import signal
import subprocess
from pathlib import Path

import pytest

from bench import pulumi
from lab.engine import Engine
from lab.state import Lab


def engine(directory: Path, script: str) -> Engine:
    command = directory / "pulumi"
    command.write_text(f"#!/bin/bash\n{script}\n")
    command.chmod(0o755)
    return Engine(Lab("bench", directory / "lab"), command, "http://127.0.0.1:1")


def test_a_run_that_ends_well_has_its_time(tmp_path: Path) -> None:
    outcome = pulumi.run(engine(tmp_path, "exit 0"), ["up"], limit=60, cwd=tmp_path)
    assert outcome.done
    assert not outcome.note


def test_a_run_has_the_variables_that_it_is_given_besides_the_engines(tmp_path: Path) -> None:
    script = '[ "$PULUMI_SKIP_CHECKPOINTS" = true ] && [ -n "$AWS_ENDPOINT_URL" ]'
    variables = {"PULUMI_SKIP_CHECKPOINTS": "true"}
    assert pulumi.run(engine(tmp_path, script), ["up"], limit=60, cwd=tmp_path, variables=variables).done
    assert not pulumi.run(engine(tmp_path, script), ["up"], limit=60, cwd=tmp_path).done


def test_a_run_that_fails_says_what_pulumi_said(tmp_path: Path) -> None:
    script = "echo 'Updating'; echo 'error: no such stack' >&2; exit 255"
    outcome = pulumi.run(engine(tmp_path, script), ["up"], limit=60, cwd=tmp_path)
    assert (outcome.done, outcome.note, outcome.said) == (False, "failed with 255", "error: no such stack")


def test_a_run_over_its_limit_is_stopped_and_said_to_be(tmp_path: Path) -> None:
    outcome = pulumi.run(engine(tmp_path, "exec sleep 300"), ["up"], limit=0.2, cwd=tmp_path)
    assert (outcome.done, outcome.note) == (False, "stopped after 0.2 s")
    assert outcome.peak_bytes


def test_what_is_stopped_takes_its_plugins_along_though_they_have_groups_of_their_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pulumi, "_GRACE", 0.1)
    script = "trap '' INT; set -m; sleep 300 & echo $!; wait"
    with subprocess.Popen(["bash", "-c", script], stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout is not None
        plugin = Path(f"/proc/{int(process.stdout.readline())}/stat")
        assert plugin.exists()
        pulumi._stop(process)
    assert process.returncode == -signal.SIGKILL
    # A process that has ended stays as a zombie until whoever inherited it looks.
    assert not plugin.exists() or plugin.read_text().rpartition(")")[2].split()[0] == "Z"
