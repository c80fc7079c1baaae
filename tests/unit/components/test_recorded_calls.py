"""How many calls the state keeps of each resource. That the SDK asks Python for them is not seen here."""

import sys
import traceback

import pytest
from private_iot.recorded_calls import INNERMOST_CALLS, innermost_calls


def calls(depth: int) -> traceback.StackSummary:
    return calls(depth - 1) if depth else traceback.extract_stack()


def test_the_innermost_calls_are_kept() -> None:
    with innermost_calls():
        kept = calls(2 * INNERMOST_CALLS)
    assert [call.name for call in kept] == ["calls"] * INNERMOST_CALLS
    assert len(calls(2 * INNERMOST_CALLS)) > 2 * INNERMOST_CALLS


@pytest.mark.parametrize("before", [None, 5])
def test_an_error_is_told_as_before(monkeypatch: pytest.MonkeyPatch, before: int | None) -> None:
    if before is not None:
        monkeypatch.setattr(sys, "tracebacklimit", before, raising=False)
    with pytest.raises(ValueError, match="wrong"), innermost_calls():
        raise ValueError("wrong")
    assert getattr(sys, "tracebacklimit", None) == before
