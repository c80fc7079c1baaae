"""What the device does for others, on a real Debian: the gateway of a neighbour, and the local MQTT broker.

The neighbour is a process of this machine behind the device's second network card. It cannot prove a Pi's own network
chips, nor other firewalls of a device.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab.path.addresses import IOT_PUBLIC
from tests.device.conftest import PROJECT, run_as_pi
from tests.device.home_network import GATEWAY, NEIGHBOUR
from tests.device.machine import Machine, words_of
from tests.device.pi import AGENT, Pi, wait_for
from tests.path.agent_daemon.sandbox import Listener
from tests.path.walk_through_by_hand import VPC_CIDR, inside_vpc

pytestmark = [pytest.mark.device, pytest.mark.slow, pytest.mark.timeout(1500)]

_CONNECT = r"""
import socket, ssl, sys
from device_agent.dns import DnsError, query
folder, server, name, identity = sys.argv[1:]
try:
    address = query(server, name, timeout=10)[0]
    context = ssl.create_default_context(cafile=f"{folder}/root-ca.pem")
    context.load_cert_chain(f"{folder}/certificate.pem", f"{folder}/key.pem")
    client = identity.encode()
    # CONNECT of MQTT 3.1.1, section 3.1, with a clean session; the answer is CONNACK.
    packet = b"\x00\x04MQTT\x04\x02\x00\x3c" + len(client).to_bytes(2, "big") + client
    plain = socket.create_connection((address, 8883), 30)
    with plain, context.wrap_socket(plain, server_hostname=name) as line:
        line.sendall(b"\x10" + bytes([len(packet)]) + packet)
        print(address, line.recv(4).hex())
except (DnsError, OSError) as error:
    print(type(error).__name__, error)
"""
_REACHES = """
import socket, sys
with socket.socket() as line:
    line.settimeout(3)
    print(line.connect_ex((sys.argv[1], int(sys.argv[2]))))
"""
_SETTINGS = """
[mqtt]
publish = ["sensors/#"]
subscribe = ["commands/#"]
"""


@dataclass
class Neighbour:
    """The lab's second device as a neighbour of the first, which has the agent."""

    pi: Pi
    folder: Path

    def _python(self, program: str, *words: str) -> str:
        return self.pi.machine.network.run(sys.executable, "-c", program, *words).strip()

    def connect(self) -> str:
        """Connect to AWS IoT with its own certificate; give the address and CONNACK, or what went wrong."""
        endpoint = self.pi.house.made.iot_endpoint
        return self._python(_CONNECT, str(self.folder), str(GATEWAY.ip), endpoint, "pi-2")

    def reaches(self, address: str, port: int) -> bool:
        """Tell whether a TCP connection comes about."""
        return self._python(_REACHES, address, str(port)) == "0"

    def asked(self, name: str) -> str:
        """Ask the gateway for a name."""
        program = "import sys; from device_agent.dns import DnsError, query\ntry: print(query(*sys.argv[1:]))\n"
        return self._python(f"{program}except DnsError as error: print(error)", str(GATEWAY.ip), name)


def _packages(machine: Machine) -> set[str]:
    return set(machine.shell("dpkg-query --show --showformat '${Package}\\n'").split())


@pytest.fixture(scope="module")
def neighbour(pi: Pi, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Neighbour]:
    folder = tmp_path_factory.mktemp("neighbour")
    iot = pi.house.bundle("pi-2")["iot"]
    for name, key in (("certificate", "certificatePem"), ("key", "privateKeyPem"), ("root-ca", "rootCaPem")):
        (folder / f"{name}.pem").write_text(iot[key])
    machine = pi.machine
    packages = _packages(machine)
    for words in ("nftables dnsmasq-base", "mosquitto"):
        assert f"`sudo apt install {words}`" in (PROJECT / "docs/operations.md").read_text(encoding="utf-8")
        run_as_pi(machine, f"sudo apt install --yes {words}")
    machine.shell("apt-get install --yes mosquitto-clients", timeout=600)
    machine.shell(
        f"nmcli connection add type ethernet ifname eth1 con-name lan ipv4.method manual ipv4.addresses {GATEWAY}"
        " ipv6.method disabled"
    )
    machine.plug_neighbour(plugged=True)
    machine.network.run("ip", "route", "replace", VPC_CIDR, "via", str(GATEWAY.ip))
    machine.network.run("ip", "route", "replace", IOT_PUBLIC, "via", str(GATEWAY.ip))
    wait_for(lambda: f" {GATEWAY.ip}/" in machine.shell("ip -4 -o address show dev eth1"), "the LAN's address", 240)
    yield Neighbour(pi, folder)
    machine.plug_neighbour(plugged=False)
    machine.shell(
        "nmcli connection delete lan; rm -f /etc/private-iot/agent.toml;"
        f" apt-get purge --yes {' '.join(sorted(_packages(machine) - packages))}",
        timeout=600,
    )
    # Who had a line to the broker until now.
    machine.shell(f"systemctl restart {AGENT}")
    wait_for(pi.is_connected, "the connection", 240)


