"""The device bundle, the one thing that the cloud's side hands to the device: read, and checked from end to end."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from typing import Any, NoReturn

from device_agent._exceptions import BundleError, CertificateError
from device_agent.certificates import (
    check_chain,
    check_dates,
    check_pair,
    check_private_key,
    read_certificates,
)
from device_agent.install.device_keys import IOT_KEY_FILE, VPN_KEY_FILE, DeviceKeys
from device_agent.install.openvpn_profile import Profile, parse_profile
from device_agent.topics import MAX_TOPIC

VERSIONS = (1, 2)
"""Version 2 may leave out what the device has elsewhere; version 1 holds everything."""
INPUT_LIMIT = 16 * 1024 * 1024
"""Bytes of input: the outputs of a stack with about a thousand devices."""
_HINT = "pipe in `pulumi stack output devices --show-secrets --json`"
_FIELDS: dict[str, tuple[str, ...]] = {
    "": ("version", "name", "region", "vpn", "iot", "network", "topicPrefix"),
    "vpn": ("config",),
    "iot": ("endpoint", "clientId", "certificatePem", "privateKeyPem"),
    "network": ("vpcCidr", "dnsServer", "vpcEndpointId"),
}
_OPTIONAL = {"iot": ("rootCaPem",)}
_OPTIONAL_IN_2 = {"": ("vpn",), "iot": ("certificatePem", "privateKeyPem")}
_ASK_AGAIN = "give the stack what `device-agent request` prints on this device, then `pulumi up`"
# Thing names: https://docs.aws.amazon.com/iot/latest/apireference/API_CreateThing.html
_NAME = re.compile(r"[a-zA-Z0-9:_-]{1,128}")
_REGION = re.compile(r"[a-z]{2}(-[a-z]{2,12}){1,3}-[0-9]{1,2}")
_ENDPOINT = re.compile(r"[a-z0-9]{1,63}-ats\.iot\.(?P<region>[a-z0-9-]+)\.amazonaws\.com")
_VPC_ENDPOINT = re.compile(r"vpce-[0-9a-f]{8,17}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A device bundle that has passed every check. Its representation holds no private key.

    Attributes:
        name: The device's name.
        region: The AWS Region.
        vpn_config: The OpenVPN profile, byte for byte; with the device's own key in it if the bundle had none. None
            of a device without a tunnel.
        profile: The same, parsed.
        endpoint: The ATS data endpoint.
        client_id: The MQTT client ID.
        certificate_pem: The device's certificate.
        private_key_pem: Its private key.
        root_ca_pem: The authorities to trust, or None for the system's.
        vpc_cidr: The VPC's CIDR block.
        dns_server: The VPC's resolver.
        vpc_endpoint_id: The interface endpoint.
        topic_prefix: What the device's topics begin with.
        gateways: The gateways of its LAN that the device is told to go through, where it has no tunnel.
    """

    name: str
    region: str
    vpn_config: str | None = field(repr=False)
    profile: Profile | None
    endpoint: str
    client_id: str
    certificate_pem: str
    private_key_pem: str = field(repr=False)
    root_ca_pem: str | None
    vpc_cidr: IPv4Network
    dns_server: IPv4Address
    vpc_endpoint_id: str
    topic_prefix: str
    gateways: tuple[IPv4Address, ...] = ()


def parse_bundle(data: bytes, *, device: str | None, now: float, keys: DeviceKeys | None = None) -> Bundle:
    """Find a device's bundle in the input and check all of it.

    Args:
        data: JSON: one bundle, the `devices` map, or the whole of `pulumi stack output --json --show-secrets`.
        device: The device's name; needed if the input holds several.
        now: The device's clock, in seconds since 1970.
        keys: The keys that were made on this device, for a bundle without any.

    Returns:
        The bundle.

    Raises:
        BundleError: The first thing that is wrong, in one line that names the field and the remedy. A subclass for the
            profile and for certificates.
    """
    return check_bundle(_select(read_json(data), device), now=now, keys=keys)


