"""The doctor's check of a device that is a gateway: what its neighbours need of it."""

from __future__ import annotations

from device_agent._exceptions import DeviceAgentError
from device_agent.dns import DnsError, query
from device_agent.doctor.checks import CheckContext, Finding
from device_agent.gateway.counters import read_counters
from device_agent.gateway.lan import lan_networks
from device_agent.gateway.state import read_state
from device_agent.installation import GATEWAY_DNS_SERVICE, GATEWAY_SERVICE

_FORWARDING = "/proc/sys/net/ipv4/ip_forward"


def check_gateway(context: CheckContext) -> Finding:
    """See that the filter is loaded, the kernel forwards, the LAN is there and the endpoint's name is answered."""
    system = context.system
    try:
        gateway = read_state(system)
    except DeviceAgentError as error:
        return Finding("failed", str(error), "whom this gateway serves is not known", "enable the gateway anew")
    if gateway is None:
        return Finding("ok", "this device is no gateway")
    again = f"`sudo systemctl restart {GATEWAY_SERVICE} {GATEWAY_DNS_SERVICE}`"
    counters = read_counters(system)
    if not counters.loaded:
        return Finding(
            "failed",
            "the packet filter is not loaded",
            "something emptied nftables: neighbours reach nothing",
            again,
        )
    if system.path(_FORWARDING).read_text("ascii").strip() != "1":
        return Finding("failed", f"{_FORWARDING} is 0", "the kernel forwards nothing for the neighbours", again)
    routes = system.list_routes()
    own = [route.source for route in routes if route.interface == gateway.lan and route.source]
    if not own or not any(gateway.allowed.subnet_of(found) for found in lan_networks(gateway.lan, routes)):
        return Finding(
            "failed",
            f"{gateway.lan} is not in a network that {gateway.allowed} belongs to",
            "the LAN's cable or its addresses are others than when the gateway was enabled",
            f"give {gateway.lan} its address back, or enable the gateway anew",
        )
    try:
        query(own[0], context.installation.endpoint)
    except DnsError as error:
        return Finding(
            "failed",
            f"the endpoint's name is not answered to the LAN: {error}",
            f"neighbours ask {own[0]} for it, and {GATEWAY_DNS_SERVICE} or the tunnel behind it does not answer",
            again,
        )
    return Finding(
        "ok",
        f"{gateway.allowed} of {gateway.lan}: {len(counters.neighbours)} neighbours in the last day,"
        f" {counters.to_vpc[0]} packets out, {counters.from_vpc[0]} back",
    )