def test_a_neighbour_reaches_aws_iot_through_the_device_and_nothing_else(pi: Pi, neighbour: Neighbour) -> None:
    done = pi.agent("gateway", "enable", "--lan", "eth1")
    assert done.returncode == 0, words_of(done)
    assert done.stdout.endswith(
        f"{GATEWAY.network} of eth1 reaches AWS IoT through this device; `device-agent status` counts\n"
    )
    said = wait_for(
        lambda: answer if (answer := neighbour.connect()).endswith(" 20020000") else "",
        "the neighbour's connection",
        240,
    )
    address = said.split()[0]
    assert inside_vpc(address)
    assert "error 5" in neighbour.asked(pi.vpn_name()), "REFUSED"
    assert not neighbour.reaches(address, 22)
    assert not neighbour.reaches(IOT_PUBLIC, 8883)
    assert pi.doctor()["gateway"]["result"] == "ok"
    counted = pi.status()["gateway"]
    assert [item["address"] for item in counted["neighbours"]] == [str(NEIGHBOUR.ip)]
    assert min(*counted["to_vpc"], *counted["from_vpc"]) > 0


def test_programs_publish_and_subscribe_through_debians_own_broker(pi: Pi, neighbour: Neighbour) -> None:
    pi.machine.shell(f"cat >/etc/private-iot/agent.toml <<'END'{_SETTINGS}END")
    done = pi.agent("mqtt", "enable")
    assert (done.returncode, done.stderr) == (0, ""), words_of(done)
    exchange(pi, "before the reboot")


def test_gateway_and_broker_survive_a_reboot_and_a_restart_of_the_firewall(pi: Pi, neighbour: Neighbour) -> None:
    pi.machine.shut_down()
    pi.machine.boot()
    wait_for(lambda: neighbour.connect().endswith(" 20020000"), "the neighbour's connection", 240)
    wait_for(pi.is_connected, "the connection", 240)
    exchange(pi, "after the reboot")
    # Its own rules begin with `flush ruleset`.
    pi.machine.shell("systemctl restart nftables")
    wait_for(lambda: neighbour.connect().endswith(" 20020000"), "the neighbour's connection", 240)
    assert not neighbour.reaches(IOT_PUBLIC, 8883)


def test_a_package_that_is_removed_takes_the_gateway_with_it_and_brings_it_back(
    pi: Pi, neighbour: Neighbour, packages: list[Path]
) -> None:
    machine = pi.machine
    machine.shell("apt-get remove --yes private-iot-agent", timeout=400)
    assert "private_iot" not in machine.shell("nft list tables")
    states = machine.shell("systemctl list-units --no-legend --plain 'private-iot-*' 'openvpn-client@*'")
    assert states == ""
    machine.shell(f"cd /root && tar xf /dev/vdb {packages[0].name} && dpkg --install {packages[0].name}", timeout=500)
    wait_for(lambda: neighbour.connect().endswith(" 20020000"), "the neighbour's connection", 240)
    wait_for(pi.is_connected, "the connection", 240)
    exchange(pi, "after the package came back")


def test_disabled_they_leave_nothing(pi: Pi, neighbour: Neighbour) -> None:
    machine = pi.machine
    for words in (("gateway", "disable"), ("mqtt", "disable")):
        done = pi.agent(*words)
        assert done.returncode == 0, words_of(done)
    assert machine.shell("cat /proc/sys/net/ipv4/ip_forward; nft list tables").split("\n", 1)[0] == "0"
    assert "private_iot" not in machine.shell("nft list tables")
    assert machine.shell("find /etc /run/systemd -name '*gateway*' -path '*private*'") == ""
    assert machine.shell("systemctl list-units --all --no-legend --plain 'private-iot-gateway*'") == ""
    assert machine.shell(f"ss -Hlun 'sport = :53 and src {GATEWAY.ip}'") == ""
    assert not neighbour.reaches(pi.addresses(pi.house.made.iot_endpoint)[0], 8883)
    assert machine.shell("ls /etc/mosquitto/conf.d") == "README\n"
    assert pi.show("mosquitto.service", "ActiveState") == "active"


def exchange(pi: Pi, text: str) -> None:
    """Send a message by Debian's own client to AWS IoT, and one from there to such a client."""
    listener = Listener()
    topic = "private-iot/pi-1/sensors/attic"
    with listener.listening(pi.sandbox()):
        wait_for(lambda: (pi.status().get("localBroker") or {}).get("connected"), "the broker's connection", 240)
        pi.machine.shell(f"mosquitto_pub -q 1 -t sensors/attic -m '{text}'")
        wait_for(
            lambda: any(item["topic"] == topic and item["payload"] == text for item in listener.arrivals), topic, 240
        )
    pi.machine.shell(
        "rm -f /run/command; systemd-run --collect --unit=subscriber"
        " sh -c 'stdbuf -oL mosquitto_sub -d -C 1 -q 1 -t commands/fan >/run/command'"
    )
    wait_for(lambda: "SUBACK" in pi.machine.shell("cat /run/command || true"), "its subscription", 240)
    done = pi.agent("publish", "commands/fan", text)
    assert done.returncode == 0, words_of(done)
    wait_for(lambda: text in pi.machine.shell("cat /run/command").splitlines(), "the command", 240)
