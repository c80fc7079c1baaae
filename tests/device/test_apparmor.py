"""AppArmor as Ubuntu has it for OpenVPN, enforced by a real kernel: Debian's own, with rules like those of Ubuntu.

It cannot prove Ubuntu's own packages: the rules are the ones that its profile has for what OpenVPN does here.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.device.machine import words_of
from tests.device.pi import TUNNEL, Pi, wait_for

pytestmark = [pytest.mark.device, pytest.mark.slow, pytest.mark.timeout(1500)]

_PROFILE = """
abi <abi/3.0>,
include <tunables/global>
profile openvpn /usr/sbin/openvpn flags=(attach_disconnected) {
  include <abstractions/base>
  include <abstractions/nameservice>
  include <abstractions/openssl>
  capability dac_override,
  capability dac_read_search,
  capability net_admin,
  capability setgid,
  capability setuid,
  network inet dgram,
  network inet6 dgram,
  network inet stream,
  network inet6 stream,
  network raw,
  /etc/openvpn/{,**} r,
  /usr/sbin/openvpn mr,
  @{run}/systemd/notify w,
  /dev/net/tun rw,
  @{PROC}/@{pid}/net/route r,
  @{run}/openvpn/*.{pid,status} rw,
  include if exists <local/openvpn>
}
"""
_LOCAL = "/etc/apparmor.d/local/openvpn"


@pytest.fixture(scope="module")
def confined(pi: Pi) -> Iterator[Pi]:
    machine = pi.machine
    assert machine.shell("cat /sys/module/apparmor/parameters/enabled") == "Y\n"
    # Its service would translate every profile of Debian's, which takes minutes here.
    machine.shell("systemctl mask apparmor.service && apt-get install --yes apparmor", timeout=600)
    machine.shell(f"cat >/etc/apparmor.d/openvpn <<'END'{_PROFILE}END")
    machine.shell("apparmor_parser --replace /etc/apparmor.d/openvpn")
    yield pi
    machine.shell(
        f"apparmor_parser --remove /etc/apparmor.d/openvpn; rm -f {_LOCAL} /etc/apparmor.d/openvpn;"
        f" apt-get purge --yes apparmor; systemctl unmask apparmor.service; systemctl restart {TUNNEL}",
        timeout=600,
    )
    wait_for(pi.is_connected, "the connection", 240)


def test_install_lets_openvpn_run_the_resolvers_script_and_nothing_else(confined: Pi) -> None:
    machine = confined.machine
    machine.shell(f"systemctl restart {TUNNEL} || true")
    said = "could not execute external program"
    wait_for(lambda: said in machine.shell(f"journalctl -b -o cat -u {TUNNEL}"), "the script's refusal", 240)
    # systemd tries again and again: until the script is refused, each attempt looks like a tunnel.
    wait_for(lambda: confined.doctor()["tunnel"]["result"] == "failed", "doctor's tunnel to fail", 240)
    done = confined.install()
    assert done.returncode == 0, words_of(done)
    assert "let OpenVPN run /etc/openvpn/update-systemd-resolved, by a rule in " in done.stdout
    confined.wait_until_healthy()
    number = confined.show(TUNNEL, "MainPID")
    assert machine.shell(f"cat /proc/{number}/attr/current") == "openvpn (enforce)\n"
    refused = machine.shell("journalctl -b -k -o cat --grep 'apparmor=.DENIED' || true")
    assert {line for line in refused.splitlines() if "update-systemd-resolved" not in line} == set()
