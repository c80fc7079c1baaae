"""Progress for people, on standard error, so that standard output stays a program's."""

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from typing import TextIO

_GREEN, _RED, _DIM, _RESET = "\x1b[32m", "\x1b[31m", "\x1b[2m", "\x1b[0m"


class Report:
    """Tells what is being done and how long it took.

    A step is a line at its beginning and a line at its end: with marks on a terminal, with words elsewhere (a file,
    continuous integration). ``NO_COLOR`` is honoured (no-color.org).

    Args:
        stream: Where to write; standard error by default.
        quiet: Say nothing but what `warn` is given.
    """

    def __init__(self, stream: TextIO | None = None, *, quiet: bool = False) -> None:
        self.stream = stream if stream is not None else sys.stderr
        self.quiet = quiet
        self.interactive = self.stream.isatty() and os.environ.get("TERM") != "dumb"
        self.colored = self.interactive and not os.environ.get("NO_COLOR")

    @contextlib.contextmanager
    def step(self, text: str) -> Iterator[None]:
        """Report one step: its beginning, then its end with the time taken, or its failure.

        Args:
            text: What is being done, such as ``starting the cloud``.
        """
        started = time.monotonic()
        self._write((self._paint(_DIM, f"… {text}") if self.interactive else f"{text} …") + "\n")
        try:
            yield
        except BaseException:
            self._end("failed", _RED, "✗", text, started)
            raise
        self._end("done", _GREEN, "✓", text, started)

    def say(self, text: str) -> None:
        self._write(f"{text}\n")

    def warn(self, text: str) -> None:
        """Write one line that must be seen, even when quiet."""
        self.stream.write(f"warning: {text}\n")
        self.stream.flush()

    def _end(self, word: str, color: str, mark: str, text: str, started: float) -> None:
        taken = f"{time.monotonic() - started:.1f} s"
        if self.interactive:
            self._write(f"{self._paint(color, mark)} {text} {self._paint(_DIM, taken)}\n")
        else:
            self._write(f"{text}: {word} in {taken}\n")

    def _paint(self, color: str, text: str) -> str:
        return f"{color}{text}{_RESET}" if self.colored else text

    def _write(self, text: str) -> None:
        if not self.quiet:
            self.stream.write(text)
            self.stream.flush()
