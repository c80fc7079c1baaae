"""The register of serial numbers and the signed list, as properties; OpenSSL's own program reads the list as well."""

import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st
from private_iot.errors import ArgumentError
from private_iot.revocation import (
    ENTRIES_LIMIT,
    Register,
    check_entries,
    revocation_list,
    revoked_entry,
    serial_text,
)
from private_iot.revocation_resources import _outputs as register_outputs

from tests.unit.components.authority import NOT_AFTER, NOT_BEFORE, authority_pem, key_pem

serials = st.integers(min_value=1 << 64, max_value=(1 << 128) - 1).map(serial_text)
devices = st.sampled_from(["pi-1", "pi-2", "pi-3"])
steps = st.lists(st.dictionaries(devices, serials, max_size=3), max_size=6)
NOTHING = Register({}, ())
ONE, TWO, THREE = (f"{digit}" * 32 for digit in "ABC")


def followed(history: list[dict[str, str]]) -> Register:
    register = NOTHING
    for current in history:
        register = register.follow(current)
    return register


@given(steps)
def test_no_serial_number_is_ever_lost(history: list[dict[str, str]]) -> None:
    register = followed(history)
    kept = {*register.removed, *(serial for each in register.issued.values() for serial in each)}
    assert kept == {serial for current in history for serial in current.values()}


@given(steps)
def test_a_step_without_change_changes_nothing(history: list[dict[str, str]]) -> None:
    register = followed(history)
    again = register.follow(history[-1] if history else {})
    assert again == register
    assert Register.read(register.state()) == register


@given(steps)
def test_what_is_removed_stays_removed_and_what_is_there_is_not_touched(history: list[dict[str, str]]) -> None:
    before = followed(history[:-1])
    after = followed(history)
    assert set(before.removed) <= set(after.removed)
    assert set(after.issued) == set(history[-1] if history else {})
    for current in history[-1:]:
        for device, serial in current.items():
            assert after.issued[device][-1] == serial


def test_a_renewal_leaves_the_certificate_before_valid() -> None:
    register = followed([{"pi-1": ONE}, {"pi-1": TWO}])
    assert register.issued == {"pi-1": (ONE, TWO)}
    assert register.revoked([]) == ()


def test_a_device_that_was_removed_is_revoked_with_all_that_it_ever_had() -> None:
    register = followed([{"pi-1": ONE, "pi-2": THREE}, {"pi-1": TWO, "pi-2": THREE}, {"pi-2": THREE}])
    assert register.revoked([]) == (ONE, TWO)


def test_a_device_that_comes_back_gets_in_with_its_new_certificate_only() -> None:
    register = followed([{"pi-1": ONE}, {}, {"pi-1": TWO}])
    assert register.revoked([]) == (ONE,)


def test_a_device_that_is_named_is_revoked_with_all_that_it_ever_had_and_will_have() -> None:
    register = followed([{"pi-1": ONE}, {"pi-1": TWO}])
    assert register.revoked(["pi-1"]) == (ONE, TWO)
    assert register.follow({"pi-1": THREE}).revoked(["pi-1"]) == (ONE, TWO, THREE)
    assert register.revoked([]) == ()


@given(steps)
def test_while_not_all_is_known_nobody_is_gone_and_nothing_is_forgotten(history: list[dict[str, str]]) -> None:
    before = followed(history)
    after = before.follow({}, complete=False)
    assert after == before
    later = after.follow({"pi-1": ONE})
    assert set(later.removed) >= {serial for name, all_ in before.issued.items() if name != "pi-1" for serial in all_}


def test_what_device_stacks_issued_counts_until_they_are_no_longer_listed() -> None:
    nothing: dict[str, object] = {}
    east = {"serialNumbers": {"pi-2": str(int(TWO, 16))}, "revoked": []}
    inputs = {"certificates": {"pi-1": str(int(ONE, 16))}, "revoked": []}
    state = register_outputs({}, {**inputs, "deviceStacks": {"east": east}})
    assert state["issued"] == {"pi-1": [ONE], "pi-2": [TWO]}
    # A failed run of the device stack leaves no outputs: what it had said before counts.
    again = register_outputs(state, {**inputs, "deviceStacks": {"east": nothing}})
    assert (again["issued"], again["revokedSerialNumbers"]) == (state["issued"], [])
    locked_out = register_outputs(again, {**inputs, "deviceStacks": {"east": {**east, "revoked": ["pi-2"]}}})
    assert locked_out["revokedSerialNumbers"] == [TWO]
    # Another stack that has said nothing yet may have taken pi-2 over.
    moving = register_outputs(state, {**inputs, "deviceStacks": {"west": nothing}})
    assert moving["revokedSerialNumbers"] == []
    assert register_outputs(moving, inputs)["revokedSerialNumbers"] == [TWO]
    assert "deviceStacks" not in register_outputs({}, inputs), "a stack without them has the state that it had"


