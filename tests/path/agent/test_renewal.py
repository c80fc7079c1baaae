"""A VPN certificate delivered over MQTT to a device of the lab: it takes over, or the old one goes on.

OpenVPN, its server's checks, DNS, TLS and the broker are real. It cannot prove how long AWS takes to let a revocation
list count.
"""

from __future__ import annotations

import datetime
import json
from dataclasses import replace
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import ExtendedKeyUsageOID
from device_agent.install.renewal import DELIVERY_LIMIT
from device_agent.installation import DELIVERED_FILE, RENEWAL_FILE

from tests.path.agent.house import AGENT, TUNNEL, Device, House
from tests.path.walk_through_by_hand import Authority, Issued

pytestmark = [pytest.mark.path, pytest.mark.timeout(600)]
UP = {AGENT: "active", TUNNEL: "active"}
PROFILE = "/etc/openvpn/client/clientvpn.conf"


def renewed(house: House, authority: Authority | None = None, *, days: int = 800) -> Issued:
    """Issue pi-1 a certificate for the VPN key that it has."""
    present = house.made.devices["pi-1"].vpn
    authority = authority or house.made.authority
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(present.certificate.subject)
        .issuer_name(authority.certificate.subject)
        .public_key(present.key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .add_extension(x509.KeyUsage(True, False, True, False, False, False, False, False, False), critical=True)
    )
    return replace(present, certificate=builder.sign(authority.key, hashes.SHA256()))


def deliver(pi: Device, payload: str) -> None:
    """Publish on the device's topic: its own policy lets the device do so itself, and the broker sends it back."""
    done = pi.agent("publish", "agent/certificates", payload)
    assert done.returncode == 0, done.stderr


def message(issued: Issued) -> str:
    pem = issued.certificate.public_bytes(serialization.Encoding.PEM).decode()
    return json.dumps({"version": 1, "vpnCertificatePem": pem})


def wait_for(pi: Device, result: str) -> dict[str, Any]:
    """Wait until the last delivery has come to its end."""
    script = f'until grep -qE \'"result": "{result}"\' {RENEWAL_FILE}; do sleep 0.2; done'
    done = pi.run("timeout", "150", "sh", "-c", f"{script} 2>&1")
    found: dict[str, Any] = json.loads(pi.run("cat", RENEWAL_FILE).stdout or "{}")
    assert done.returncode == 0, (found, pi.run("journalctl", "-u", AGENT, "-u", "private-iot-renewal").stdout[-3000:])
    return found


def test_a_renewed_certificate_takes_over_and_the_key_stays(house: House, installed: Device) -> None:
    pi, fresh = installed, renewed(house)
    before = pi.run("cat", PROFILE).stdout
    deliver(pi, message(fresh))
    wait_for(pi, "installed")
    pi.wait_until_healthy()
    profile = pi.run("cat", PROFILE).stdout
    assert fresh.pem.strip() in profile
    assert profile.partition("<key>")[2] == before.partition("<key>")[2]
    assert pi.units() == UP


def test_deliveries_that_do_not_fit_change_nothing_and_never_touch_the_tunnel(house: House, installed: Device) -> None:
    pi = installed
    before = pi.run("sh", "-c", f"md5sum {PROFILE}; systemctl show -p MainPID {TUNNEL}").stdout
    stranger = Authority("another authority")
    for payload, said in (
        (message(renewed(house, stranger)), "does not chain to"),
        (message(renewed(house, days=10)), "not later than the present one"),
        ("garbage", "is not JSON"),
        ("x" * 100_000, "has over 32768 bytes"),
    ):
        deliver(pi, payload)
        script = (
            f"until grep -qF '{said}' {RENEWAL_FILE} || device-agent status | grep -qF '{said}'; do sleep 0.2; done"
        )
        if len(payload) <= DELIVERY_LIMIT:
            done = pi.run("timeout", "150", "sh", "-c", script)
            assert done.returncode == 0, pi.run("cat", RENEWAL_FILE, DELIVERED_FILE).stdout
    assert pi.run("sh", "-c", f"md5sum {PROFILE}; systemctl show -p MainPID {TUNNEL}").stdout == before
    pi.wait_until_healthy()


def test_a_certificate_that_the_endpoint_refuses_is_tried_in_vain_and_the_old_one_goes_on(
    house: House, installed: Device
) -> None:
    pi, fresh = installed, renewed(house, days=900)
    ec2, endpoint = house.aws.client("ec2"), house.made.client_vpn_endpoint_id
    revocations = house.made.authority.revoke(fresh)
    ec2.import_client_vpn_client_certificate_revocation_list(
        ClientVpnEndpointId=endpoint, CertificateRevocationList=revocations
    )
    house.sync()
    before = pi.run("md5sum", PROFILE).stdout
    pi.give_up_after(20)
    deliver(pi, message(fresh))
    found = wait_for(pi, "failed")
    assert "did not pass its trial and was not installed" in found["detail"]
    assert pi.run("md5sum", PROFILE).stdout == before
    pi.wait_until_healthy()
    assert pi.units() == UP
