"""The lab's progress. Cannot prove what a terminal makes of the escape sequences."""

import io
import re

import pytest

from lab.report import Report


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_step_says_its_beginning_and_its_end_with_the_time_taken() -> None:
    stream = io.StringIO()
    with Report(stream).step("starting the cloud"):
        assert stream.getvalue() == "starting the cloud …\n"
    assert re.fullmatch(r"starting the cloud …\nstarting the cloud: done in \d+\.\d s\n", stream.getvalue())


def test_a_step_that_fails_says_so_and_lets_the_error_through() -> None:
    stream = io.StringIO()
    with pytest.raises(ValueError, match="no"), Report(stream).step("starting the cloud"):
        raise ValueError("no")
    assert "starting the cloud: failed in" in stream.getvalue()


def test_colors_are_for_terminals_without_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    colored, plain, terminal = Terminal(), io.StringIO(), Terminal()
    for stream in (colored, plain):
        with Report(stream).step("x"):
            pass
    monkeypatch.setenv("NO_COLOR", "1")
    with Report(terminal).step("x"):
        pass
    assert "\x1b[" in colored.getvalue()
    assert "\x1b[" not in plain.getvalue()
    assert "\x1b[" not in terminal.getvalue()


def test_a_quiet_report_still_warns() -> None:
    stream = io.StringIO()
    report = Report(stream, quiet=True)
    with report.step("x"):
        report.say("y")
    report.warn("look out")
    assert stream.getvalue() == "warning: look out\n"
