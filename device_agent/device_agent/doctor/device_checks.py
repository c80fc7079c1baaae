"""The doctor's checks of the device itself: files, clock and certificates, tunnel service, interface and routes."""

from __future__ import annotations

import re
import sys

from device_agent._exceptions import CertificateError, DeviceAgentError
from device_agent.certificates import DAY, WARN_DAYS, check_dates, date, read_certificates
from device_agent.dns import DnsError, DnsSilentError, query
from device_agent.doctor.checks import CheckContext, Finding
from device_agent.hop import conflicts
from device_agent.install.machine import VOLATILE_MEANING, VOLATILE_REMEDY, volatile_storage
from device_agent.install.openvpn_profile import parse_profile
from device_agent.install.units import PING_RESTART
from device_agent.installation import (
    AGENT_UNIT,
    OPENVPN_SERVICE,
    Installation,
    check_file,
)
from device_agent.routes import describe_conflict
from device_agent.service import NETWORKD_SERVICE, is_active, is_enabled
from device_agent.settings import load_settings

_REINSTALL = "install the device's bundle again with `device-agent install -`"
_MARGIN = 15
"""Seconds that OpenVPN and the journal may be late on a loaded device."""


def check_files(context: CheckContext) -> Finding:
    """Look at the installed files, their owners and modes."""
    system = context.system
    try:
        context.installed = Installation.load(system)
        hop = context.installed.hop
        if hop.profile_file is not None:
            check_file(system, hop.profile_file, secret=True)
            parse_profile(system.path(hop.profile_file).read_text("ascii", "replace"), hop.profile_file)
        for unit in (AGENT_UNIT, hop.unit_file):
            check_file(system, unit, secret=False)
        load_settings(system)
    except DeviceAgentError as error:
        problem, _, remedy = str(error).rpartition("; ")
        return Finding("failed", problem or str(error), "the device's identity cannot be trusted or read", remedy)
    what = "identity, profile and units" if hop.profile_file else "identity and units"
    seen = f"{context.installed.name}: {what} are in place, keys closed to others"
    kind = volatile_storage(system)
    if kind:
        return Finding("warning", f"{seen}; the queue is on {kind}", VOLATILE_MEANING, VOLATILE_REMEDY)
    return Finding("ok", seen)


def check_certificates(context: CheckContext) -> Finding:
    """Compare the clock with the validity of every certificate."""
    system, installation = context.system, context.installation
    now = system.now()
    texts = {"the device's certificate": installation.certificate_file.read_text("utf-8")}
    if file := installation.hop.profile_file:
        profile = parse_profile(system.path(file).read_text("ascii"), file)
        texts |= {"the VPN's client certificate": profile.cert, "the VPN's authority": profile.ca}
    first, first_name = float("inf"), ""
    try:
        for name, text in texts.items():
            certificates = read_certificates(text, name)
            check_dates(certificates, now, name)
            first, first_name = min((first, first_name), (min(found.not_after for found in certificates), name))
    except CertificateError as error:
        seen, _, remedy = str(error).rpartition("; ")
        return Finding("failed", seen, "TLS refuses a certificate outside its validity, or the clock is wrong", remedy)
    seen = f"clock {date(now)}; first to expire: {first_name}, {date(first)}, in {int((first - now) // DAY)} days"
    if first - now < WARN_DAYS * DAY:
        return Finding(
            "warning", seen, "the device falls off the path on that day", "rotate it: `pulumi up`, then install"
        )
    return Finding("ok", seen)


def check_hop_service(context: CheckContext) -> Finding:
    """Ask systemd for the service that keeps the first hop."""
    system, hop = context.system, context.installation.hop
    done = system.run(["systemctl", "show", "-p", "ActiveState", "-p", "SubState", hop.service])
    state = dict(line.partition("=")[::2] for line in done.stdout.splitlines())
    seen = f"{hop.service} is {state.get('ActiveState', 'unknown')} ({state.get('SubState', 'unknown')})"
    if state.get("ActiveState") != "active":
        return Finding(
            "failed",
            seen,
            "nothing keeps the way through the gateway"
            if hop.gateways
            else "OpenVPN is not running, so there is no tunnel",
            f"`systemctl restart {hop.service}`; `journalctl -u {hop.service}` tells why it ended",
        )
    if not is_enabled(system, hop.service):
        return Finding(
            "warning",
            f"{seen}, but not enabled",
            f"there will be no {hop.kind} after a reboot",
            f"`systemctl enable {hop.service}`",
        )
    return Finding("ok", f"{seen} and enabled")


