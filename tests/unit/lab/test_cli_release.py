"""The vendor's release of the Pulumi CLI, from a local server that plays its site.

Cannot prove that the vendor's archives hold these executables, nor that the pinned checksums are theirs: the release
has never been downloaded by this project. An archive that does not fit is left for a build from source.
"""

import hashlib
import io
import socket
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from lab.engine import cli, release, source
from lab.errors import LabError
from lab.report import Report

EXECUTABLES = ("pulumi", "pulumi-language-python", "pulumi-language-python-exec", "pulumi-resource-pulumi-python")
NAME = f"pulumi-{release.VERSION}-linux-x64.tar.gz"
# The module's own, which the fixture replaces.
TARGET_OF, ANSWER_TIMEOUT = release.target_of, release._ANSWER_TIMEOUT
Answer = Callable[[BaseHTTPRequestHandler], None]


def archive(*names: str, more: tarfile.TarInfo | None = None) -> bytes:
    """An archive of the release's shape."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:gz") as members:
        for name in names:
            content = f"#!/bin/sh\necho {release.VERSION}\n".encode()
            member = tarfile.TarInfo(name)
            member.size = len(content)
            members.addfile(member, io.BytesIO(content))
        if more is not None:
            members.addfile(more, io.BytesIO(b"evil"[: more.size]))
    return raw.getvalue()


WHOLE = archive(*(f"pulumi/{name}" for name in EXECUTABLES))


@pytest.fixture(autouse=True)
def pinned(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty cache, nothing on PATH, `WHOLE` as the pinned release of this machine, and little time for a site."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(release, "target_of", lambda *_: "linux-x64")
    monkeypatch.setattr(release, "_ANSWER_TIMEOUT", 0.3)
    monkeypatch.setitem(release.SHA256, "linux-x64", hashlib.sha256(WHOLE).hexdigest())
    (tmp_path / "sh").symlink_to("/bin/sh")


@pytest.fixture(autouse=True)
def built(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The directories that were built into from source, by a build that only pretends."""
    found: list[Path] = []

    def build(directory: Path, _: Report) -> None:
        found.append(directory)
        for name in EXECUTABLES:
            (directory / name).write_text("#!/bin/sh\necho v3.259.0\n")
            (directory / name).chmod(0o755)

    monkeypatch.setattr(source, "build", build)
    return found


@contextmanager
def site(answer: Answer) -> Iterator[str]:
    """A site that answers every request so."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/releases"
        server.shutdown()


def gives(content: bytes, *, length: int | None = None, asked: list[str] | None = None) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        if asked is not None:
            asked.append(request.path)
        request.send_response(200)
        request.send_header("Content-Length", str(len(content) if length is None else length))
        request.end_headers()
        request.wfile.write(content)

    return answer


def find(url: str) -> tuple[Path, str]:
    said = io.StringIO()
    return cli.find_or_build(Report(said), site=url), said.getvalue()


def test_the_release_is_taken_where_it_can_be_had_and_nothing_is_built(built: list[Path]) -> None:
    asked: list[str] = []
    with site(gives(WHOLE, asked=asked)) as url:
        pulumi, _ = find(url)
        assert find(url) == (pulumi, "")
    assert asked == [f"/releases/{release.VERSION}/{NAME}"]
    assert {each.name for each in pulumi.parent.iterdir()} == set(EXECUTABLES)
    assert built == []


def test_a_release_with_another_checksum_is_never_unpacked(built: list[Path]) -> None:
    with site(gives(archive("pulumi/pulumi", "pulumi/evil"))) as url:
        pulumi, said = find(url)
    assert "instead of the pinned" in said
    assert not (pulumi.parent / "evil").exists()
    assert len(built) == 1


def _silent(request: BaseHTTPRequestHandler) -> None:
    request.rfile.read()  # until the other side goes away


def _stalling(request: BaseHTTPRequestHandler) -> None:
    gives(WHOLE[:100], length=len(WHOLE))(request)
    request.rfile.read()


def _not_found(request: BaseHTTPRequestHandler) -> None:
    request.send_error(404)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (_not_found, "404"),
        (_silent, "no answer|timed out"),
        (_stalling, "timed out"),
        (gives(WHOLE[:100], length=len(WHOLE)), "IncompleteRead|SHA-256|timed out"),
        (gives(b""), "SHA-256"),
    ],
    ids=["not-found", "silent", "stalling", "cut", "empty"],
)
def test_a_site_that_does_not_give_it_is_said_and_left_for_a_build(
    built: list[Path], answer: Answer, reason: str
) -> None:
    with site(answer) as url:
        _, said = find(url)
    assert any(word in said for word in reason.split("|")), said
    assert len(built) == 1


def test_a_name_lookup_that_hangs_is_left_as_soon_as_a_silent_site(
    built: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    answered = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answered.wait(20))
    began = time.monotonic()
    try:
        _, said = find("http://releases.invalid")
    finally:
        answered.set()
    assert "no answer within 0.3 s" in said
    assert time.monotonic() - began < 10
    assert len(built) == 1


def test_a_machine_without_that_way_builds_after_less_than_five_seconds() -> None:
    assert ANSWER_TIMEOUT < 5


def test_an_incomplete_release_is_left_for_a_build(built: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    partial = archive("pulumi/pulumi")
    monkeypatch.setitem(release.SHA256, "linux-x64", hashlib.sha256(partial).hexdigest())
    with site(gives(partial)) as url:
        pulumi, _ = find(url)
    assert len(built) == 1
    assert {each.name for each in pulumi.parent.iterdir()} == set(EXECUTABLES)


def _member(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    member.size = 4 if kind == tarfile.REGTYPE else 0
    return member


@pytest.mark.parametrize(
    "member",
    [
        _member("pulumi/../evil", tarfile.REGTYPE),
        _member("/evil", tarfile.REGTYPE),
        _member("pulumi/evil", tarfile.SYMTYPE, "/etc/passwd"),
        _member("pulumi/evil", tarfile.LNKTYPE, "/etc/passwd"),
        _member("pulumi/evil", tarfile.CHRTYPE),
    ],
    ids=["parent", "root", "symlink", "hard-link", "device"],
)
def test_only_plain_files_of_the_releases_folder_are_unpacked(
    member: tarfile.TarInfo, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    content = archive(*(f"pulumi/{name}" for name in EXECUTABLES), more=member)
    monkeypatch.setitem(release.SHA256, "linux-x64", hashlib.sha256(content).hexdigest())
    with site(gives(content)) as url:
        pulumi, _ = find(url)
    assert {each.name for each in pulumi.parent.iterdir()} == set(EXECUTABLES)
    assert list(tmp_path.rglob("evil")) == []


@pytest.mark.parametrize(
    ("system", "machine", "target"),
    [("linux", "x86_64", "linux-x64"), ("linux", "aarch64", "linux-arm64"), ("darwin", "arm64", "darwin-arm64")],
)
def test_the_platforms_have_the_releases_names(system: str, machine: str, target: str) -> None:
    assert TARGET_OF(system, machine) == target
    assert target in release.SHA256


def test_a_platform_without_a_pinned_release_builds(built: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(release, "target_of", lambda *_: "linux-riscv64")
    _, said = find("http://127.0.0.1:1")
    assert "not pinned for linux-riscv64" in said
    assert len(built) == 1


def test_a_build_that_is_unusable_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(source, "build", lambda *_: None)
    with pytest.raises(LabError, match="incomplete"):
        find("http://127.0.0.1:1")
    assert [each.name for each in (tmp_path / "cache/private-iot").iterdir()] == ["pulumi-v3.259.0.lock"]
