"""One operation under way: how long it may take, waiting for a state, trying again what passes by itself."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from lab.providers.errors import CancelledError, ProviderError

T = TypeVar("T")

_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 2.0


class Call:
    """One operation that the engine asked for.

    Args:
        session: What the provider made of its configuration; for `aws` the clients.
        timeout: Seconds that the operation may take.
        cancelled: Set when the engine wants the provider to stop.
        region: The Region of the resource, where it names its own.
    """

    def __init__(self, session: Any, timeout: float, cancelled: threading.Event, region: str | None = None) -> None:
        self.session = session
        self.region = region
        self._timeout = timeout
        self._deadline = time.monotonic() + timeout
        self._cancelled = cancelled

    def client(self, service: str) -> Any:
        """The boto3 client of a service, in the resource's Region."""
        return self.session.client(service, self.region)

    def wait_until(self, what: str, look: Callable[[], T | None]) -> T:
        """Looks again and again until it finds something.

        Args:
            what: What is waited for, for the message: `EC2 Client VPN Endpoint (cvpn-…) to be available`.
            look: Returns None while there is nothing yet.

        Raises:
            ProviderError: When the time is up, or when `look` raises it.
            CancelledError: When the engine cancels.
        """
        for _ in self._attempts(what):
            found = look()
            if found is not None:
                return found
        raise AssertionError("unreachable: the attempts end by an exception")  # pragma: no cover

    def retry(self, what: str, action: Callable[[], T], *, while_error: Callable[[Exception], bool]) -> T:
        """Tries an action again while it fails in a way that passes by itself, such as a dependency still in deletion.

        Raises:
            Exception: The action's own error, when it is of another kind or the time is up.
        """
        last: Exception | None = None
        try:
            for _ in self._attempts(what):
                try:
                    return action()
                except Exception as error:
                    if not while_error(error):
                        raise
                    last = error
        except _TimeUpError as time_up:
            raise last if last is not None else time_up from None
        raise AssertionError("unreachable: the attempts end by an exception")  # pragma: no cover

    def _attempts(self, what: str) -> Iterator[None]:
        pause = _FIRST_PAUSE
        while True:
            yield
            left = self._deadline - time.monotonic()
            if left <= 0:
                raise _TimeUpError(f"waiting for {what}: timed out after {self._timeout:g} s")
            if self._cancelled.wait(min(pause, left)):
                raise CancelledError(f"waiting for {what}: cancelled")
            pause = min(pause * 1.5, _LONGEST_PAUSE)


class _TimeUpError(ProviderError):
    """The time that an operation may take is over."""
