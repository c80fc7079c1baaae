"""No command stands in a document that nothing runs: every block is in one of two tables, and each names a test.

Cannot prove that the named test runs the block, only that it reads the documents' commands.
"""

import re

from tests import documented_commands
from tests.documented_commands import CHECKOUT, DOCUMENTS, HELD_BY, RUN_BY, block, blocks


def test_every_command_block_is_run_by_a_test_or_held_by_what_is_named() -> None:
    known = [(document, block(document, command)) for document, command in (*RUN_BY, *HELD_BY)]
    assert sorted(known) == sorted(blocks()), (
        "tests/documented_commands.py: say which test runs a block, or what holds it"
    )


def test_no_fence_is_of_a_kind_that_is_not_looked_at() -> None:
    """A block without a language, or of another shell, would be in no table."""
    for document in DOCUMENTS:
        kinds = re.findall(r"^ *```(\S*)$", document.read_text(encoding="utf-8"), re.MULTILINE)[::2]
        assert set(kinds) <= {"console", "python", "toml"}, document


def test_whoever_runs_a_block_takes_it_from_the_document() -> None:
    names = {value: name for name, value in vars(documented_commands).items() if isinstance(value, str)}
    for (document, command), test in RUN_BY.items():
        text = (CHECKOUT / test).read_text(encoding="utf-8")
        taken = command in text or names.get(command, command) in text
        assert ("block(" in text and taken) or "readme_commands(" in text, (document, command)


def test_a_block_that_is_held_says_why_and_by_which_test() -> None:
    for reason, test in HELD_BY.values():
        assert len(reason.split()) > 4
        assert "def test_" in (CHECKOUT / test).read_text(encoding="utf-8") or test.endswith("conftest.py")
