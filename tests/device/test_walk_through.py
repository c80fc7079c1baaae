"""What a person does with the agent on a real Debian, from the README's commands to the purge, and what it may not do.

`make test` runs this file on Debian 13. The tests share one machine, in their order; only the last ones take the agent
away. It cannot prove a Pi's own kernel and hardware, nor AWS.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from device_agent.install.apparmor import LOCAL_RULES, OWN_LINES
from device_agent.local_broker.mosquitto import DROP_IN

from lab.path.addresses import IOT_PUBLIC
from tests.device.machine import words_of
from tests.device.pi import AGENT, PACKAGES_OWN, TUNNEL, Pi, wait_for
from tests.path.agent_daemon.sandbox import Listener
from tests.path.walk_through_by_hand import inside_vpc

pytestmark = [pytest.mark.device, pytest.mark.timeout(1500)]

_HOPS = {
    *("files", "certificates", "tunnel", "home", "interface", "vpn-server", "resolver", "tcp", "tls", "mqtt", "echo"),
    "public-way",
}
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


def test_the_readmes_commands_lead_to_a_healthy_path(pi: Pi) -> None:
    rows = pi.wait_until_healthy()
    assert rows.keys() == _HOPS
    assert "outside the tunnel: refused (CONNACK 0x87)" in rows["public-way"]["seen"]
    assert "the kernel refuses it any other address (EPERM)" in rows["mqtt"]["seen"]


def test_the_services_run_and_start_at_boot(pi: Pi) -> None:
    for unit in (AGENT, TUNNEL):
        assert (pi.show(unit, "ActiveState"), pi.show(unit, "UnitFileState")) == ("active", "enabled")


def test_what_is_published_arrives_and_status_and_journal_tell(pi: Pi) -> None:
    listener = Listener()
    with listener.listening(pi.sandbox()):
        done = pi.agent("publish", "data", "21.5", "--id", "from-debian")
        assert done.returncode == 0, words_of(done)
        wait_for(lambda: "from-debian" in listener.ids(), "the message", 240)
    assert pi.status()["connection"]["connected"]
    assert "connected to" in pi.machine.shell(f"journalctl -o cat -u {AGENT}")
    assert "Initialization Sequence Completed" in pi.machine.shell(f"journalctl -o cat -u {TUNNEL}")


def test_pubsub_sends_ten_messages_and_receives_them(pi: Pi) -> None:
    done = pi.agent("pubsub")
    assert done.returncode == 0, words_of(done)
    assert done.stdout.endswith("10 message(s) received.\nDisconnecting...\nDisconnected!\n")


def test_split_dns_asks_the_vpc_for_the_endpoint_and_the_home_network_for_all_else(pi: Pi) -> None:
    endpoint = pi.house.made.iot_endpoint
    assert inside_vpc(pi.addresses(endpoint)[0])
    assert not inside_vpc(pi.addresses(pi.vpn_name())[0])
    pi.machine.shell(f"systemctl stop {AGENT} {TUNNEL}")
    try:
        assert not inside_vpc(pi.addresses(endpoint)[0])
        assert "tun0" not in pi.machine.shell("resolvectl status")
    finally:
        pi.machine.shell(f"systemctl start {TUNNEL} {AGENT}")
    wait_for(pi.is_connected, "the connection", 240)
    assert inside_vpc(pi.addresses(endpoint)[0])


def test_the_kernel_drops_what_the_service_sends_outside_the_vpc(pi: Pi) -> None:
    inside = pi.addresses(pi.house.made.iot_endpoint)[0]
    done = pi.machine.run("python3", "-c", _SEND, IOT_PUBLIC, inside)
    assert done.returncode == 0, words_of(done)
    assert done.stdout.splitlines() == ["EPERM", "not connected", "sent", "connected"]
    # The same connection from outside the service comes about: it is the service that is kept in.
    assert pi.machine.run("bash", "-c", f": </dev/tcp/{IOT_PUBLIC}/8883").returncode == 0


@pytest.mark.slow
def test_the_kernel_keeps_the_service_and_what_a_command_sends_itself_to_the_vpc(pi: Pi) -> None:
    refused = "; the kernel refuses it any other address (EPERM)"
    rows = pi.wait_until_healthy()
    assert rows["mqtt"]["seen"].startswith("the agent is connected to ")
    assert rows["mqtt"]["seen"].endswith(refused), rows["mqtt"]
    pi.machine.shell(f"systemctl stop {AGENT}", timeout=300)
    try:
        rows = pi.doctor()
        assert rows["mqtt"]["seen"].startswith("connected to ")
        assert rows["mqtt"]["seen"].endswith(refused), rows["mqtt"]
        # Which is not under the rule: it sees AWS IoT's public address refuse the device.
        assert rows["public-way"]["result"] == "ok", rows["public-way"]
        done = pi.agent("pubsub", "--count", "2")
        assert (done.returncode, done.stderr) == (0, ""), words_of(done)
    finally:
        pi.machine.shell(f"systemctl start {AGENT}", timeout=300)
    assert pi.machine.shell("systemctl list-units --all --no-legend --plain 'private-iot-*.scope'") == ""
    wait_for(pi.is_connected, "the connection", 240)


def test_the_service_sees_the_system_read_only_and_holds_no_capability(pi: Pi) -> None:
    number = pi.show(AGENT, "MainPID")
    status = dict(
        line.split(":\t", 1) for line in pi.machine.shell(f"cat /proc/{number}/status").splitlines() if "\t" in line
    )
    assert [status[name].strip() for name in ("CapEff", "CapPrm", "CapBnd", "CapAmb")] == ["0" * 16] * 4
    assert (status["NoNewPrivs"].strip(), status["Seccomp"].strip()) == ("1", "2")
    folders = ("/etc", "/usr", "/opt", "/var/lib", "/etc/private-iot", "/boot")
    touch = f"for folder in {' '.join(folders)}; do touch $folder/written; done"
    done = pi.machine.run("nsenter", "--target", number, "--mount", "--", "bash", "-c", touch)
    assert done.stderr.splitlines() == [
        f"touch: cannot touch '{folder}/written': Read-only file system" for folder in folders
    ]
    inside = pi.machine.shell(f"nsenter --target {number} --mount -- ls -A /home /root /dev")
    assert inside.startswith("/dev:\n")
    assert "vda" not in inside
    assert inside.endswith("/home:\n\n/root:\n")
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
    wait_for(pi.is_connected, "the connection", 240)


def test_a_full_disk_is_what_doctor_names_and_nothing_is_lost_by_it(pi: Pi) -> None:
    # A queue that has just begun has no room left in its own file.
    pi.machine.shell(f"systemctl restart {AGENT}")
    wait_for(pi.is_connected, "the connection", 240)
    with pi.full_disk():
        row = pi.doctor()["echo"]
        assert (row["result"], row["meaning"]) == (
            "failed",
            "the disk does not take another message; what was accepted before is kept",
        )
        assert row["remedy"].startswith("`df -h /var/lib/private-iot`: make room")
        done = pi.agent("publish", "data", "21.5", "--id", "refused")
        assert done.returncode == 2, words_of(done)
    listener = Listener()
    with listener.listening(pi.sandbox()):
        wait_for(lambda: pi.agent("publish", "data", "--id", "accepted", text="x").returncode == 0, "room", 240)
        wait_for(lambda: "accepted" in listener.ids(), "the message", 240)
    assert "refused" not in listener.ids()
    assert pi.doctor()["echo"]["result"] == "ok"


def test_uninstall_leaves_the_system_as_before(pi: Pi) -> None:
    # What the agent advises for programs that publish; userdel alone would leave the group for its member's sake.
    pi.machine.shell("usermod -aG private-iot pi")
    done = pi.agent("uninstall", "--purge")
    assert done.returncode == 0, words_of(done)
    differs = set(pi.before).symmetric_difference(pi.snapshot())
    assert [line for line in sorted(differs) if not any(f" {path} " in f"{line} " for path in PACKAGES_OWN)] == []
    assert pi.machine.run("getent", "group", "private-iot").returncode == 2


def test_it_installs_again_though_the_group_was_there_with_a_member(pi: Pi) -> None:
    pi.machine.shell("groupadd --system private-iot && usermod -aG private-iot pi")
    done = pi.install()
    assert done.returncode == 0, words_of(done)
    wait_for(pi.is_connected, "the connection", 240)


def test_purge_leaves_nothing(pi: Pi) -> None:
    # What `install` writes beside another's rules for AppArmor (`test_apparmor.py`), and `mqtt enable`'s drop-in.
    others = "# another's\n/usr/local/bin/other Ux,\n"
    write = f"mkdir -p {Path(LOCAL_RULES).parent} {Path(DROP_IN).parent}; touch {DROP_IN}; cat >{LOCAL_RULES}"
    done = pi.machine.run("sh", "-euc", write, text=f"{others}{OWN_LINES}")
    assert done.returncode == 0, words_of(done)
    pi.machine.shell("apt-get purge --yes private-iot-agent", timeout=400)
    assert pi.machine.shell(f"cat {LOCAL_RULES}") == others
    left = "find / -xdev -name '*private-iot*' -not -path '/home/*' -not -path '/root/*' -not -path '/var/cache/*'"
    assert pi.machine.shell(left) == ""
    assert pi.machine.run("getent", "passwd", "private-iot").returncode == 2
    assert pi.machine.run("getent", "group", "private-iot").returncode == 2
    assert pi.show(TUNNEL, "ActiveState") == "inactive"
