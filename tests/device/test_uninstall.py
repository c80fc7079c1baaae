"""What `device-agent uninstall` and `apt purge` leave behind: the last tests, after which the machine holds nothing."""

from __future__ import annotations

import pytest

from tests.device.machine import words_of
from tests.device.pi import Pi

pytestmark = [pytest.mark.device, pytest.mark.timeout(1500)]

_PACKAGES_OWN = ("/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow", "/var/lib/private-iot")
"""Where the user is that the package made and `uninstall` removes: the next `install` makes it again."""


@pytest.mark.slow
def test_uninstall_leaves_the_system_as_before_and_purge_nothing(pi: Pi) -> None:
    done = pi.agent("uninstall", "--purge")
    assert done.returncode == 0, words_of(done)
    differs = set(pi.before).symmetric_difference(pi.snapshot())
    assert [line for line in sorted(differs) if not any(f" {path} " in f"{line} " for path in _PACKAGES_OWN)] == []
    pi.machine.shell("apt-get purge --yes private-iot-agent", timeout=400)
    assert (
        pi.machine.shell(
            "find / -xdev -name '*private-iot*' -not -path '/home/*' -not -path '/root/*' -not -path '/var/cache/*'"
        )
        == ""
    )
    assert pi.machine.run("getent", "passwd", "private-iot").returncode == 2
    assert pi.machine.run("getent", "group", "private-iot").returncode == 2
