"""The stand-ins' commands: their JSON is JSON, their options are read as getopt reads them, and they start lightly.

Cannot prove that the commands do what systemd's do: the path tier runs them.
"""

import getopt
import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.path.services import ROOT
from lab.path.stand_ins import busctl
from lab.path.stand_ins.ask import dumps, loads
from lab.path.stand_ins.systemctl import parse

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
HEAVY = {"argparse", "collections", "enum", "functools", "json", "os", "re", "signal", "socket", "typing"}


@given(VALUES)
def test_a_question_is_the_json_that_the_standard_library_writes(value: object) -> None:
    assert dumps(value) == json.dumps(value)


@given(VALUES)
def test_an_answer_is_read_as_the_standard_library_reads_it(value: object) -> None:
    assert loads(json.dumps(value) + "\n") == json.loads(json.dumps(value))


@pytest.mark.parametrize("text", ["", "{", "nothing", '{"a": 1} {', "[1,]"])
def test_what_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"JSON|Expecting|Illegal"):
        loads(text)


def test_what_json_does_not_have_is_refused() -> None:
    with pytest.raises(TypeError, match="nothing that JSON has"):
        dumps({"units": {1, 2}})


_WORDS = st.sampled_from(
    [
        *("show", "a.service", "-", "-q", "--quiet", "--now", "-p", "-pActiveState", "-qp", "--property", "-fl", "--"),
        *("--property=Id", "--value", "--signal=HUP", "-s", "--no-block"),
    ]
)


@given(st.lists(_WORDS))
def test_options_are_read_as_getopt_reads_them(arguments: list[str]) -> None:
    short = {"--quiet": "-q", "--property": "-p", "--signal": "-s"}
    long_options = ["now", "quiet", "value", "no-block", "property=", "signal="]
    try:
        options, words = getopt.gnu_getopt(arguments, "qp:s:fl", long_options)
    except getopt.GetoptError:
        with pytest.raises(ValueError, match="requires argument"):
            parse(arguments)
        return
    assert parse(arguments) == ([(short.get(name, name), value) for name, value in options], words)


@pytest.mark.parametrize("option", ["--nothing", "-x", "-qx", "--now=1"])
def test_an_option_that_is_not_known_is_refused(option: str) -> None:
    with pytest.raises(ValueError, match="not recognized"):
        parse(["start", option])


def test_addresses_of_a_call_are_read_in_both_families() -> None:
    words = ["call", "org.freedesktop.resolve1", "/org/freedesktop/resolve1", "org.freedesktop.resolve1.Manager"]
    words += ["SetLinkDNS", "ia(iay)", "7", "2", "2", "4", "10", "0", "0", "2", "10", "16", *["0"] * 15, "1"]
    assert busctl.request(words) == {"command": "SetLinkDNS", "index": 7, "servers": ["10.0.0.2", "::1"]}
    with pytest.raises(ValueError, match="an address of 3 bytes"):
        busctl.request([*words[:6], "7", "1", "2", "3", "10", "0", "0"])


@pytest.mark.parametrize("command", ["systemctl", "busctl", "resolvectl"])
def test_a_command_imports_nothing_that_takes_longer_than_what_it_does(command: str) -> None:
    script = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import lab.path.stand_ins.{command}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-IS", "-c", script], capture_output=True, text=True, check=True)
    assert HEAVY.isdisjoint(done.stdout.split())
