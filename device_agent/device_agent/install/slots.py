"""Where a bundle lives on the device: two slots, and a link that says which one counts.

```
/etc/private-iot/slots/a/{device.json, certificate.pem, private-key.pem, root-ca.pem}
/etc/private-iot/slots/a/clientvpn.conf -> ../../../openvpn/private-iot/a.conf
/etc/private-iot/slots/b/…
/etc/private-iot/current -> slots/a
/etc/private-iot/device.json -> current/device.json          (and so on)
/etc/openvpn/private-iot/a.conf
/etc/openvpn/client/clientvpn.conf -> ../../private-iot/current/clientvpn.conf
```

A new bundle is written into the other slot and takes over by one rename, so that tunnel and agent change identity
together and a power cut leaves all of the old bundle or all of the new one. Then the old slot goes, with its keys.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from device_agent.files import WantedFile, read_link, remove
from device_agent.install.bundle import Bundle
from device_agent.installation import (
    CERTIFICATE_FILE,
    DEVICE_FILE,
    DEVICE_FILE_VERSION,
    DIRECTORY,
    GATEWAY_DEVICE_FILE_VERSION,
    OPENVPN_FILE,
    PRIVATE_KEY_FILE,
    PROFILE_DIRECTORY,
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


def profile_file(slot: str) -> str:
    """Give the OpenVPN profile of a slot, where every distribution lets OpenVPN read it."""
    return f"{PROFILE_DIRECTORY}/{slot}.conf"


def profile_link(slot: str) -> tuple[str, str]:
    """Give the link by which the profile belongs to its slot, and what it holds."""
    return f"{slot_folder(slot)}/{Path(OPENVPN_FILE).name}", f"../../../openvpn/private-iot/{slot}.conf"


def slot_files(bundle: Bundle, slot: str) -> dict[str, WantedFile]:
    """Give a slot's files with a bundle, by their paths.

    The device's private key belongs to the agent's user; OpenVPN's profile, which holds the VPN's key, to root.
    """
    document: dict[str, object] = {
        "version": GATEWAY_DEVICE_FILE_VERSION if bundle.gateways else DEVICE_FILE_VERSION,
        "name": bundle.name,
        "region": bundle.region,
        "endpoint": bundle.endpoint,
        "clientId": bundle.client_id,
        "vpcCidr": str(bundle.vpc_cidr),
        "dnsServer": str(bundle.dns_server),
        "vpcEndpointId": bundle.vpc_endpoint_id,
        "topicPrefix": bundle.topic_prefix,
    }
    if bundle.gateways:
        document["gateways"] = [str(gateway) for gateway in bundle.gateways]
    contents: dict[str, tuple[str, int, str | None]] = {
        DEVICE_FILE: (f"{json.dumps(document, indent=2)}\n", 0o644, None),
        CERTIFICATE_FILE: (bundle.certificate_pem, 0o644, None),
        PRIVATE_KEY_FILE: (bundle.private_key_pem, 0o600, USER),
    }
    if bundle.root_ca_pem is not None:
        contents[ROOT_CA_FILE] = (bundle.root_ca_pem, 0o644, None)
    files = {
        f"{slot_folder(slot)}/{Path(path).name}": WantedFile(content=text.encode("ascii"), mode=mode, owner=owner)
        for path, (text, mode, owner) in contents.items()
    }
    if bundle.vpn_config is None:
        return files
    return {profile_file(slot): WantedFile(content=bundle.vpn_config.encode("ascii"), mode=0o600), **files}


def slot_holds(system: System, slot: str, bundle: Bundle) -> bool:
    """Tell whether a slot has exactly a bundle's content, whatever its files' modes, owners and places."""
    link, _target = profile_link(slot)
    contents = {
        link if path == profile_file(slot) else path: wanted.content
        for path, wanted in slot_files(bundle, slot).items()
    }
    try:
        return {f"{slot_folder(slot)}/{entry.name}" for entry in system.path(slot_folder(slot)).iterdir()} == set(
            contents
        ) and all(system.path(path).read_bytes() == content for path, content in contents.items())
    except OSError:
        return False


def stale_slots(system: System) -> list[str]:
    """List the slots that do not count and of which something is there."""
    current = current_slot(system)
    return [
        slot
        for slot in _NAMES
        if slot != current
        and (os.path.lexists(system.path(slot_folder(slot))) or system.path(profile_file(slot)).exists())
    ]


def remove_slot(system: System, slot: str) -> None:
    """Remove a slot and its keys, but never the one that counts.

    Raises:
        DeviceAgentError: It cannot be removed, or not all of it.
    """
    if current_slot(system) != slot:
        remove(system, slot_folder(slot))
        remove(system, profile_file(slot))


def wanted_links(*, tunnel: bool = True) -> dict[str, str]:
    """Give what each link outside the slots shall hold. The root certificate's leads nowhere if a slot has none."""
    links = {
        path: f"current/{Path(path).name}" for path in (DEVICE_FILE, CERTIFICATE_FILE, PRIVATE_KEY_FILE, ROOT_CA_FILE)
    }
    if tunnel:
        links[OPENVPN_FILE] = f"../../private-iot/current/{Path(OPENVPN_FILE).name}"
    return links
