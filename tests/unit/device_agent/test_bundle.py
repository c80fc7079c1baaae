"""Reading the device bundle: what passes, and that everything else is one clear line.

It cannot prove that the program's outputs have this shape; the path tests feed the agent with those.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from device_agent._exceptions import BundleError
from device_agent.install.bundle import INPUT_LIMIT, Bundle, parse_bundle
from hypothesis import given, settings
from hypothesis import strategies as st

from .material import (
    DAY,
    NOW,
    amazon_root,
    bundle,
    device,
    encode,
    issue,
    message_of,
    profile,
    vpn_authority,
    vpn_client,
)


def parse(document: object, device: str | None = None) -> Bundle:
    return parse_bundle(encode(document), device=device, now=NOW.timestamp())


def refusal(document: object, device: str | None = None) -> str:
    with pytest.raises(BundleError) as caught:
        parse(document, device)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_good_bundle_passes() -> None:
    found = parse(bundle())
    assert (found.name, found.client_id, str(found.vpc_cidr), str(found.dns_server)) == (
        "pi-1",
        "pi-1",
        "10.0.0.0/16",
        "10.0.0.2",
    )
    assert found.vpn_config == profile()


def test_the_root_certificate_may_be_left_to_the_system() -> None:
    assert parse(bundle(iot__rootCaPem=...)).root_ca_pem is None


def test_no_private_key_is_in_the_representation() -> None:
    shown = repr(parse(bundle()))
    assert device().key_pem not in shown
    assert "PRIVATE KEY" not in shown


def test_the_devices_map_passes_with_a_name() -> None:
    devices = {"pi-1": bundle(), "pi-2": bundle(name="pi-2")}
    assert parse(devices, "pi-2").name == "pi-2"


def test_the_only_device_of_a_map_needs_no_name() -> None:
    assert parse({"pi-1": bundle()}).name == "pi-1"


def test_the_whole_of_a_stacks_outputs_passes_with_a_name() -> None:
    outputs = {"iotEndpoint": "x", "vpcCidr": "10.0.0.0/16", "clientVpnConfigs": {}, "devices": {"pi-1": bundle()}}
    assert parse(outputs, "pi-1").name == "pi-1"


def test_a_bundle_with_a_byte_order_mark_passes() -> None:
    assert parse_bundle(b"\xef\xbb\xbf" + encode(bundle()), device=None, now=NOW.timestamp()).name == "pi-1"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the input is empty"),
        (b" \n", "the input is empty"),
        (b"\xff\xfe{", "the input is not UTF-8 (byte 0)"),
        (b"not json", "the input is not JSON (line 1, column 1)"),
        (b'{"version": NaN}', "the input holds NaN, which is not JSON"),
        (b'{"version": 1, "version": 1}', "the input names a field twice"),
        (b"[" * 100_000, "the input is nested too deeply"),
        (b"[]", "the input is not a JSON object"),
        (b'"text"', "the input is not a JSON object"),
        (b"1" * 5000, "the input is not usable JSON"),
        (b'"[secret]"', "the input's secrets are hidden; add --show-secrets"),
        (b'{"devices": "[secret]"}', "the input's secrets are hidden; add --show-secrets"),
        (b'{"a": 1}', "the input is neither a device bundle, a map of them, nor a stack's outputs"),
        (b"{}", "the input holds 0 devices (none)"),
        (b" " * (INPUT_LIMIT + 1), f"the input is larger than {INPUT_LIMIT} bytes"),
    ],
    ids=lambda value: value[:20] if isinstance(value, bytes) else "",
)
def test_input_that_is_no_bundle_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(BundleError) as caught:
        parse_bundle(data, device=None, now=NOW.timestamp())
    assert str(caught.value).startswith(message)


def test_a_truncated_bundle_is_refused_without_its_text() -> None:
    data = encode(bundle())
    with pytest.raises(BundleError, match="or truncated") as caught:
        parse_bundle(data[: data.index(b"BEGIN PRIVATE KEY") + 60], device=None, now=NOW.timestamp())
    assert "BEGIN" not in str(caught.value)


def test_an_unknown_device_is_refused_with_the_names_that_there_are() -> None:
    devices = {"pi-1": bundle(), "pi-2": bundle(name="pi-2")}
    assert refusal(devices, "pi-3") == "the input holds no device pi-3; it holds pi-1, pi-2"
    assert refusal(devices) == "the input holds 2 devices (pi-1, pi-2); choose one with --device NAME"


def test_a_bundle_for_another_device_is_refused() -> None:
    assert refusal(bundle(), "pi-2") == "the bundle is for device pi-1, not for pi-2"
    assert refusal({"pi-2": bundle()}, "pi-2") == "the bundle under pi-2 has another name, pi-1"


@pytest.mark.parametrize("version", [0, 3, "1", None, True, [1], 1.5])
def test_another_version_is_refused(version: object) -> None:
    assert refusal(bundle(version=version)).endswith(
        "this agent reads versions 1 and 2; install the agent that fits the stack"
    )


FIELDS = [
    "name",
    "region",
    "topicPrefix",
    "vpn",
    "iot",
    "network",
    "vpn__config",
    "iot__endpoint",
    "iot__clientId",
    "iot__certificatePem",
    "iot__privateKeyPem",
    "network__vpcCidr",
    "network__dnsServer",
    "network__vpcEndpointId",
]


@pytest.mark.parametrize("path", FIELDS)
def test_a_missing_field_is_named(path: str) -> None:
    name = path.replace("__", ".")
    assert refusal(bundle(**{path: ...})) == f"the bundle has no {name}; make it anew with `pulumi up`"


@pytest.mark.parametrize("path", FIELDS)
@pytest.mark.parametrize("value", [None, 5, "", [], {}, True])
def test_a_field_of_another_type_is_named(path: str, value: object) -> None:
    assert path.replace("__", ".") in refusal(bundle(**{path: value}))


@pytest.mark.parametrize("path", ["extra", "vpn__extra", "iot__extra", "network__extra"])
def test_a_field_that_the_agent_does_not_know_is_named(path: str) -> None:
    assert path.replace("__", ".") in refusal(bundle(**{path: "x"}))


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("name", "pi 1", "name is 'pi 1'; allowed is 1 to 128 of letters"),
        ("name", "../pi", "name is '../pi'"),
        ("region", "Tokyo", "region is 'Tokyo'"),
        ("iot__endpoint", "abc-ats.iot.eu-west-1.amazonaws.com", "it is not in the bundle's region, ap-northeast-1"),
        ("iot__endpoint", "evil.example", "allowed is an ATS endpoint"),
        ("iot__endpoint", "abc.ats.iot.cn-north-1.amazonaws.com.cn", "allowed is an ATS endpoint"),
        ("iot__endpoint", "abc-ats.iot.ap-northeast-1.amazonaws.com.cn", "allowed is an ATS endpoint"),
        ("iot__clientId", "pi\n1", "iot.clientId is"),
        ("network__vpcCidr", "10.0.0.0", "a VPC has a block of /16 to /28"),
        ("network__vpcCidr", "10.0.1.0/16", "an IPv4 CIDR block such as"),
        ("network__vpcCidr", "0.0.0.0/0", "a VPC has a block of /16 to /28"),
        ("network__vpcCidr", "fd00::/64", "an IPv4 CIDR block such as"),
        ("network__dnsServer", "8.8.8.8", "it is outside the VPC, 10.0.0.0/16"),
        ("network__dnsServer", "resolver", "an IPv4 address belongs there"),
        ("network__vpcEndpointId", "vpce-xyz", "allowed is vpce- and hexadecimal digits"),
        ("topicPrefix", "pi-1/#", "it may not hold '+', '#'"),
        ("topicPrefix", "pi-1/", "or end with '/'"),
        ("topicPrefix", "$aws/things", "begin with '/' or '$'"),
        ("topicPrefix", "pi-1\ud800", "it may not hold '+', '#'"),
        ("topicPrefix", "a/b/c/d/e/f/g/h", "so 6 here"),
        ("topicPrefix", "ü" * 125, "so 249 here"),
    ],
)
def test_a_value_outside_its_limit_is_named_with_the_limit(path: str, value: str, message: str) -> None:
    assert message in refusal(bundle(**{path: value}))


def test_the_key_of_another_certificate_is_refused() -> None:
    assert (
        refusal(bundle(iot__privateKeyPem=vpn_client().key_pem))
        == "iot.privateKeyPem is the key of another certificate than iot.certificatePem"
    )
    text = profile(key=device().key_pem)
    assert refusal(bundle(vpn__config=text)).startswith("vpn.config <key> is the key of another certificate")


def test_pem_of_the_wrong_type_is_refused() -> None:
    assert "iot.certificatePem holds a PRIVATE KEY" in refusal(bundle(iot__certificatePem=device().key_pem))
    assert "iot.privateKeyPem holds CERTIFICATE" in refusal(bundle(iot__privateKeyPem=device().certificate_pem))
    assert "iot.rootCaPem holds a PRIVATE KEY" in refusal(bundle(iot__rootCaPem=device().key_pem))


def test_a_root_that_is_no_authority_is_refused() -> None:
    assert refusal(bundle(iot__rootCaPem=device().certificate_pem)) == (
        "iot.rootCaPem holds the certificate of 'AWS IoT Certificate pi-1', which is not an authority's"
    )


def test_an_expired_certificate_is_refused() -> None:
    old = issue("old", amazon_root(), not_before=NOW - 9 * DAY, not_after=NOW - DAY)
    made = bundle(iot__certificatePem=old.certificate_pem, iot__privateKeyPem=old.key_pem)
    assert refusal(made).startswith("iot.certificatePem (old) expired on 2026-11-23 07:00 UTC")


def test_a_certificate_that_is_not_valid_yet_is_refused() -> None:
    early = issue("early", vpn_authority(), not_before=NOW + DAY)
    text = profile(cert=early.certificate_pem, key=early.key_pem)
    assert refusal(bundle(vpn__config=text)).startswith(
        "vpn.config <cert> (early) is not valid before 2026-11-25 07:00 UTC"
    )


def test_a_vpn_certificate_of_another_authority_is_refused() -> None:
    text = profile(ca=amazon_root().certificate_pem)
    assert refusal(bundle(vpn__config=text)).startswith("vpn.config <cert> does not chain to vpn.config <ca>")


def test_a_block_that_hides_something_besides_pem_is_refused() -> None:
    text = profile(ca=f"{vpn_authority().certificate_pem}up /bin/sh\n")
    assert refusal(bundle(vpn__config=text)).startswith("vpn.config <ca> is not PEM")


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=10), children, max_size=3),
    max_leaves=8,
)


@given(path=st.sampled_from(["version", *FIELDS]), value=JUNK)
def test_a_bundle_with_junk_in_a_field_is_one_clear_line(path: str, value: Any) -> None:
    message = message_of(lambda: parse(bundle(**{path: value})))
    assert "\n" not in message
    assert len(message) < 400
    assert "PRIVATE KEY-----" not in message


@settings(max_examples=2 * settings().max_examples, deadline=None)
@given(st.data())
def test_a_bundle_with_mutated_bytes_is_one_clear_line(data: st.DataObject) -> None:
    raw = bytearray(encode({"pi-1": bundle()}))
    for _change in range(data.draw(st.integers(1, 5))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(raw[: data.draw(st.integers(0, len(raw)))])
    assert "\n" not in message_of(lambda: parse_bundle(cut, device="pi-1", now=NOW.timestamp()))


@given(JUNK)
def test_any_json_is_refused_in_one_clear_line(document: Any) -> None:
    with pytest.raises(BundleError):
        parse_bundle(json.dumps(document).encode(), device=None, now=NOW.timestamp())
