"""From a claim to an installed device, step by step; each step is durable before the next begins.

1. the key for AWS IoT is made where it stays
2. over the batch's tunnel, with the claim's identity: a certificate for it, noted with its ownership token
3. the thing, noted by its name
4. the device's own bundle through install's slots, tried by an echo
5. the notes and the claim are gone

Cut off anywhere, the next run goes on behind the last note. A token that is used or out of date begins anew at 2. If
the answer to 3 was lost, the certificate may be registered already: then 4 shows whether it is.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from device_agent._exceptions import BundleError, DeviceAgentError, ProvisioningRefusedError, UsageError
from device_agent.files import reporting
from device_agent.install.bundle import Bundle
from device_agent.install.claim import (
    Claim,
    Progress,
    forget_progress,
    load_progress,
    store_progress,
)
from device_agent.install.device_keys import make_iot_request
from device_agent.install.plan import apply_plan, make_plan, make_ready
from device_agent.install.slots import current_slot, other_slot, remove_slot, slot_files
from device_agent.install.steps import fill_slot
from device_agent.install.undo import undone_on_error
from device_agent.installation import CERTIFICATE_FILE, Installation
from device_agent.system import System

if TYPE_CHECKING:
    from device_agent.session import Mqtt5Session, Session

Tell = Callable[[str], None]


def provision(system: System, claim: Claim, tell: Tell) -> str | None:
    """Make a device of this machine, or bring the device that it is to this claim's tunnel.

    Args:
        system: The machine, whose services are locked.
        claim: The claim.
        tell: Called with what is done before it is done.

    Returns:
        The device's name; None where it was the device already and nothing changed.

    Raises:
        ProvisioningRefusedError: AWS IoT refused it.
        DeviceAgentError: A step failed; the next run goes on from there.
    """
    if current_slot(system) is not None:
        return _renew(system, claim, tell)
    while True:
        progress, refusal = _registered(system, claim, tell)
        name = progress.thing_name or claim.thing_name
        try:
            _install(system, claim.bundle_for(system, name, progress.certificate_pem), tell)
        except DeviceAgentError as error:
            if refusal is None:
                raise
            tell(f"begin anew, since {refusal}, and {error}")
            forget_progress(system)
        else:
            forget_progress(system)
            return name


def _registered(system: System, claim: Claim, tell: Tell) -> tuple[Progress, ProvisioningRefusedError | None]:
    """Register the device, or give what an earlier run has noted, with the refusal if it is uncertain what that is."""
    progress = load_progress(system, claim)
    if progress is not None and progress.thing_name is not None:
        return progress, None
    try:
        return _register(system, claim, tell), None
    except ProvisioningRefusedError as error:
        progress = load_progress(system, claim)
        if progress is None or progress.asked < 2:
            forget_progress(system)
            raise
        return progress, error


def _renew(system: System, claim: Claim, tell: Tell) -> str | None:
    """Keep the identity that the device has, and take the claim's tunnel where it is another."""
    name = Installation.load(system).name
    with reporting(f"{CERTIFICATE_FILE} cannot be read"):
        certificate_pem = system.path(CERTIFICATE_FILE).read_text("ascii")
    try:
        bundle = claim.bundle_for(system, name, certificate_pem)
    except BundleError as error:
        raise UsageError(
            f"this device is installed as {name}, with an identity that no claim gave it ({error}); `device-agent"
            " uninstall` comes first"
        ) from error
    forget_progress(system)
    plan = make_plan(system, bundle, verify=None, python=sys.executable)
    apply_plan(plan, tell)
    return name if plan.texts else None


def _install(system: System, bundle: Bundle, tell: Tell) -> None:
    apply_plan(make_plan(system, bundle, verify=True, python=sys.executable), tell)


def _register(system: System, claim: Claim, tell: Tell) -> Progress:
    """Ask AWS IoT over the batch's tunnel; the claim's slot is gone when this returns or raises."""
    from device_agent.install.identity import Identity  # noqa: PLC0415 - brings the SDK, 100 ms and 20 MB
    from device_agent.install.trial import stop_services, use_slot  # noqa: PLC0415 - likewise

    apply_plan(make_ready(system), tell)
    request_pem = make_iot_request(system, claim.serial_number)
    slot = other_slot(current_slot(system))

    def register(session: Session) -> Progress:
        identity = Identity(cast("Mqtt5Session", session), claim.template_name)
        known = load_progress(system, claim)
        if known is None:
            certificate_pem, token = identity.create_certificate(request_pem)
            known = Progress(
                endpoint=claim.bundle.endpoint,
                template_name=claim.template_name,
                serial_number=claim.serial_number,
                certificate_pem=certificate_pem,
                ownership_token=token,
            )
        known = replace(known, asked=known.asked + 1)
        store_progress(system, known)
        thing_name = identity.register_thing(known.ownership_token, claim.serial_number)
        registered = replace(known, thing_name=thing_name)
        store_progress(system, registered)
        return registered

    tell(f"provision {claim.serial_number} over the tunnel of {claim.batch}")
    try:
        with undone_on_error() as undo:
            fill_slot(system, slot, slot_files(claim.bundle, slot), ExitStack())
            stop_services(system, undo)
            return use_slot(system, slot, "provisioning", register)
    finally:
        remove_slot(system, slot)
