"""A fleet that is provisioned through the lab's front, beside the cloud alone, and what the stack has to do after it.

Each device has a connection of its own: TLS through the batch's tunnel, CONNECT, CreateCertificateFromCsr,
RegisterThing. The cloud alone is asked the same over loopback, one device after another, as the front asks it. Before
and after, `pulumi up` shows that a stack with no device listed has nothing to do with those that were provisioned.
"""

import json
import sys
import time
import urllib.request
from typing import Any

from bench.errors import BenchError
from bench.laboratory import CERTIFICATE, KEY, PROFILE, TUNNEL, Laboratory, running
from bench.peers.provisioner import request_pem
from bench.pulumi import run
from bench.summary import percentile, ratio
from lab.engine import CHECKOUT, STACK, Engine, find_or_build
from lab.passing import stack_file
from lab.path.read import Aws
from lab.report import Report

DEVICE, BATCH = "pi-1", "spring"
SETTINGS = {"fleetBatches": [BATCH], "fleetThingNamePattern": "unit-{SerialNumber}"}
PROVISIONED = 1000
WORKERS = 16
"""Devices that are provisioned at once."""
LIMIT = 540.0
"""Seconds that a part may take."""


def measure(report: Report, count: int = PROVISIONED) -> dict[str, Any]:
    """Provision devices in a lab of its own.

    Args:
        count: How many through the front, and how many by the cloud alone.

    Returns:
        ``rows`` of both ways, with rate and ratio; ``up``, the seconds of `pulumi up` before and after.

    Raises:
        BenchError: A device was not provisioned, or the stack was to change.
    """
    with running(report, [DEVICE], settings=SETTINGS) as laboratory:
        claim = laboratory.outputs["claims"][BATCH]
        before = _nothing_to_do(report, laboratory, 0)
        with report.step(f"{count} devices at the cloud alone"):
            alone = _alone(laboratory, claim["claim"]["templateName"], count)
        with report.step(f"{count} devices through the front, {WORKERS} at once"):
            front = _through_the_front(laboratory, claim, count)
        after = _nothing_to_do(report, laboratory, 2 * count)
    rows = [
        {"way": "the cloud alone, one after another", "devices": count, "seconds": alone},
        {"way": f"the front: tunnel, TLS, MQTT; {WORKERS} at once", "devices": count, **front},
    ]
    for row in rows:
        row["rate"] = row["devices"] / row["seconds"]
        row["ratio"] = ratio(row["rate"], rows[0]["rate"])
    return {"rows": rows, "up": [before, after]}


def _alone(laboratory: Laboratory, template: str, count: int) -> float:
    region, url = laboratory.outputs["claims"][BATCH]["region"], laboratory.cloud_url
    requests = [request_pem(f"{number:08x}") for number in range(count)]

    def ask(name: str | None, payload: dict[str, Any]) -> dict[str, Any]:
        body = json.dumps({"region": region, "template": name, "payload": payload}).encode()
        request = urllib.request.Request(f"{url}/_lab/iot/provisioning", data=body, method="PUT")  # noqa: S310 # loopback
        with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310 # loopback
            answer: dict[str, Any] = json.load(response)
        if not answer["accepted"]:
            raise BenchError(f"the cloud refused a device: {answer['payload']}")
        found: dict[str, Any] = answer["payload"]
        return found

    began = time.monotonic()
    for number, request in enumerate(requests):
        token = ask(None, {"certificateSigningRequest": request})["certificateOwnershipToken"]
        ask(template, {"certificateOwnershipToken": token, "parameters": {"SerialNumber": f"{number:08x}"}})
    return time.monotonic() - began


def _through_the_front(laboratory: Laboratory, claim: dict[str, Any], count: int) -> dict[str, Any]:
    laboratory.write(DEVICE, PROFILE, claim["vpn"]["config"])
    laboratory.write(DEVICE, CERTIFICATE, claim["claim"]["certificatePem"])
    laboratory.write(DEVICE, KEY, claim["claim"]["privateKeyPem"])
    laboratory.start_tunnel(DEVICE)
    options = {
        "endpoint": laboratory.endpoint,
        "certificate": CERTIFICATE,
        "key": KEY,
        "template": claim["claim"]["templateName"],
        "workers": WORKERS,
    }
    argv = [sys.executable, "-m", "bench.peers.provisioner", json.dumps(options)]
    with laboratory.program(DEVICE, argv) as program:
        answer = program.ask(LIMIT, first=count, count=count)
    laboratory.run(DEVICE, "systemctl", "stop", TUNNEL)
    if len(set(answer["things"])) != count:
        raise BenchError(f"{len(answer['things'])} of {count} devices were provisioned: {answer['failures'][:3]}")
    return {
        "seconds": answer["seconds"],
        **{
            f"{part}_{name}": percentile(answer[part], share) * 1000
            for part in ("connect", "certificate", "thing")
            for name, share in (("p50_ms", 50), ("p99_ms", 99))
        },
    }


def _nothing_to_do(report: Report, laboratory: Laboratory, provisioned: int) -> dict[str, Any]:
    """Run `pulumi up`, which has to change nothing, and count the things that AWS IoT has."""
    lab = laboratory.lab
    engine = Engine(lab, find_or_build(report), laboratory.cloud_url)
    words = ["--stack", STACK, "--config-file", str(stack_file(engine, [DEVICE], SETTINGS))]
    # The provider sends `disconnectOnSessionTimeout: false` with the second one; it is none of the fleet's.
    if not provisioned:
        run(engine, ["up", "--yes", "--skip-preview", *words], limit=LIMIT, cwd=CHECKOUT)
    with report.step(f"`pulumi up` with {provisioned} devices provisioned"):
        up = run(engine, ["up", "--yes", "--skip-preview", "--expect-no-changes", *words], limit=LIMIT, cwd=CHECKOUT)
    if not up.done:
        raise BenchError(f"`pulumi up` {up.note}: {up.said}")
    things = Aws(laboratory.cloud_url, engine.region).pages("iot", "list_things", "things")
    return {"provisioned": provisioned, "things": sum(1 for _ in things), "seconds": up.seconds}
