"""Certificates, keys and chains, against certificates that `cryptography` makes.

It cannot prove that AWS IoT or Client VPN would take the same certificates.
"""

from __future__ import annotations

import base64
import datetime
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from device_agent._exceptions import CertificateError
from device_agent.certificates import (
    check_chain,
    check_dates,
    check_pair,
    check_private_key,
    date,
    parse_certificate,
    read_certificates,
)
from device_agent.daemon.certificate_watch import CertificateWatch, validity
from device_agent.daemon.loop import Loop
from device_agent.system import System
from hypothesis import given, settings
from hypothesis import strategies as st

from .material import DAY, NOW, FakeSystem, amazon_root, device, issue, message_of, vpn_authority, vpn_client

SETTINGS = settings(deadline=None)


@SETTINGS
@given(
    # X.520 allows a common name 64 bytes; a character takes up to four.
    name=st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=16),
    first=st.datetimes(datetime.datetime(1951, 1, 1), datetime.datetime(2060, 1, 1)),
    days=st.integers(1, 20000),
    authority=st.booleans(),
    dns_names=st.lists(st.from_regex(r"[a-z]{1,10}(\.[a-z]{1,10}){1,3}", fullmatch=True), max_size=4),
)
def test_every_field_agrees_with_cryptographys_reading(
    name: str, first: datetime.datetime, days: int, authority: bool, dns_names: list[str]
) -> None:
    first = first.replace(microsecond=0, tzinfo=datetime.UTC)
    made = issue(
        name,
        amazon_root(),
        authority=authority,
        not_before=first,
        not_after=first + days * DAY,
        dns_names=dns_names,
    ).certificate
    der = made.public_bytes(serialization.Encoding.DER)
    found = parse_certificate(der, "it")
    assert found.subject == name
    assert found.issuer == "Amazon-like root"
    assert found.not_before == made.not_valid_before_utc.timestamp()
    assert found.not_after == made.not_valid_after_utc.timestamp()
    assert found.authority is authority
    assert list(found.dns_names) == dns_names
    assert found.fingerprint == made.fingerprint(hashes.SHA256()).hex()


@SETTINGS
@given(st.data())
def test_damaged_der_never_raises_anything_but_a_certificate_error(data: st.DataObject) -> None:
    der = bytearray(device().certificate.public_bytes(serialization.Encoding.DER))
    for _change in range(data.draw(st.integers(1, 4))):
        der[data.draw(st.integers(0, len(der) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(der)))
    message = message_of(lambda: parse_certificate(bytes(der[:cut]), "it"))
    assert message == "" or message.startswith("it is not an X.509 certificate")


@SETTINGS
@given(st.text(max_size=400))
def test_text_that_is_not_pem_is_refused(text: str) -> None:
    with pytest.raises(CertificateError, match=r"^it is not PEM"):
        read_certificates(text, "it")


def test_a_key_in_the_certificates_place_is_refused_by_its_type() -> None:
    with pytest.raises(CertificateError, match=r"^it holds a PRIVATE KEY; a CERTIFICATE belongs there$"):
        read_certificates(device().key_pem, "it")


def test_a_certificate_in_the_keys_place_is_refused_by_its_type() -> None:
    with pytest.raises(CertificateError, match=r"^it holds CERTIFICATE; one PRIVATE KEY belongs there$"):
        check_private_key(device().certificate_pem, "it")


def test_an_encrypted_key_is_refused_since_nobody_can_type_its_passphrase() -> None:
    pem = (
        device()
        .key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
        .decode()
    )
    with pytest.raises(CertificateError, match=r"^it is encrypted"):
        check_private_key(pem, "it")


def test_a_certificate_passes_with_its_own_key() -> None:
    check_pair(device().certificate_pem, device().key_pem, "cert", "key")


def test_the_key_of_another_certificate_is_refused() -> None:
    with pytest.raises(CertificateError, match=r"^key is the key of another certificate than cert$"):
        check_pair(device().certificate_pem, vpn_client().key_pem, "cert", "key")


def test_a_key_that_is_not_a_key_is_refused_without_being_shown() -> None:
    pem = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n"
    with pytest.raises(CertificateError) as caught:
        check_pair(device().certificate_pem, pem, "cert", "key")
    assert "c2VjcmV0" not in str(caught.value)


def test_a_client_certificate_chains_to_its_authority() -> None:
    check_chain(vpn_client().certificate_pem, vpn_client().key_pem, vpn_authority().certificate_pem, "cert", "ca")


def test_a_chain_with_an_intermediate_passes() -> None:
    middle = issue("middle", vpn_authority(), authority=True)
    leaf = issue("leaf", middle)
    chain = leaf.certificate_pem + middle.certificate_pem
    check_chain(chain, leaf.key_pem, vpn_authority().certificate_pem, "cert", "ca")


def test_a_client_certificate_of_another_authority_is_refused() -> None:
    with pytest.raises(CertificateError, match=r"^cert does not chain to ca: unable to get local issuer certificate$"):
        check_chain(vpn_client().certificate_pem, vpn_client().key_pem, amazon_root().certificate_pem, "cert", "ca")


def test_an_authority_of_the_same_name_but_another_key_is_refused() -> None:
    impostor = issue("VPN authority", authority=True)
    with pytest.raises(CertificateError, match=r"^cert does not chain to ca: "):
        check_chain(vpn_client().certificate_pem, vpn_client().key_pem, impostor.certificate_pem, "cert", "ca")


def test_the_chain_is_judged_apart_from_the_dates() -> None:
    old = issue("old", vpn_authority(), not_before=NOW - 900 * DAY, not_after=NOW - 800 * DAY)
    check_chain(old.certificate_pem, old.key_pem, vpn_authority().certificate_pem, "cert", "ca")


@pytest.mark.parametrize("second", [-1, 0, 1])
def test_the_last_second_counts(second: int) -> None:
    found = read_certificates(device().certificate_pem, "it")
    now = found[0].not_after + second
    if second > 0:
        with pytest.raises(CertificateError, match=r"^it .* expired on 2027-11-24 07:00 UTC and this device's clock"):
            check_dates(found, now, "it")
    else:
        check_dates(found, now, "it")


def test_a_clock_before_the_certificates_first_second_is_named_with_its_remedy() -> None:
    found = read_certificates(device().certificate_pem, "it")
    with pytest.raises(CertificateError, match="clock says 1970-01-01 00:00 UTC; set the clock"):
        check_dates(found, 0, "it")


def test_a_certificate_of_version_1_without_extensions_is_no_authority() -> None:
    key = device().key
    name = x509.Name([])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW)
        .not_valid_after(NOW + DAY)
        .sign(key, hashes.SHA256())
    )
    found = parse_certificate(made.public_bytes(serialization.Encoding.DER), "it")
    assert (found.subject, found.authority, found.dns_names) == ("", False, ())


