"""Provisioning by claim over the real path: the batch's tunnel, AWS IoT's front, and the agent as a user runs it.

Cannot prove AWS IoT's own error codes; the cloud's side of them is the lab's (docs/fidelity/cloud.md).
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from lab.path.addresses import IOT_PUBLIC
from tests.path.agent.house import REGION, Device, House
from tests.path.agent.test_broken import Cloud, import_revocations
from tests.path.path_lab import PROGRAM
from tests.path.walk_through_by_hand import TOPIC_PREFIX

with warnings.catch_warnings():
    # A part of pulumi-aws warns about itself at its first import.
    warnings.simplefilter("ignore", DeprecationWarning)
    from private_iot import fleet_policy

pytestmark = [pytest.mark.path, pytest.mark.timeout(900)]
ACCOUNT = f"arn:aws:iot:{REGION}:123456789012"
HOOK = f"arn:aws:lambda:{REGION}:123456789012:function:hook"
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "iot.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
SERIAL = "10000000abcdef01"
NAME = f"unit-{SERIAL}"


@dataclass
class Fleet:
    """A fleet as the components make it, made by hand."""

    house: House
    claim_ids: dict[str, str]

    def claim(self, batch: str) -> dict[str, Any]:
        """The batch's claim bundle; the claims' tunnels are those of two devices of the house."""
        made = self.house.bundle({"spring": "pi-1", "autumn": "pi-2"}[batch])
        iot = {name: made["iot"][name] for name in ("endpoint", "rootCaPem")}
        return {
            **made,
            "version": 2,
            "name": batch,
            "iot": iot,
            "topicPrefix": TOPIC_PREFIX,
            "claim": self._made[batch],
        }

    def make(self) -> None:
        """Make the template, and a claim for each batch."""
        iot, iam = self.house.aws.client("iot"), self.house.aws.client("iam")
        role = iam.create_role(RoleName="provisioning", AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]["Arn"]
        iam.attach_role_policy(
            RoleName="provisioning", PolicyArn="arn:aws:iam::aws:policy/service-role/AWSIoTThingsRegistration"
        )
        iot.create_thing_group(thingGroupName="fleet")
        body = fleet_policy.template_body(
            pattern="unit-{SerialNumber}",
            listed=[],
            existing_thing="FAIL",
            attributes={},
            policy_name=self.house.made.policy_name,
            thing_group="fleet",
        )
        iot.create_provisioning_template(
            templateName="fleet",
            templateBody=body,
            enabled=True,
            provisioningRoleArn=role,
            preProvisioningHook={"targetArn": HOOK},
        )
        document = fleet_policy.claim_document(
            arn=ACCOUNT, template="fleet", vpc_endpoint_id=self.house.made.vpc_endpoint_id
        )
        iot.create_policy(policyName="claim", policyDocument=document)
        self._made = {batch: self._issue(batch) for batch in ("spring", "autumn")}
        self.house.sync()

    def _issue(self, batch: str) -> dict[str, str]:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, batch)])
        csr = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
        iot = self.house.aws.client("iot")
        made = iot.create_certificate_from_csr(
            certificateSigningRequest=csr.public_bytes(serialization.Encoding.PEM).decode(), setAsActive=True
        )
        iot.attach_policy(policyName="claim", target=made["certificateArn"])
        self.claim_ids[batch] = made["certificateId"]
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return {
            "templateName": "fleet",
            "thingNamePattern": "unit-{SerialNumber}",
            "certificatePem": made["certificatePem"],
            "privateKeyPem": pem.decode(),
        }

    def provision(self, device: Device, batch: str = "spring", serial: str = SERIAL) -> Any:
        return device.run(
            "device-agent",
            *("provision", "-", "--serial-number", serial),
            stdin=json.dumps(self.claim(batch)),
            timeout=280,
        )


@pytest.fixture(scope="module")
def fleet(house: House) -> Fleet:
    made = Fleet(house, {})
    made.make()
    return made


@pytest.fixture
def unit(house: House, fleet: Fleet) -> Iterator[Device]:
    """A device with nothing on it, whose thing is gone afterwards."""
    device = house.device("pi-1")
    yield device
    device.reset()
    iot = house.aws.client("iot")
    for thing in iot.list_things()["things"]:
        if thing["thingName"].startswith("unit-"):
            for principal in iot.list_thing_principals(thingName=thing["thingName"])["principals"]:
                iot.detach_thing_principal(thingName=thing["thingName"], principal=principal)
            iot.delete_thing(thingName=thing["thingName"])


def secrets_on(device: Device, fleet: Fleet) -> str:
    """The files on the device that hold the claim's key."""
    line = fleet.claim("spring")["claim"]["privateKeyPem"].splitlines()[1]
    return device.run("sh", "-c", f"grep -rlF -e '{line}' /etc /var/lib /run 2>/dev/null; true").stdout


