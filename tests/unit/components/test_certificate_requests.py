"""Certificate requests that devices made: what is taken, and one clear line for each that is not."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st
from private_iot.certificate_requests import (
    SIZE_LIMIT,
    check_no_stack_key,
    iot_request,
    parse_request,
    read_requests,
    vpn_request,
)
from private_iot.errors import ArgumentError

from tests.unit.components.authority import key_pem, name, request_pem


def printed(device: str = "pi-1", **changes: Any) -> dict[str, Any]:
    """What `device-agent request` prints."""
    return {
        "version": 1,
        "name": device,
        "vpnCertificateRequestPem": request_pem(device, "RSA 2048"),
        "iotCertificateRequestPem": request_pem(device, "P-256"),
        **changes,
    }


def refusal(call: Any, *arguments: Any) -> str:
    with pytest.raises(ArgumentError) as refused:
        call(*arguments)
    text = str(refused.value)
    assert "\n" not in text
    assert len(text) < 600
    return text


def test_what_the_agent_prints_is_read() -> None:
    request = parse_request("requests", json.dumps(printed()))
    assert request.name == "pi-1"
    assert x509.load_pem_x509_csr(request.vpn_certificate_request_pem.encode()).is_signature_valid
    assert x509.load_pem_x509_csr(request.iot_certificate_request_pem.encode()).is_signature_valid


@pytest.mark.parametrize("disturb", [lambda pem: f"\n{pem}\n\n", lambda pem: pem.replace("\n", "\r\n"), str.strip])
def test_white_space_around_a_request_is_no_change_of_it(disturb: Any) -> None:
    pem = request_pem("pi-1", "RSA 2048")
    assert vpn_request("requests", "pi-1", disturb(pem)) == vpn_request("requests", "pi-1", pem)


@pytest.mark.parametrize("kind", ["RSA 1024", "RSA 3072", "RSA 4096", "P-256", "Ed25519"])
def test_the_vpn_takes_rsa_2048_alone(kind: str) -> None:
    said = refusal(vpn_request, "requests", "pi-1", request_pem("pi-1", kind))
    assert "RSA keys of 2048 bits" in said
    assert kind.split("-", maxsplit=1)[0].lower() in said.lower() or "secp256r1" in said


@pytest.mark.parametrize("kind", ["P-256", "P-384", "RSA 2048"])
def test_aws_iot_takes_the_keys_that_its_reference_names(kind: str) -> None:
    assert "BEGIN CERTIFICATE REQUEST" in iot_request("requests", "pi-1", request_pem("pi-1", kind))


@pytest.mark.parametrize("kind", ["RSA 1024", "secp256k1", "Ed25519"])
def test_aws_iot_takes_no_other_key(kind: str) -> None:
    assert "AWS IoT takes keys on P-256" in refusal(iot_request, "requests", "pi-1", request_pem("pi-1", kind))


def test_a_request_that_was_changed_after_it_was_signed_is_refused() -> None:
    lines = request_pem("pi-1", "RSA 2048").splitlines()
    der = bytearray(base64.b64decode("".join(lines[1:-1])))
    der[-1] ^= 1
    forged = "\n".join((lines[0], base64.b64encode(bytes(der)).decode(), lines[-1]))
    assert "its signature is not of its own key" in refusal(vpn_request, "requests", "pi-1", forged)


@pytest.mark.parametrize("field", ["vpnCertificateRequestPem", "iotCertificateRequestPem"])
def test_a_request_for_another_name_is_refused(field: str) -> None:
    other = printed("pi-2")[field]
    said = refusal(parse_request, "requests", json.dumps(printed(**{field: other})))
    assert "CN=pi-2" in said
    assert "must be for CN=pi-1" in said


@pytest.mark.parametrize("subject", [name("pi-1", "pi-2"), name("pi-1", "pi-1"), x509.Name([])])
def test_a_request_for_more_or_less_than_one_name_is_refused(subject: x509.Name) -> None:
    pem = request_pem("", "RSA 2048", subject=subject)
    assert "CN=pi-1 and nothing else" in refusal(vpn_request, "requests", "pi-1", pem)


def test_a_request_for_a_dns_name_is_refused() -> None:
    pem = request_pem("pi-1", "RSA 2048", dns_name="server.private-iot.internal")
    assert "subject alternative name" in refusal(vpn_request, "requests", "pi-1", pem)


@pytest.mark.parametrize(
    "pem",
    ["", "garbage", key_pem("RSA 2048"), "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END", 7, None, "\ud800"],
)
def test_what_is_no_certificate_request_is_refused_and_not_repeated(pem: Any) -> None:
    said = refusal(vpn_request, "requests", "pi-1", pem)
    assert "PEM" in said
    assert "PRIVATE KEY" not in said


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"version": 2}, "version of a request must be 1"),
        ({"version": True}, "version of a request must be 1"),
        ({"version": "1"}, "version of a request must be 1"),
        ({"more": 1}, "nothing else"),
        ({"name": "pi 1"}, "a-z A-Z 0-9"),
        ({"name": None}, "needs a name"),
    ],
)
def test_a_file_of_another_shape_is_refused(change: dict[str, Any], says: str) -> None:
    assert says in refusal(parse_request, "requests", json.dumps(printed(**change)))


@pytest.mark.parametrize("text", ["", "[]", "1", "{", "[" * 50_000, "null", b"\xff\xfe\x00"])
def test_a_file_that_is_no_object_is_refused(text: str | bytes) -> None:
    assert "JSON object" in refusal(parse_request, "requests", text)


def test_a_file_of_128_kib_is_refused_without_being_read_whole(tmp_path: Path) -> None:
    (tmp_path / "pi-1.json").write_text(json.dumps(printed()) + " " * 128 * 1024)
    assert f"at most {SIZE_LIMIT} bytes" in refusal(read_requests, "requests", tmp_path)


@given(st.binary(max_size=300) | st.text(max_size=300))
def test_garbage_is_refused_in_one_line(text: str | bytes) -> None:
    refusal(parse_request, "requests", text)


def test_a_folder_gives_its_requests_by_name(tmp_path: Path) -> None:
    for file, device in (("a.json", "pi-2"), ("b.json", "pi-1"), ("notes.txt", "pi-3")):
        (tmp_path / file).write_text(json.dumps(printed(device)))
    assert [request.name for request in read_requests("requests", tmp_path)] == ["pi-1", "pi-2"]
    assert read_requests("requests", tmp_path / "not-there") == ()


def test_a_name_twice_in_a_folder_is_refused_with_both_files(tmp_path: Path) -> None:
    for file in ("a.json", "b.json"):
        (tmp_path / file).write_text(json.dumps(printed()))
    said = refusal(read_requests, "requests", tmp_path)
    assert "a.json" in said
    assert "b.json" in said
    assert "one request a device" in said


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "pi-1.json").mkdir()
    assert "it cannot be read: Is a directory" in refusal(read_requests, "requests", tmp_path)


def test_a_device_has_its_keys_made_in_one_place_only() -> None:
    assert "keys the stack makes" in refusal(check_no_stack_key, "requests", ("pi-1", "pi-2"), ("pi-2",))
    check_no_stack_key("requests", ("pi-1",), ("pi-2",))
