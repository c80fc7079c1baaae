"""That this device is a gateway, and for whom: /etc/private-iot/gateway.json."""

from __future__ import annotations

import json
from ipaddress import IPv4Network

from device_agent._exceptions import InstallationError
from device_agent.gateway.rules import Gateway
from device_agent.installation import GATEWAY_FILE
from device_agent.system import System


def write_state(gateway: Gateway) -> str:
    """Write the file's text."""
    document = {
        "lan": gateway.lan,
        "allowed": str(gateway.allowed),
        "vpcCidr": str(gateway.vpc_cidr),
        "forwardedBefore": gateway.forwarded_before,
    }
    return f"{json.dumps(document, indent=2)}\n"


def read_state(system: System) -> Gateway | None:
    """Read the file; None if this device is no gateway.

    Raises:
        InstallationError: It is malformed.
    """
    path = system.path(GATEWAY_FILE)
    try:
        document = json.loads(path.read_text("utf-8"))
        return Gateway(
            lan=str(document["lan"]),
            allowed=IPv4Network(document["allowed"]),
            vpc_cidr=IPv4Network(document["vpcCidr"]),
            forwarded_before=document["forwardedBefore"] is True,
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise InstallationError(
            f"{GATEWAY_FILE} cannot be read ({error}); `sudo device-agent gateway enable`"
        ) from None
