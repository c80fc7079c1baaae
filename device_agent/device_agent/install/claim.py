"""The claim bundle: what a batch's devices are handed before any of them has an identity, and what becomes of it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from device_agent._exceptions import BundleError, UsageError
from device_agent.certificates import check_pair
from device_agent.files import WantedFile, remove, write_file
from device_agent.install.bundle import Bundle, check_bundle, read_json
from device_agent.install.device_keys import IOT_KEY_FILE, load_device_keys
from device_agent.installation import DEVICE_KEYS_DIRECTORY, check_file
from device_agent.system import System

PROGRESS_FILE = f"{DEVICE_KEYS_DIRECTORY}/provisioning.json"
"""How far a provisioning has come. Only while it is on its way: it holds the certificate's ownership token."""
SERIAL_NUMBER_FILES = ("/proc/device-tree/serial-number", "/sys/firmware/devicetree/base/serial-number")
_SERIAL_NUMBER = re.compile(r"[a-zA-Z0-9:_-]{1,64}")
_PLACE = "{SerialNumber}"
_CLIENT_ID = "claim."
"""What the claim's policy lets client IDs begin with; a thing's name has no dot, so that no device has such a one."""
_CLAIM_FIELDS = ("templateName", "thingNamePattern", "certificatePem", "privateKeyPem")
_HINT = "pipe in one of `pulumi stack output claims --show-secrets --json`"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A claim bundle that has passed every check.

    Attributes:
        batch: The batch's name.
        serial_number: The device's.
        template_name: The provisioning template.
        thing_name: What the device will be called, unless the template's hook says otherwise.
        bundle: The claim as a bundle, to be tried in a slot: the batch's tunnel with the claim's identity.
        document: The bundle that the device gets, without what it is given.
    """

    batch: str
    serial_number: str
    template_name: str
    thing_name: str
    bundle: Bundle
    document: Mapping[str, Any] = field(repr=False)

    def bundle_for(self, system: System, thing_name: str, certificate_pem: str) -> Bundle:
        """Make the device's own bundle: the batch's tunnel with the device's identity and its own key.

        Raises:
            BundleError: The certificate is not for the device's key.
        """
        iot = {**self.document["iot"], "clientId": thing_name, "certificatePem": certificate_pem}
        prefix = f"{self.document['topicPrefix']}/{thing_name}"
        own = {**self.document, "name": thing_name, "iot": iot, "topicPrefix": prefix}
        return check_bundle(own, now=system.now(), keys=load_device_keys(system))


def parse_claim(data: bytes, *, batch: str | None, serial_number: str, now: float) -> Claim:
    """Find a batch's claim in the input and check all of it.

    Args:
        data: JSON: one claim bundle, the `claims` map, or the whole of `pulumi stack output --json --show-secrets`.
        batch: The batch's name; needed if the input holds several.
        serial_number: The device's.
        now: The device's clock, in seconds since 1970.

    Raises:
        BundleError: The first thing that is wrong, in one line that names the field and the remedy.
    """
    if not _SERIAL_NUMBER.fullmatch(serial_number):
        raise UsageError(
            f"the serial number {serial_number!a} cannot be used; allowed is 1 to 64 of letters, digits, ':', '_' and"
            " '-': give --serial-number"
        )
    document = _select(read_json(data), batch)
    claim = document.get("claim")
    if not isinstance(claim, dict) or set(claim) != set(_CLAIM_FIELDS):
        raise BundleError(
            f"the input has no claim of {', '.join(_CLAIM_FIELDS)}: a bundle goes to `install -`; {_HINT}"
        )
    for name in _CLAIM_FIELDS:
        if not isinstance(claim[name], str) or not claim[name]:
            raise BundleError(f"claim.{name} is not text, or empty")
    if not re.fullmatch(r"[0-9A-Za-z_-]{1,36}", claim["templateName"]) or claim["thingNamePattern"].count(_PLACE) != 1:
        raise BundleError("claim.templateName or claim.thingNamePattern is not what a stack writes; make it anew")
    plain = {name: value for name, value in document.items() if name != "claim"}
    identity = {name: claim[name] for name in ("certificatePem", "privateKeyPem")}
    iot = document.get("iot")
    if not isinstance(iot, dict) or "clientId" in iot or "certificatePem" in iot:
        raise BundleError(f"the claim's iot is not what a stack writes; {_HINT}")
    tried = {**plain, "iot": {**iot, **identity, "clientId": f"{_CLIENT_ID}{serial_number}"}}
    bundle = check_bundle(tried, now=now)
    return Claim(
        batch=bundle.name,
        serial_number=serial_number,
        template_name=claim["templateName"],
        thing_name=claim["thingNamePattern"].replace(_PLACE, serial_number),
        bundle=bundle,
        document=plain,
    )


def _select(document: Any, batch: str | None) -> dict[str, Any]:
    if isinstance(document, dict) and "version" not in document:
        document = document.get("claims", document)
        if document == "[secret]":
            raise BundleError("the input's secrets are hidden; add --show-secrets to `pulumi stack output`")
        names = ", ".join(sorted(document)[:20]) if isinstance(document, dict) else ""
        if batch is None and isinstance(document, dict) and len(document) == 1:
            [document] = document.values()
        elif batch is None or not isinstance(document, dict) or batch not in document:
            raise BundleError(f"the input holds the batches {names!a}; choose one with --batch NAME")
        else:
            document = document[batch]
    if not isinstance(document, dict) or not isinstance(document.get("name"), str):
        raise BundleError(f"the input is no claim bundle; {_HINT}")
    if batch is not None and document["name"] != batch:
        raise BundleError(f"the claim is of batch {document['name']!a}, not of {batch}")
    return document


def own_serial_number(system: System) -> str:
    """Read the serial number that a Raspberry Pi's firmware gives in the device tree.

    Raises:
        UsageError: This machine has none.
    """
    for path in SERIAL_NUMBER_FILES:
        try:
            found = system.path(path).read_text("ascii").strip("\0\n ")
        except (OSError, UnicodeDecodeError):
            continue
        if found:
            return found
    raise UsageError(f"this machine tells no serial number ({SERIAL_NUMBER_FILES[0]}); give --serial-number")


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a provisioning has come.

    Attributes:
        endpoint: Of which account's endpoint.
        template_name: By which template.
        serial_number: For which serial number.
        certificate_pem: The certificate that AWS IoT has issued for the device's key.
        ownership_token: With which it is registered, within the hour.
        asked: How often it was asked to register: from the second time on it may have done so without an answer.
        thing_name: The thing, once it is registered.
    """

    endpoint: str
    template_name: str
    serial_number: str
    certificate_pem: str
    ownership_token: str = field(repr=False)
    asked: int = 0
    thing_name: str | None = None


def load_progress(system: System, claim: Claim) -> Progress | None:
    """Read how far this claim's provisioning has come; None where there is nothing to go on with."""
    if not system.path(PROGRESS_FILE).exists():
        return None
    check_file(system, PROGRESS_FILE, secret=True)
    try:
        progress = Progress(**json.loads(system.path(PROGRESS_FILE).read_text("utf-8")))
        key = load_device_keys(system).iot
        if key is None:
            return None
        check_pair(progress.certificate_pem, key, PROGRESS_FILE, IOT_KEY_FILE)
    except (ValueError, TypeError, BundleError):
        return None
    same = (progress.endpoint, progress.template_name, progress.serial_number) == (
        claim.bundle.endpoint,
        claim.template_name,
        claim.serial_number,
    )
    return progress if same else None


def store_progress(system: System, progress: Progress) -> None:
    """Write how far it has come, for root alone."""
    text = json.dumps(asdict(progress))
    write_file(system, PROGRESS_FILE, WantedFile(content=f"{text}\n".encode(), mode=0o600))


def forget_progress(system: System) -> None:
    """Begin anew, or be done."""
    remove(system, PROGRESS_FILE)