@given(st.integers(min_value=0, max_value=(1 << 160) - 1))
def test_a_serial_number_is_whole_bytes_as_openssl_prints_them(number: int) -> None:
    text = serial_text(number)
    assert int(text, 16) == number
    assert len(text) % 2 == 0
    assert text == text.upper()


@pytest.mark.parametrize(
    ("value", "taken"),
    [
        ("pi-1", "pi-1"),
        ("6f:00:" + ":".join(["ab"] * 14), "6F00" + "AB" * 14),
        ("0" * 16, "00"),
        ("A" * 40, "A" * 40),
    ],
)
def test_an_entry_is_a_device_or_a_serial_number(value: str, taken: str) -> None:
    assert revoked_entry("revoked", value, ("pi-1",)) == taken


@pytest.mark.parametrize("value", ["pi-9", "", "beef", "A" * 41, "xyz" * 8, 7, None, ["pi-1"]])
def test_a_name_that_no_device_has_is_refused_since_it_would_revoke_nothing(value: object) -> None:
    with pytest.raises(ArgumentError, match="removed is revoked already"):
        revoked_entry("revoked", value, ("pi-1",))


def test_more_entries_than_aws_takes_are_refused() -> None:
    check_entries("revoked", ENTRIES_LIMIT)
    with pytest.raises(ArgumentError, match=r"20001 certificates.*takes 20000 entries.*roll the authority"):
        check_entries("revoked", ENTRIES_LIMIT + 1)


@given(st.lists(serials, max_size=8))
def test_the_same_authority_and_numbers_give_the_same_bytes_in_any_order(numbers: list[str]) -> None:
    # A short key, since reading one takes longer than all else here.
    authority, key = authority_pem("RSA 1024"), key_pem("RSA 1024")
    made = revocation_list(authority, key, numbers)
    assert made == revocation_list(authority, key, [*reversed(numbers), *numbers])
    parsed = x509.load_pem_x509_crl(made.encode())
    assert {serial_text(entry.serial_number) for entry in parsed} == set(numbers)


def test_the_list_is_valid_as_long_as_the_authority_that_signed_it() -> None:
    parsed = x509.load_pem_x509_crl(revocation_list(authority_pem(), key_pem("RSA 2048"), [ONE]).encode())
    authority = x509.load_pem_x509_certificate(authority_pem().encode())
    assert parsed.is_signature_valid(authority.public_key())  # type: ignore[arg-type] # an RSA key
    assert parsed.issuer == authority.subject
    assert (parsed.last_update_utc, parsed.next_update_utc) == (NOT_BEFORE, NOT_AFTER)


def test_openssl_finds_the_authority_of_the_list_by_whatever_identifier_it_has(tmp_path: Path) -> None:
    """Go's newer releases hash the key otherwise: the list has to repeat the certificate's own identifier."""
    authority = authority_pem(key_identifier=b"\x01\x02\x03\x04")
    (tmp_path / "ca.pem").write_text(authority)
    (tmp_path / "crl.pem").write_text(revocation_list(authority, key_pem("RSA 2048"), [ONE]))
    command = ["openssl", "crl", "-in", "crl.pem", "-CAfile", "ca.pem", "-noout", "-text"]
    read = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "verify OK" in read.stderr
    assert f"Serial Number: {ONE}" in read.stdout
    assert "01:02:03:04" in read.stdout


def test_a_key_that_signs_otherwise_every_time_is_refused() -> None:
    with pytest.raises(ValueError, match="not RSA"):
        revocation_list(authority_pem("P-256"), key_pem("P-256"), [])
