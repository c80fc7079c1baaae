"""A VPN certificate that is delivered over MQTT: which ones are taken, and that a bad one changes nothing.

It cannot prove that OpenVPN connects with it: the path tests deliver one to a device whose tunnel is real.
"""

from __future__ import annotations

import datetime
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from device_agent.__main__ import main
from device_agent._exceptions import ConnectionFailedError
from device_agent.install.renewal import DELIVERY_LIMIT, load_renewal
from device_agent.installation import AGENT_SERVICE, DELIVERED_FILE, OPENVPN_FILE, OPENVPN_SERVICE, RENEWAL_FILE
from hypothesis import given, settings
from hypothesis import strategies as st

from .material import DAY, LAST, NOW, FakeSystem, Identity, issue, snapshot, vpn_authority, vpn_client
from .test_install import Pi, pi

__all__ = ["pi"]


def renewed(
    identity: Identity | None = None,
    *,
    issuer: Identity | None = None,
    name: str = "pi-1.vpn",
    first: datetime.datetime = NOW - DAY,
    last: datetime.datetime = NOW + 800 * DAY,
) -> str:
    """Issue a certificate for the device's own VPN key, or for another's."""
    key = (identity or vpn_client()).key
    issuer = issuer or vpn_authority()
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(issuer.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(first)
        .not_valid_after(last)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
    )
    return builder.sign(issuer.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def delivery(pem: object, **changes: object) -> bytes:
    return json.dumps({"version": 1, "vpnCertificatePem": pem, **changes}).encode()


def deliver(pi: Pi, payload: bytes) -> int:
    pi.system.path(DELIVERED_FILE).write_bytes(payload)
    return pi("renew")


def result(pi: Pi) -> tuple[str, str]:
    found = load_renewal(pi.system)
    assert found is not None
    return found.result, found.detail


def files(pi: Pi) -> dict[str, Any]:
    """All but the delivery itself and its result."""
    state = {DELIVERED_FILE, RENEWAL_FILE}
    return {name: found for name, found in snapshot(pi.system.root).items() if f"/{name}" not in state}


def test_a_renewed_certificate_takes_over_after_its_trial_and_the_key_stays(pi: Pi) -> None:
    pi.install()
    pem = renewed()
    assert deliver(pi, delivery(pem)) == 0, pi.err
    profile = pi.read(OPENVPN_FILE)
    assert pem in profile
    assert vpn_client().key_pem in profile
    assert pi.read("/etc/private-iot/private-key.pem").startswith("-----BEGIN PRIVATE KEY")
    assert pi.system.state["session"].calls == ["connect", "subscribe", "publish", "disconnect"]
    assert result(pi) == ("installed", "the VPN's client certificate is valid until 2029-02-01 07:00 UTC")
    assert pi.system.state["active"] == {OPENVPN_SERVICE, AGENT_SERVICE}
    before = files(pi)
    assert deliver(pi, delivery(pem)) == 0
    assert result(pi)[0] == "unchanged"
    assert files(pi) == before


def test_a_certificate_whose_trial_fails_leaves_the_old_one_at_work(pi: Pi) -> None:
    pi.install()
    before = files(pi)
    pi.system.state["session"].refuse = {"connect": ConnectionFailedError("no way")}
    assert deliver(pi, delivery(renewed())) == 2
    assert result(pi)[0] == "failed"
    assert "did not pass its trial and was not installed: no echo over the path: no way" in result(pi)[1]
    assert files(pi) == before
    assert pi.system.state["active"] == {OPENVPN_SERVICE, AGENT_SERVICE}
    attempts = [load_renewal(pi.system)]
    deliver(pi, delivery(renewed()))
    deliver(pi, pi.system.path(DELIVERED_FILE).read_bytes())
    attempts.append(load_renewal(pi.system))
    assert [found.attempts for found in attempts if found] == [1, 2]


def test_a_replay_after_a_later_one_is_refused(pi: Pi) -> None:
    pi.install()
    first, second = renewed(last=NOW + 500 * DAY), renewed(last=NOW + 900 * DAY)
    assert deliver(pi, delivery(first)) == 0
    assert deliver(pi, delivery(second)) == 0
    before = files(pi)
    assert deliver(pi, delivery(first)) == 2
    assert result(pi) == (
        "refused",
        "vpnCertificatePem ends on 2028-04-07 07:00 UTC, not later than the present one, 2029-05-12 07:00 UTC",
    )
    assert files(pi) == before


def _stranger() -> Identity:
    return issue("VPN authority", authority=True, not_after=LAST)


BAD: dict[str, tuple[Callable[[], bytes], str]] = {
    "of another authority": (lambda: delivery(renewed(issuer=_stranger())), "does not chain to the authority that"),
    "for another name": (lambda: delivery(renewed(name="pi-2.vpn")), "is for 'pi-2.vpn'; this device is 'pi-1.vpn'"),
    "for another key": (
        lambda: delivery(renewed(issue("pi-1.vpn", vpn_authority()))),
        "this device's VPN key is the key of another certificate than vpnCertificatePem",
    ),
    "shorter": (lambda: delivery(renewed(last=NOW + 10 * DAY)), "not later than the present one"),
    "not yet valid": (lambda: delivery(renewed(first=NOW + DAY)), "is not valid before 2026-11-25 07:00 UTC"),
    "garbage": (lambda: random.Random(1).randbytes(500), "the delivery is not JSON"),  # noqa: S311 - no secret
    "128 KiB of garbage": (lambda: b"x" * 131072, f"the delivery has over {DELIVERY_LIMIT} bytes"),
    "nothing": (lambda: b"", "the delivery is not JSON"),
    "no object": (lambda: b"[1]", "the delivery is not an object with version 1"),
    "another version": (lambda: delivery(renewed(), version=2), "the delivery is not an object with version 1"),
    "more than it holds": (lambda: delivery(renewed(), key="x"), "the delivery is not an object with version 1"),
    "no text": (lambda: delivery(7), "vpnCertificatePem is not PEM"),
    "no PEM": (lambda: delivery("hello"), "vpnCertificatePem is not PEM"),
    "a key": (lambda: delivery(vpn_client().key_pem), "vpnCertificatePem holds a PRIVATE KEY"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_delivery_that_does_not_fit_is_one_line_and_changes_nothing(pi: Pi, kind: str) -> None:
    pi.install()
    before, commands = files(pi), len(pi.system.state["commands"])
    payload, message = BAD[kind]
    assert deliver(pi, payload()) == 2
    assert message in pi.err
    assert pi.err.count("\n") == 1
    assert files(pi) == before
    assert not any(words[1] in ("stop", "restart") for words in pi.system.state["commands"][commands:])
    if kind != "128 KiB of garbage":
        assert result(pi)[0] == "refused"


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=600), st.integers(0, 1500), st.integers(0, 300))
def test_no_delivery_at_all_raises_anything_but_a_refusal(noise: bytes, start: int, length: int) -> None:
    from device_agent._exceptions import DeviceAgentError
    from device_agent.install.openvpn_profile import parse_profile
    from device_agent.install.renewal import check_delivery

    from .material import profile

    whole = delivery(vpn_client().certificate_pem)
    for payload in (noise, whole[:start] + noise + whole[start + length :]):
        try:
            found = check_delivery(payload, parse_profile(profile()), now=NOW.timestamp())
        except DeviceAgentError as error:
            assert "\n" not in str(error)  # noqa: PT017 - the other outcome is right as well
        else:
            assert found is None


def test_a_delivery_that_is_a_link_is_not_followed(pi: Pi, tmp_path: Path) -> None:
    """The agent's user owns the folder; root must not read a file of its choice."""
    pi.install()
    secret = tmp_path / "shadow"
    secret.write_text("root:x")
    pi.system.path(DELIVERED_FILE).symlink_to(secret)
    assert pi("renew") == 2
    assert "cannot be read: Too many levels of symbolic links" in pi.err


def test_renew_without_a_delivery_says_so(system: FakeSystem, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["renew"], system) == 2
    assert f"{DELIVERED_FILE} cannot be read: No such file or directory" in capsys.readouterr().err
