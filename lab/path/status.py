"""The state of every hop, from the device to AWS IoT's broker: addresses, states, counters."""

import asyncio
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from lab.path import addresses, network, processes
from lab.path.connections import Connection, Connections
from lab.path.live import Device, LiveNetwork
from lab.path.model import ClientVpnEndpoint, Cloud
from lab.path.network import CommandError
from lab.path.parts import IOT, service_directory
from lab.path.plan import association_address, resolver_address, vpc_hosts
from lab.path.site import LAN, SENSOR
from lab.path.stand_ins.ask import RESOLVED_SOCKET, SYSTEMD_SOCKET, AskError


async def describe(live: LiveNetwork, connections: Connections, faults: dict[str, float]) -> dict[str, Any]:
    """Return the state of every hop.

    Args:
        connections: Of its Client VPN servers.
        faults: Seconds left of each fault under way.

    Returns:
        ``hops``: a list in the order in which a packet passes them, each with ``hop`` (kind), ``name``, ``state``
        (``up``, ``down`` or ``degraded``), ``addresses`` and what its kind adds; ``faults``: seconds left of each;
        ``notes``: what the cloud has and the lab leaves out; ``memoryBytes``: of every process of the sandbox.
    """
    cloud = live.cloud
    hops: list[dict[str, Any]] = []
    if cloud is not None:
        for device in live.devices.values():
            hops.append(await asyncio.to_thread(_device, device))
        hops += _site(live, hops, cut="lan-cut" in faults)
        hops.append(_internet(live, down="internet-down" in faults))
        for endpoint in cloud.client_vpn_endpoints:
            active = connections.active.get(endpoint.client_vpn_endpoint_id, {})
            hops.append(_client_vpn(live, cloud, endpoint, active.values()))
        hops += _vpcs(live, cloud)
        hops += _endpoints(cloud, lost="endpoint-unreachable" in faults)
        hops.append(await asyncio.to_thread(_iot, live, cloud))
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return {
        "hops": hops,
        "faults": faults,
        "notes": list(live.plan.notes) if live.plan else [],
        "cloudError": connections.error,
        "memoryBytes": processes.memory(pids),
    }


def lines(status: dict[str, Any]) -> list[str]:
    """Return a status as lines for people.

    Args:
        status: From `lab.path.lifecycle.status`.
    """
    if not status["running"]:
        return ["no network"]
    result = []
    for hop in status["hops"]:
        result.append(f"{hop['state']:<8} {hop['hop']:<12} {hop['name']}  {' '.join(hop['addresses'])}".rstrip())
        for key, value in hop.items():
            if key not in ("hop", "name", "state", "addresses"):
                result += [f"{'':<21} {line}" for line in _detail(key, value)]
    result += [f"fault    {name}: {seconds:g} s left" for name, seconds in status["faults"].items()]
    result += [f"note     {note}" for note in status["notes"]]
    if status["cloudError"]:
        result.append(f"cloud    {status['cloudError']}")
    return [*result, f"memory   {status['memoryBytes'] / 2**20:.0f} MiB in all"]


def _detail(key: str, value: Any) -> Iterator[str]:
    if isinstance(value, list) and value and isinstance(value[0], dict):
        for item in value:
            yield f"{key}: " + ", ".join(f"{name} {_text(inner)}" for name, inner in item.items())
    elif isinstance(value, dict):
        yield f"{key}: " + (", ".join(f"{name} {_text(inner)}" for name, inner in value.items()) or "none")
    else:
        yield f"{key}: {_text(value)}"


def _text(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value)) or "none"
    if isinstance(value, dict):
        return json.dumps(value)
    return "none" if value is None else str(value)


def _addresses(host: str) -> dict[str, list[str]]:
    """Return the addresses of each interface of a host that is up."""
    answer = json.loads(network.command(["ip", "-n", host, "-j", "address", "show", "up"]))
    return {
        link["ifname"]: [
            f"{item['local']}/{item['prefixlen']}" for item in link["addr_info"] if item["family"] == "inet"
        ]
        for link in answer
        if link.get("ifname") not in (None, "lo")
    }


def _device(device: Device) -> dict[str, Any]:
    name = device.host.name
    interfaces = _addresses(name)
    tunnels = {key: value for key, value in interfaces.items() if key.startswith("tun")}
    try:
        dns = device.ask(RESOLVED_SOCKET, {"command": "status"})
        units = device.ask(SYSTEMD_SOCKET, {"command": "list"})["units"]
    except (OSError, AskError):
        dns, units = {}, []
    return {
        "hop": "device",
        "name": name,
        "state": "up" if tunnels else "down",
        "addresses": [address for values in interfaces.values() for address in values],
        "interfaces": interfaces,
        "tunnel": next((values[0] for values in tunnels.values() if values), None),
        "dns": {link: value["servers"] + value["domains"] for link, value in dns.items() if value["servers"]},
        "units": {unit["Id"]: f"{unit['ActiveState']} ({unit['SubState']})" for unit in units},
    }


