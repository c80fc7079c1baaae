"""pubsub: the walk-through's transcript, line for line.

It cannot prove that AWS IoT's answers are these; the path tests run it against a broker behind real policies.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable

import pytest
from device_agent.__main__ import main
from device_agent._exceptions import ConnectionFailedError
from device_agent.installation import AGENT_SERVICE

from .material import ENDPOINT, FakeSystem, bundle
from .test_install import Pi, pi

__all__ = ["pi"]


def transcript(count: int, topic: str = "pi-1/test/topic") -> str:
    """The walk-through's, with this device's endpoint, client ID and topic."""
    lines = [
        f"Connecting to {ENDPOINT} with client ID 'pi-1'...",
        "Connected!",
        f"Subscribing to topic '{topic}'...",
        "Subscribed with QoS.AT_LEAST_ONCE",
        f"Sending {count} message(s)",
    ]
    for number in range(1, count + 1):
        lines.append(f"Publishing message to topic '{topic}': Hello World! [{number}]")
        lines.append(f"Received message from topic '{topic}': b'\"Hello World! [{number}]\"'")
    return "\n".join([*lines, f"{count} message(s) received.", "Disconnecting...", "Disconnected!", ""])


@pytest.fixture
def installed(pi: Pi) -> Pi:
    assert pi.install() == 0, pi.err
    pi.system.state["active"].discard(AGENT_SERVICE)
    return pi


def test_ten_messages_give_the_walk_throughs_transcript(installed: Pi) -> None:
    assert installed("pubsub") == 0
    assert installed.out == transcript(10)
    assert installed.err == ""


def test_count_topic_and_message_can_be_chosen(installed: Pi) -> None:
    assert installed("pubsub", "--count", "1", "--topic", "pi-1/other", "--message", "Grüße") == 0
    assert "Publishing message to topic 'pi-1/other': Grüße [1]\n" in installed.out
    assert f"Received message from topic 'pi-1/other': {json.dumps('Grüße [1]').encode()!r}\n" in installed.out


@pytest.mark.parametrize("step", ["connect", "subscribe", "publish"])
def test_a_refusal_is_one_clear_line_and_exit_2(installed: Pi, step: str) -> None:
    session = installed.system.state["session"]
    session.refuse = {step: ConnectionFailedError("AWS IoT refused: not authorized")}
    assert installed("pubsub") == 2
    assert installed.err == "device-agent: AWS IoT refused: not authorized\n"
    assert session.calls[-1] == "disconnect"


def test_a_message_that_does_not_come_back_is_named(installed: Pi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("device_agent.commands.pubsub._RETURN_TIMEOUT", 0.01)
    monkeypatch.setattr(installed.system.state["session"], "publish", lambda _topic, _payload: None)
    assert installed("pubsub") == 2
    assert "was accepted but did not come back within 0.01 s" in installed.err


def test_a_running_agent_is_paused_and_started_again_even_after_a_refusal(installed: Pi) -> None:
    state = installed.system.state
    state["active"].add(AGENT_SERVICE)
    state["session"].refuse = {"connect": ConnectionFailedError("refused")}
    assert installed("pubsub") == 2
    assert f"{AGENT_SERVICE} is paused for this test\n" in installed.err
    assert ["systemctl", "stop", AGENT_SERVICE] in state["commands"]
    assert AGENT_SERVICE in state["active"]


def test_an_ordinary_user_who_cannot_pause_the_agent_is_told_so_and_nothing_is_stopped(installed: Pi) -> None:
    state = installed.system.state
    state["active"].add(AGENT_SERVICE)
    state["user_id"] = 1000
    for command in ("pubsub", "doctor"):
        assert installed(command) == 2
        assert installed.err == (
            f"device-agent: {AGENT_SERVICE} has to be paused for this test, which needs root; run it with sudo\n"
        )
    assert ["systemctl", "stop", AGENT_SERVICE] not in state["commands"]


@pytest.mark.parametrize("topic", ["", "#", "pi-1/+", "x" * 257, "1/2/3/4/5/6/7/8/9", "a\nb"])
def test_a_topic_that_cannot_be_published_to_is_refused(installed: Pi, topic: str) -> None:
    assert installed("pubsub", "--topic", topic) == 2
    assert installed.err.startswith("device-agent: --topic: the topic ")
    assert installed.err.count("\n") == 1
    assert installed.system.state["session"].calls == []


@pytest.mark.parametrize(
    ("prefix", "topic"),
    [
        ("1/2/3/4/5/pi-1", "1/2/3/4/5/pi-1/test/topic"),
        ("1/2/3/4/5/6/pi-1", "1/2/3/4/5/6/pi-1/test"),
        (f"{'x' * 240}/pi-1", f"{'x' * 240}/pi-1/test/topic"),
        (f"{'x' * 244}/pi-1", f"{'x' * 244}/pi-1/test"),
    ],
)
def test_the_default_topic_fits_under_every_prefix_that_install_accepts(pi: Pi, prefix: str, topic: str) -> None:
    """AWS IoT takes 7 slashes and 256 bytes in a topic; a prefix may have 6 and 249."""
    assert pi.install(bundle(topicPrefix=prefix)) == 0, pi.err
    pi.system.state["active"].discard(AGENT_SERVICE)
    assert pi("pubsub") == 0
    assert pi.out == transcript(10, topic)


SLOT = "/etc/private-iot/slots/a"
DAMAGES: dict[str, Callable[[FakeSystem], object]] = {
    "/etc/private-iot/private-key.pem has mode 0644, so that others can read it; `chmod 600": lambda system: (
        system.path(f"{SLOT}/private-key.pem").chmod(0o644)
    ),
    "/etc/private-iot/device.json is not valid JSON": lambda system: system.path(f"{SLOT}/device.json").write_text("{"),
    "/etc/private-iot/device.json is not of version 1": lambda system: system.path(f"{SLOT}/device.json").write_text(
        "{}"
    ),
    "/etc/private-iot: endpoint is missing or not text": lambda system: system.path(f"{SLOT}/device.json").write_text(
        '{"version": 1, "name": "pi-1", "region": "x"}'
    ),
    "/etc/private-iot/certificate.pem is missing": lambda system: system.path(f"{SLOT}/certificate.pem").unlink(),
    "/etc/private-iot has mode 0777, so that others can change it": lambda system: system.path(
        "/etc/private-iot"
    ).chmod(0o777),
}


@pytest.mark.parametrize("message", DAMAGES)
def test_a_damaged_installation_is_one_clear_line_and_nothing_is_sent(installed: Pi, message: str) -> None:
    DAMAGES[message](installed.system)
    assert installed("pubsub") == 2
    assert installed.err.startswith(f"device-agent: {message}")
    assert installed.err.count("\n") == 1
    assert installed.system.state["session"].calls == []


def test_without_an_installation_the_remedy_is_named(pi: Pi) -> None:
    assert pi("pubsub") == 2
    assert pi.err == (
        "device-agent: nothing is installed on this device (/etc/private-iot is missing); install the device's bundle"
        " again with `device-agent install -`\n"
    )


def test_the_overview_teaches_the_whole_life(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    assert (
        """pulumi stack output devices --show-secrets --json | jq '.["pi-1"]' | ssh pi sudo device-agent install -"""
        in (capsys.readouterr().out)
    )


@pytest.mark.parametrize(
    "words", [["--help"], ["publish", "--help"], ["status"], ["install", "--help"], ["run", "--help"]]
)
def test_commands_that_need_no_connection_do_not_import_the_sdk(words: list[str]) -> None:
    """The SDK costs 100 ms and 20 MB, on small machines."""
    program = (
        "import sys; from device_agent.__main__ import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "sys.exit('awscrt' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
