"""`device-agent renew`: put a delivered VPN certificate in the present one's place, or leave everything as it is."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace

from device_agent._exceptions import DeviceAgentError, UsageError
from device_agent.certificates import date, read_certificates
from device_agent.install.bundle import check_bundle
from device_agent.install.plan import apply_plan, make_plan
from device_agent.install.renewal import (
    Renewal,
    check_delivery,
    digest_of,
    load_renewal,
    present_profile,
    read_delivery,
    refusal_result,
    renewed_document,
    store_renewal,
)
from device_agent.install.restart_unit import services_locked
from device_agent.installation import DELIVERED_FILE
from device_agent.system import System

HELP = "put a VPN certificate that was delivered over MQTT in place (what its service runs)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.epilog = (
        "The agent starts its service when a certificate has come on PREFIX/agent/certificates. It has to be for this\n"
        "device's key and name, of the authority that its profile trusts, and valid for longer than the present one.\n"
        f"It is read from {DELIVERED_FILE}, tried with its own tunnel and an echo,\n"
        "and counts only then. The agent tells on its status topic how it ended.\n"
    )


def run(_arguments: argparse.Namespace, system: System) -> int:
    """Run the command.

    Raises:
        DeviceAgentError: The certificate was refused or failed its trial; everything is as it was.
    """
    if system.user_id() != 0:
        raise UsageError("renew needs root; the agent's service starts it")
    payload = read_delivery(system)
    digest, before = digest_of(payload), load_renewal(system)
    attempts = before.attempts + 1 if before is not None and before.digest == digest else 1
    # Should this process be killed in the trial, the agent knows that it has begun.
    renewal = Renewal(
        digest=digest, result="started", detail="its trial was cut off", attempts=attempts, at=system.now()
    )
    store_renewal(system, renewal)
    try:
        with services_locked(system) as locked:
            result, detail = _renew(locked, payload)
    except DeviceAgentError as error:
        store_renewal(system, replace(renewal, result=refusal_result(error), detail=str(error)))
        raise
    store_renewal(system, replace(renewal, result=result, detail=detail))
    print(f"{result}: {detail}")
    return 0


def _renew(system: System, payload: bytes) -> tuple[str, str]:
    profile = present_profile(system)
    pem = check_delivery(payload, profile, now=system.now())
    end = read_certificates(pem or profile.cert, "the certificate")[0].not_after
    detail = f"the VPN's client certificate is valid until {date(end)}"
    if pem is None:
        return "unchanged", detail
    bundle = check_bundle(renewed_document(system, pem), now=system.now())
    plan = make_plan(system, bundle, verify=True, python=sys.executable)
    apply_plan(plan, print)
    return "installed", detail
