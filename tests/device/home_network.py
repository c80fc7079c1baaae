"""The home network of a lab's device with a virtual machine in the device's place.

The lab's device has one link, from its namespace to the internet's. Its end loses its address and becomes a port of a
bridge; the machine's card is another port, and a DHCP server on the bridge gives it the addresses that the lab's plan
has for the device, as a home router does. The router itself is the lab's. The machine's other card leads to a
neighbour, which is the namespace itself at an address of another network.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from ipaddress import IPv4Interface
from pathlib import Path

from lab.path import control
from lab.state import Lab

BRIDGE, PORT, LAN = "home", "machine", "wlan0"
NEIGHBOUR_PORT = "neighbour"
NEIGHBOUR = IPv4Interface("192.168.77.2/24")
GATEWAY = IPv4Interface("192.168.77.1/24")
"""What the machine calls itself there, where it is the neighbour's gateway."""
_SERVER = 250
"""The last byte of the DHCP server's own address."""


class HomeNetwork:
    """The home network of one device of a lab that runs.

    Args:
        lab: The lab.
        device: The device's name.
    """

    def __init__(self, lab: Lab, device: str) -> None:
        with control.connect(lab.path_directory) as connection:
            sandbox = control.peer(connection)
        self._enter = ["nsenter", f"--net=/proc/{sandbox}/root/run/netns/{device}", "--"]
        self._dhcp: subprocess.Popen[bytes] | None = None
        self._folder = tempfile.TemporaryDirectory(prefix="home-network-")
        found = json.loads(self.run("ip", "-j", "-4", "address", "show", "dev", LAN))
        gateway = json.loads(self.run("ip", "-j", "route", "show", "default"))[0]["gateway"]
        address = found[0]["addr_info"][0]
        self.device = IPv4Interface(f"{address['local']}/{address['prefixlen']}")
        self.gateway = gateway
        self._server = IPv4Interface(f"{self.device.network[_SERVER]}/{self.device.network.prefixlen}")
        self._batch(
            f"link add {BRIDGE} type bridge",
            f"tuntap add dev {PORT} mode tap",
            f"address flush dev {LAN}",
            f"link set {LAN} master {BRIDGE}",
            f"link set {PORT} master {BRIDGE}",
            f"address add {self._server} dev {BRIDGE}",
            f"link set {BRIDGE} up",
            f"link set {PORT} up",
            f"tuntap add dev {NEIGHBOUR_PORT} mode tap",
            f"address add {NEIGHBOUR} dev {NEIGHBOUR_PORT}",
            f"link set {NEIGHBOUR_PORT} up",
        )

    def run(self, *argv: str) -> str:
        """Run a command in the network's namespace, and return what it printed."""
        done = subprocess.run([*self._enter, *argv], capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 0, f"{argv}: {done.stderr}"
        return done.stdout

    def inside(self, argv: list[str]) -> list[str]:
        """Return the words that run a command in the network's namespace."""
        return [*self._enter, *argv]

    def serve_dhcp(self, last_byte: int | None = None) -> None:
        """Give the machine an address by DHCP from now on.

        Args:
            last_byte: The last byte of the address; by default the lab's device's own.
        """
        self.stop_dhcp()
        address = self.device.ip if last_byte is None else self.device.network[last_byte]
        self._dhcp = subprocess.Popen(
            self.inside(
                [
                    *("dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--user=root"),
                    *(f"--interface={BRIDGE}", "--bind-interfaces", "--dhcp-authoritative", "--no-ping"),
                    *(f"--dhcp-range={address},{address},{self.device.netmask},2m", "--pid-file="),
                    *(f"--dhcp-option=option:router,{self.gateway}", f"--dhcp-option=option:dns-server,{self.gateway}"),
                    f"--dhcp-leasefile={Path(self._folder.name, 'leases')}",
                ]
            ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def stop_dhcp(self) -> None:
        """Answer no DHCP request from now on, and forget the leases."""
        if self._dhcp is not None:
            self._dhcp.terminate()
            self._dhcp.wait(60)
            self._dhcp = None
        Path(self._folder.name, "leases").unlink(missing_ok=True)

    def close(self) -> None:
        """Put the device's link back as the lab had it."""
        self.stop_dhcp()
        self._folder.cleanup()
        until = time.monotonic() + 60
        while "NO-CARRIER" not in self.run("ip", "link", "show", "dev", PORT) and time.monotonic() < until:
            time.sleep(0.1)
        self._batch(
            f"link delete {PORT}",
            f"link delete {BRIDGE}",
            f"link delete {NEIGHBOUR_PORT}",
            f"address add {self.device} dev {LAN}",
            f"route add default via {self.gateway} dev {LAN}",
        )

    def _batch(self, *lines: str) -> None:
        text = "\n".join([*lines, ""])
        done = subprocess.run(
            self.inside(["ip", "-batch", "-"]), input=text, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
