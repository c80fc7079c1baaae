"""The environment that a lab gives to Pulumi and to AWS clients. That they heed it is shown in the engine tier."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lab.commands.env import shell_lines
from lab.engine import Engine
from lab.state import Lab

USERS = {
    "PATH": "/usr/bin:/bin",
    "HOME": "/home/somebody",
    "AWS_PROFILE": "production",
    "AWS_SESSION_TOKEN": "token",
    "AWS_WEB_IDENTITY_TOKEN_FILE": "/token",
    "PULUMI_ACCESS_TOKEN": "pul-token",
    "PULUMI_CONFIG_PASSPHRASE_FILE": "/passphrase",
    "NO_PROXY": "intranet.example",
    "LANG": "C.UTF-8",
}


def engine(tmp_path: Path, **inherited: str) -> Engine:
    return Engine(Lab("blue", tmp_path), Path("/opt/pulumi/bin/pulumi"), "http://127.0.0.1:4566", inherited=inherited)


def test_nothing_of_the_users_account_reaches_the_lab(tmp_path: Path) -> None:
    environment = engine(tmp_path, **USERS).environment()
    assert {"AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_WEB_IDENTITY_TOKEN_FILE"}.isdisjoint(environment)
    assert {"PULUMI_ACCESS_TOKEN", "PULUMI_CONFIG_PASSPHRASE_FILE"}.isdisjoint(environment)
    assert environment["AWS_CONFIG_FILE"] == environment["AWS_SHARED_CREDENTIALS_FILE"] == os.devnull
    assert environment["AWS_ENDPOINT_URL"] == "http://127.0.0.1:4566"
    assert environment["PULUMI_HOME"].startswith(str(tmp_path))
    assert environment["PULUMI_BACKEND_URL"].startswith(f"file://{tmp_path}")
    assert environment["LANG"] == "C.UTF-8"


def test_the_virtual_environment_comes_first_on_path_and_the_cli_second(tmp_path: Path) -> None:
    path = engine(tmp_path, **USERS).environment()["PATH"].split(":")
    assert path == [str(Path(sys.executable).parent), "/opt/pulumi/bin", "/usr/bin", "/bin"]


def test_a_proxy_of_the_users_is_not_asked_for_the_loopback_address(tmp_path: Path) -> None:
    assert engine(tmp_path, **USERS).environment()["NO_PROXY"] == "intranet.example,127.0.0.1,localhost"


def test_settings_within_a_labs_shell_are_those_of_the_first_time(tmp_path: Path) -> None:
    first = engine(tmp_path, **USERS).environment()
    assert engine(tmp_path, **first).environment() == first


@pytest.mark.parametrize("directory", ["plain", "with space", "quo'te", "$(touch evil)"])
def test_a_shell_reads_the_printed_lines_as_they_are_meant(tmp_path: Path, directory: str) -> None:
    lines = shell_lines({"PULUMI_HOME": directory, "AWS_PROFILE": None})
    script = f'{lines}\nprintf "%s|%s" "$PULUMI_HOME" "${{AWS_PROFILE-unset}}"'
    environment = {**os.environ, "AWS_PROFILE": "production"}
    said = subprocess.run(
        ["sh", "-c", script], capture_output=True, text=True, timeout=20, check=True, cwd=tmp_path, env=environment
    )
    assert said.stdout == f"{directory}|unset"
    assert not (tmp_path / "evil").exists()
