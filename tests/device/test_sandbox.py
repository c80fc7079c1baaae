"""What the kernel and polkit refuse the agent, seen from within its own service on a real systemd."""

from __future__ import annotations

import pytest

from lab.path.addresses import IOT_PUBLIC
from tests.device.machine import words_of
from tests.device.pi import AGENT, TUNNEL, Pi, wait_for

pytestmark = [pytest.mark.device, pytest.mark.slow, pytest.mark.timeout(1500)]

_SEND = """
import errno, socket, sys
open("/sys/fs/cgroup/system.slice/private-iot-agent.service/cgroup.procs", "w").write("0")
for address in sys.argv[1:]:
    with socket.socket(type=socket.SOCK_DGRAM) as channel:
        try:
            channel.sendto(b"x", (address, 53))
            print("sent")
        except OSError as error:
            print(errno.errorcode[error.errno])
    with socket.socket() as channel:
        channel.settimeout(5)
        print("connected" if channel.connect_ex((address, 8883)) == 0 else "not connected")
"""


def test_the_kernel_drops_what_the_service_sends_outside_the_vpc(pi: Pi) -> None:
    inside = pi.addresses(pi.house.made.iot_endpoint)[0]
    done = pi.machine.run("python3", "-c", _SEND, IOT_PUBLIC, inside)
    assert done.returncode == 0, words_of(done)
    assert done.stdout.splitlines() == ["EPERM", "not connected", "sent", "connected"]
    # The same connection from outside the service comes about: it is the service that is kept in.
    assert pi.machine.run("bash", "-c", f": </dev/tcp/{IOT_PUBLIC}/8883").returncode == 0


def test_the_service_sees_the_system_read_only_and_holds_no_capability(pi: Pi) -> None:
    number = pi.show(AGENT, "MainPID")
    status = dict(
        line.split(":\t", 1) for line in pi.machine.shell(f"cat /proc/{number}/status").splitlines() if "\t" in line
    )
    assert [status[name].strip() for name in ("CapEff", "CapPrm", "CapBnd", "CapAmb")] == ["0" * 16] * 4
    assert (status["NoNewPrivs"].strip(), status["Seccomp"].strip()) == ("1", "2")
    inside = f"nsenter --target {number} --mount -- "
    for folder in ("/etc", "/usr", "/opt", "/var/lib", "/etc/private-iot", "/boot"):
        done = pi.machine.run("bash", "-c", f"{inside} touch {folder}/written")
        assert done.returncode != 0, folder
        assert "Read-only file system" in done.stderr, words_of(done)
    assert pi.machine.shell(f"{inside} ls -A /home /root") == "/home:\n\n/root:\n"
    assert "vda" not in pi.machine.shell(f"{inside} ls /dev")
    owner = pi.machine.shell(
        f"stat -c '%U %a' /proc/{number} /var/lib/private-iot /etc/private-iot/current/private-key.pem"
    )
    assert owner.split() == ["private-iot", "555", "private-iot", "700", "private-iot", "600"]


def test_polkit_lets_the_agents_user_restart_the_tunnel_and_nothing_else(pi: Pi) -> None:
    def as_agent(*words: str) -> int:
        user = ("setpriv", "--reuid=private-iot", "--regid=private-iot", "--init-groups")
        return pi.machine.run(*user, "systemctl", "--no-ask-password", *words, timeout=300).returncode

    began = pi.show(TUNNEL, "ExecMainStartTimestampMonotonic")
    assert as_agent("restart", TUNNEL) == 0
    assert pi.show(TUNNEL, "ExecMainStartTimestampMonotonic") != began
    for words in (("stop", TUNNEL), ("restart", AGENT), ("restart", "NetworkManager.service"), ("disable", TUNNEL)):
        assert as_agent(*words) != 0, words
    assert as_agent("start", "openvpn-client@other.service") != 0
    assert pi.show(TUNNEL, "ActiveState") == "active"
    wait_for(pi.is_connected, "the connection", 180)


def test_an_agent_that_hangs_is_started_anew_by_the_watchdog(pi: Pi) -> None:
    number, starts = pi.show(AGENT, "MainPID"), int(pi.show(AGENT, "NRestarts"))
    pi.machine.shell(f"kill -STOP {number}")
    wait_for(lambda: int(pi.show(AGENT, "NRestarts")) > starts, "the watchdog's restart", 150, pause=3)
    assert pi.show(AGENT, "MainPID") not in ("0", number)
    wait_for(pi.is_connected, "the connection", 180)
