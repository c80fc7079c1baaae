"""A site by the commands that a user gives: the demonstration, and a short long run of one seed.

Forty seconds have room for few faults; `make soak SITE=1` is for more.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.path, pytest.mark.timeout(900)]

CHECKOUT = Path(__file__).resolve().parents[3]
SEED, SECONDS = 4, 40


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    """An environment in which labs have a place of their own, which is empty afterwards."""
    yield {**os.environ, "XDG_STATE_HOME": str(tmp_path)}
    assert list((tmp_path / "private-iot" / "labs").iterdir()) == []


def _run(environment: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *words],
        cwd=CHECKOUT,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=800,
        check=False,
    )


def test_the_demonstration_shows_a_gateway_its_neighbours_and_a_sensor(environment: dict[str, str]) -> None:
    try:
        shown = _run(environment, "lab", "demo", "--site", "--lab", "site-demo")
        assert shown.returncode == 0, shown.stderr
    finally:
        _run(environment, "lab", "down", "--lab", "site-demo")
    for name in ("pi-2", "pi-3"):
        assert f"{name} $ device-agent pubsub\n" in shown.stderr
    assert shown.stderr.count("10 message(s) received.\n") == 3
    assert "3 queued, 0 published, 0 refused, 0 dropped\n" in shown.stderr


def test_a_long_run_of_a_site_loses_nothing_and_nothing_leaves_outside(
    environment: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "figures.json"
    words = ("--site", "--seconds", str(SECONDS), "--seed", str(SEED), "--lab", "site-soak", "--json", str(file))
    done = _run(environment, "soak", *words)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert f"repeat with: python -m soak --seconds {SECONDS} --seed {SEED} --rate 20 --site\n" in done.stdout
    found: dict[str, Any] = json.loads(file.read_text())
    assert found["passed"]
    for device in (found["devices"][name] for name in ("pi-1", "pi-2", "pi-3")):
        assert device["messages"]["delivered"] == device["messages"]["published"] > SECONDS * 20 / 4
        assert device["outside"]["packets"] == 0
