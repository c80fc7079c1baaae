"""What the page shows, from what the lab says of itself. Pure: no network, no clock.

A scene is the path of one device, hop by hop, the links between the hops with their counters, the public way, and what
AWS IoT's front saw last.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Status = Mapping[str, Any]
HOPS = ("device", "client-vpn", "vpc", "vpc-endpoint", "iot")
"""The hops in the order in which a packet passes them, as `docs/path.svg` has them."""


def devices(status: Status) -> list[str]:
    """Return the names of the lab's devices, in order."""
    return sorted(str(hop["name"]) for hop in status.get("hops", ()) if hop["hop"] == "device")


def draw(status: Status, latest: Mapping[str, Any], device: str) -> dict[str, Any]:
    """Return the scene.

    Args:
        status: What `lab.path.lifecycle.status` returns.
        latest: What AWS IoT's front saw last, ``events`` and ``messages``; neither where it does not answer.
        device: Whose path.

    Returns:
        ``running``, ``device``, ``devices``, ``hops`` (each ``hop``, ``title``, ``state``, ``name``, ``lines``),
        ``links`` (each ``from``, ``to``, ``label``, ``count`` and its ``unit``: it grows while something passes),
        ``publicWay`` (``refused``: how often, ``reason``: of the last time), ``messages`` (newest first) and ``faults``
        (seconds left of each).
    """
    if not status["running"]:
        return {"running": False, "device": device, "devices": []}
    hops = {str(hop["hop"]): hop for hop in status["hops"] if hop["hop"] != "device" or hop["name"] == device}
    return {
        "running": True,
        "device": device,
        "devices": devices(status),
        "hops": [_describe(kind, hops.get(kind)) for kind in HOPS],
        "links": _links(hops, device),
        "publicWay": _public_way(latest.get("events", ())),
        "messages": list(reversed(latest.get("messages", ()))),
        "faults": status["faults"],
    }


def _describe(kind: str, hop: Mapping[str, Any] | None) -> dict[str, Any]:
    titles = {
        "device": "Device",
        "client-vpn": "Client VPN endpoint",
        "vpc": "VPC",
        "vpc-endpoint": "PrivateLink",
        "iot": "AWS IoT Core",
    }
    if hop is None:
        return {"hop": kind, "title": titles[kind], "state": "absent", "name": "", "lines": []}
    return {
        "hop": kind,
        "title": titles[kind],
        "state": hop["state"],
        "name": hop["name"],
        "lines": list(_lines(kind, hop)),
    }


def _lines(kind: str, hop: Mapping[str, Any]) -> Iterator[str]:
    match kind:
        case "device":
            for interface, addresses in hop["interfaces"].items():
                yield f"{interface} {' '.join(addresses) or 'no address'}"
            yield from (f"DNS of {link}: {' '.join(values)}" for link, values in hop["dns"].items())
        case "client-vpn":
            yield from hop["addresses"]
            for association in hop["associations"]:
                yield f"association in {association['subnet']}, source NAT to {association['sourceAddress']}"
            yield f"{len(hop['connections'])} connected"
        case "vpc":
            yield from hop["addresses"]
            yield f"resolver {hop['resolver']}"
            yield from (f"private zone {zone}" for zone in hop["privateZones"])
        case "vpc-endpoint":
            yield from hop["addresses"]
            yield str(hop["service"])
        case _:
            yield f"front {hop['gateway']}, broker {hop['broker']}"
            for connection in hop["status"].get("connections", ()):
                through = connection.get("vpcEndpointId") or "the public way"
                yield f"{connection['clientId']} through {through}"


def _links(hops: Mapping[str, Mapping[str, Any]], device: str) -> list[dict[str, Any]]:
    vpn, vpc, iot = (hops.get(kind, {}) for kind in ("client-vpn", "vpc", "iot"))
    tunnel = sum(
        connection["ingressBytes"] + connection["egressBytes"]
        for connection in vpn.get("connections", ())
        if connection["commonName"] == device
    )
    counters = iot.get("status", {}).get("counters", {})
    messages = counters.get("messagesIn", 0) + counters.get("messagesOut", 0)
    authorized = _packets(vpn.get("authorization", ()), "authorization rule ")
    return [
        _link("device", "client-vpn", "OpenVPN, mutual TLS", tunnel, "bytes"),
        _link("client-vpn", "vpc", "authorization rules, security groups", authorized, "packets"),
        _link("vpc", "vpc-endpoint", "security groups", _packets(_groups(vpc), "sg-"), "connections"),
        _link("vpc-endpoint", "iot", "MQTT, aws:SourceVpce", messages, "messages"),
    ]


def _link(start: str, end: str, label: str, count: int, unit: str) -> dict[str, Any]:
    return {"from": start, "to": end, "label": label, "count": count, "unit": unit}


def _groups(vpc: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return [rule for rule in vpc.get("securityGroups", ()) if " of vpce-" in rule["rule"]]


def _packets(rules: Sequence[Mapping[str, Any]], prefix: str) -> int:
    return sum(int(rule["packets"]) for rule in rules if rule["rule"].startswith(prefix))


def _public_way(events: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return how often AWS IoT refused what did not come through an interface endpoint, of the events remembered."""
    refused = [event for event in events if event["event"] == "denied" and "vpcEndpointId" not in event]
    last = refused[-1] if refused else {}
    return {"refused": len(refused), "reason": last.get("reason"), "time": last.get("time")}
