"""Keys made on the device: what `request` prints, and how a bundle without keys is joined with them.

openssl is the real program. It cannot prove that AWS issues certificates for such requests; the engine and path tests
go through the lab's cloud.
"""

from __future__ import annotations

import io
import json
import shutil
import stat
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from device_agent.__main__ import main
from device_agent.install.bundle import check_bundle, parse_bundle
from device_agent.install.device_keys import IOT_KEY_FILE, VPN_KEY_FILE, load_device_keys, make_request
from device_agent.system import Completed

from .material import (
    DIRECTIVES,
    NOW,
    SCRIPTS,
    FakeSystem,
    amazon_root,
    bundle,
    encode,
    message_of,
    sign,
    vpn_authority,
)


@pytest.fixture
def new_pi(system: FakeSystem) -> FakeSystem:
    hostname = system.path("/proc/sys/kernel/hostname")
    hostname.parent.mkdir(parents=True)
    hostname.write_text("raspberrypi\n")
    return system


@pytest.fixture(scope="module")
def key_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keys of a device, made once: an RSA key takes longer than all else of a test."""
    system = FakeSystem.make(tmp_path_factory.mktemp("device") / "root")
    make_request(system, "pi-1")
    return system.path(VPN_KEY_FILE).parent


@pytest.fixture
def pi(new_pi: FakeSystem, key_folder: Path) -> FakeSystem:
    """A machine that has made its keys."""
    shutil.copytree(key_folder, new_pi.path(VPN_KEY_FILE).parent)
    return new_pi


def request(system: FakeSystem, capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    assert main(["request", *words], system) == 0
    out = capsys.readouterr().out
    assert "PRIVATE KEY" not in out
    made: dict[str, Any] = json.loads(out)
    return made


def answered(made: dict[str, Any], **changes: object) -> dict[str, Any]:
    """Make the bundle of version 2 that a stack gives for a request."""
    vpn = sign(made["vpnCertificateRequestPem"], vpn_authority())
    iot = sign(made["iotCertificateRequestPem"], amazon_root())
    config = f"{DIRECTIVES}<ca>\n{vpn_authority().certificate_pem}</ca>\n<cert>\n{vpn}</cert>\n\n{SCRIPTS}"
    return bundle(
        **{
            "version": 2,
            "vpn__config": config,
            "iot__certificatePem": iot,
            "iot__privateKeyPem": ...,
            **changes,
        }
    )


def install(system: FakeSystem, document: object, *words: str) -> int:
    before = sys.stdin
    sys.stdin = io.TextIOWrapper(io.BytesIO(encode(document)))
    try:
        return main(["install", "-", *words], system)
    finally:
        sys.stdin = before


def test_a_request_is_what_the_stack_takes(new_pi: FakeSystem, capsys: pytest.CaptureFixture[str]) -> None:
    made = request(new_pi, capsys, "--name", "pi-1")
    with warnings.catch_warnings():
        # The AWS package's own, when it is imported for the first time.
        warnings.simplefilter("ignore", DeprecationWarning)
        from private_iot.certificate_requests import parse_request
    read = parse_request("requests", json.dumps(made))
    assert (read.name, made["version"]) == ("pi-1", 1)
    vpn, iot = (x509.load_pem_x509_csr(made[f"{part}CertificateRequestPem"].encode()) for part in ("vpn", "iot"))
    vpn_key, iot_key = vpn.public_key(), iot.public_key()
    assert isinstance(vpn_key, rsa.RSAPublicKey)
    assert vpn_key.key_size == 2048
    assert isinstance(iot_key, ec.EllipticCurvePublicKey)
    assert isinstance(iot_key.curve, ec.SECP256R1)


def test_the_keys_stay_closed_and_are_never_made_anew(new_pi: FakeSystem, capsys: pytest.CaptureFixture[str]) -> None:
    first = request(new_pi, capsys)
    assert first["name"] == "raspberrypi"
    files = {path: new_pi.path(path).read_text() for path in (VPN_KEY_FILE, IOT_KEY_FILE)}
    assert all(stat.S_IMODE(new_pi.path(path).stat().st_mode) == 0o600 for path in files)
    new_pi.path(IOT_KEY_FILE).unlink()  # a power cut between the two
    second = request(new_pi, capsys)
    assert new_pi.path(VPN_KEY_FILE).read_text() == files[VPN_KEY_FILE]
    assert new_pi.path(IOT_KEY_FILE).exists()
    assert _public(second["vpnCertificateRequestPem"]) == _public(first["vpnCertificateRequestPem"])


def _public(pem: str) -> bytes:
    key = x509.load_pem_x509_csr(pem.encode()).public_key()
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def test_no_key_is_an_argument_of_a_program(
    new_pi: FakeSystem, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    run = FakeSystem.run

    def spy(self: FakeSystem, argv: list[str], **more: Any) -> Completed:
        seen.extend(argv)
        return run(self, argv, **more)

    monkeypatch.setattr(FakeSystem, "run", spy)
    request(new_pi, capsys)
    assert "openssl" in seen
    assert "PRIVATE" not in " ".join(seen)


@pytest.mark.parametrize("name", ["", "a b", "a/b", "x" * 65, "ü", "a,CN=b"])
def test_a_name_that_cannot_be_a_things_is_refused(
    new_pi: FakeSystem, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    new_pi.path("/proc/sys/kernel/hostname").write_text(f"{name}\n")
    assert main(["request", *(["--name", name] if name else [])], new_pi) == 2
    assert "cannot be used; allowed is 1 to 64 of letters, digits" in capsys.readouterr().err
    assert not new_pi.path(VPN_KEY_FILE).exists()


def test_a_machine_without_openssl_is_told_how_to_get_it(
    system: FakeSystem, capsys: pytest.CaptureFixture[str]
) -> None:
    system.state["fail"] = {"openssl": Completed(127, "", "")}
    assert main(["request", "--name", "pi-1"], system) == 2
    assert capsys.readouterr().err == (
        "device-agent: there is no openssl, which makes the keys; `sudo apt install openssl`\n"
    )


def test_a_bundle_without_keys_is_joined_with_the_devices_own(
    pi: FakeSystem, capsys: pytest.CaptureFixture[str]
) -> None:
    document = answered(request(pi, capsys, "--name", "pi-1"))
    assert "PRIVATE" not in json.dumps(document)
    assert install(pi, document) == 0, capsys.readouterr().err
    assert pi.path("/etc/private-iot/private-key.pem").read_text() == pi.path(IOT_KEY_FILE).read_text()
    profile = pi.path("/etc/openvpn/client/clientvpn.conf").read_text()
    assert f"<key>\n{pi.path(VPN_KEY_FILE).read_text()}</key>\n" in profile
    capsys.readouterr()
    assert install(pi, document) == 0
    assert capsys.readouterr().out == "pi-1 is installed already; nothing changed\n"


def test_a_bundle_for_other_keys_is_refused_and_nothing_changes(
    pi: FakeSystem, capsys: pytest.CaptureFixture[str]
) -> None:
    document = answered(request(pi, capsys, "--name", "pi-1"))
    for file, field in ((VPN_KEY_FILE, "vpn.config <cert>"), (IOT_KEY_FILE, "iot.certificatePem")):
        kept = pi.path(file).read_text()
        pi.path(file).unlink()
        assert install(pi, document) == 2
        assert f"the bundle has no key for {field}, and this device none of its own; give the stack what" in (
            capsys.readouterr().err
        )
        request(pi, capsys, "--name", "pi-1")
        assert install(pi, document) == 2
        assert f"{file} is the key of another certificate than {field}; give the stack what" in capsys.readouterr().err
        pi.path(file).write_text(kept)
    assert not pi.path("/etc/private-iot/current").is_symlink()


def test_own_keys_that_others_can_read_are_refused(pi: FakeSystem, capsys: pytest.CaptureFixture[str]) -> None:
    document = answered(request(pi, capsys, "--name", "pi-1"))
    pi.path(VPN_KEY_FILE).chmod(0o644)
    assert install(pi, document) == 2
    assert f"{VPN_KEY_FILE} has mode 0644, so that others can read it" in capsys.readouterr().err


def test_a_bundle_with_keys_needs_none_of_the_devices(pi: FakeSystem, capsys: pytest.CaptureFixture[str]) -> None:
    request(pi, capsys, "--name", "pi-1")
    assert install(pi, bundle()) == 0
    assert pi.path("/etc/private-iot/private-key.pem").read_text() == bundle()["iot"]["privateKeyPem"]
    assert install(pi, bundle(version=2)) == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"iot__certificatePem": ...},
            "the bundle has no iot.certificatePem: give a claim to `device-agent provision -`",
        ),
        ({"version": 1}, "the bundle has no iot.privateKeyPem; make it anew with `pulumi up`"),
        ({"version": 3}, "version is '3'; this agent reads versions 1 and 2"),
    ],
)
def test_what_version_2_leaves_out_is_named(
    pi: FakeSystem, capsys: pytest.CaptureFixture[str], change: dict[str, object], message: str
) -> None:
    document = answered(request(pi, capsys, "--name", "pi-1"), **change)
    assert message in message_of(lambda: check_bundle(document, now=NOW.timestamp(), keys=load_device_keys(pi)))


def test_a_stacks_outputs_with_hidden_secrets_still_hold_the_bundles_that_are_none(
    pi: FakeSystem, capsys: pytest.CaptureFixture[str]
) -> None:
    document = answered(request(pi, capsys, "--name", "pi-1"))
    outputs = encode({"devices": "[secret]", "deviceBundles": {"pi-1": document}})
    keys, now = load_device_keys(pi), NOW.timestamp()
    assert parse_bundle(outputs, device="pi-1", now=now, keys=keys).name == "pi-1"
    assert parse_bundle(outputs, device=None, now=now, keys=keys).name == "pi-1"
    assert "secrets are hidden" in message_of(lambda: parse_bundle(outputs, device="pi-2", now=now, keys=keys))


def test_uninstall_keeps_the_devices_own_keys_until_it_is_told_to_purge(
    pi: FakeSystem, capsys: pytest.CaptureFixture[str]
) -> None:
    document = answered(request(pi, capsys, "--name", "pi-1"))
    assert install(pi, document) == 0
    assert main(["uninstall"], pi) == 0
    assert install(pi, document) == 0
    assert main(["uninstall", "--purge"], pi) == 0
    assert not pi.path("/etc/private-iot").exists()