def check_interface(context: CheckContext) -> Finding:
    """See whether the way to the VPC's resolver is the tunnel's interface, and OpenVPN is connected.

    A dead tunnel looks alive until OpenVPN notices, after `ping-restart` seconds, and with `persist-tun` even longer. A
    resolver that answers proves the tunnel. If it is silent, OpenVPN is given its time, and its journal tells whose
    silence it is.
    """
    server = str(context.installation.dns_server)
    deadline = None
    while True:
        route = context.system.find_route(context.installation.dns_server)
        if route is None or not route.tunnel:
            if conflict := find_conflict(context):
                return conflict
            how = f"is reached through {route.interface} from {route.source}" if route else "has no route"
            if _is_connected(_journal(context)) and is_active(context.system, NETWORKD_SERVICE):
                return Finding(
                    "failed",
                    f"{server} {how}, though OpenVPN is connected",
                    "systemd-networkd takes the tunnel's interface for its own, and removes addresses and routes that"
                    " it has not made itself",
                    "write `[Match]`, `Name=tun*`, `[Link]` and `Unmanaged=yes` into"
                    " /etc/systemd/network/05-private-iot.network, a line each, then"
                    f" `systemctl restart systemd-networkd {OPENVPN_SERVICE}`",
                )
            return _no_connection(f"{server} {how}; OpenVPN says: {_last_words(_journal(context))}")
        seen = f"{server} is reached through {route.interface} from {route.source}"
        if not _is_silent(context, server):
            return Finding("ok", seen)
        lines = _journal(context)
        if not _is_connected(lines):
            return _no_connection(f"{seen}, but OpenVPN is not connected: {_last_words(lines)}")
        now = context.system.monotonic()
        if deadline is None:
            longest = _ping_restart(lines) + _MARGIN
            print(f"{server} is silent; OpenVPN gets {longest} s to notice a dead tunnel", file=sys.stderr, flush=True)
            deadline = now + longest
        if now >= deadline:
            return Finding("ok", f"{seen}, and OpenVPN hears the far side")
        context.system.wait(1)


def _is_silent(context: CheckContext, server: str) -> bool:
    """Tell whether the VPC's resolver leaves a question unanswered; that it refuses is an answer too."""
    try:
        query(server, context.installation.endpoint)
    except DnsSilentError:
        return True
    except DnsError:
        return False
    return False


def _ping_restart(lines: list[str]) -> int:
    """Read from OpenVPN's journal after how many seconds of silence it restarts; `PING_RESTART` at most are waited."""
    found = re.findall(r"ping-restart (\d{1,4})", "\n".join(lines))
    return min(int(found[-1]), PING_RESTART) if found else 10


def find_conflict(context: CheckContext) -> Finding | None:
    """Name the route of another network that covers the VPC's resolver; None if there is none."""
    network, hop = context.installation.vpc_cidr, context.installation.hop
    found = conflicts(hop, context.system.list_routes(), network)
    if not any(context.installation.dns_server in conflict.network for conflict in found):
        return None
    return Finding(
        "failed",
        describe_conflict(found[0], network),
        f"packets for the VPC go into that network, whether the {hop.kind} is up or not",
        f"give that network other addresses (the home router's settings), or the VPC another CIDR block than {network}",
    )


def _no_connection(seen: str) -> Finding:
    return Finding(
        "failed",
        seen,
        "OpenVPN has no connection to the Client VPN endpoint: UDP, its certificate, or its association fails",
        f"`journalctl -u {OPENVPN_SERVICE}` tells more; check that the endpoint is `available` and takes the device's"
        " certificate",
    )


def _journal(context: CheckContext) -> list[str]:
    done = context.system.run(["journalctl", "-u", OPENVPN_SERVICE, "-n", "300", "-o", "cat", "--no-pager"])
    return [line for line in done.stdout.splitlines() if line.strip()] if done.returncode == 0 else []


def _last_words(lines: list[str]) -> str:
    return lines[-1].strip()[:200] if lines else "nothing"


def _is_connected(lines: list[str]) -> bool:
    """Tell from OpenVPN's log whether its last start or restart has led to a connection."""
    for line in reversed(lines):
        if "Initialization Sequence Completed" in line:
            return True
        if re.match(r"OpenVPN \d", line) or "process restarting" in line or "Restart pause" in line:
            return False
    return True
