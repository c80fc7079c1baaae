"""A fleet that is provisioned through the lab's front, beside the cloud alone, and what the stack has to do after it.

Each device has a connection of its own: TLS through the batch's tunnel, CONNECT, CreateCertificateFromCsr,
RegisterThing. The cloud alone is asked the same over loopback, one device after another, as the front asks it. Then
`pulumi up` runs on this stack and on the same one in a lab where nothing was provisioned, in turn, so that whatever
else the machine does meets both: a stack has nothing to do with the devices that were provisioned.
"""

import contextlib
import json
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.errors import BenchError
from bench.laboratory import CERTIFICATE, KEY, PROFILE, TUNNEL, Laboratory, running
from bench.peers.provisioner import request_pem
from bench.pulumi import run
from bench.summary import median, percentile, ratio
from lab.cloud import server
from lab.engine import CHECKOUT, STACK, Engine, PluginSource, find_or_build
from lab.passing import stack_file
from lab.path.read import Aws
from lab.report import Report
from lab.state import Lab

DEVICE, BATCH = "pi-1", "spring"
SETTINGS = {"fleetBatches": [BATCH], "fleetThingNamePattern": "unit-{SerialNumber}"}
PROVISIONED = 1000
WORKERS = 16
"""Devices that are provisioned at once."""
ROUNDS = 5
"""How often `pulumi up` runs on each stack."""
LIMIT = 540.0
"""Seconds that a part may take."""


def measure(report: Report, count: int = PROVISIONED) -> dict[str, Any]:
    """Provision devices in a lab of its own.

    Args:
        count: How many through the front, and how many by the cloud alone.

    Returns:
        ``rows`` of both ways, with rate and ratio; ``up``, the seconds of `pulumi up` without and with those devices.

    Raises:
        BenchError: A device was not provisioned, or the stack was to change.
    """
    with running(report, [DEVICE], settings=SETTINGS) as laboratory, _without_any(report) as untouched:
        claim = laboratory.outputs["claims"][BATCH]
        with report.step(f"{count} devices at the cloud alone"):
            alone = _alone(laboratory, claim["claim"]["templateName"], count)
        with report.step(f"{count} devices through the front, {WORKERS} at once"):
            front = _through_the_front(laboratory, claim, count)
        engine = Engine(laboratory.lab, find_or_build(report), laboratory.cloud_url)
        ups = _nothing_to_do(report, {0: untouched, 2 * count: engine})
    rows = [
        {"way": "the cloud alone, one after another", "devices": count, "seconds": alone},
        {"way": f"the front: tunnel, TLS, MQTT; {WORKERS} at once", "devices": count, **front},
    ]
    for row in rows:
        row["rate"] = row["devices"] / row["seconds"]
        row["ratio"] = ratio(row["rate"], rows[0]["rate"])
    return {"rows": rows, "up": ups}


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


@contextlib.contextmanager
def _without_any(report: Report) -> Iterator[Engine]:
    """Give the engine of a lab without a network, for the same stack."""
    with TemporaryDirectory(prefix="private-iot-bench-") as folder:
        lab = Lab("bench", Path(folder))
        lab.create()
        cloud = server.start(lab.cloud_directory)
        try:
            engine = Engine(lab, find_or_build(report), cloud.url)
            engine.prepare(PluginSource.STANDIN, report)
            yield engine
        finally:
            server.stop(lab.cloud_directory)


def _nothing_to_do(report: Report, engines: Mapping[int, Engine]) -> list[dict[str, Any]]:
    """Run `pulumi up`, which has to change nothing, on each stack in turn.

    Args:
        engines: Number of devices that were provisioned → the engine of its stack.

    Returns:
        For each: ``seconds``, the median, each run's in ``runs``, and how many things AWS IoT has.
    """
    seconds: dict[int, list[float]] = {provisioned: [] for provisioned in engines}
    for number in range(ROUNDS + 1):
        for provisioned, engine in engines.items():
            words = ["--stack", STACK, "--config-file", str(stack_file(engine, [DEVICE], SETTINGS))]
            # The first two make the stack and what the provider only sends with the second
            # (`disconnectOnSessionTimeout: false`), which is none of the fleet's.
            flags = ["--expect-no-changes"] if number else []
            with report.step(f"`pulumi up` with {provisioned} devices provisioned, {number} of {ROUNDS}"):
                for _ in range(1 if number else 2):
                    argv = ["up", "--yes", "--skip-preview", *flags, *words]
                    up = run(engine, argv, limit=LIMIT, cwd=CHECKOUT)
            if up.seconds is None:
                raise BenchError(f"`pulumi up` {up.note}: {up.said}")
            if number:
                seconds[provisioned].append(up.seconds)
    found: list[dict[str, Any]] = []
    for provisioned, engine in engines.items():
        things = sum(1 for _ in Aws(engine.url, engine.region).pages("iot", "list_things", "things"))
        runs = seconds[provisioned]
        middle, base = median(runs), median(seconds[min(engines)])
        row = {"provisioned": provisioned, "things": things, "seconds": middle, "ratio": ratio(middle, base)}
        found.append({**row, "least": min(runs), "most": max(runs), "runs": runs})
    return found
