"""How much of the program's stack the state keeps of each resource."""

import contextlib
import sys
from collections.abc import Iterator

INNERMOST_CALLS = 10
"""Enough for those that made a resource; the outer ones are the language host's own, 1 kB a resource."""


@contextlib.contextmanager
def innermost_calls() -> Iterator[None]:
    """Keep to the innermost calls, since the whole state is written after every step.

    The SDK asks Python for the stack (pulumi/runtime/resource.py, `_get_stack_trace`), and Python keeps to its own
    limit. An error that leaves the block is told with all of its calls.
    """
    before = getattr(sys, "tracebacklimit", None)
    sys.tracebacklimit = INNERMOST_CALLS
    try:
        yield
    finally:
        if before is None:
            del sys.tracebacklimit
        else:
            sys.tracebacklimit = before