def _site(live: LiveNetwork, devices: list[dict[str, Any]], *, cut: bool) -> Iterator[dict[str, Any]]:
    """Describe the LAN of a site, and say of its neighbours that their tunnel is the gateway's."""
    if live.site is None or live.plan is None:
        return
    own = {link.b.host: link.b.addresses[0].partition("/")[0] for link in live.plan.links if link.a.host == LAN}
    tunnelled = any(hop["tunnel"] for hop in devices if hop["name"] in live.site.gateways)
    for hop in devices:
        if hop["name"] in live.site.neighbours and not hop["tunnel"]:
            hop["state"] = "up" if tunnelled and hop["addresses"] else "down"
    yield {
        "hop": "site",
        "name": LAN,
        "state": "down" if cut else "up" if tunnelled else "degraded",
        "addresses": [own[SENSOR]] if SENSOR in own else [],
        "gateways": {name: own[name] for name in live.site.gateways if name in own},
        "neighbours": {name: own[name] for name in live.site.neighbours if name in own},
        "sensor": own.get(SENSOR),
        "off": sorted({name for names in live.off.values() for name in names}),
    }


def _service_state(live: LiveNetwork, name: str) -> str:
    running = live.running.get(name)
    if running is None:
        return "absent"
    if not running.running:
        return "down"
    return "frozen" if running.process and _stopped(running.process.pid) else "up"


def _stopped(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    except OSError:
        return False


def _state(*services: str) -> str:
    if all(state == "up" for state in services):
        return "up"
    return "degraded" if "up" in services else "down"


def counters(host: str) -> list[dict[str, Any]]:
    """Return the commented counters of a host's packet filters: ``rule``, ``packets``, ``bytes``."""
    try:
        answer = json.loads(network.command([*network.enter(host), "nft", "-j", "list", "ruleset"]))
    except CommandError:
        return []
    found: dict[str, dict[str, Any]] = {}
    for item in answer["nftables"]:
        rule = item.get("rule", {})
        for part in rule.get("expr", ()):
            if isinstance(part, dict) and "counter" in part and "comment" in rule:
                total = found.setdefault(rule["comment"], {"rule": rule["comment"], "packets": 0, "bytes": 0})
                total["packets"] += part["counter"]["packets"]
                total["bytes"] += part["counter"]["bytes"]
    return list(found.values())


def _internet(live: LiveNetwork, *, down: bool) -> dict[str, Any]:
    state = "down" if down else _service_state(live, "internet-dns")
    return {
        "hop": "internet",
        "name": "internet",
        "state": state,
        "addresses": [addresses.ROUTER],
        "resolver": f"{addresses.INTERNET_DNS} {_service_state(live, 'internet-dns')}",
    }


def _client_vpn(
    live: LiveNetwork, cloud: Cloud, endpoint: ClientVpnEndpoint, active: Iterable[Connection]
) -> dict[str, Any]:
    identifier = endpoint.client_vpn_endpoint_id
    server = _service_state(live, f"client-vpn {identifier}")
    public = addresses.public_addresses(item.client_vpn_endpoint_id for item in cloud.client_vpn_endpoints)
    return {
        "hop": "client-vpn",
        "name": identifier,
        "state": _state(server),
        "addresses": [f"{public[identifier]}:{endpoint.port}/{endpoint.transport_protocol}"],
        "server": server,
        "clientCidr": endpoint.client_cidr,
        "splitTunnel": endpoint.split_tunnel,
        "associations": [
            {
                "association": item.association_id,
                "subnet": item.subnet_id,
                "sourceAddress": association_address(cloud, endpoint, item),
                "securityGroups": list(item.group_ids),
            }
            for item in endpoint.associations
        ],
        "authorization": [rule for rule in counters(identifier) if "authorization" in rule["rule"]],
        "connections": [item.report() for item in active],
    }


def _vpcs(live: LiveNetwork, cloud: Cloud) -> Iterator[dict[str, Any]]:
    for vpc_id, host in vpc_hosts(cloud).items():
        vpc = next(vpc for vpc in cloud.vpcs if vpc.vpc_id == vpc_id)
        dns = _service_state(live, f"{host}-dns")
        yield {
            "hop": "vpc",
            "name": vpc_id,
            "state": _state(dns),
            "addresses": list(vpc.cidr_blocks),
            "host": host,
            "resolver": f"{resolver_address(vpc)} {dns}",
            "privateZones": [zone.name for zone in cloud.hosted_zones if vpc_id in zone.vpc_ids],
            "securityGroups": counters(host),
        }


def _endpoints(cloud: Cloud, *, lost: bool) -> Iterator[dict[str, Any]]:
    for endpoint in cloud.vpc_endpoints:
        interfaces = list(cloud.interfaces_of(endpoint))
        yield {
            "hop": "vpc-endpoint",
            "name": endpoint.vpc_endpoint_id,
            "state": "up" if endpoint.state == "available" and interfaces and not lost else "down",
            "addresses": [interface.address for interface in interfaces],
            "service": endpoint.service_name,
            "securityGroups": sorted({group for interface in interfaces for group in interface.group_ids}),
        }


def _iot(live: LiveNetwork, cloud: Cloud) -> dict[str, Any]:
    gateway, broker = _service_state(live, "gateway"), _service_state(live, "broker")
    return {
        "hop": "iot",
        "name": cloud.iot.endpoint,
        "state": _state(gateway, broker),
        "addresses": [addresses.IOT_PUBLIC],
        "host": IOT,
        "gateway": gateway,
        "broker": broker,
        "status": _ask_gateway("status"),
    }


def latest() -> dict[str, Any]:
    """Return what AWS IoT's front saw last: ``events`` and ``messages``, or ``error`` where it does not answer."""
    return _ask_gateway("latest")


def _ask_gateway(command: str) -> dict[str, Any]:
    # Imported here: the gateway is a program of its own.
    from lab.path.gateway import control  # noqa: PLC0415

    try:
        return control.ask(Path(service_directory("gateway"), "control.sock"), {"command": command}, timeout=2)
    except (OSError, ValueError) as error:
        return {"error": str(error)}