def test_a_claim_makes_a_device_and_twice_it_is_one_thing(fleet: Fleet, unit: Device) -> None:
    done = fleet.provision(unit)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(f"{NAME} is provisioned\n")
    unit.wait_until_healthy()
    iot = fleet.house.aws.client("iot")
    assert iot.list_things_in_thing_group(thingGroupName="fleet")["things"] == [NAME]
    assert len(iot.list_thing_principals(thingName=NAME)["principals"]) == 1
    assert secrets_on(unit, fleet) == ""
    again = fleet.provision(unit)
    assert again.stdout == f"{SERIAL} is provisioned already; nothing changed\n", again.stderr
    assert len(iot.list_thing_principals(thingName=NAME)["principals"]) == 1
    other = fleet.provision(unit, "autumn")
    assert other.returncode == 0, other.stderr
    unit.wait_until_healthy()
    assert fleet.house.sync() is not None, "the certificates that were provisioned are in the table's file now"
    unit.wait_until_healthy()


@pytest.mark.parametrize("line", ["make /etc/private-iot/slots", "provision 1000", "write the bundle", "try /etc"])
def test_killed_at_a_step_the_next_run_ends_it(fleet: Fleet, unit: Device, line: str) -> None:
    with unit.start("device-agent", "provision", "-", "--serial-number", SERIAL) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        number = process.stdout.readline().strip()
        process.stdin.write(json.dumps(fleet.claim("spring")))
        process.stdin.close()
        while not (said := process.stdout.readline()).startswith(line):
            assert said, process.stderr.read() if process.stderr else ""
        unit.run("kill", "-9", number)
        process.wait(120)
    done = fleet.provision(unit)
    assert done.returncode == 0, done.stderr
    unit.wait_until_healthy()
    principals = fleet.house.aws.client("iot").list_thing_principals(thingName=NAME)["principals"]
    assert len(principals) == 1
    assert secrets_on(unit, fleet) == ""


def test_refused_it_says_by_whom_and_why(fleet: Fleet, unit: Device) -> None:
    lab, iot = fleet.house.aws.lab, fleet.house.aws.client("iot")
    lab("iot/provisioning-hook", {"region": REGION, "targetArn": HOOK, "denied": [SERIAL]})
    done = fleet.provision(unit)
    assert done.returncode == 2
    assert f"AWS IoT refused to provision {SERIAL} by the template fleet: AccessDenied" in done.stderr
    lab("iot/provisioning-hook", {"region": REGION, "targetArn": HOOK, "denied": []})
    iot.create_thing(thingName=NAME)
    done = fleet.provision(unit)
    assert done.returncode == 2
    assert f"Thing {NAME} already exists. [409]" in done.stderr
    iot.update_certificate(certificateId=fleet.claim_ids["spring"], newStatus="INACTIVE")
    fleet.house.sync()
    done = fleet.provision(unit)
    iot.update_certificate(certificateId=fleet.claim_ids["spring"], newStatus="ACTIVE")
    fleet.house.sync()
    assert done.returncode == 2
    assert "no provisioning over the path: " in done.stderr
    assert "certificate is not active" in done.stderr or "not registered, not active or revoked" in done.stderr
    assert secrets_on(unit, fleet) == ""
    assert unit.units()["private-iot-agent.service"] != "active"


