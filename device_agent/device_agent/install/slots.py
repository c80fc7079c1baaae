"""Where a bundle lives on the device: two slots, and a link that says which one counts.

```
/etc/private-iot/slots/a/{device.json, certificate.pem, private-key.pem, root-ca.pem, clientvpn.conf}
/etc/private-iot/slots/b/…
/etc/private-iot/current -> slots/a
/etc/private-iot/device.json -> current/device.json          (and so on)
/etc/openvpn/client/clientvpn.conf -> ../../private-iot/current/clientvpn.conf
```

A new bundle is written into the other slot and takes over by one rename, so that tunnel and agent change identity
together and a power cut leaves all of the old bundle or all of the new one. Then the old slot goes, with its keys.
"""

from __future__ import annotations

import json
from pathlib import Path

from device_agent.files import WantedFile, read_link
from device_agent.install.bundle import Bundle
from device_agent.installation import (
    CERTIFICATE_FILE,
    DEVICE_FILE,
    DEVICE_FILE_VERSION,
    DIRECTORY,
    OPENVPN_FILE,
    PRIVATE_KEY_FILE,
    ROOT_CA_FILE,
    USER,
)
from device_agent.system import System

SLOTS = f"{DIRECTORY}/slots"
CURRENT = f"{DIRECTORY}/current"
_NAMES = ("a", "b")


def slot_folder(slot: str) -> str:
    """Give a slot's folder."""
    return f"{SLOTS}/{slot}"


def current_slot(system: System) -> str | None:
    """Tell which slot counts, or None if nothing is installed."""
    target = read_link(system, CURRENT)
    return next((name for name in _NAMES if target == f"slots/{name}"), None)


def other_slot(slot: str | None) -> str:
    """Give the slot for the next bundle."""
    return "b" if slot == "a" else "a"


def slot_files(bundle: Bundle) -> dict[str, WantedFile]:
    """Give a bundle's files, by their names within a slot.

    The device's private key belongs to the agent's user; OpenVPN's profile, which holds the VPN's key, to root.
    """
    document = {
        "version": DEVICE_FILE_VERSION,
        "name": bundle.name,
        "region": bundle.region,
        "endpoint": bundle.endpoint,
        "clientId": bundle.client_id,
        "vpcCidr": str(bundle.vpc_cidr),
        "dnsServer": str(bundle.dns_server),
        "vpcEndpointId": bundle.vpc_endpoint_id,
        "topicPrefix": bundle.topic_prefix,
    }
    files = {
        _name(OPENVPN_FILE): WantedFile(content=bundle.vpn_config.encode("ascii"), mode=0o600),
        _name(DEVICE_FILE): WantedFile(content=f"{json.dumps(document, indent=2)}\n".encode("ascii")),
        _name(CERTIFICATE_FILE): WantedFile(content=bundle.certificate_pem.encode("ascii")),
        _name(PRIVATE_KEY_FILE): WantedFile(content=bundle.private_key_pem.encode("ascii"), mode=0o600, owner=USER),
    }
    if bundle.root_ca_pem is not None:
        files[_name(ROOT_CA_FILE)] = WantedFile(content=bundle.root_ca_pem.encode("ascii"))
    return files


def slot_holds(system: System, slot: str, files: dict[str, WantedFile]) -> bool:
    """Tell whether a slot has exactly these files with this content, whatever their modes and owners."""
    folder = system.path(slot_folder(slot))
    try:
        return {entry.name for entry in folder.iterdir()} == set(files) and all(
            (folder / name).read_bytes() == wanted.content for name, wanted in files.items()
        )
    except OSError:
        return False


def wanted_links(files: dict[str, WantedFile]) -> dict[str, str | None]:
    """Give what each link outside the slots shall hold; None where there shall be none."""
    links: dict[str, str | None] = {
        path: f"current/{_name(path)}" if _name(path) in files else None
        for path in (DEVICE_FILE, CERTIFICATE_FILE, PRIVATE_KEY_FILE, ROOT_CA_FILE)
    }
    links[OPENVPN_FILE] = f"../../private-iot/current/{_name(OPENVPN_FILE)}"
    return links


def _name(path: str) -> str:
    return Path(path).name