def check_bundle(document: Mapping[str, Any], *, now: float, keys: DeviceKeys | None = None) -> Bundle:
    """Check a bundle's fields, and that they agree with each other and with the device's own keys.

    Raises:
        BundleError: See `parse_bundle`.
    """
    version = document.get("version")
    if version not in VERSIONS or isinstance(version, bool):
        _refuse("version", version, "this agent reads versions 1 and 2; install the agent that fits the stack")
    optional = _OPTIONAL_IN_2 if version == 2 else {}
    _check_fields(document, "", optional)
    for part in ("vpn", "iot", "network"):
        if not isinstance(document.get(part, {}), dict):
            _refuse(part, document[part], "an object belongs there")
        if part in document:
            _check_fields(document[part], part, optional)
    if "certificatePem" not in document["iot"]:
        raise BundleError("the bundle has no iot.certificatePem: give a claim to `device-agent provision -`")
    iot, network = document["iot"], document["network"]
    name = _matching(document, "name", _NAME, "1 to 128 of letters, digits, ':', '_' and '-'")
    region = _matching(document, "region", _REGION, "a Region's name such as ap-northeast-1")
    endpoint = _matching(iot, "iot.endpoint", _ENDPOINT, "an ATS endpoint: …-ats.iot.REGION.amazonaws.com")
    found = _ENDPOINT.fullmatch(endpoint)
    if found is None or found["region"] != region:
        _refuse("iot.endpoint", endpoint, f"it is not in the bundle's region, {region}")
    vpc_cidr, dns_server = _network(network)
    certificate_pem, private_key_pem, root_ca_pem = _identity(iot, now, keys or DeviceKeys())
    vpn_config, profile = None, None
    if "vpn" in document:
        text = _text(document["vpn"], "vpn.config", limit=1 << 20)
        vpn_config, profile = _profile(text, now, version == 2, keys or DeviceKeys())
    return Bundle(
        name=name,
        region=region,
        vpn_config=vpn_config,
        profile=profile,
        endpoint=endpoint,
        client_id=_matching(iot, "iot.clientId", re.compile(r"[!-~]{1,128}"), "1 to 128 printable ASCII characters"),
        certificate_pem=certificate_pem,
        private_key_pem=private_key_pem,
        root_ca_pem=root_ca_pem,
        vpc_cidr=vpc_cidr,
        dns_server=dns_server,
        vpc_endpoint_id=_matching(network, "network.vpcEndpointId", _VPC_ENDPOINT, "vpce- and hexadecimal digits"),
        topic_prefix=_topic_prefix(document),
    )


