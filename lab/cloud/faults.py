"""Calls to throttle or fail, and the journal of calls."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


class FaultError(ValueError):
    """A rule that the lab cannot read; the message names the field and what it takes."""


@dataclass
class Fault:
    """Fail some of the next calls of one operation.

    Attributes:
        service: boto3's name of the service, such as ``ec2``.
        operation: AWS's name of the operation, such as ``CreateVpcEndpoint``.
        code: the error code to answer with, such as ``RequestLimitExceeded``.
        status: the HTTP status; SDKs retry 5xx and the codes for throttling.
        times: how many calls fail.
        skip: how many calls pass before the first that fails.
    """

    service: str
    operation: str
    code: str
    status: int = 503
    times: int = 1
    skip: int = 0

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Fault":
        """Read one rule.

        Raises:
            FaultError: a field is missing, unknown or of the wrong type.
        """
        types = {"service": str, "operation": str, "code": str, "status": int, "times": int, "skip": int}
        if not isinstance(value, Mapping):
            raise FaultError(f"a fault is an object with {', '.join(types)}; got {value!r}")
        for name, item in value.items():
            if name not in types:
                raise FaultError(f"unknown field {name!r}; a fault takes {', '.join(types)}")
            if not isinstance(item, types[name]):
                raise FaultError(f"{name} takes {types[name].__name__}; got {item!r}")
        missing = [name for name in ("service", "operation", "code") if name not in value]
        if missing:
            raise FaultError(f"a fault needs {', '.join(missing)}")
        return cls(**value)


class Faults:
    """The rules in force. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []

    def replace(self, faults: list[Fault]) -> None:
        """Put these rules in the place of those in force; an empty list clears them."""
        with self._lock:
            self._faults = list(faults)

    def take(self, service: str, operation: str) -> Fault | None:
        """Return the rule that fails this call, counted against the rule; None lets the call pass."""
        with self._lock:
            for fault in self._faults:
                if (fault.service, fault.operation) != (service, operation) or fault.times == 0:
                    continue
                if fault.skip > 0:
                    fault.skip -= 1
                    continue
                fault.times -= 1
                return fault
        return None


class Journal:
    """The calls that were answered, oldest first. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: list[dict[str, str | int]] = []

    def add(self, service: str, operation: str, status: int) -> None:
        """Note one call and the HTTP status of its answer."""
        with self._lock:
            self._calls.append({"service": service, "operation": operation, "status": status})

    def calls(self) -> list[dict[str, str | int]]:
        with self._lock:
            return list(self._calls)

    def clear(self) -> None:
        with self._lock:
            self._calls.clear()
