"""The agent's Debian package, and what it leaves: two upgrades in a row, uninstall, purge."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.device.pi import AGENT, Pi, wait_for
from tests.path.agent_daemon.sandbox import Listener

pytestmark = [pytest.mark.device, pytest.mark.timeout(1500)]


@pytest.mark.slow
def test_two_upgrades_in_a_row_keep_the_queue_and_the_identity(pi: Pi, packages: list[Path]) -> None:
    identity = pi.machine.shell("sha256sum /etc/private-iot/device.json /etc/private-iot/private-key.pem")
    listener = Listener()
    with listener.listening(pi.sandbox()):
        pi.machine.pull_cable()
        done = pi.machine.run("device-agent", "publish", "data", "--lines", text="one\ntwo\nthree\n")
        assert done.returncode == 0, done.stderr
        for later in packages[1:]:
            number = pi.show(AGENT, "MainPID")
            pi.machine.shell(
                f"cd /root && tar xf /dev/vdb {later.name} && apt-get install --yes ./{later.name}", timeout=500
            )
            version = later.name.split("_")[1]
            assert pi.machine.shell("dpkg-query -W -f '${Version}' private-iot-agent") == version
            assert pi.show(AGENT, "MainPID") not in ("0", number), "the old code runs on"
        pi.machine.plug_cable()
        wait_for(lambda: len(listener.ids()) == 3, "the three messages", 240)
    assert pi.machine.shell("sha256sum /etc/private-iot/device.json /etc/private-iot/private-key.pem") == identity
    pi.wait_until_healthy()
