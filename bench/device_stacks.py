"""As many devices in stacks beside a base stack, run side by side by tools/device_stacks.py, each state written safely.

The devices' keys are made by the stacks, or on the devices, whose requests the stacks sign: the requests are made
before the clock runs, all with one pair of keys, which the stacks do not see.
"""

import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from bench.pulumi import Outcome, run
from bench.summary import ratio
from lab.cloud import server
from lab.engine import CHECKOUT, Engine, PluginSource
from lab.passing import stack_file
from lab.report import Report
from lab.state import Lab

TOOL = CHECKOUT / "tools" / "device_stacks.py"
PROJECT = "private-iot"


@dataclass(frozen=True)
class Split:
    """How devices are spread over stacks.

    Attributes:
        size: Devices of one stack: its state is still small, and its start is paid for by enough of them.
        jobs: Stacks that run at once.
    """

    size: int = 25
    jobs: int = os.cpu_count() or 1


SPLIT = Split()


def measure(
    report: Report,
    pulumi: Path,
    counts: Sequence[int],
    limit: float,
    alone: Mapping[int, Any],
    *,
    split: Split = SPLIT,
) -> list[Any]:
    """Bring up each number of devices twice, with keys of the stacks and with keys on the devices.

    Args:
        pulumi: The CLI.
        counts: Numbers of devices.
        limit: Seconds after which a run is stopped, and said to be.
        alone: Number of devices → seconds of one stack with all of them, its state written after every step.
        split: How they are spread.

    Returns:
        One row for each number and kind of keys; once a run was stopped, larger ones of its kind are not tried.
    """
    rows = []
    stopped: dict[bool, int] = {}
    for count in counts:
        for keys_there in (False, True):
            where = "on the devices" if keys_there else "by the stacks"
            stacks = -(-count // split.size)
            with report.step(f"{count} devices in {stacks} stack{'s' * (stacks > 1)}, their keys made {where}"):
                outcome, largest = Outcome(None, f"not tried: {stopped.get(keys_there)} did not end well"), None
                if keys_there not in stopped:
                    outcome, largest = _run(report, pulumi, count, split, keys_there=keys_there, limit=limit)
            if outcome.note:
                stopped.setdefault(keys_there, count)
                report.warn(f"{count} devices in stacks: {outcome.note}{outcome.said and ': '}{outcome.said}")
            rows.append(
                {
                    "devices": count,
                    "stacks": stacks,
                    "keys": where,
                    "seconds": outcome.seconds,
                    "ratio": ratio(outcome.seconds, alone.get(count)),
                    "state_bytes": largest,
                    "notes": {"seconds": outcome.note},
                }
            )
    return rows


def _run(
    report: Report, pulumi: Path, count: int, split: Split, *, keys_there: bool, limit: float
) -> tuple[Outcome, int | None]:
    """Bring up a new lab's base and device stacks; return the time, and the bytes of the largest device stack."""
    with TemporaryDirectory(prefix="private-iot-bench-") as folder:
        lab = Lab("bench", Path(folder) / "lab")
        lab.create()
        cloud = server.start(lab.cloud_directory)
        try:
            engine = Engine(lab, pulumi, cloud.url)
            engine.prepare(PluginSource.STANDIN, report)
            project = _project(engine, Path(folder) / "project", count, split.size, keys_there)
            words = [sys.executable, str(TOOL), "up", "--base", "base", "--directory", str(project)]
            words += ["--jobs", str(split.jobs)]
            done = run(engine, words, limit=limit, cwd=project, pulumi=False)
            states = (lab.engine_directory / "state").glob(".pulumi/stacks/*/devices-*.json")
            return done, max((file.stat().st_size for file in states), default=None)
        finally:
            server.stop(lab.cloud_directory)


def _project(engine: Engine, project: Path, count: int, size: int, keys_there: bool) -> Path:
    project.mkdir()
    for part in ("__main__.py", "settings.py", "Pulumi.yaml"):
        shutil.copy(CHECKOUT / part, project)
    (project / ".venv").symlink_to(sys.prefix)
    names = [f"pi-{number}" for number in range(1, count + 1)]
    shards = [names[start : start + size] for start in range(0, count, size)]
    stacks = {f"devices-{number}": shard for number, shard in enumerate(shards, 1)}
    listed = [f"organization/{PROJECT}/{name}" for name in stacks]
    files = [stack_file(engine, [], {"deviceStacks": listed}, stack="base")]
    for name, shard in stacks.items():
        settings: dict[str, Any] = {"baseStack": f"organization/{PROJECT}/base"}
        if keys_there:
            settings["requestsFolder"] = str(_requests(project / name, shard))
        files.append(stack_file(engine, [] if keys_there else shard, settings, stack=name))
    for file in files:
        shutil.move(file, project)
    made = engine.run("stack", "init", "base", cwd=project)
    made.check_returncode()
    return project


def _requests(folder: Path, names: Sequence[str]) -> Path:
    folder.mkdir()
    vpn, iot = rsa.generate_private_key(public_exponent=65537, key_size=2048), ec.generate_private_key(ec.SECP256R1())
    for name in names:
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
        pems = [builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM) for key in (vpn, iot)]
        request = {"vpnCertificateRequestPem": pems[0].decode(), "iotCertificateRequestPem": pems[1].decode()}
        (folder / f"{name}.json").write_text(json.dumps({"version": 1, "name": name, **request}))
    return folder
