"""`device-agent status`: how the running agent is, on one screen."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from typing import Any

from device_agent._exceptions import DeviceAgentError
from device_agent.client import AGENT_SOCKET, AgentNotRunningError, Channel
from device_agent.daemon.certificate_watch import Validity, validity
from device_agent.gateway.counters import read_counters
from device_agent.gateway.state import read_state
from device_agent.installation import CERTIFICATE_FILE, OPENVPN_FILE
from device_agent.system import System

HELP = "show the tunnel or gateway, the connection, the queue and the certificates of the running agent"
NOT_RUNNING = 3
"""As `systemctl status` and the LSB have it: the program is not running."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.epilog = (
        "As root it also shows the VPN certificate, which only root can read.\n"
        "\n"
        "exit codes: 0 connected, 1 running but not connected, or something needs attention, 2 the state cannot be\n"
        "read, 3 no agent is running\n"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace, system: System) -> int:
    """Run the command.

    Args:
        arguments: As `add_arguments` has them.
        system: The machine.

    Returns:
        0 connected and well, 1 not, 3 if no agent is running.

    Raises:
        DeviceAgentError: The agent gave no proper answer, or this user may not ask.
    """
    status = read_status(system)
    _show(arguments, status)
    if not status["running"]:
        return NOT_RUNNING
    return 0 if status["connection"]["connected"] and not troubles(status) else 1


def read_status(system: System) -> dict[str, Any]:
    """Ask the agent how it is; without an agent only the certificates are told of, and why on standard error.

    Raises:
        DeviceAgentError: The agent gives no proper answer, or this user may not ask.
    """
    try:
        with Channel(str(system.path(AGENT_SOCKET)), timeout=10) as channel:
            status = {"running": True, **channel.ask({"command": "status"})["status"]}
    except AgentNotRunningError as error:
        print(f"device-agent: {error}", file=sys.stderr)
        status = {"running": False, "certificates": [asdict(item) for item in _certificates(system, CERTIFICATE_FILE)]}
    except (ConnectionError, TimeoutError, ValueError, KeyError) as error:
        raise DeviceAgentError(f"the agent gives no answer ({error}); see `journalctl -u private-iot-agent`") from error
    return {**status, **_gateway(system), "certificates": status["certificates"] + _vpn(system)}


def _gateway(system: System) -> dict[str, Any]:
    """Tell what passes this device for its neighbours, if it is a gateway. Only root sees the counters."""
    gateway = read_state(system)
    if gateway is None:
        return {}
    return {"gateway": {"lan": gateway.lan, "allowed": str(gateway.allowed), **asdict(read_counters(system))}}


def _vpn(system: System) -> list[dict[str, Any]]:
    return [asdict(item) for item in _certificates(system, OPENVPN_FILE)]


def _certificates(system: System, file: str) -> list[Validity]:
    try:
        text = system.path(file).read_text("utf-8")
        if file == OPENVPN_FILE:
            text = text.partition("<cert>")[2].partition("</cert>")[0].strip() + "\n"
        return [validity(text, file, system.now())]
    except (OSError, ValueError, DeviceAgentError):
        return []


def _show(arguments: argparse.Namespace, status: dict[str, Any]) -> None:
    print(json.dumps(status, indent=2, ensure_ascii=False) if arguments.json else "\n".join(screen(status)))


def troubles(status: dict[str, Any]) -> list[str]:
    """Pick what needs attention though the connection may stand.

    Args:
        status: The agent's status.

    Returns:
        One line each.
    """
    found = [status["queue"]["error"], status["tunnel"]["error"]] if "queue" in status else []
    broker = status.get("localBroker")
    if broker and broker["lastError"]:
        found.append(f"the local MQTT broker: {broker['lastError']}")
    if broker and broker["held"]:
        found.append(f"the local MQTT broker: nothing is acknowledged: {broker['held']}")
    return [text for text in (*found, *(item["warning"] for item in status["certificates"])) if text]


def _local_broker(broker: dict[str, Any] | None) -> list[tuple[str, str]]:
    if broker is None:
        return []
    connected = "connected" if broker["connected"] else f"NOT CONNECTED: {broker['lastError'] or 'for the first time'}"
    counts = [f"{broker[name]} {name}" for name in ("queued", "published", "refused", "dropped")]
    return [("broker", f"{connected}; {broker['waiting']} wait for the queue"), ("", ", ".join(counts))]


def _gateway_rows(gateway: dict[str, Any] | None) -> list[tuple[str, str]]:
    if gateway is None:
        return []
    whose = f"for {gateway['allowed']} of {gateway['lan']}"
    if not gateway["loaded"]:
        return [("gateway", f"{whose}; as root this shows what it has carried")]
    (out, out_bytes), (back, back_bytes) = gateway["to_vpc"], gateway["from_vpc"]
    rows = [("gateway", f"{whose}: {out} packets ({out_bytes} bytes) out, {back} ({back_bytes} bytes) back")]
    return rows + [
        ("", f"{item['address']}: {item['packets']} packets ({item['bytes']} bytes) out")
        for item in gateway["neighbours"]
    ]


def screen(status: dict[str, Any]) -> list[str]:
    """Write the status for people.

    Args:
        status: The agent's status.

    Returns:
        The lines.
    """
    if not status["running"]:
        rows = [("agent", "not running")]
    else:
        tunnel, connection, queue = status["tunnel"], status["connection"], status["queue"]
        state = {True: "up", False: "DOWN", None: "unknown"}[tunnel["alive"]]
        where = f", {tunnel['interface']} {tunnel['address'] or ''}".rstrip() if tunnel["interface"] else ""
        hop = status.get("hop", {"kind": "tunnel", "gateways": []})
        where += f" through {hop['gateway']}" if hop.get("gateway") else ""
        rows = [
            ("device", f"{status['device']}, agent running since {status['startedAt']}"),
            (hop["kind"], f"{state}{where}, since {tunnel['since']}"),
            ("", tunnel["reason"]),
            (
                "",
                f"of {', '.join(hop['gateways'])}"
                if hop["gateways"]
                else f"{tunnel['restarts']} restart(s) by the agent",
            ),
            ("endpoint", f"{connection['endpoint']} through {connection['vpcEndpointId']}"),
            ("addresses", ", ".join(connection["addresses"]) or "none"),
            (
                "connected",
                f"since {connection['since']}, connection {connection['connections']}"
                if connection["connected"]
                else "NO",
            ),
            ("queue", f"{queue['depth']} waiting ({queue['bytes']} bytes), {queue['inFlight']} of them in flight"),
            ("sent", str(queue["sent"])),
            ("refused", f"{queue['refused']}, {queue['deadLetters']} kept as dead letters"),
            ("dropped", f"{queue['droppedBySize']} to make room, {queue['droppedByAge']} for their age"),
            ("received", f"{queue['received']} wait for a local program, {queue['receivedDropped']} dropped"),
            (
                "last error",
                f"{connection['lastError']} ({connection['lastErrorAt']})" if connection["lastError"] else "none",
            ),
        ]
        if queue["lastRefusal"]:
            rows.append(("", queue["lastRefusal"]))
        rows += _local_broker(status.get("localBroker"))
    rows += _gateway_rows(status.get("gateway"))
    for item in status["certificates"]:
        rows.append(("certificate", f"{item['days_left']} days left ({item['file']}, until {item['expires']})"))
    rows += [("attention", text) for text in troubles(status)]
    return [f"{name:<12} {text}".rstrip() for name, text in rows]