def read_json(data: bytes) -> Any:
    """Read JSON of a bounded size, with no field twice.

    Raises:
        BundleError: It is none; the message never holds the text, which may be a key.
    """
    if len(data) > INPUT_LIMIT:
        raise BundleError(f"the input is larger than {INPUT_LIMIT} bytes; {_HINT}")
    if not data.strip():
        raise BundleError(f"the input is empty; {_HINT}")
    try:
        return json.loads(data.decode("utf-8-sig"), object_pairs_hook=_object, parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        raise BundleError(f"the input is not UTF-8 (byte {error.start}); {_HINT}") from None
    except json.JSONDecodeError as error:
        # Never the text itself: it may be a key.
        raise BundleError(
            f"the input is not JSON (line {error.lineno}, column {error.colno}), or truncated; {_HINT}"
        ) from None
    except RecursionError:
        raise BundleError(f"the input is nested too deeply; {_HINT}") from None
    except ValueError as error:  # an integer with thousands of digits
        raise BundleError(f"the input is not usable JSON ({error}); {_HINT}") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise BundleError("the input names a field twice in one object; it is not from `pulumi stack output`")
    return found


def _no_constant(name: str) -> NoReturn:
    raise BundleError(f"the input holds {name}, which is not JSON")


def _select(document: Any, device: str | None) -> dict[str, Any]:
    if isinstance(document, dict) and document.get("devices") == "[secret]":
        # What is no secret is beside it: the bundles of devices that made their keys themselves.
        plain = document.get("deviceBundles")
        document = {"devices": plain} if isinstance(plain, dict) and (not device or device in plain) else "[secret]"
    if document == "[secret]":
        raise BundleError("the input's secrets are hidden; add --show-secrets to `pulumi stack output`")
    if not isinstance(document, dict):
        raise BundleError(f"the input is not a JSON object; {_HINT}")
    if "version" in document:
        name = document.get("name")
        if device is not None and name != device:
            raise BundleError(f"the bundle is for device {_shown(name)}, not for {device}")
        return document
    devices = document.get("devices", document)
    if not isinstance(devices, dict) or not all(
        isinstance(found, dict) and "version" in found for found in devices.values()
    ):
        raise BundleError(f"the input is neither a device bundle, a map of them, nor a stack's outputs; {_HINT}")
    return _choose(devices, device)


def _choose(devices: dict[str, dict[str, Any]], device: str | None) -> dict[str, Any]:
    names = ", ".join(_shown(name) for name in sorted(devices)[:20]) or "none"
    if device is None:
        if len(devices) != 1:
            raise BundleError(f"the input holds {len(devices)} devices ({names}); choose one with --device NAME")
        device = next(iter(devices))
    if device not in devices:
        raise BundleError(f"the input holds no device {_shown(device)}; it holds {names}")
    if devices[device].get("name") != device:
        raise BundleError(f"the bundle under {_shown(device)} has another name, {_shown(devices[device].get('name'))}")
    return devices[device]


def _check_fields(document: Mapping[str, Any], part: str, optional: Mapping[str, tuple[str, ...]]) -> None:
    prefix = f"{part}." if part else ""
    for name in _FIELDS[part]:
        if name not in document and name not in optional.get(part, ()):
            raise BundleError(f"the bundle has no {prefix}{name}; make it anew with `pulumi up`")
    for name in document:
        if name not in (*_FIELDS[part], *_OPTIONAL.get(part, ())):
            raise BundleError(
                f"the bundle has a field that this agent does not know, {prefix}{_shown(name)}; upgrade it"
            )


def _text(document: Mapping[str, Any], path: str, *, limit: int) -> str:
    value = document[path.rpartition(".")[2]]
    if not isinstance(value, str) or not value.strip():
        raise BundleError(f"{path} is not text, or empty")
    if len(value) > limit:
        raise BundleError(f"{path} has {len(value)} characters; at most {limit} are allowed")
    return value


def _matching(document: Mapping[str, Any], path: str, pattern: re.Pattern[str], allowed: str) -> str:
    value = _text(document, path, limit=1024)
    if not pattern.fullmatch(value):
        _refuse(path, value, f"allowed is {allowed}")
    return value


def _network(network: Mapping[str, Any]) -> tuple[IPv4Network, IPv4Address]:
    text = _text(network, "network.vpcCidr", limit=32)
    try:
        cidr = IPv4Network(text)
    except ValueError:
        _refuse("network.vpcCidr", text, "an IPv4 CIDR block such as 10.0.0.0/16 belongs there")
    if not 16 <= cidr.prefixlen <= 28:
        # https://docs.aws.amazon.com/vpc/latest/userguide/vpc-cidr-blocks.html
        _refuse("network.vpcCidr", text, "a VPC has a block of /16 to /28")
    text = _text(network, "network.dnsServer", limit=32)
    try:
        server = IPv4Address(text)
    except ValueError:
        _refuse("network.dnsServer", text, "an IPv4 address belongs there")
    if server not in cidr:
        _refuse("network.dnsServer", text, f"it is outside the VPC, {cidr}")
    return cidr, server


def _identity(iot: Mapping[str, Any], now: float, keys: DeviceKeys) -> tuple[str, str, str | None]:
    certificate_pem = _text(iot, "iot.certificatePem", limit=32 * 1024)
    certificates = read_certificates(certificate_pem, "iot.certificatePem")
    if "privateKeyPem" in iot:
        private_key_pem = _text(iot, "iot.privateKeyPem", limit=32 * 1024)
        check_private_key(private_key_pem, "iot.privateKeyPem")
        check_pair(certificate_pem, private_key_pem, "iot.certificatePem", "iot.privateKeyPem")
    else:
        private_key_pem = _own_key(keys.iot, IOT_KEY_FILE, certificate_pem, "iot.certificatePem")
    check_dates(certificates, now, "iot.certificatePem")
    if iot.get("rootCaPem") is None:
        return certificate_pem, private_key_pem, None
    root_ca_pem = _text(iot, "iot.rootCaPem", limit=256 * 1024)
    _check_authorities(root_ca_pem, now, "iot.rootCaPem")
    return certificate_pem, private_key_pem, root_ca_pem


def _own_key(key_pem: str | None, file: str, certificate_pem: str, field: str) -> str:
    """Give the device's own key if it is the one that the certificate was issued for."""
    if key_pem is None:
        raise BundleError(f"the bundle has no key for {field}, and this device none of its own; {_ASK_AGAIN}")
    try:
        check_pair(certificate_pem, key_pem, field, file)
    except CertificateError as error:
        raise CertificateError(f"{error}; {_ASK_AGAIN}") from None
    return key_pem


def _profile(text: str, now: float, key_elsewhere: bool, keys: DeviceKeys) -> tuple[str, Profile]:
    profile = parse_profile(text, key_elsewhere=key_elsewhere)
    if not profile.key:
        key = _own_key(keys.vpn, VPN_KEY_FILE, profile.cert, "vpn.config <cert>")
        text = f"{text.rstrip()}\n<key>\n{key.strip()}\n</key>\n"
        profile = parse_profile(text)
    check_profile(profile, now)
    return text, profile


def check_profile(profile: Profile, now: float) -> None:
    """Check a profile's certificates: in date, for its key, and of an authority that it trusts.

    Raises:
        CertificateError: One is not.
    """
    _check_authorities(profile.ca, now, "vpn.config <ca>")
    certificates = read_certificates(profile.cert, "vpn.config <cert>")
    check_private_key(profile.key, "vpn.config <key>")
    check_pair(profile.cert, profile.key, "vpn.config <cert>", "vpn.config <key>")
    check_dates(certificates, now, "vpn.config <cert>")
    check_chain(profile.cert, profile.key, profile.ca, "vpn.config <cert>", "vpn.config <ca>")


def _check_authorities(pem: str, now: float, path: str) -> None:
    authorities = read_certificates(pem, path)
    for found in authorities:
        if not found.authority:
            raise BundleError(f"{path} holds the certificate of {found.subject!r}, which is not an authority's")
    check_dates(authorities, now, path)


def _topic_prefix(document: Mapping[str, Any]) -> str:
    value = _text(document, "topicPrefix", limit=1024)
    if value.startswith(("/", "$")) or value.endswith("/") or re.search(r"[+#\s]", value) or not value.isprintable():
        _refuse("topicPrefix", value, "it may not hold '+', '#' or blanks, begin with '/' or '$', or end with '/'")
    # A topic has 256 bytes and 7 slashes at most, and the longest that the agent itself puts under it is /status:
    # https://docs.aws.amazon.com/general/latest/gr/iot-core.html#message-broker-limits
    if len(value.encode()) > MAX_TOPIC - len("/status"):
        _refuse("topicPrefix", value, f"AWS IoT allows {MAX_TOPIC} bytes in a topic, so 249 here")
    if value.count("/") > 6:
        _refuse("topicPrefix", value, "AWS IoT allows 7 slashes in a topic, so 6 here")
    return value


def _shown(value: object) -> str:
    """Show a value that is no secret, cut to a line's length, in ASCII."""
    text = value if isinstance(value, str) else repr(value)
    return ascii(text[:80])[1:-1]


def _refuse(path: str, value: object, reason: str) -> NoReturn:
    raise BundleError(f"{path} is {_shown(value)!r}; {reason}")
