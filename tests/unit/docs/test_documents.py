"""The documents agree with the code and with each other. Whether their prose is right, no test can say."""

import re
import subprocess
from pathlib import Path

import pytest

from tools import write_reference

CHECKOUT = Path(__file__).resolve().parents[3]
DOCUMENTS = sorted([*CHECKOUT.glob("*.md"), *CHECKOUT.glob("docs/**/*.md"), *CHECKOUT.glob("examples/**/*.md")])


@pytest.mark.parametrize("file", write_reference.DOCUMENTS, ids=lambda file: str(file.name))
def test_what_is_derived_from_the_components_is_current(file: Path) -> None:
    assert file.read_text() == write_reference.DOCUMENTS[file](), f"{file.name} is out of date: run `make reference`"


def test_every_argument_and_output_of_a_component_is_described() -> None:
    text = (CHECKOUT / "docs" / "components.md").read_text()
    for row in re.findall(r"^\| `.*$", text, flags=re.MULTILINE):
        assert row.rstrip(" |").rsplit("|", 1)[-1].strip(), row


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_every_relative_link_leads_somewhere(document: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", document.read_text())
    broken = [
        target
        for target in targets
        if not target.startswith(("http://", "https://", "mailto:")) and not (document.parent / target).exists()
    ]
    assert broken == []


def test_every_make_target_that_a_document_names_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (CHECKOUT / "Makefile").read_text(), flags=re.MULTILINE))
    named = {
        (document.name, target)
        for document in DOCUMENTS
        for target in re.findall(r"(?:`|^)make ([a-z-]+)", document.read_text(), flags=re.MULTILINE)
    }
    assert named, "no document names a target: the pattern is wrong"
    assert {pair for pair in named if pair[1] not in targets} == set()


def test_no_tracked_file_is_a_private_key() -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], cwd=CHECKOUT, capture_output=True, text=True, check=True, timeout=60
    ).stdout.split("\0")
    # A real key's body is base64 right behind the header; the walk-through's placeholders and test patterns are not.
    key = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----\r?\n[A-Za-z0-9+/=]{40}")
    files = [CHECKOUT / name for name in tracked if name and (CHECKOUT / name).is_file()]
    assert len(files) > 50
    assert [str(file) for file in files if key.search(file.read_bytes())] == []
