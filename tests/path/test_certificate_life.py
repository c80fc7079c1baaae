"""Certificates from a device's request to its revocation, over more than a year, by the program and on the whole path.

One lab and one stack. The lab's date is moved (`lab.clock`): OpenVPN on both ends and everything on the devices see it
by libfaketime, the stand-in for the tls provider, ACM and AWS IoT's certificate by the lab's own clock; each step in
time is a restart of the devices' services, as after a power cut. It cannot prove that AWS takes up a server's
certificate within 24 hours and a revocation list within 4; the lab does so at once.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from lab import clock
from lab.engine import Engine, PluginSource, find_or_build, provide_plugins
from lab.path import lifecycle
from lab.path.read import Aws
from lab.report import Report
from lab.state import Lab
from tests.engine.stack import Outcome, Stack
from tests.path.agent.house import REGION, TUNNEL, Device, RunningLab
from tests.path.path_lab import wait_for
from tests.warm import shared
from tests.warm.toolchain import WarmEngine, warm_cli, warm_cloud, warm_network, warm_plugins

pytestmark = [pytest.mark.path, pytest.mark.timeout(900)]
ISSUED = "tls:index/locallySignedCert:LocallySignedCert"
VALIDITY = 200
"""Days of a certificate: it renews itself with a third of them left, from day 134 on."""


@dataclass
class DeployedLab(RunningLab):
    """A lab whose cloud the program filled."""

    engine: Engine
    folder: Path

    def stack(self, name: str, **settings: Any) -> Stack:
        """Make a stack of the program; nothing is deployed."""
        config = {f"private-iot:{key}": value for key, value in settings.items()}
        zone = {"aws:region": REGION, "private-iot:availabilityZones": [f"{REGION}a"]}
        stack = Stack(self.engine, self.folder / name, name=name, config={**zone, **config})
        stack.initialise()
        return stack

    def up(self, stack: Stack) -> Outcome:
        """Deploy, and let the network follow."""
        outcome = stack.up()
        self.sync()
        return outcome

    def move_to(self, day: int) -> None:
        """Move the lab's date to so many days after its beginning."""
        (self.folder / "days").write_text(str(day))
        lifecycle.ask(self.lab, {"command": "follow-clock"})


@pytest.fixture(scope="module")
def deployed() -> Iterator[DeployedLab]:
    """A lab with a cloud, in which nothing is deployed yet, and its date in a file."""
    folder = Path(tempfile.mkdtemp(prefix="lab-"))
    (folder / "days").write_text("0")
    (folder / "state").mkdir()
    before = os.environ.get(clock.VARIABLE)
    os.environ[clock.VARIABLE] = str(folder / "days")
    lab = Lab("certificates", folder / "lab")
    lab.create()
    python = shared.python()
    try:
        with warm_cloud(lab.cloud_directory, python) as cloud:
            (folder / "bin").mkdir()
            pulumi = warm_cli(find_or_build(Report(quiet=True)), python, folder / "bin")
            engine = WarmEngine(lab, pulumi, cloud.url, backend=folder / "state", python=python)
            provide_plugins(
                pulumi, engine.home, PluginSource.STANDIN, Report(quiet=True), environment=engine.environment()
            )
            warm_plugins(engine.home, python)
            yield DeployedLab(lab, Aws(cloud.url, REGION), engine, folder)
    finally:
        os.environ.pop(clock.VARIABLE)
        if before is not None:
            os.environ[clock.VARIABLE] = before
        lifecycle.down(lab)
        shutil.rmtree(folder)


def vpn_certificate(pi: Device) -> x509.Certificate:
    """Return the certificate that the device's tunnel uses."""
    profile = pi.run("cat", "/etc/openvpn/client/clientvpn.conf").stdout
    return x509.load_pem_x509_certificate(profile.partition("<cert>")[2].partition("</cert>")[0].strip().encode())


