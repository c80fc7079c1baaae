"""A lab with a site, whose gateway has the agent installed and is a gateway by `device-agent gateway enable`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from typing import Any

from lab.path import addresses, hosts, lifecycle
from lab.path.parts import INTERNET
from lab.path.site import LAN, SENSOR, Site, devices_network
from tests.path.agent.house import AGENT, TUNNEL, Device, House, running_house
from tests.path.path_lab import Output, wait_for

GATEWAY, NEIGHBOURS = "pi-1", ("pi-2", "pi-3")
NEIGHBOUR = NEIGHBOURS[0]
VPC, RESOLVER = IPv4Network("10.0.0.0/16"), "10.0.0.2"
INTERNET_ADDRESS = addresses.IOT_PUBLIC
_ASK = """
import sys
from device_agent.dns import query, DnsError
try: print(query(sys.argv[1], sys.argv[2], timeout=5))
except DnsError as error: print(error)
"""


@dataclass
class LabSite:
    """The site of a running lab.

    Attributes:
        own: Each host's address in the LAN.
        endpoint: AWS IoT's name.
        endpoint_address: Its address in the VPC.
        server: The public address of Client VPN.
        uplink: The gateway's own address at home, and its router's.
    """

    house: House
    own: dict[str, str] = field(init=False)
    endpoint: str = field(init=False)
    endpoint_address: str = field(init=False)
    server: str = field(init=False)
    uplink: tuple[str, str] = field(init=False)

    def __post_init__(self) -> None:
        hops = {hop["hop"]: hop for hop in lifecycle.status(self.house.lab)["hops"] if hop["name"] not in NEIGHBOURS}
        lan = hops["site"]
        self.own = {**lan["gateways"], **lan["neighbours"], SENSOR: lan["sensor"]}
        self.endpoint = self.house.made.iot_endpoint
        (self.endpoint_address,) = hops["vpc-endpoint"]["addresses"]
        self.server = hops["client-vpn"]["addresses"][0].partition(":")[0]
        (home,) = hops["device"]["interfaces"]["wlan0"]
        network = IPv4Network(home, strict=False)
        self.uplink = home.partition("/")[0], str(network[1])

    @property
    def network(self) -> IPv4Network:
        return IPv4Network(f"{self.own[GATEWAY]}/24", strict=False)

    @property
    def allowed(self) -> IPv4Network:
        """Who may use the gateway: its neighbours, and not the sensor."""
        return devices_network(self.network)

    @property
    def gateway(self) -> Device:
        return self.house.device(GATEWAY)

    def hop(self) -> dict[str, Any]:
        """Return what the lab says of its site."""
        found: dict[str, Any] = next(hop for hop in lifecycle.status(self.house.lab)["hops"] if hop["hop"] == "site")
        return found

    def run(self, host: str, *argv: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command in a host."""
        return hosts.run(self.house.lab, host, argv, input=text, timeout=200)

    def do(self, host: str, *argv: str, text: str | None = None) -> str:
        """Run a command that has to succeed."""
        done = self.run(host, *argv, text=text)
        assert done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"
        return done.stdout

    def start(self, host: str, *argv: str) -> Output:
        """Start a program in a host."""
        return Output(
            subprocess.Popen(
                hosts.command(self.house.lab, host, argv),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )

    def reaches(self, host: str, address: str, port: int, *, within: float = 60) -> bool:
        """Tell whether a TCP connection comes about."""
        return self.run(host, "timeout", str(within), "bash", "-c", f": < /dev/tcp/{address}/{port}").returncode == 0

    def is_cut_off(self, host: str, address: str, port: int) -> bool:
        """Tell whether no TCP connection comes about in as long as a first packet and a second one take."""
        return not self.reaches(host, address, port, within=1.5)

    def tls(self, host: str, seconds: int = 60) -> str:
        """Shake hands with AWS IoT by its name, as the host's own resolver gives it, and give what openssl says."""
        words = ("openssl", "s_client", "-brief", "-verify_return_error", "-connect", f"{self.endpoint}:8883")
        return self.run(host, "timeout", str(seconds), *words, text="").stderr

    def wait_until_served(self, host: str = NEIGHBOUR) -> None:
        """Wait until a host of the LAN gets to AWS IoT."""
        wait_for(lambda: "Verification: OK" in self.tls(host, 15), f"AWS IoT in {host}'s reach", 240)

    def asked(self, host: str, name: str) -> str:
        """Ask the gateway for a name, and give the addresses or what is wrong."""
        return self.do(host, sys.executable, "-c", _ASK, self.own[GATEWAY], name).strip()

    def enable(self) -> None:
        """Make the gateway one."""
        self.do(GATEWAY, "device-agent", "gateway", "enable", "--lan", "lan0", "--allow", str(self.allowed))

    def start_tunnel(self) -> None:
        self.do(GATEWAY, "systemctl", "start", TUNNEL)
        wait_for(
            lambda: "inet " in self.run(GATEWAY, "ip", "-o", "address", "show", "dev", "tun0").stdout, "the tunnel"
        )

    @contextmanager
    def captured(self, interface: str, expression: str, host: str = GATEWAY) -> Iterator[list[str]]:
        """Collect a host's packets on an interface while the block runs."""
        # As another user it would not hear that its parent has ended (prctl(2), PR_SET_PDEATHSIG).
        packets: list[str] = []
        output = self.start(host, "tcpdump", "-Z", "root", "-l", "-n", "-i", interface, "--immediate-mode", expression)
        output.wait_for("listening on")
        seen = len(output.lines)
        try:
            yield packets
        finally:
            # What the kernel has seen by now is printed before the counts.
            output.process.terminate()
            output.wait_for("packets captured")
            packets.extend(line for line in output.lines[seen:] if " IP " in f" {line}")
            output.close()


@contextmanager
def running_site() -> Iterator[LabSite]:
    """Build a lab with a site, with the agent on its gateway."""
    with running_house((GATEWAY, *NEIGHBOURS), Site((GATEWAY,), NEIGHBOURS)) as house:
        gateway = house.device(GATEWAY)
        done = gateway.install()
        assert done.returncode == 0, done.stderr
        gateway.wait_until_healthy()
        site = LabSite(house)
        site.enable()
        site.wait_until_served()
        yield site


__all__ = [
    "AGENT",
    "GATEWAY",
    "INTERNET",
    "LAN",
    "NEIGHBOUR",
    "NEIGHBOURS",
    "SENSOR",
    "TUNNEL",
    "LabSite",
    "running_site",
]
