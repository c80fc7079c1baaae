"""States that AWS passes through on the way: ``associating``, ``authorizing``, ``deleting``.

On AWS a state lasts minutes. The lab's lasts until a client has seen it: the first Describe of the resource after
the change shows the passing state, each later one the final state, or nothing where the resource goes away. This
needs no clock, so that a test sees the same each time, and a provider that polls waits for one poll alone.
"""

DESCRIBES_IN_PASSING_STATE = 1


class Progress:
    """One change under way.

    Args:
        passing: the state on the way, such as ``associating``.
        final: the state at the end, such as ``associated``; None where the resource goes away.
    """

    def __init__(self, passing: str, final: str | None) -> None:
        self._passing = passing
        self._final = final
        self._seen = 0

    @property
    def code(self) -> str:
        """The state now, without it being seen; the passing one where the resource goes away."""
        return self._passing if self._seen < DESCRIBES_IN_PASSING_STATE or self._final is None else self._final

    @property
    def gone(self) -> bool:
        return self._final is None and self._seen >= DESCRIBES_IN_PASSING_STATE

    @property
    def ends(self) -> bool:
        """Whether the resource goes, or has gone, away."""
        return self._final is None

    def observe(self) -> str:
        """Return the state now and count it as seen."""
        code = self.code
        self._seen += 1
        return code
