"""The doctor's bench: graded checks, run from the ground up, where a failed one spares those that stand on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from device_agent.installation import Installation
from device_agent.system import System

Result = Literal["ok", "warning", "failed", "skipped"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found.

    Attributes:
        result: `ok`, `warning`, `failed`, or `skipped` when something that it stands on failed.
        seen: What was seen.
        meaning: What that means; empty when all is well.
        remedy: What to do about it; empty when all is well.
    """

    result: Result
    seen: str
    meaning: str = ""
    remedy: str = ""


@dataclass(slots=True)
class CheckContext:
    """What the checks examine, and what each leaves for those after it.

    Attributes:
        system: The machine.
        port: The MQTT port.
        installed: What is installed, once the files are in order.
        addresses: The endpoint's addresses, once the resolver is in order.
        home_interface: The network interface that leads to the internet, once the home network is in order.
    """

    system: System
    port: int
    installed: Installation | None = None
    addresses: list[str] = field(default_factory=list)
    home_interface: str = ""

    @property
    def installation(self) -> Installation:
        """What is installed; only for checks that stand on `files`."""
        if self.installed is None:
            raise RuntimeError("a check without its parent")
        return self.installed


@dataclass(frozen=True, slots=True)
class Check:
    """One check.

    Attributes:
        name: Its name: the hop that it looks at.
        title: What it asks.
        examine: Looks.
        needs: The checks that it stands on.
    """

    name: str
    title: str
    examine: Callable[[CheckContext], Finding]
    needs: tuple[str, ...] = ()


def run_checks(checks: Sequence[Check], context: CheckContext) -> Iterator[tuple[Check, Finding]]:
    """Run checks in order.

    Args:
        checks: The checks, each after those that it needs.
        context: What they examine.

    Yields:
        Each check with its finding, as soon as it is known.
    """
    results: dict[str, Result] = {}
    for check in checks:
        broken = [name for name in check.needs if results[name] in ("failed", "skipped")]
        finding = Finding("skipped", f"needs {', '.join(broken)}") if broken else check.examine(context)
        results[check.name] = finding.result
        yield check, finding
