"""provision: from a claim to an installed device, cut off at every step, refused, and run twice.

It cannot prove what AWS IoT answers, nor that the tunnel comes up: the path tests run both.
"""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from device_agent._exceptions import ConnectionFailedError, ProvisioningRefusedError, RefusedError
from device_agent.install import identity
from device_agent.install.claim import PROGRESS_FILE, SERIAL_NUMBER_FILES
from device_agent.install.device_keys import IOT_KEY_FILE
from device_agent.installation import AGENT_SERVICE, OPENVPN_SERVICE, TRIAL_FILE, Installation

from .material import amazon_root, bundle, encode, issue, message_of, profile, sign
from .test_install import Pi, pi

__all__ = ["message_of", "pi"]
SERIAL = "10000000abcdef01"
NAME = f"pi-{SERIAL}"


class KilledError(BaseException):
    """Stands for SIGKILL: nothing of the program runs any more."""


def claim(batch: str = "spring", **changes: Any) -> dict[str, Any]:
    """A claim bundle as the stack's output has it."""
    found = copy.deepcopy(bundle())
    identity_of_claim = issue("AWS IoT Certificate spring", amazon_root())
    found["version"], found["name"], found["topicPrefix"] = 2, batch, "plant"
    found["iot"] = {name: found["iot"][name] for name in ("endpoint", "rootCaPem") if name in found["iot"]}
    found["claim"] = {
        "templateName": "fleet-dev",
        "thingNamePattern": "pi-{SerialNumber}",
        "certificatePem": identity_of_claim.certificate_pem,
        "privateKeyPem": identity_of_claim.key_pem,
        **changes,
    }
    return found


@dataclass
class Aws:
    """What fleet provisioning has been asked and what it does next."""

    calls: list[str] = field(default_factory=list)
    issued: list[str] = field(default_factory=list)
    registered: set[str] = field(default_factory=set)
    things: set[str] = field(default_factory=set)
    before_answer: BaseException | None = None
    after_register: BaseException | None = None
    refusal: str = ""

    def create_certificate(self, request_pem: str) -> tuple[str, str]:
        self.calls.append("create")
        self._interrupt()
        self.issued.append(sign(request_pem, amazon_root()))
        return self.issued[-1], f"token {len(self.issued)}"

    def register_thing(self, token: str, serial_number: str) -> str:
        self.calls.append("register")
        if self.refusal:
            raise ProvisioningRefusedError(f"AWS IoT refused to provision {serial_number}: {self.refusal}")
        if token in self.registered or f"pi-{serial_number}" in self.things:
            raise ProvisioningRefusedError(f"AWS IoT refused to provision {serial_number}: ResourceConflict")
        self.registered.add(token)
        self.things.add(f"pi-{serial_number}")
        after, self.after_register = self.after_register, None
        if after is not None:
            raise after
        return f"pi-{serial_number}"

    def _interrupt(self) -> None:
        before, self.before_answer = self.before_answer, None
        if before is not None:
            raise before


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Aws:
    made = Aws()
    monkeypatch.setattr(identity, "Identity", lambda _session, _template: made)
    return made


def provision(pi: Pi, document: object = None, *words: str) -> int:
    return pi(
        "provision", "-", "--serial-number", SERIAL, *words, stdin=encode(claim() if document is None else document)
    )


def assert_provisioned(pi: Pi, certificate_pem: str) -> None:
    found = Installation.load(pi.system)
    assert (found.name, found.client_id, found.topic_prefix) == (NAME, NAME, f"plant/{NAME}")
    assert pi.read("/etc/private-iot/certificate.pem") == certificate_pem
    assert pi.read("/etc/private-iot/private-key.pem") == pi.read(IOT_KEY_FILE)
    assert pi.read("/etc/openvpn/client/clientvpn.conf") == profile()
    assert pi.system.state["active"] == {OPENVPN_SERVICE, AGENT_SERVICE}
    assert not pi.system.path(PROGRESS_FILE).exists()
    assert not pi.system.path(TRIAL_FILE).is_symlink()
    assert_no_claim(pi)


def assert_no_claim(pi: Pi) -> None:
    secret = claim()["claim"]["privateKeyPem"].encode()
    for path in pi.system.root.rglob("*"):
        if path.is_file() and not path.is_symlink():
            assert secret not in path.read_bytes(), path


def test_a_claim_makes_a_device_of_the_machine(pi: Pi, aws: Aws) -> None:
    assert provision(pi) == 0, pi.err
    assert pi.out.endswith(f"{NAME} is provisioned\n")
    assert aws.calls == ["create", "register"]
    assert_provisioned(pi, aws.issued[0])
    session = pi.system.state["session"].calls
    assert session[-4:] == ["connect", "subscribe", "publish", "disconnect"], "the echo as the device itself"


def test_run_twice_it_is_one_thing(pi: Pi, aws: Aws) -> None:
    provision(pi)
    before = pi.files
    assert provision(pi) == 0, pi.err
    assert pi.out == f"{SERIAL} is provisioned already; nothing changed\n"
    assert pi.files == before
    assert aws.calls == ["create", "register"]


def test_cut_off_before_the_certificate_it_begins_anew(pi: Pi, aws: Aws) -> None:
    aws.before_answer = KilledError()
    with pytest.raises(KilledError):
        provision(pi)
    assert_no_claim(pi)
    assert provision(pi) == 0, pi.err
    assert aws.calls == ["create", "create", "register"]
    assert_provisioned(pi, aws.issued[0])


