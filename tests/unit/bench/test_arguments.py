"""The benchmark's command line. Runs no benchmark."""

import json
from pathlib import Path

import pytest

from bench.__main__ import SECTIONS, main, parse
from bench.tables import TABLES


def test_everything_is_measured_where_no_section_is_named() -> None:
    arguments = parse([])
    assert arguments.sections == list(SECTIONS)
    assert arguments.devices == (1, 10, 100, 1000)
    assert arguments.outages == (5.0, 60.0, 600.0)


def test_sections_run_in_their_own_order_and_once() -> None:
    assert parse(["footprint", "lab-up", "footprint"]).sections == ["lab-up", "footprint"]


def test_every_section_has_tables() -> None:
    assert set(TABLES) == set(SECTIONS)


def test_lists_are_sorted_so_that_growth_makes_sense() -> None:
    assert parse(["--devices", "100,1,10,1"]).devices == (1, 10, 100)
    assert parse(["--outages", "60,5.5"]).outages == (5.5, 60.0)


def test_the_rows_of_one_stack_or_of_device_stacks_may_be_left_out() -> None:
    assert parse(["engine", "--devices", "none"]).devices == ()
    assert parse(["engine", "--beside", "none", "--devices", "1"]).beside == ()


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (
            ["engines"],
            "no section is named engines: choose from engine, fleet, lab-up, messages, site, recovery, footprint",
        ),
        (["--devices", "1,x"], "'x': use a whole number from 1 to 1000000"),
        (["--devices", ""], "'': use a whole number"),
        (["--messages", "0"], "'0': use a whole number"),
        (["--outages", "5,-1"], "'-1': use more than 0"),
        (["--limit", "nan"], "'nan': use more than 0"),
        (["--show", "no-such.json"], "there is no such file"),
        (["--json", "no/such/folder/out.json"], "its folder does not exist"),
    ],
)
def test_wrong_arguments_are_refused_by_name(
    argv: list[str], said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        parse(argv)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_the_tables_of_an_earlier_run_are_printed_from_its_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stage = {"stage": "pulumi up", "seconds": 6.0, "share": 0.75}
    memory = {"what": "in all", "bytes": 2**20, "share": 1.0}
    file = tmp_path / "run.json"
    machine = {"cpus": 2, "architecture": "x86_64", "memory_bytes": 2**32, "load_before": 0.5}
    found = {
        "at": "2026-11-24T12:00:00Z",
        "machine": machine,
        "versions": {"python": "3.11.7", "openvpn": None},
        "sections": {"lab-up": {"rows": [stage], "memory": [memory]}},
    }
    file.write_text(json.dumps(found))
    assert main(["--show", str(file)]) == 0
    said = capsys.readouterr().out
    assert said.startswith("2026-11-24; 2 cores (x86_64), 4 GiB, load 0.5 before the run; python 3.11.7\n")
    assert "| pulumi up | 6.00 |   75% |" in said


def test_help_names_every_section_and_tells_what_it_measures(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(["--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    for section, text in SECTIONS.items():
        assert f"  {section:<10} {text}" in said
