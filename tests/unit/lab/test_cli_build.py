"""Finding or building the Pulumi CLI, with a `go` that only pretends. The real build is what the engine tier runs."""

import io
import os
import textwrap
from pathlib import Path

import pytest

from lab.engine import cli
from lab.errors import LabError
from lab.report import Report

GO = """
    #!/bin/sh
    echo "$@" >> "$GO_LOG"
    case "$1 $*" in
        list*-json*) printf '{"Dir": "%s"}' "$SDK" ;;
        list*) printf 'one\\ntwo\\n' ;;
        build*)
            while [ "$1" != -o ]; do shift; done
            echo compiled >&2
            [ -z "$GO_FAILS" ] || { echo "$GO_FAILS" >&2; exit 1; }
            printf '#!/bin/sh\\necho v3.259.0\\n' > "$2"
            chmod +x "$2" ;;
    esac
"""


def script(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text).lstrip())
    path.chmod(0o755)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with an empty cache and nothing but a shell and the usual commands on PATH."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setenv("GO_LOG", str(tmp_path / "go.log"))
    monkeypatch.setenv("GO_FAILS", "")
    monkeypatch.setenv("SDK", str(tmp_path / "sdk"))
    script(tmp_path / "sdk/python/cmd/pulumi-language-python-exec", "#!/usr/bin/env python\n")
    script(tmp_path / "sdk/python/dist/pulumi-resource-pulumi-python", "#!/bin/sh\n")
    return tmp_path


def install_pulumi(machine: Path, version: str, *, language_host: bool = True) -> None:
    script(machine / "bin/pulumi", f"#!/bin/sh\necho {version}\n")
    if language_host:
        for name in ("pulumi-language-python", "pulumi-language-python-exec"):
            script(machine / "bin" / name, "#!/bin/sh\n")


@pytest.mark.parametrize("version", ["v3.200.0", "3.272.0", "v4.0.0-alpha.1"])
def test_a_recent_pulumi_on_path_is_taken(machine: Path, version: str) -> None:
    install_pulumi(machine, version)
    assert cli.find_or_build(Report(io.StringIO())) == machine / "bin/pulumi"


@pytest.mark.parametrize("version", ["v3.199.9", "v2.99.0", "what?", ""])
def test_an_old_or_unknown_pulumi_on_path_is_not_taken(machine: Path, version: str) -> None:
    install_pulumi(machine, version)
    assert cli.find_on_path() is None


def test_a_pulumi_without_its_python_language_host_is_not_taken(machine: Path) -> None:
    install_pulumi(machine, "v3.272.0", language_host=False)
    assert cli.find_on_path() is None


def test_the_first_call_builds_and_the_second_does_nothing(machine: Path) -> None:
    script(machine / "bin/go", GO)
    said = io.StringIO()
    built = cli.find_or_build(Report(said))
    assert built == machine / "cache/private-iot/pulumi-v3.259.0/bin/pulumi"
    assert "1 of 2 packages compiled" in said.getvalue()
    assert {each.name for each in built.parent.iterdir()} == {
        "pulumi",
        "pulumi-language-python",
        "pulumi-language-python-exec",
        "pulumi-resource-pulumi-python",
    }
    calls = (machine / "go.log").read_text()
    assert all("-mod=readonly" in call for call in calls.splitlines())
    again = io.StringIO()
    assert cli.find_or_build(Report(again)) == built
    assert again.getvalue() == ""
    assert (machine / "go.log").read_text() == calls


def test_a_build_that_fails_says_why_and_leaves_nothing_behind(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script(machine / "bin/go", GO)
    monkeypatch.setenv("GO_FAILS", "verifying module: checksum mismatch")
    with pytest.raises(LabError, match="checksum mismatch"):
        cli.find_or_build(Report(io.StringIO()))
    assert [each.name for each in (machine / "cache/private-iot").iterdir()] == ["pulumi-v3.259.0.lock"]


def test_an_incomplete_build_is_replaced(machine: Path) -> None:
    script(machine / "bin/go", GO)
    script(machine / "cache/private-iot/pulumi-v3.259.0/bin/pulumi", "#!/bin/sh\n")
    assert (cli.find_or_build(Report(io.StringIO())).parent / "pulumi-language-python").exists()


def test_without_go_the_error_says_what_to_install(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(machine / "bin"))
    monkeypatch.setattr(cli, "GO_DIRECTORY", os.devnull)
    with pytest.raises(LabError, match=r"install Pulumi, or Go 1\.26 or newer"):
        cli.find_or_build(Report(io.StringIO()))
