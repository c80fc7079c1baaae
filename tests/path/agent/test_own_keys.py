"""Keys made on a device of the lab: request, install, and the Pulumi CLI that fetches the bundle on the device itself.

The certificates are signed here as a stack signs them; that the program does so is shown by the engine tier.
"""

from __future__ import annotations

import datetime
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import ExtendedKeyUsageOID
from device_agent.installation import FETCH_ENVIRONMENT, FETCH_TIMER

from lab.engine import cli
from lab.report import Report
from tests.path.agent.house import Device, House

pytestmark = [pytest.mark.path, pytest.mark.timeout(600)]
STACK = "organization/private-iot/dev"
_SECRET = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270"}
"""How a deployment marks a secret (pulumi/pulumi, sdk/go/common/resource/sig)."""


def answer(house: House, request: dict[str, Any]) -> dict[str, Any]:
    """Make the bundle of version 2 that a stack gives for a request."""
    bundle = house.bundle("pi-1")
    vpn = x509.load_pem_x509_csr(request["vpnCertificateRequestPem"].encode())
    now = datetime.datetime.now(datetime.UTC)
    authority = house.made.authority
    certificate = (
        x509.CertificateBuilder()
        .subject_name(vpn.subject)
        .issuer_name(authority.certificate.subject)
        .public_key(vpn.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=825))
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .add_extension(x509.KeyUsage(True, False, True, False, False, False, False, False, False), critical=True)
        .sign(authority.key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM).decode()
    config = bundle["vpn"]["config"]
    head, _, rest = config.partition("<cert>")
    config = f"{head}<cert>\n{pem}</cert>{rest.partition('</cert>')[2]}"
    head, _, rest = config.partition("<key>")
    bundle["vpn"]["config"] = f"{head}{rest.partition('</key>')[2].lstrip()}"
    iot = house.aws.client("iot")
    issued = iot.create_certificate_from_csr(
        certificateSigningRequest=request["iotCertificateRequestPem"], setAsActive=True
    )
    iot.attach_policy(policyName=house.made.policy_name, target=issued["certificateArn"])
    iot.attach_thing_principal(thingName="pi-1", principal=issued["certificateArn"])
    house.sync()
    bundle["iot"]["certificatePem"] = issued["certificatePem"]
    del bundle["iot"]["privateKeyPem"]
    return {**bundle, "version": 2}


def test_a_device_with_keys_of_its_own_comes_onto_the_path_and_no_key_ever_left_it(house: House, pi: Device) -> None:
    done = pi.agent("request", "--name", "pi-1")
    assert done.returncode == 0, done.stderr
    bundle = answer(house, json.loads(done.stdout))
    assert "PRIVATE KEY" not in done.stdout + json.dumps(bundle)
    done = pi.install(bundle)
    assert done.returncode == 0, done.stderr
    pi.wait_until_healthy()
    assert pi.install(bundle).stdout == "pi-1 is installed already; nothing changed\n"


class Stack:
    """A stack with outputs in a state of files, made by the real CLI."""

    def __init__(self, folder: Path) -> None:
        self.pulumi = cli.find_or_build(Report(quiet=True))
        self._folder = folder
        self.variables = {
            "PULUMI_HOME": str(folder / "home"),
            "PULUMI_BACKEND_URL": f"file://{folder}/state",
            "PULUMI_CONFIG_PASSPHRASE": "the tests' own",
            "PULUMI_SKIP_UPDATE_CHECK": "1",
        }
        for name in ("home", "state", "program"):
            (folder / name).mkdir()
        (folder / "program/Pulumi.yaml").write_text("name: private-iot\nruntime: python\n")
        self._run("stack", "init", STACK)

    def give(self, outputs: dict[str, object]) -> None:
        exported = json.loads(self._run("stack", "export", "--stack", STACK))
        name = "urn:pulumi:dev::private-iot::pulumi:pulumi:Stack::private-iot-dev"
        resource = {"urn": name, "custom": False, "type": "pulumi:pulumi:Stack", "outputs": outputs}
        exported["deployment"]["resources"] = [resource]
        self._run("stack", "import", "--stack", STACK, stdin=json.dumps(exported))

    def _run(self, *words: str, stdin: str = "") -> str:
        done = subprocess.run(
            [str(self.pulumi), "--non-interactive", *words],
            cwd=self._folder / "program",
            env={**os.environ, **self.variables},
            input=stdin,
            text=True,
            check=True,
            capture_output=True,
        )
        return done.stdout


def test_the_pi_fetches_its_own_outputs_with_the_real_cli(house: House, pi: Device, tmp_path: Path) -> None:
    stack = Stack(tmp_path)
    variables = [f"{name}={value}" for name, value in stack.variables.items()]

    def fetch(*more: str) -> subprocess.CompletedProcess[str]:
        command = 'PATH="$0:$PATH"; exec device-agent fetch --stack "$@" --device pi-1'
        return pi.run("env", *variables, "sh", "-c", command, str(stack.pulumi.parent), STACK, *more)

    stack.give({"devices": {**_SECRET, "plaintext": json.dumps({"pi-1": house.bundle("pi-1")})}, "deviceBundles": {}})
    done = fetch()
    assert done.returncode == 0, done.stderr
    pi.wait_until_healthy()
    assert fetch().stdout == "pi-1 is installed already; nothing changed\n"
    bundle = answer(house, json.loads(pi.agent("request", "--name", "pi-1").stdout))
    stack.give({"devices": {**_SECRET, "plaintext": "{}"}, "deviceBundles": {"pi-1": bundle}})
    variables = [item for item in variables if "PASSPHRASE" not in item]
    pi.run("sh", "-c", f"umask 077; cat > {FETCH_ENVIRONMENT}", stdin="\n".join(variables))
    done = fetch("--timer")
    assert done.returncode == 0, done.stderr
    assert bundle["iot"]["certificatePem"] == pi.run("cat", "/etc/private-iot/certificate.pem").stdout
    pi.wait_until_healthy()
    assert fetch().stdout == "pi-1 is installed already; nothing changed\n"
    # What the timer starts once a day, with nothing but the variables of its file.
    timer = FETCH_TIMER.rpartition("/")[2]
    assert pi.run("systemctl", "is-active", timer).stdout == "active\n"
    assert pi.run("systemctl", "is-enabled", timer).stdout == "enabled\n"
    again = answer(house, json.loads(pi.agent("request", "--name", "pi-1").stdout))
    stack.give({"devices": {**_SECRET, "plaintext": "{}"}, "deviceBundles": {"pi-1": again}})
    done = pi.run("systemctl", "start", "private-iot-fetch.service")
    said = pi.run("journalctl", "-u", "private-iot-fetch").stdout
    assert done.returncode == 0, said
    assert "pi-1 is installed" in said
    assert again["iot"]["certificatePem"] == pi.run("cat", "/etc/private-iot/certificate.pem").stdout
    assert fetch("--no-timer").returncode == 0
    assert pi.run("test", "-e", FETCH_TIMER).returncode == 1