class Narrow(datetime.datetime):
    """What datetime can do where time_t has 32 bits: Debian 12's armhf, as on 32-bit Raspberry Pi OS."""

    @classmethod
    def fromtimestamp(cls, timestamp: float, tz: datetime.tzinfo | None = None) -> Narrow:
        if not -(2**31) <= timestamp < 2**31:
            raise OverflowError("timestamp out of range for platform time_t")
        return super().fromtimestamp(timestamp, tz)


@pytest.fixture
def _narrow_time(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, module in list(sys.modules.items()):
        if name.startswith("device_agent.") and getattr(module, "datetime", None) is datetime.datetime:
            monkeypatch.setattr(module, "datetime", Narrow)


@pytest.mark.usefixtures("_narrow_time")
def test_aws_iots_usual_end_in_2049_is_read_and_written_where_time_t_has_32_bits(system: FakeSystem) -> None:
    last = datetime.datetime(2049, 12, 31, 23, 59, 59, tzinfo=datetime.UTC)
    identity = issue("AWS IoT Certificate", amazon_root(), not_after=last)
    assert date(read_certificates(identity.certificate_pem, "it")[0].not_after) == "2049-12-31 23:59 UTC"
    assert validity(identity.certificate_pem, "it", NOW.timestamp()).expires == "2049-12-31 23:59 UTC"
    loop = Loop(system)
    file = system.path("/certificate.pem")
    file.write_text(identity.certificate_pem)
    watch = CertificateWatch(system, loop, cast("Any", SimpleNamespace(certificate_file=file)))
    watch.start()
    loop.close()
    assert (watch.error, [found.expires for found in watch.found]) == (None, ["2049-12-31 23:59 UTC"])


@SETTINGS
@given(st.binary(max_size=40), st.integers(0, 400), st.integers(0, 400))
def test_the_daemon_outlives_any_certificate_that_it_cannot_read(noise: bytes, start: int, length: int) -> None:
    whole = device().certificate.public_bytes(serialization.Encoding.DER)
    damaged = whole[:start] + noise + whole[start + length :]
    pem = f"-----BEGIN CERTIFICATE-----\n{base64.b64encode(damaged).decode()}\n-----END CERTIFICATE-----\n"
    with tempfile.TemporaryDirectory() as folder:
        system = System(root=Path(folder))
        for content in (pem.encode(), noise):
            file = Path(folder, "certificate.pem")
            file.write_bytes(content)
            loop = Loop(system)
            watch = CertificateWatch(system, loop, cast("Any", SimpleNamespace(certificate_file=file)))
            watch.start()
            loop.close()
            assert (watch.error is None) == bool(watch.found)
