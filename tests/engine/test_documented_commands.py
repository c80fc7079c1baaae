"""The command blocks of README and runbook as they stand there, in a clean copy of the checkout, on the lab's cloud.

What is behind `ssh` is the agent's own code without a machine, and `pulumi install` is a look at what it would install
(`block_commands.py`); tests/device has a real Debian. A kill is played in `test_interruptions.py`: here its recovery
runs on a state that is whole.
"""

import json
import re
from pathlib import Path

import pytest

from tests.documented_commands import ROLL, RUNBOOK
from tests.engine.aws import Cloud
from tests.engine.conftest import StackFactory
from tests.engine.workplace import Workplace

pytestmark = pytest.mark.engine

CERTIFICATE = "tls:index/locallySignedCert:LocallySignedCert"
AUTHORITY_KEY = "tls:index/privateKey:PrivateKey"


@pytest.mark.timeout(1200)
def test_the_blocks_do_what_the_documents_say(new_stack: StackFactory, own_cloud: Cloud, tmp_path: Path) -> None:
    """One after another, since each goes on where the one before left the stack."""
    empty = own_cloud.inventory()
    place = Workplace(tmp_path, new_stack(own_cloud).engine)
    iot, ec2 = own_cloud.client("iot"), own_cloud.client("ec2")

    def things() -> set[str]:
        return {thing["thingName"] for thing in iot.list_things()["things"]}

    # From nothing, as a new user.
    assert "installed prod-pi-1" in place.block("README.md", "cp Pulumi.dev.yaml Pulumi.prod.yaml")
    assert things() == {"prod-pi-1"}
    assert {thing["attributes"]["stack"] for thing in iot.list_things()["things"]} == {"prod"}

    # Devices with keys of their own, whose bundles hold none.
    assert "installed pi-2" in place.block("README.md", "mkdir -p requests")
    assert "installed pi-3" in place.block(RUNBOOK, "mkdir -p requests")
    assert things() == {"prod-pi-1", "pi-2", "pi-3"}
    assert "PRIVATE KEY" not in place.run("pulumi stack output deviceBundles --json")
    assert (place.devices / "pi-3/etc/private-iot/keys/vpn.pem").exists()

    # One of them gets keys of the stack's instead.
    place.run("rm requests/pi-2.json")
    assert "installed pi-2" in place.block(RUNBOOK, "pulumi config set --path 'private-iot:devices[1]' pi-2")
    assert place.said == [
        "pi sudo device-agent install -",
        "pi sudo device-agent doctor",
        "pi-2 sudo device-agent request",
        "pi-2 sudo device-agent install -",
        "pi-3 sudo device-agent request",
        "pi-3 sudo device-agent install -",
        "pi-2 sudo device-agent install -",
        "pi-2 sudo device-agent doctor",
    ]

    # Lost: locked out at AWS IoT, and listed at the VPN; a pipeline imports the same list.
    place.block(RUNBOOK, "pulumi config set --path 'private-iot:revoked[0]' pi-2")
    statuses = {each["certificateArn"]: each["status"] for each in iot.list_certificates()["certificates"]}
    [lost] = iot.list_thing_principals(thingName="pi-2")["principals"]
    assert {arn for arn, status in statuses.items() if status != "ACTIVE"} == {lost}
    [endpoint] = ec2.describe_client_vpn_endpoints()["ClientVpnEndpoints"]
    own_cloud.forget_calls()
    place.block(RUNBOOK, "pulumi stack output revocationList > revoked.pem")
    assert len(own_cloud.calls("ImportClientVpnClientCertificateRevocationList")) == 1
    exported = ec2.export_client_vpn_client_certificate_revocation_list(
        ClientVpnEndpointId=endpoint["ClientVpnEndpointId"]
    )["CertificateRevocationList"]
    assert exported.strip() == (place.directory / "revoked.pem").read_text().strip()

    # Renewal: what is left, and delivery to every device.
    printed = place.block(RUNBOOK, "pulumi stack output certificateExpiry")
    assert set(json.loads(printed[: printed.rindex("}") + 1])["clients"]) == {"prod-pi-1", "pi-2", "pi-3"}
    assert len(re.findall(r"^\S+: published \(prod/\S+/agent/certificates\)$", printed, re.MULTILINE)) == 3

    # Recovery changes nothing in a state that is whole.
    before = own_cloud.inventory()
    place.block(RUNBOOK, "pulumi cancel --yes")
    place.block(RUNBOOK, "pulumi refresh --yes")
    assert own_cloud.inventory() == before

    # The named act, and nothing else, replaces the authority.
    keys, certificates = place.resources(AUTHORITY_KEY), place.resources(CERTIFICATE)
    place.block(RUNBOOK, ROLL)
    after = place.resources(AUTHORITY_KEY)
    assert {name for name in keys if keys[name] != after[name]} == {"private-iot-ca-key"}
    assert all(certificates[name] != number for name, number in place.resources(CERTIFICATE).items())

    place.block(RUNBOOK, "pulumi destroy")
    assert own_cloud.inventory() == empty
