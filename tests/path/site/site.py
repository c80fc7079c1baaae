"""A site in network namespaces of its own: a LAN with hosts, a gateway, its uplink, and a VPC behind the tunnel.

The tunnel is a pair of virtual interfaces by the tunnel's name: what is proven here is the gateway's packet filter and
its DNS, with the kernel's own forwarding and real packets. All of it ends with the process that holds the namespaces.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from device_agent.gateway.rules import Gateway, ruleset
from device_agent.gateway.units import dns_configuration

ENDPOINT = "abc123-ats.iot.ap-northeast-1.amazonaws.com"
VPC = IPv4Network("10.0.0.0/16")
ALLOWED = IPv4Network("192.168.10.0/25")
ENDPOINT_ADDRESS, OTHER_ADDRESS, RESOLVER = "10.0.1.105", "10.0.1.7", "10.0.0.2"
GATEWAY, NEIGHBOUR, STRANGER = "192.168.10.1", "192.168.10.20", "192.168.10.200"
TUNNEL_ADDRESS, INTERNET_ADDRESS = "172.31.0.34", "198.51.100.1"
_LAYOUT = f"""
set -e
mount -t tmpfs tmpfs /run
for host in lan neighbour stranger gateway vpc internet; do ip netns add $host; ip -n $host link set lo up; done
ip -n lan link add lan0 type bridge; ip -n lan link set lan0 up
join() {{ ip -n lan link add $1 type veth peer name $2 netns $1; ip -n lan link set $1 master lan0 up
  ip -n $1 address add $3/24 dev $2; ip -n $1 link set $2 up; }}
join neighbour eth0 {NEIGHBOUR}; join stranger eth0 {STRANGER}; join gateway lan0 {GATEWAY}
wire() {{ ip -n gateway link add $1 type veth peer name $1 netns $2; ip -n gateway address add $3 dev $1
  ip -n gateway link set $1 up; ip -n $2 address add $4 dev $1; ip -n $2 link set $1 up; }}
wire tun0 vpc {TUNNEL_ADDRESS}/24 172.31.0.1/24
wire wlan0 internet 203.0.113.2/24 203.0.113.1/24
for address in {ENDPOINT_ADDRESS} {OTHER_ADDRESS} {RESOLVER}; do ip -n vpc address add $address/32 dev lo; done
ip -n vpc route add 192.168.10.0/24 via {TUNNEL_ADDRESS}
ip -n internet address add {INTERNET_ADDRESS}/32 dev lo
ip -n internet route add 192.168.10.0/24 via 203.0.113.2
ip -n gateway route add {VPC} via 172.31.0.1; ip -n gateway route add default via 203.0.113.1
for host in neighbour stranger; do ip -n $host route add default via {GATEWAY}; done
echo ready
exec sleep infinity
"""
_SERVER = """
import selectors, socket, sys
chosen = selectors.DefaultSelector()
for port in map(int, sys.argv[1:]):
    chosen.register(socket.create_server(("0.0.0.0", port)), selectors.EVENT_READ)
print("ready", flush=True)
while True:
    for key, _ in chosen.select():
        with key.fileobj.accept()[0] as connection:
            connection.sendall(connection.getpeername()[0].encode())
"""
_CLIENT = """
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2])), 1.5) as connection:
    print(connection.recv(100).decode())
