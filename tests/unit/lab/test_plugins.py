"""Which plugins a lab gets, with a `pulumi` that only pretends to download.

Cannot prove that the vendor's site answers, nor what its plugins do.
"""

import argparse
import io
import os
from pathlib import Path

import pytest

from lab.commands import up
from lab.engine import plugins
from lab.engine.plugins import PluginSource, provide_plugins, source_of
from lab.errors import LabError
from lab.report import Report

DOWNLOADS = """#!/bin/sh
echo "$4" >> "$LOG"
directory="$PULUMI_HOME/plugins/resource-$4-$5"
mkdir -p "$directory" && touch "$directory/pulumi-resource-$4"
"""
FAILS = """#!/bin/sh
echo "$4" >> "$LOG"
echo "warning: trying again" >&2
echo "error: failed all 5 attempts" >&2
exit 1
"""
HANGS = """#!/bin/sh
echo "$4" >> "$LOG"
sleep 600 &
wait
"""


class Machine:
    def __init__(self, root: Path) -> None:
        self.home = root / "home"
        self.log = root / "log"
        self.pulumi = root / "pulumi"
        self.said = io.StringIO()

    def provide(self, script: str, source: PluginSource) -> None:
        self.pulumi.write_text(script)
        self.pulumi.chmod(0o755)
        environment = {**os.environ, "LOG": str(self.log)}
        provide_plugins(self.pulumi, self.home, source, Report(self.said), environment=environment)

    @property
    def tried(self) -> list[str]:
        return self.log.read_text().split() if self.log.exists() else []


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return Machine(tmp_path)


def plugin(machine: Machine) -> Path:
    return next(machine.home.glob("plugins/resource-aws-v*/pulumi-resource-aws"))


def test_stand_ins_need_no_download_and_are_the_default(machine: Machine) -> None:
    machine.provide(FAILS, PluginSource.STANDIN)
    assert machine.tried == []
    assert "lab.providers aws" in plugin(machine).read_text()
    assert source_of(machine.home) is PluginSource.STANDIN
    parser = argparse.ArgumentParser()
    up.add_arguments(parser)
    assert parser.parse_args([]).plugins == "standin"
    assert sorted(source.value for source in PluginSource) == ["standin", "vendor"]


def test_the_vendors_are_downloaded_once_the_small_one_first(machine: Machine) -> None:
    machine.provide(DOWNLOADS, PluginSource.VENDOR)
    machine.provide(DOWNLOADS, PluginSource.VENDOR)
    assert machine.tried == ["tls", "aws"]
    assert plugin(machine).read_text() == ""
    assert source_of(machine.home) is PluginSource.VENDOR


def test_vendors_that_cannot_be_had_are_an_error_that_names_the_way_without(machine: Machine) -> None:
    with pytest.raises(
        LabError, match=r"failed all 5 attempts; without `--plugins vendor` the lab takes its stand-ins"
    ):
        machine.provide(FAILS, PluginSource.VENDOR)
    assert machine.tried == ["tls"]


def test_a_site_that_never_answers_is_given_up(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins, "_DOWNLOAD_TIMEOUT", 0.1)
    with pytest.raises(LabError, match="no answer within"):
        machine.provide(HANGS, PluginSource.VENDOR)


def test_a_lab_can_change_from_the_vendors_to_the_stand_ins_and_the_vendors_stay_in_the_cache(
    machine: Machine, tmp_path: Path
) -> None:
    machine.provide(DOWNLOADS, PluginSource.VENDOR)
    machine.provide(DOWNLOADS, PluginSource.STANDIN)
    assert "lab.providers aws" in plugin(machine).read_text()
    assert list((tmp_path / "cache").rglob("pulumi-resource-aws")) != []