def deliver(deployed: DeployedLab, stack: Stack) -> str:
    """Run the operator's command on the stack's outputs."""
    done = subprocess.run(
        [sys.executable, "-m", "private_iot.deliver"],
        input=json.dumps(stack.outputs()),
        env=deployed.engine.environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_device_whose_certificate_private_ca_issued_is_on_the_path(deployed: DeployedLab) -> None:
    networks = {"vpcCidrBlock": "10.30.0.0/16", "clientCidrBlock": "172.29.0.0/16"}
    stack = deployed.stack("private-ca", devices=["pi-9"], certificateAuthority="acm-pca", **networks)
    stack.up()
    with warm_network(shared.python()):
        lifecycle.up(deployed.lab, REGION, deployed.engine.url, Report(quiet=True))
    pi = deployed.device("pi-9")
    done = pi.install(stack.outputs(show_secrets=True)["devices"]["pi-9"])
    assert done.returncode == 0, done.stderr
    rows = pi.wait_until_healthy()
    assert "came back through the agent" in rows["echo"]["seen"]
    pca = deployed.aws.client("acm-pca")
    [authority] = pca.list_certificate_authorities()["CertificateAuthorities"]
    root = pca.get_certificate_authority_certificate(CertificateAuthorityArn=authority["Arn"])["Certificate"]
    vpn_certificate(pi).verify_directly_issued_by(x509.load_pem_x509_certificate(root.encode()))
    pi.reset()


def test_from_request_to_revocation_in_more_than_a_year_nobody_touches_a_device(deployed: DeployedLab) -> None:
    requests = deployed.folder / "requests"
    requests.mkdir()
    settings = {"certificateValidityDays": VALIDITY, "requestsFolder": str(requests)}
    stack = deployed.stack("lab", devices=["pi-1", "pi-2"], **settings)
    stack.up()
    lifecycle.up(deployed.lab, REGION, deployed.engine.url, Report(quiet=True))
    pi_1, pi_2 = deployed.device("pi-1"), deployed.device("pi-2")

    # Keys made on the device, its certificates by its request.
    (requests / "pi-1.json").write_text(pi_1.agent("request", "--name", "pi-1").stdout)
    stack.configure(devices=["pi-2"])
    deployed.up(stack)
    outputs = stack.outputs(show_secrets=True)
    assert "PRIVATE KEY" not in json.dumps(outputs["deviceBundles"])
    for pi, bundle in ((pi_1, outputs["deviceBundles"]["pi-1"]), (pi_2, outputs["devices"]["pi-2"])):
        done = pi.install(bundle)
        assert done.returncode == 0, done.stderr
        pi.wait_until_healthy()
    first = {pi.name: vpn_certificate(pi) for pi in (pi_1, pi_2)}
    deliveries = {pi.name: "" for pi in (pi_1, pi_2)}

    # Twice the certificates are due, are renewed by a plain `up`, and delivered.
    for day in (150, 300):
        deployed.move_to(day)
        pi_1.wait_until_healthy()
        assert deployed.up(stack).counts("create-replacement") == {ISSUED: 3}, "the server's, and each device's"
        assert deliver(deployed, stack).count(": published (") == 2
        for pi in (pi_1, pi_2):
            renewed = stack.outputs()["vpnCertificates"][pi.name]["certificatePem"]
            expected = x509.load_pem_x509_certificate(renewed.encode())
            deployed.wait_until_told(f"lab/{pi.name}", "installed", f"{expected.not_valid_after_utc:%Y-%m-%d}")
            assert vpn_certificate(pi) == expected
            assert expected.public_key() == first[pi.name].public_key()
            deliveries[pi.name] = deliveries[pi.name] or renewed

    # Deliveries that do not fit, a replay among them, never cost the path.
    before = pi_1.run(
        "sh", "-c", f"systemctl show -p MainPID {TUNNEL}; md5sum /etc/openvpn/client/clientvpn.conf"
    ).stdout
    iot_data = deployed.aws.client("iot-data")
    for payload, said in (
        (message(deliveries["pi-1"]), "not later than the present one"),
        (message(stack.outputs()["vpnCertificates"]["pi-2"]["certificatePem"]), "is for 'pi-2'; this device is 'pi-1'"),
        (b"\xff" * 128 * 1024, "has over 32768 bytes"),
    ):
        iot_data.publish(topic="lab/pi-1/agent/certificates", qos=1, retain=True, payload=payload)
        deployed.wait_until_told("lab/pi-1", "refused", said)
    after = pi_1.run(
        "sh", "-c", f"systemctl show -p MainPID {TUNNEL}; md5sum /etc/openvpn/client/clientvpn.conf"
    ).stdout
    assert after == before

    # More than a year after the installation: its certificates have long expired, and the path is there.
    deployed.move_to(370)
    for pi in (pi_1, pi_2):
        assert clock.now() > first[pi.name].not_valid_after_utc, "what was installed has long expired"
        pi.wait_until_healthy()
    assert "pi-2: unchanged" in deliver(deployed, stack)

    # Revoked: the endpoint refuses the next connection, and the other device goes on.
    revoked = vpn_certificate(pi_1)
    stack.configure(revoked=["pi-1"])
    deployed.up(stack)
    serial = f"serial={revoked.serial_number}"

    def refusals() -> list[str]:
        logs = (deployed.lab.path_directory / "log").glob("client-vpn_*.log")
        return [line for log in logs for line in log.read_text(errors="replace").splitlines() if serial in line]

    wait_for(lambda: bool(refusals()), "a refusal", 300)
    refusal = refusals()[0]
    assert "certificate revoked" in refusal
    assert "CN=pi-1" in refusal
    pi_2.wait_until_healthy()
    assert pi_1.doctor()["interface"]["result"] == "failed"
    ec2, endpoint = deployed.aws.client("ec2"), stack.outputs()["clientVpnEndpointId"]

    def active() -> set[str]:
        described = ec2.describe_client_vpn_connections(ClientVpnEndpointId=endpoint)["Connections"]
        return {each["CommonName"] for each in described if each["Status"]["Code"] == "active"}

    wait_for(lambda: active() == {"pi-2"}, "one connection")


def message(pem: str) -> bytes:
    """Write a delivery."""
    return json.dumps({"version": 1, "vpnCertificatePem": pem}).encode()