def test_a_revoked_batch_is_refused_by_the_vpn_and_its_claim_by_aws_iot(fleet: Fleet, unit: Device) -> None:
    """What `revoked: [spring]` does: the batch's VPN certificate is on the list, and its claim is inactive."""
    house, iot = fleet.house, fleet.house.aws.client("iot")
    authority = house.made.authority
    log = house.lab.path_directory / "log" / f"client-vpn_{house.made.client_vpn_endpoint_id}.log"
    before = len(log.read_text())
    import_revocations(house, authority.revoke(house.made.devices["pi-1"].vpn))
    iot.update_certificate(certificateId=fleet.claim_ids["spring"], newStatus="INACTIVE")
    house.sync()
    unit.give_up_after(20)
    try:
        done = fleet.provision(unit)
        assert done.returncode == 2
        assert "no provisioning over the path: " in done.stderr
        assert "nothing was sent; is the tunnel up?" in done.stderr
        said = log.read_text()[before:]
        assert "VERIFY ERROR" in said
        assert "certificate revoked" in said
        # Over a tunnel that is let in, AWS IoT refuses the claim itself.
        claim = {**fleet.claim("autumn"), "claim": fleet.claim("spring")["claim"]}
        words = ("provision", "-", "--serial-number", SERIAL)
        done = unit.run("device-agent", *words, stdin=json.dumps(claim), timeout=280)
        assert done.returncode == 2
        assert "AWS IoT" in done.stderr
        assert "certificate is not active" in done.stderr or "not registered, not active or revoked" in done.stderr
        assert house.aws.client("iot").list_things_in_thing_group(thingGroupName="fleet")["things"] == []
        assert secrets_on(unit, fleet) == ""
        # The batch beside it goes on.
        unit.give_up_after(90)
        other = fleet.provision(unit, "autumn")
        assert other.returncode == 0, other.stderr
        unit.wait_until_healthy()
    finally:
        iot.update_certificate(certificateId=fleet.claim_ids["spring"], newStatus="ACTIVE")
        import_revocations(house, authority.revoke())


def test_over_the_public_way_aws_iot_refuses_the_claim_and_the_agent_does_not_try(fleet: Fleet, unit: Device) -> None:
    house = fleet.house
    made = fleet.claim("spring")["claim"]
    for file, text in (("claim.pem", made["certificatePem"]), ("claim.key", made["privateKeyPem"])):
        unit.run("sh", "-c", f"umask 077; cat > /run/{file}", stdin=text)
    done = unit.run(
        sys.executable,
        str(PROGRAM),
        *("--endpoint", house.made.iot_endpoint, "--cert", "/run/claim.pem", "--key", "/run/claim.key"),
        *("--client-id", "claim.public", "--topic", "any", "--mqtt", "5", "--count", "1"),
    )
    unit.run("rm", "/run/claim.pem", "/run/claim.key")
    outcome = json.loads(done.stdout.splitlines()[-1])
    assert (outcome["connected"], outcome["reasonCode"]) == (False, 0x87), "the policy names the VPC endpoint"
    zone = Cloud(house)
    zone.leave_zone()
    house.sync()
    unit.give_up_after(30)
    try:
        done = fleet.provision(unit)
    finally:
        zone.join_zone()
        house.sync()
    assert done.returncode == 2
    assert f"resolves to {IOT_PUBLIC}, outside the VPC's 10.0.0.0/16; nothing was sent" in done.stderr
    assert house.aws.client("iot").list_things_in_thing_group(thingGroupName="fleet")["things"] == []
    assert secrets_on(unit, fleet) == ""
