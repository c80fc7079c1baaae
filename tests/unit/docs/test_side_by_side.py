"""What runs two tiers side by side: every line is told with its tier, and the failure of one fails both."""

import pytest

from tools.side_by_side import main


def test_every_line_follows_its_commands_name(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["one=echo 1; echo error >&2", "other=echo 2"]) == 0
    assert sorted(capfd.readouterr().out.splitlines()) == ["one | 1", "one | error", "other | 2"]


def test_the_failure_of_one_fails_both_and_is_named_when_both_have_ended(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["one=exit 3", "other=sleep 0.1; echo done"]) == 1
    said = capfd.readouterr()
    assert (said.out, said.err) == ("other | done\n", "one ended with 3\n")
