"""The path in the terminal: each hop, its address, a tick. Pure text from what the lab says of itself."""

from collections.abc import Mapping, Sequence
from typing import Any

TICK, CROSS = "✓", "✗"
_WIDTH = 66


def draw(path: Mapping[str, Any], checks: Sequence[Mapping[str, Any]], device: str) -> list[str]:
    """Draw one device's way to AWS IoT.

    Args:
        path: What `lab.path.lifecycle.status` returns.
        checks: The `checks` of `device-agent doctor --json`.
        device: The device's name.

    Returns:
        Lines without line ends. A hop is ticked if the lab says that it is up and the device's own checks of it passed.
    """
    passed = {check["check"]: check["result"] == "ok" for check in checks}
    seen = {check["check"]: check["seen"] for check in checks}
    hops: dict[str, Mapping[str, Any]] = {
        hop["hop"]: hop for hop in path["hops"] if hop["hop"] != "device" or hop["name"] == device
    }
    vpn, vpc, endpoint, iot = hops["client-vpn"], hops["vpc"], hops["vpc-endpoint"], hops["iot"]
    tunnel = str(hops["device"]["tunnel"] or "no tunnel").partition("/")[0]
    source = ", ".join(association["sourceAddress"] for association in vpn["associations"])
    rows = [
        _box(f"{device}", f"tun0 {tunnel}", passed.get("tunnel", False)),
        _line("OpenVPN, mutual TLS, AES-256-GCM, over the internet"),
        _box(
            f"Client VPN {vpn['name'][:21]}…", " ".join(vpn["addresses"]), _up(vpn) and passed.get("interface", False)
        ),
        _line(f"source NAT to {source}, security groups, authorization rule"),
        _box(f"VPC resolver {vpc['resolver']}", "private hosted zone", _up(vpc) and passed.get("resolver", False)),
        _line("the endpoint's name is a private address"),
        _box(
            f"PrivateLink {endpoint['name']}",
            " ".join(endpoint["addresses"]),
            _up(endpoint) and passed.get("tls", False),
        ),
        _line("MQTT, policy with aws:SourceVpce"),
        _box("AWS IoT Core", "echo came back", _up(iot) and passed.get("echo", False)),
        [""],
        [f"  the public way: {seen.get('public-way', 'not tried')} {TICK if passed.get('public-way') else CROSS}"],
    ]
    return [line for row in rows for line in row]


def _up(hop: Mapping[str, Any]) -> bool:
    return bool(hop["state"] == "up")


def _box(name: str, detail: str, good: bool) -> list[str]:
    text = f"{name}  {detail}"
    return [f"  {TICK if good else CROSS} {text:<{_WIDTH}}".rstrip()]


def _line(text: str) -> list[str]:
    return [f"  │   {text}"]
