"""A lab's network is gone when its one process is gone, and two networks do not touch each other.

It cannot prove what a crash of the machine's kernel leaves behind.
"""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.path import control, hosts, lifecycle
from lab.path.read import Aws
from lab.report import Report
from lab.state import Lab
from tests.path.conftest import HandMadeLab
from tests.path.path_lab import REGION, wait_for
from tests.path.walk_through_by_hand import make
from tests.warm import shared
from tests.warm.toolchain import warm_cloud

pytestmark = pytest.mark.path


@pytest.fixture
def another_lab(tmp_path: Path) -> Iterator[tuple[Lab, Aws]]:
    """A second lab with the same addresses, whose network is down again afterwards."""
    lab = Lab("another", tmp_path / "lab")
    lab.create()
    with warm_cloud(lab.cloud_directory, shared.python()) as cloud:
        try:
            aws = Aws(cloud.url, REGION)
            make(aws)
            lifecycle.up(lab, REGION, aws.url, Report(quiet=True))
            yield lab, aws
        finally:
            lifecycle.down(lab)


def _mounts() -> list[str]:
    return Path("/proc/self/mountinfo").read_text().splitlines()


def _processes_of(pid: int) -> list[int]:
    """Return the processes below one, itself first."""
    found = [pid]
    for parent in found:
        for children in Path(f"/proc/{parent}/task").glob("*/children"):
            found += map(int, children.read_text().split())
    return found


def _sandbox(lab: Lab) -> int:
    with control.connect(lab.path_directory) as connection:
        return control.peer(connection)


def test_nothing_is_left_of_a_network_whose_process_was_killed(another_lab: tuple[Lab, Aws]) -> None:
    lab, aws = another_lab
    before = _mounts()
    processes = _processes_of(_sandbox(lab))
    # The devices' own processes, OpenVPN, the resolvers, the broker and the gateway.
    assert len(processes) > 6
    descriptors = {pid: os.pidfd_open(pid) for pid in processes}
    try:
        signal.pidfd_send_signal(descriptors[processes[0]], signal.SIGKILL)
        for pid, descriptor in descriptors.items():
            assert select.select([descriptor], [], [], 10)[0], f"process {pid} outlives its network"
    finally:
        for descriptor in descriptors.values():
            os.close(descriptor)
    assert _mounts() == before
    assert lifecycle.status(lab) == {"running": False}
    changes = lifecycle.up(lab, REGION, aws.url, Report(quiet=True))
    assert "host pi-1: added" in changes
    assert hosts.run(lab, "pi-1", ["true"]).returncode == 0


def test_a_second_lab_with_the_same_addresses_does_not_touch_the_first(
    path_lab: HandMadeLab, another_lab: tuple[Lab, Aws]
) -> None:
    with path_lab.tunnel("pi-1") as output:
        seen = len(output.lines)
        lab, _ = another_lab
        assert hosts.run(lab, "pi-1", ["ip", "link", "show", "dev", "tun0"]).returncode != 0
        lifecycle.down(lab)
        wait_for(lambda: not lifecycle.status(lab)["running"], "the end of the other network")
        assert path_lab.pubsub("pi-1", count=1)["error"] is None
        assert output.lines[seen:] == []
