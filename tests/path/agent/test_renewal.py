"""A VPN certificate delivered over MQTT to a device of the lab: it takes over, or the old one goes on.

OpenVPN, its server's checks, DNS, TLS and the broker are real. It cannot prove how long AWS takes to let a revocation
list count.
"""

from __future__ import annotations

import datetime
import json
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.path.agent.house import AGENT, TUNNEL, Device, House
from tests.path.walk_through_by_hand import Authority, Issued

pytestmark = [pytest.mark.path, pytest.mark.timeout(600)]
UP = {AGENT: "active", TUNNEL: "active"}
PREFIX = "private-iot/pi-1"
PROFILE = "/etc/openvpn/client/clientvpn.conf"


def renewed(
    house: House, authority: Authority | None = None, *, days: int = 800, after: int = -1, of: Issued | None = None
) -> Issued:
    """Issue a certificate for the VPN key and the name that pi-1 has, or for another's."""
    present = of or house.made.devices["pi-1"].vpn
    authority = authority or house.made.authority
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(present.certificate.subject)
        .issuer_name(authority.certificate.subject)
        .public_key(present.key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + datetime.timedelta(days=after))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .add_extension(x509.KeyUsage(True, False, True, False, False, False, False, False, False), critical=True)
    )
    return replace(present, certificate=builder.sign(authority.key, hashes.SHA256()))


def deliver(house: House, payload: bytes | str) -> None:
    """Publish a retained message on the device's topic, as the operator's command does."""
    payload = payload.encode() if isinstance(payload, str) else payload
    iot_data = house.aws.client("iot-data")
    iot_data.publish(topic=f"{PREFIX}/agent/certificates", qos=1, retain=True, payload=payload)


def ending(issued: Issued) -> str:
    """Write when a certificate ends as the agent does."""
    return f"valid until {issued.certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"


def message(issued: Issued) -> str:
    pem = issued.certificate.public_bytes(serialization.Encoding.PEM).decode()
    return json.dumps({"version": 1, "vpnCertificatePem": pem})


def test_a_renewed_certificate_takes_over_and_the_key_stays(house: House, installed: Device) -> None:
    pi, fresh = installed, renewed(house)
    before = pi.run("cat", PROFILE).stdout
    deliver(house, message(fresh))
    house.wait_until_told(PREFIX, "installed", ending(fresh))
    pi.wait_until_healthy()
    profile = pi.run("cat", PROFILE).stdout
    assert fresh.pem.strip() in profile
    assert profile.partition("<key>")[2] == before.partition("<key>")[2]
    assert pi.units() == UP


def test_deliveries_that_do_not_fit_change_nothing_and_never_touch_the_tunnel(house: House, installed: Device) -> None:
    pi = installed
    later = renewed(house, days=850)
    deliver(house, message(later))
    house.wait_until_told(PREFIX, "installed", ending(later))
    pi.wait_until_healthy()
    before = pi.run("sh", "-c", f"md5sum {PROFILE}; systemctl show -p MainPID {TUNNEL}").stdout
    stranger = Authority("another authority")
    for payload, said in (
        (message(renewed(house, stranger, days=900)), "does not chain to"),
        (message(renewed(house, days=900, of=house.made.devices["pi-2"].vpn)), "this device is"),
        (message(house.made.authority.issue("pi-1")), "is the key of another certificate"),
        (message(renewed(house, days=10)), "not later than the present one"),
        (message(renewed(house, days=900, after=1)), "is not valid before"),
        ("garbage", "is not JSON"),
        (b"\xff" * 128 * 1024, "has over 32768 bytes"),
    ):
        deliver(house, payload)
        house.wait_until_told(PREFIX, "refused", said)
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
    deliver(house, message(fresh))
    house.wait_until_told(PREFIX, "failed", "did not pass its trial and was not installed")
    assert pi.run("md5sum", PROFILE).stdout == before
    pi.wait_until_healthy()
    assert pi.units() == UP
