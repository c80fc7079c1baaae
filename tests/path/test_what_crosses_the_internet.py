"""What someone on the way between the home and AWS sees: every packet is captured in the internet's namespace.

It cannot prove that OpenVPN's and TLS's ciphers are sound, only that what crosses is theirs.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.path.conftest import HandMadeLab
from tests.path.path_lab import wait_for

pytestmark = pytest.mark.path

# A payload that is found wherever it crosses in clear, in its own bytes.
MARK = "Hello World!"
LAST = "the-end-of-the-capture"


def test_no_payload_crosses_in_clear_and_nothing_crosses_outside_the_tunnel(
    path_lab: HandMadeLab, tmp_path: Path
) -> None:
    dump = tmp_path / "internet.pcap"
    capture = path_lab.start("internet", "tcpdump", "-Z", "root", "-U", "-n", "-i", "any", "-w", str(dump))
    capture.wait_for("listening on")
    with path_lab.tunnel("pi-1"):
        outcome = path_lab.pubsub("pi-1")
        assert (outcome["error"], len(outcome["received"])) == (None, 10)
    # A name, which is asked for outside, is the last that has to be in the file.
    path_lab.run("pi-1", "getent", "ahostsv4", f"{LAST}.example")
    wait_for(lambda: LAST.encode() in dump.read_bytes(), "the last captured packet")
    capture.close()
    content = dump.read_bytes()
    for secret in (MARK, path_lab.topic_prefix + "/pi-1"):
        assert secret.encode() not in content

    def count(expression: str) -> int:
        shown = path_lab.run("internet", "tcpdump", "-Z", "root", "-n", "-r", str(dump), *expression.split())
        assert shown.returncode == 0, shown.stderr
        return len(shown.stdout.splitlines())

    server = path_lab.hop("client-vpn")["addresses"][0].split(":")[0]
    assert count(f"udp port 443 and host {server}") > 50
    # Names are asked for outside, neighbours are found, and a closed port is called so to a server that has not heard
    # yet that its client has gone; all else is the tunnel.
    others = "not udp port 53 and not arp and not icmp[icmptype] == icmp-unreach"
    assert count(f"not (udp port 443 and host {server}) and {others}") == 0
    assert count("net 10.0.0.0/16 or net 172.31.0.0/16") == 0


def test_the_capture_would_have_found_a_payload_in_clear(path_lab: HandMadeLab, tmp_path: Path) -> None:
    dump = tmp_path / "internet.pcap"
    capture = path_lab.start("internet", "tcpdump", "-Z", "root", "-U", "-n", "-i", "any", "-w", str(dump))
    capture.wait_for("listening on")
    address = path_lab.hop("iot")["addresses"][0]
    path_lab.run("pi-1", "bash", "-c", f"echo '{MARK}' > /dev/udp/{address}/9")
    wait_for(lambda: MARK.encode() in dump.read_bytes(), "the payload in the capture")
    capture.close()
