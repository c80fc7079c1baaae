"""Devices without a tunnel in the program. That the engine makes them is proven in the engine tier."""

import json
from pathlib import Path

import pulumi
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.components.authority import request_pem
from tests.unit.components.monitor import Deployment, Secret, plain

from .test_program import OUTPUTS, dev_with, run


@pytest.fixture(scope="module")
def with_neighbours() -> Deployment:
    return run(dev_with(neighbours=["press-1", "press-2"]))


def test_a_neighbours_bundle_is_of_version_2_and_has_no_tunnel(with_neighbours: Deployment) -> None:
    devices = with_neighbours.stack_outputs["devices"]
    assert isinstance(devices, Secret)
    bundles = plain(devices)
    assert set(bundles) == {"pi-1", "press-1", "press-2"}
    press = bundles["press-1"]
    assert (press["version"], "vpn" in press) == (2, False)
    assert press["iot"].keys() == {"endpoint", "clientId", "certificatePem", "privateKeyPem"}
    assert (press["iot"]["clientId"], press["topicPrefix"]) == ("press-1", "test/press-1")
    assert press["network"] == bundles["pi-1"]["network"]


def test_a_neighbour_has_a_thing_and_a_certificate_and_none_of_the_vpns(with_neighbours: Deployment) -> None:
    outputs = plain(with_neighbours.stack_outputs)
    assert set(outputs) == OUTPUTS
    for name in ("clientVpnConfigs", "vpnCertificates"):
        assert list(outputs[name]) == ["pi-1"]
    assert list(outputs["certificateExpiry"]["clients"]) == ["pi-1"]
    made = [one for one in with_neighbours.registrations if "press-1" in one.urn.rsplit("::", 1)[1]]
    assert sorted(one.type.rsplit(":", 1)[1] for one in made) == [
        "CertRequest",
        "Certificate",
        "IotDevice",
        "PolicyAttachment",
        "PrivateKey",
        "Thing",
        "ThingDetachment",
        "ThingPrincipalAttachment",
    ]


def test_a_neighbour_changes_nothing_of_what_is_there_without_it(with_neighbours: Deployment) -> None:
    alone = run(dev_with())
    added = {one.urn: plain(one.inputs) for one in with_neighbours.registrations}
    without = {one.urn: plain(one.inputs) for one in alone.registrations}
    assert without.items() <= added.items()
    before, after = plain(alone.stack_outputs), plain(with_neighbours.stack_outputs)
    assert before["devices"]["pi-1"] == after["devices"]["pi-1"], "to the byte"
    assert {**after, "devices": {}} == {**before, "devices": {}}


def test_a_revoked_neighbour_is_locked_out_and_not_on_the_vpns_list() -> None:
    deployed = run(dev_with(neighbours=["press-1", "press-2"], revoked=["press-1"]))
    assert deployed.one("Certificate", "press-1-certificate").inputs["active"] is False
    assert deployed.one("Certificate", "press-2-certificate").inputs["active"] is True
    assert plain(deployed.stack_outputs)["revokedSerialNumbers"] == []


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (
            {"neighbours": ["pi-1"]},
            "configuration private-iot:neighbours: neighbours is 'pi-1': the device also stands among `devices`",
        ),
        ({"neighbours": ["press 1"]}, "configuration private-iot:neighbours: neighbours is 'press 1'"),
        ({"neighbours": ["press-1", "press-1"]}, "configuration private-iot:neighbours: neighbours is 'press-1'"),
        ({"neighbours": ["press-1"], "fleetBatches": ["press-1"]}, "private-iot:fleetBatches"),
    ],
)
def test_a_bad_neighbour_is_refused_before_anything_is_registered(values: dict[str, object], words: str) -> None:
    refused = run(dev_with(**values), refused=pulumi.RunError)
    assert refused.registrations == []
    assert words in refused.logged[-1]


NAMES = st.lists(st.sampled_from([f"thing-{number}" for number in range(4)]), unique=True, max_size=2)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(devices=NAMES, neighbours=NAMES)
def test_every_name_is_either_a_device_or_a_neighbour(devices: list[str], neighbours: list[str]) -> None:
    values = {"devices": devices, "neighbours": neighbours}
    if {*devices} & {*neighbours}:
        assert run(dev_with(**values), refused=pulumi.RunError).registrations == []
        return
    bundles = plain(run(dev_with(**values)).stack_outputs["devices"])
    assert {name: "vpn" in bundle for name, bundle in bundles.items()} == {
        **dict.fromkeys(devices, True),
        **dict.fromkeys(neighbours, False),
    }


def test_a_neighbour_that_made_its_key_itself_has_no_secret_and_no_vpn_certificate(tmp_path: Path) -> None:
    asked = {
        "version": 1,
        "name": "press-1",
        "vpnCertificateRequestPem": request_pem("press-1", "RSA 2048"),
        "iotCertificateRequestPem": request_pem("press-1", "P-256"),
    }
    (tmp_path / "press-1.json").write_text(json.dumps(asked))
    deployed = run(dev_with(neighbours=["press-1"], requestsFolder=str(tmp_path)))
    outputs = plain(deployed.stack_outputs)
    bundle = outputs["deviceBundles"]["press-1"]
    assert ("vpn" in bundle, "privateKeyPem" in bundle["iot"], bundle["version"]) == (False, False, 2)
    assert list(outputs["clientVpnConfigs"]) == ["pi-1"]
