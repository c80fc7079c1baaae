"""The vendor's release of the Pulumi CLI: seconds where it can be downloaded, five of them where it cannot.

The checksums are those that Pulumi's release writes into its own Homebrew tap (github.com/pulumi/homebrew-tap,
Formula/pulumi.rb, commit 51fb494f9549, "Brew formula update for Pulumi version 3.259.0").
"""

import hashlib
import http.client
import platform
import queue
import re
import shutil
import sys
import tarfile
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import IO

from lab.report import Report

VERSION = "v3.259.0"
SITE = "https://github.com/pulumi/pulumi/releases/download"
SHA256 = {
    "linux-x64": "94ba357acac23d01474084c4b00098dc0f7bc70ce13f34c777459254a5f718e5",
    "linux-arm64": "edc8327463a72160bb36cf82cf5062da9c8a244290a706d9980988e7bf486853",
    "darwin-x64": "eaca4c3b8277bfa3ab061fa3b270d1c66358a0b2e613da8c5587a04b7226c534",
    "darwin-arm64": "57c27f179e527e2cf9f62b841a448af72a020e44b2fb4ee0d9bd85556c00c864",
}
_ARCHITECTURES = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64", "arm64": "arm64"}
_ANSWER_TIMEOUT = 4.0
# A line on which the archive takes longer than the build is no gain.
_DOWNLOAD_TIMEOUT = 600.0
_EXECUTABLE = re.compile(r"pulumi/([\w.-]+)")


class _UnusableError(Exception):
    """What came is not the release."""


def fetch(directory: Path, report: Report, *, site: str = SITE) -> bool:
    """Put the executables of the vendor's release into a directory.

    Args:
        directory: Where they go; nothing is written unless the archive has the pinned checksum.
        report: Where progress goes, and why the release is not to be had.
        site: URL of the folder that has a folder for each version.

    Returns:
        Whether the release could be had.
    """
    target = target_of(sys.platform, platform.machine())
    if target not in SHA256:
        report.say(f"the vendor's release of the Pulumi CLI is not pinned for {target}")
        return False
    url = f"{site}/{VERSION}/pulumi-{VERSION}-{target}.tar.gz"
    with report.step(f"looking for the vendor's release of the Pulumi CLI {VERSION}"):
        try:
            with tempfile.TemporaryFile(dir=directory) as archive:
                _download(url, archive, SHA256[target])
                _unpack(archive, directory)
        except (OSError, http.client.HTTPException, tarfile.TarError, _UnusableError) as error:
            report.say(f"  not to be had from {url}: {error}")
            return False
    return True


def target_of(system: str, machine: str) -> str:
    """Return the release's name of a platform, such as ``linux-x64``."""
    return f"{system}-{_ARCHITECTURES.get(machine.lower(), machine)}"


def _download(url: str, archive: IO[bytes], sha256: str) -> None:
    deadline = time.monotonic() + _DOWNLOAD_TIMEOUT
    digest = hashlib.sha256()
    with _open(url) as answer:
        while block := answer.read1(1 << 16):
            if time.monotonic() > deadline:
                raise TimeoutError(f"not complete within {_DOWNLOAD_TIMEOUT:.0f} s")
            digest.update(block)
            archive.write(block)
    if digest.hexdigest() != sha256:
        raise _UnusableError(f"SHA-256 {digest.hexdigest()} instead of the pinned {sha256}")
    archive.seek(0)


def _open(url: str) -> http.client.HTTPResponse:
    """Return the answer to a GET.

    A socket's time-out says nothing of the name lookup before it, nor of redirects one after the other.
    """
    answers: queue.SimpleQueue[http.client.HTTPResponse | Exception] = queue.SimpleQueue()
    late = threading.Event()

    def get() -> None:
        try:
            answer = urllib.request.urlopen(url, timeout=_ANSWER_TIMEOUT)  # noqa: S310 - the site is the caller's
        except urllib.error.HTTPError as error:
            error.close()
            answers.put(_UnusableError(f"HTTP {error.code} {error.reason}"))
        except Exception as error:  # noqa: BLE001 - raised where it is waited for
            answers.put(error)
        else:
            answers.put(answer)
            if late.is_set():
                answer.close()

    threading.Thread(target=get, daemon=True).start()
    try:
        answer = answers.get(timeout=_ANSWER_TIMEOUT)
    except queue.Empty:
        late.set()
        raise TimeoutError(f"no answer within {_ANSWER_TIMEOUT:g} s") from None
    if isinstance(answer, Exception):
        raise answer
    return answer


def _unpack(archive: IO[bytes], directory: Path) -> None:
    with tarfile.open(fileobj=archive, mode="r:gz") as members:
        for member in members:
            name = _EXECUTABLE.fullmatch(member.name)
            content = members.extractfile(member) if name and member.isfile() else None
            if name and content:
                target = directory / name[1]
                with target.open("wb") as file:
                    shutil.copyfileobj(content, file)
                target.chmod(0o755)
