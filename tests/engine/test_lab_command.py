"""`python -m lab` as a newcomer types it, in a home whose AWS and Pulumi files are poisoned.

Cannot prove what the vendor's plugins read: the tier runs with the stand-ins unless PRIVATE_IOT_TEST_PLUGINS says else.
"""

import json
import os
import pwd
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.engine import CHECKOUT
from tests.engine.conftest import PLUGINS

pytestmark = pytest.mark.engine

TIMEOUT = 240.0

# Whoever reads one of these fails on it: none is well-formed.
POISON = {
    ".aws/config": "[default\nregion = {{{\n",
    ".aws/credentials": "[default\naws_access_key_id\n",
    ".pulumi/credentials.json": "{poison",
    ".pulumi/config.json": "{poison",
    ".pulumi/workspaces/private-iot-poison-workspace.json": "{poison",
    ".pulumi/plugins/resource-aws-v7.51.1/pulumi-resource-aws": '#!/bin/sh\ntouch "$HOME/poison-ran"\nexit 1\n',
}


class Newcomer:
    """A person at a shell of their own."""

    def __init__(self, home: Path, pulumi: Path) -> None:
        self.home = home
        self.environment = {
            "HOME": str(home),
            "PATH": os.pathsep.join((str(pulumi.parent), os.environ["PATH"])),
            "XDG_STATE_HOME": str(home / "state"),
            "LANG": "C.UTF-8",
            "AWS_PROFILE": "production",
            "PULUMI_ACCESS_TOKEN": "pul-0123456789abcdef",
        }

    def lab(self, *arguments: str, expect: int = 0) -> subprocess.CompletedProcess[str]:
        ended = subprocess.run(
            [sys.executable, "-m", "lab", *arguments],
            cwd=CHECKOUT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
        assert ended.returncode == expect, ended.stdout + ended.stderr
        return ended

    def shell(self, script: str, *, lab: str = "default", expect: int = 0) -> str:
        """Run a script in the shell that the lab's environment makes; return its standard output."""
        ended = subprocess.run(
            ["sh", "-euc", f'eval "$({sys.executable} -m lab env --lab {lab})"\n{script}'],
            cwd=CHECKOUT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
        assert ended.returncode == expect, ended.stdout + ended.stderr
        return ended.stdout


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory: pytest.TempPathFactory, pulumi: Path) -> Iterator[Newcomer]:
    home = tmp_path_factory.mktemp("home")
    for name, text in POISON.items():
        file = home / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(0o700)
    newcomer = Newcomer(home, pulumi)
    yield newcomer
    for name in ("default", "second"):
        newcomer.lab("down", "--lab", name)


def _contents(home: Path) -> dict[str, bytes]:
    files = (each for each in home.rglob("*") if each.is_file() and "state" not in each.relative_to(home).parts)
    return {str(each.relative_to(home)): each.read_bytes() for each in files}


def _pulumi_home_of_the_account() -> dict[str, float]:
    """Return what the real user has: Pulumi looks the home up by the user's number, whatever HOME says."""
    home = Path(pwd.getpwuid(os.getuid()).pw_dir) / ".pulumi"
    return {str(each): each.stat().st_mtime for each in (home, *home.rglob("*")) if each.exists()}


def _project_files() -> dict[str, bytes]:
    return {each.name: each.read_bytes() for each in CHECKOUT.glob("Pulumi*.yaml")}


def test_before_the_first_up_the_status_says_so_and_env_names_the_remedy(newcomer: Newcomer) -> None:
    status = json.loads(newcomer.lab("status", "--json", "--lab", "absent", expect=3).stdout)
    assert status["cloud"] == {"running": False, "url": None, "pid": None}
    refused = newcomer.lab("env", "--lab", "absent", expect=1)
    assert "`python -m lab up --only cloud` starts it" in refused.stderr
    assert refused.stdout == ""


def test_without_the_labs_environment_the_poison_is_read(newcomer: Newcomer) -> None:
    """The counter-proof for the next test."""
    script = "import boto3; boto3.client('sts', region_name='ap-northeast-1')"
    ended = subprocess.run(
        [sys.executable, "-c", script],
        env={"HOME": str(newcomer.home)},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert "ConfigParseError" in ended.stderr


def test_plain_pulumi_brings_the_stack_up_shows_no_change_and_takes_it_down(newcomer: Newcomer) -> None:
    """The whole of the README's lab, with what it must not touch watched."""
    home, files, account = _contents(newcomer.home), _project_files(), _pulumi_home_of_the_account()
    newcomer.lab("up", "--only", "cloud", "--plugins", PLUGINS.value)
    newcomer.shell("pulumi up --stack lab --yes --non-interactive")
    newcomer.shell("pulumi preview --stack lab --non-interactive --expect-no-changes")
    status: dict[str, Any] = json.loads(newcomer.lab("status", "--json").stdout)
    assert status["cloud"]["running"]
    assert status["engine"]["plugins"] == PLUGINS.value
    assert status["engine"]["resources"] > 10
    count = "import boto3; print(len(boto3.client('ec2').describe_client_vpn_endpoints()['ClientVpnEndpoints']))"
    assert newcomer.shell(f'python -c "{count}"').strip() == "1"
    newcomer.shell("pulumi state unprotect --all --yes --stack lab --non-interactive")
    newcomer.shell("pulumi destroy --stack lab --yes --non-interactive")
    assert json.loads(newcomer.lab("status", "--json").stdout)["engine"]["resources"] == 0
    assert _contents(newcomer.home) == home
    assert _pulumi_home_of_the_account() == account
    assert _project_files() == files


def test_up_only_engine_brings_the_program_up_by_itself_and_a_second_time_changes_nothing(newcomer: Newcomer) -> None:
    newcomer.lab("up", "--only", "engine", "--plugins", PLUGINS.value, "--lab", "second")
    before = newcomer.shell("pulumi stack export --stack lab", lab="second")
    newcomer.lab("up", "--only", "engine", "--plugins", PLUGINS.value, "--lab", "second")
    after = newcomer.shell("pulumi stack export --stack lab", lab="second")
    assert _identifiers(before) == _identifiers(after)


def _identifiers(export: str) -> dict[str, str]:
    return {each["urn"]: each.get("id", "") for each in json.loads(export)["deployment"]["resources"]}


def test_two_labs_live_side_by_side_and_the_one_goes_without_the_other(newcomer: Newcomer) -> None:
    newcomer.lab("up", "--only", "cloud", "--plugins", PLUGINS.value)
    newcomer.lab("up", "--only", "cloud", "--plugins", PLUGINS.value, "--lab", "second")
    first, second = (json.loads(newcomer.lab("status", "--json", "--lab", lab).stdout) for lab in ("default", "second"))
    assert first["cloud"]["url"] != second["cloud"]["url"]
    newcomer.lab("down", "--lab", "second")
    assert not Path(second["directory"]).exists()
    assert json.loads(newcomer.lab("status", "--json").stdout)["cloud"] == first["cloud"]
    newcomer.lab("down")
    assert not Path(first["directory"]).exists()
    newcomer.lab("down")


def test_a_cloud_that_died_takes_the_stacks_state_with_it(newcomer: Newcomer) -> None:
    newcomer.lab("up", "--only", "engine", "--plugins", PLUGINS.value)
    status = json.loads(newcomer.lab("status", "--json").stdout)
    os.kill(status["cloud"]["pid"], 9)
    said = newcomer.lab("up", "--only", "cloud", "--plugins", PLUGINS.value).stderr
    assert "the stack's state is dropped" in said
    assert (
        newcomer.shell("pulumi stack export --stack lab | python -c 'import json, sys; d = json.load(sys.stdin)'") == ""
    )
    assert json.loads(newcomer.lab("status", "--json").stdout)["engine"]["resources"] in {0, None}
