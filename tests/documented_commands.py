"""Every command block of the documents: a test runs it as it stands there, or it is held by what its entry says.

A block is known by its document and a command: its first, or one that no other block there has.
`tests/unit/docs/test_command_blocks.py` lets no block be in neither table, and no entry be without its block or test.
"""

import re
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted([*CHECKOUT.glob("*.md"), *CHECKOUT.glob("docs/**/*.md"), *CHECKOUT.glob("examples/**/*.md")])
FENCE = re.compile(r"^( *)```(?:console|sh|bash|shell)\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
RUNBOOK = "docs/operations.md"
ROLL = """pulumi up --replace "$(pulumi stack --show-urns | grep -o 'urn:.*ca-key$')\""""
LAB = "docs/lab.md"
PYTEST = (
    "PYTHONPATH=private-iot python -m pytest -p lab.pytest_plugin --lab-program my-project --lab-region eu-central-1 "
    "my-project"
)

RUN_BY = {
    ("README.md", "cp Pulumi.dev.yaml Pulumi.prod.yaml"): "tests/engine/test_documented_commands.py",
    ("README.md", "mkdir -p requests"): "tests/engine/test_documented_commands.py",
    (RUNBOOK, "mkdir -p requests"): "tests/engine/test_documented_commands.py",
    (RUNBOOK, "pulumi config set --path 'private-iot:devices[1]' pi-2"): "tests/engine/test_documented_commands.py",
    (RUNBOOK, "pulumi config set --path 'private-iot:revoked[0]' pi-2"): "tests/engine/test_documented_commands.py",
    (RUNBOOK, "pulumi stack output revocationList > revoked.pem"): "tests/engine/test_documented_commands.py",
    (RUNBOOK, "pulumi stack output certificateExpiry"): "tests/engine/test_documented_commands.py",
    (RUNBOOK, "pulumi cancel --yes"): "tests/engine/test_documented_commands.py",
    (RUNBOOK, "pulumi refresh --yes"): "tests/engine/test_documented_commands.py",
    (RUNBOOK, ROLL): "tests/engine/test_documented_commands.py",
    (RUNBOOK, "pulumi destroy"): "tests/engine/test_documented_commands.py",
    ("examples/import_components/README.md", "pulumi install"): "tests/engine/test_consumers.py",
    (LAB, "python -m lab init ../my-project --region eu-central-1"): "tests/path/test_own_program.py",
    (LAB, "python -m lab up --only cloud --program ../my-project"): "tests/path/test_own_program.py",
    (LAB, PYTEST): "tests/path/test_own_program.py",
    ("README.md", "sudo apt install ./private-iot-agent_*_arm64.deb"): "tests/device/conftest.py",
}
"""Block → the test that takes it from the document and runs it."""
HELD_BY = {
    ("README.md", "make demo"): (
        "sets up the machine: the test runs what `make demo` runs then, and `make test` is the run that it is part of",
        "tests/path/test_demonstration.py",
    ),
    ("README.md", "sudo apt install openvpn openvpn-systemd-resolved pipx"): (
        "installs system packages and starts a service: only the package's way is run on a real Debian",
        "tests/device/conftest.py",
    ),
    ("README.md", "pulumi package add PATH-TO/components"): (
        "needs the vendor's language hosts, which are in no registry: the SDKs are made and compiled instead",
        "tests/engine/test_other_languages.py",
    ),
    (RUNBOOK, "device-agent metrics --output /var/lib/prometheus/node-exporter/private-iot.prom"): (
        "writes below /var/lib: run with a file of the test's own, on a device whose daemon runs",
        "tests/path/agent_daemon/test_daemon.py",
    ),
    ("docs/fleet.md", "pulumi config set --path 'private-iot:fleetBatches[0]' spring"): (
        "its end needs a device on the path: the stack's part is in tests/engine/test_fleet.py",
        "tests/path/agent/test_provision.py",
    ),
    (RUNBOOK, "pulumi config set --path 'private-iot:neighbours[0]' press-1 && pulumi up"): (
        "its end needs a gateway in a LAN: the stack's part is in tests/engine/test_neighbours.py",
        "tests/path/site/test_neighbour.py",
    ),
    ("docs/performance.md", "python -m bench"): (
        "takes an hour: its command line is parsed",
        "tests/unit/bench/test_arguments.py",
    ),
}
"""Block → why no test runs it as it stands, and the test that does what it does."""


def blocks() -> list[tuple[str, list[str]]]:
    """Return every command block: its document and its lines."""
    return [
        (str(document.relative_to(CHECKOUT)), [line.removeprefix(match[1]) for line in match[2].splitlines()])
        for document in DOCUMENTS
        for match in FENCE.finditer(document.read_text(encoding="utf-8"))
    ]


def block(document: str, command: str) -> list[str]:
    """Return the lines of the block of a document that begins with a command, or else of the only one that has it."""
    found = [lines for where, lines in blocks() if where == document and command in map(_command, lines)]
    begun = [lines for lines in found if _command(lines[0]) == command]
    [lines] = begun or found
    return lines


def _command(line: str) -> str:
    return line.partition("  #")[0].strip()