def test_cut_off_after_the_thing_was_made_the_same_certificate_counts(pi: Pi, aws: Aws) -> None:
    aws.after_register = KilledError()
    with pytest.raises(KilledError):
        provision(pi)
    assert pi.system.path(PROGRESS_FILE).stat().st_mode & 0o777 == 0o600
    assert provision(pi) == 0, pi.err
    assert aws.calls == ["create", "register", "register"]
    assert_provisioned(pi, aws.issued[0])


def test_cut_off_in_its_trial_it_goes_on_there(pi: Pi, aws: Aws) -> None:
    session = pi.system.state["session"]
    session.refuse = {"publish": KilledError()}
    with pytest.raises(KilledError):
        provision(pi)
    session.refuse = {}
    assert provision(pi) == 0, pi.err
    assert aws.calls == ["create", "register"]
    assert_provisioned(pi, aws.issued[0])


def test_an_answer_that_was_lost_with_the_connection_is_asked_for_again(pi: Pi, aws: Aws) -> None:
    aws.after_register = ConnectionFailedError("the connection was closed")
    assert provision(pi) == 0, pi.err
    assert aws.calls == ["create", "register", "register"]
    assert_provisioned(pi, aws.issued[0])


def test_a_certificate_that_was_never_registered_is_replaced(pi: Pi, aws: Aws) -> None:
    aws.after_register = KilledError()
    with pytest.raises(KilledError):
        provision(pi)
    # The hour has passed: AWS IoT has deleted the certificate, and another certificate gets the thing.
    aws.things.clear()
    session = pi.system.state["session"]
    first = aws.issued[0]

    connect = session.connect

    def refuse_the_first() -> list[str]:
        tried = pi.system.path("/etc/private-iot/slots/a/certificate.pem").read_text()
        if tried == first:
            raise RefusedError("AWS IoT refused the device's certificate")
        found: list[str] = connect()
        return found

    session.connect = refuse_the_first
    assert provision(pi) == 0, pi.err
    assert aws.calls == ["create", "register", "register", "create", "register"]
    assert_provisioned(pi, aws.issued[1])


def test_refused_it_says_by_whom_and_why_and_leaves_nothing(pi: Pi, aws: Aws) -> None:
    aws.refusal = "AccessDenied: the hook did not allow it [403]"
    assert provision(pi) == 2
    assert pi.err.endswith(
        f"device-agent: AWS IoT refused to provision {SERIAL}: AccessDenied: the hook did not allow it [403]\n"
    )
    assert not pi.system.path(PROGRESS_FILE).exists()
    assert pi.system.state["active"] == set()
    assert_no_claim(pi)


def test_a_name_that_another_device_has_is_refused(pi: Pi, aws: Aws) -> None:
    aws.things.add(NAME)
    assert provision(pi) == 2
    assert "ResourceConflict" in pi.err
    assert not pi.system.path("/etc/private-iot/current").exists()


def test_another_batchs_claim_brings_a_device_to_that_batchs_tunnel(pi: Pi, aws: Aws) -> None:
    provision(pi)
    autumn = claim("autumn")
    autumn["vpn"]["config"] = profile() + "mssfix 1200\n"
    assert provision(pi, autumn) == 0, pi.err
    assert pi.read("/etc/openvpn/client/clientvpn.conf") == autumn["vpn"]["config"]
    assert aws.calls == ["create", "register"]
    assert Installation.load(pi.system).name == NAME


def test_a_device_with_another_identity_is_left_alone(pi: Pi, aws: Aws) -> None:
    pi.install()
    before = pi.files
    assert provision(pi) == 2
    assert "this device is installed as pi-1" in pi.err
    assert pi.files == before
    assert aws.calls == []


def test_the_pis_own_serial_number_is_taken(pi: Pi, aws: Aws) -> None:
    file = pi.system.path(SERIAL_NUMBER_FILES[0])
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(f"{SERIAL}\0".encode())
    assert pi("provision", "-", stdin=encode(claim())) == 0, pi.err
    assert Installation.load(pi.system).name == NAME
    assert aws.calls == ["create", "register"]


def test_a_claims_file_is_destroyed_when_it_is_done(pi: Pi, aws: Aws, tmp_path: Any) -> None:
    file = tmp_path / "claim.json"
    file.write_bytes(encode({"claims": {"spring": claim(), "autumn": claim("autumn")}}))
    words = ("provision", str(file), "--serial-number", SERIAL)
    aws.refusal = "no"
    assert pi(*words, "--batch", "spring") == 2
    assert file.exists()
    aws.refusal = ""
    assert pi(*words, "--batch", "spring") == 0, pi.err
    assert not file.exists()


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (bundle(), "a bundle goes to `install -`"),
        ({"claims": "[secret]"}, "add --show-secrets"),
        ({"claims": {"spring": claim(), "autumn": claim("autumn")}}, "choose one with --batch"),
        (claim(templateName="not a name"), "claim.templateName"),
        (claim(thingNamePattern="pi"), "claim.thingNamePattern"),
        (claim(privateKeyPem=""), "claim.privateKeyPem"),
        (claim(certificatePem=issue("another", amazon_root()).certificate_pem), "the key of another certificate"),
    ],
)
def test_what_is_no_claim_is_refused_before_anything_changes(pi: Pi, aws: Aws, document: object, words: str) -> None:
    before = pi.files
    assert provision(pi, document) == 2
    assert words in pi.err
    assert pi.files == before
    assert aws.calls == []


def test_without_a_serial_number_it_says_where_it_looked(pi: Pi, aws: Aws) -> None:
    assert pi("provision", "-", stdin=encode(claim())) == 2
    assert "give --serial-number" in pi.err
    assert pi("provision", "-", "--serial-number", "a b", stdin=encode(claim())) == 2
    assert "cannot be used" in pi.err
    assert json.loads(encode(claim()))["name"] == "spring"
    assert aws.calls == []
