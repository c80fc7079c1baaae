"""The form of the results. Cannot prove that the figures in it are right."""

import json
import platform
from pathlib import Path

from bench import results
from bench.environment import REQUIREMENTS
from bench.results import Column, number, table, times
from bench.tables import TABLES

COLUMNS = [Column("peer", "peer"), Column("rate", "messages/s", number()), Column("ratio", "ratio", times)]


def test_a_table_is_markdown_with_its_columns_one_below_the_other() -> None:
    rows = [{"peer": "device agent", "rate": 7459.4, "ratio": 0.5387}, {"peer": "paho", "rate": 12.0, "ratio": 122.4}]
    assert table(COLUMNS, rows).splitlines() == [
        "| peer         | messages/s | ratio |",
        "| ------------ | ---------: | ----: |",
        "| device agent |      7,459 | 0.54x |",
        "| paho         |         12 |  122x |",
    ]


def test_what_was_not_measured_is_a_dash_or_says_why() -> None:
    (line,) = table(COLUMNS, [{"peer": "a", "rate": None, "notes": {"rate": "stopped after 9 s"}}]).splitlines()[2:]
    assert line == "| a    | stopped after 9 s |     - |"


def test_a_recovery_that_did_not_come_is_told_as_such_and_not_as_a_number() -> None:
    row = {"peer": "p", "outage": 5.0, "seconds": None, "ratio": None, "silence": None, "tunnel_unit": "failed"}
    counts = {"published": 1908, "arrived": 56, "lost": 1852, "twice": 0}
    ((_title, text),) = TABLES["recovery"]({"bound_seconds": 180.0, "rows": [{**row, **counts}]})
    cells = [cell.strip() for cell in text.splitlines()[2].strip("|").split("|")]
    assert cells == ["p", "5", "not within 180 s", "-", "to the end", "1,908", "56", "1,852", "0", "failed"]


def test_an_engine_run_that_was_stopped_leaves_the_other_rows_whole() -> None:
    done = {"devices": 1, "resources": 38, "once_seconds": 6.51, "empty_once_seconds": 4.0, "once_ratio": 1.6275}
    stopped = {"devices": 1000, "once_seconds": None, "notes": {"once_seconds": "stopped after 900 s"}}
    (_title, text), *_others = TABLES["engine"]({"rows": [done, stopped]})
    first, second = text.splitlines()[2:]
    assert [cell.strip() for cell in first.split("|")][3:6] == ["6.5", "4.0", "1.63x"]
    assert "stopped after 900 s" in second


def test_device_stacks_have_a_table_of_their_own_and_one_stack_has_none_where_it_was_left_out() -> None:
    row = {"devices": 100, "stacks": 4, "keys": "by the stacks", "seconds": 61.26, "ratio": None, "state_bytes": 2**20}
    ((title, text),) = TABLES["engine"]({"rows": [], "beside": [row], "size": 25, "jobs": 2})
    assert "device stacks of 25 beside a base stack, 2 side by side" in title
    assert [cell.strip() for cell in text.splitlines()[2].split("|")][1:-1] == [
        *("100", "4", "by the stacks", "61.3", "-", "1.00"),
    ]


def test_the_file_holds_six_digits_of_each_figure_and_names_neither_host_nor_folder(tmp_path: Path) -> None:
    path = tmp_path / "results" / "run.json"
    found = {"machine": results.machine(), "versions": results.versions(), "sections": {"a": {"rows": [{"s": 1 / 3}]}}}
    results.write(path, found)
    text = path.read_text()
    assert json.loads(text)["sections"] == {"a": {"rows": [{"s": 0.333333}]}}
    assert set(json.loads(text)["machine"]) == {"cpus", "memory_bytes", "architecture", "kernel", "load_before"}
    assert platform.node() not in json.loads(text)["machine"].values()
    assert str(Path.home()) + "/" not in text
    assert json.loads(text)["versions"]["paho-mqtt"] == "2.1.0"


def test_the_peers_are_pinned_by_hash_and_no_index_is_named() -> None:
    text = REQUIREMENTS.read_text()
    assert "--hash=sha256:" in text
    assert "index" not in text
    assert "://" not in text