"""


@dataclass
class Site:
    """The namespaces, by the process that holds them."""

    process: int
    folder: Path

    def words(self, host: str, argv: Sequence[str]) -> list[str]:
        return ["nsenter", "-t", str(self.process), "-m", "-n", "ip", "netns", "exec", host, *argv]

    def run(self, host: str, *argv: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command on a host."""
        return subprocess.run(
            self.words(host, argv), input=text, capture_output=True, text=True, check=False, timeout=60
        )

    def do(self, host: str, *argv: str, text: str | None = None) -> str:
        """Run a command that has to succeed."""
        done = self.run(host, *argv, text=text)
        assert done.returncode == 0, done.stderr
        return done.stdout

    @contextmanager
    def program(self, host: str, *argv: str) -> Iterator[subprocess.Popen[str]]:
        """Run a program on a host while the block runs."""
        process = subprocess.Popen(self.words(host, argv), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            yield process
        finally:
            process.kill()
            process.wait(20)
            if process.stdout is not None:
                process.stdout.close()

    def peer_seen(self, host: str, address: str, port: int) -> str | None:
        """Connect from a host, and give the address that the far side saw; None if nothing answers."""
        done = self.run(host, sys.executable, "-c", _CLIENT, address, str(port))
        return done.stdout.strip() or None

    def asked(self, host: str, name: str) -> str:
        """Ask the gateway for a name, and give dig's status with the addresses."""
        code = (
            "import sys; from device_agent.dns import query, DnsError\n"
            "try: print(query(sys.argv[1], sys.argv[2], timeout=1))\n"
            "except DnsError as error: print(error)"
        )
        return self.do(host, sys.executable, "-c", code, GATEWAY, name).strip()

    def filter(self, *, forwarded_before: bool = False) -> None:
        """Do what the gateway's unit does at its start."""
        gateway = Gateway(lan="lan0", allowed=ALLOWED, vpc_cidr=VPC, forwarded_before=forwarded_before)
        self.do("gateway", "nft", "-f", "-", text=ruleset(gateway))
        self.do("gateway", "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")

    @contextmanager
    def captured(self, interface: str, expression: str) -> Iterator[list[str]]:
        """Collect the gateway's packets on an interface."""
        packets: list[str] = []
        argv = ["tcpdump", "-l", "-n", "-i", interface, "--immediate-mode", expression]
        process = subprocess.Popen(
            self.words("gateway", argv), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("listening on"):
                break
        try:
            yield packets
        finally:
            time.sleep(0.3)
            process.terminate()
            packets.extend(line for line in process.stdout if line.strip())
            process.wait(20)
            process.stdout.close()
            process.stderr.close()


@contextmanager
def running_site(folder: Path) -> Iterator[Site]:
    """Build a site, with servers in the VPC and on the internet, and with the gateway's DNS."""
    holder = subprocess.Popen(
        ["unshare", "-m", "-n", "--propagation", "private", "sh", "-c", _LAYOUT],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    assert holder.stderr is not None
    programs: list[subprocess.Popen[str]] = []
    try:
        assert holder.stdout.readline() == "ready\n", holder.stderr.read()
        site = Site(holder.pid, folder)
        zone = folder / "vpc.conf"
        zone.write_text(
            f"listen-address={RESOLVER}\nbind-interfaces\nno-resolv\nno-hosts\nuser=root\n"
            f"host-record={ENDPOINT},{ENDPOINT_ADDRESS}\nhost-record=secret.internal,{OTHER_ADDRESS}\n"
        )
        forwarder = folder / "gateway.conf"
        forwarder.write_text(dns_configuration(lan="lan0", endpoint=ENDPOINT, dns_server=IPv4Address(RESOLVER)))
        for host, *argv in (
            ("vpc", sys.executable, "-c", _SERVER, "8883", "443", "22"),
            ("internet", sys.executable, "-c", _SERVER, "8883", "443", "22"),
            ("neighbour", sys.executable, "-c", _SERVER, "8883", "22"),
        ):
            process = subprocess.Popen(site.words(host, argv), stdout=subprocess.PIPE, text=True)
            programs.append(process)
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for host, file in (("vpc", zone), ("gateway", forwarder)):
            argv = ["dnsmasq", "--keep-in-foreground", f"--conf-file={file}", "--pid-file=", "--user=root"]
            programs.append(subprocess.Popen(site.words(host, argv), stderr=subprocess.DEVNULL, text=True))
        yield site
    finally:
        for process in (*programs, holder):
            process.kill()
            process.wait(20)
            for stream in (process.stdout, process.stderr):
                if stream is not None:
                    stream.close()
