"""The arm64 package on Debian for arm64, its programs translated by QEMU: what needs neither systemd nor a network.

It cannot prove a service, a tunnel or a Pi; the machines of the other files are of amd64.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import pytest

from tests.device.arm64 import QEMU, Arm64
from tests.device.conftest import build_package
from tests.device.image import missing
from tests.device.machine import words_of
from tests.path.agent.house import House

pytestmark = [pytest.mark.device, pytest.mark.slow, pytest.mark.timeout(6000)]

_AWSCRT = """
import platform
from awscrt import io, mqtt5
io.ClientBootstrap.get_or_create_static_default()
print(platform.machine(), mqtt5.QoS.AT_LEAST_ONCE.value)
"""
_QUEUE = """
mkdir -p /run/private-iot && chown private-iot: /run/private-iot
start() {
  setpriv --reuid=private-iot --regid=private-iot --clear-groups device-agent run >&2 &
  agent=$!
  for attempt in $(seq 60); do
    [ -S /run/private-iot/agent.sock ] && return
    sleep 1
  done
  return 1
}
start
seq 20 | device-agent publish data --lines --json | wc -l
kill -KILL $agent
wait $agent || true
rm /run/private-iot/agent.sock
start
device-agent status --json >/run/status || [ $? = 1 ]
python3 -c 'import json; print(json.load(open("/run/status"))["queue"]["depth"])'
"""


@pytest.fixture(scope="module")
def debian(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arm64]:
    problems = missing() + ([] if QEMU.exists() else [f"{QEMU} missing: `make system-tests`"])
    if problems:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("; ".join(problems))
    folder = tmp_path_factory.mktemp("arm64")
    package = build_package(folder, "--architecture", "arm64")
    made = Arm64(folder)
    try:
        package.rename(made.root / "root" / package.name)
        made.shell(f"dpkg --install /root/{package.name}")
        yield made
    finally:
        made.close()


def test_awscrt_is_arm64s_and_loads(debian: Arm64) -> None:
    done = debian.run("/opt/private-iot-agent/bin/python", "-I", "-c", _AWSCRT)
    assert (done.returncode, done.stdout) == (0, "aarch64 1\n"), words_of(done)


def test_it_installs_and_doctor_judges_what_needs_no_network(debian: Arm64, house: House) -> None:
    done = debian.run("device-agent", "install", "-", text=json.dumps(house.bundle("pi-1")))
    assert done.returncode == 0, words_of(done)
    assert done.stdout.endswith("pi-1 is installed; `device-agent doctor` proves the path\n")
    done = debian.run("device-agent", "doctor", "--json", "--no-public-way")
    assert done.returncode == 2, words_of(done)
    rows = {row["check"]: row for row in json.loads(done.stdout)["checks"]}
    assert [rows[name]["result"] for name in ("files", "certificates", "tunnel")] == ["ok", "ok", "failed"], rows
    assert rows["tunnel"]["meaning"] == "OpenVPN is not running, so there is no tunnel"


def test_what_the_queue_has_taken_outlives_a_kill(debian: Arm64) -> None:
    assert debian.shell(_QUEUE).split() == ["20", "20"]
