"""`device-agent mqtt`: mosquitto's drop-in, and what is refused before anything changes."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path

import pytest
from device_agent.__main__ import main
from device_agent.local_broker.mosquitto import CONFIGURATION, DROP_IN, FOLDER, PASSWORDS, PROGRAM, SERVICE, drop_in
from device_agent.ports import find_listeners, parse_row
from device_agent.system import System

from .material import FakeSystem, bundle, check_refusal, encode, snapshot

TOML = '[mqtt]\npublish = ["sensors/#"]\nsubscribe = ["commands/#"]\n'


def write(system: FakeSystem, path: str, text: str, mode: int = 0o644) -> Path:
    found = system.path(path)
    found.parent.mkdir(parents=True, exist_ok=True)
    found.write_text(text)
    found.chmod(mode)
    return found


@pytest.fixture
def device(system: FakeSystem, tmp_path: Path) -> FakeSystem:
    """An installed device with Debian's mosquitto and topics to publish."""
    file = tmp_path / "bundle.json"
    file.write_bytes(encode(bundle()))
    assert main(["install", str(file)], system) == 0
    write(system, PROGRAM, "")
    write(system, CONFIGURATION, f"persistence true\ninclude_dir {FOLDER}\n")
    system.path(FOLDER).mkdir()
    write(system, "/etc/private-iot/agent.toml", TOML)
    return system


def test_enable_writes_a_drop_in_for_localhost_and_disable_removes_it(
    device: FakeSystem, capsys: pytest.CaptureFixture[str]
) -> None:
    before = snapshot(device.root)
    assert main(["mqtt", "enable"], device) == 0
    text = device.path(DROP_IN).read_text()
    assert "listener 1883 127.0.0.1\nallow_anonymous true\n" in text
    assert "password_file" not in text
    printed = capsys.readouterr().out
    assert "sensors/# goes to AWS IoT as" in printed
    assert "enable mosquitto.service" in printed
    assert SERVICE in device.state["enabled"], "programs have a broker after the next boot as well"
    assert main(["mqtt", "disable"], device) == 0
    assert snapshot(device.root) == before
    assert main(["mqtt", "disable"], device) == 0
    assert "nothing changed" in capsys.readouterr().out


def test_for_the_lan_everybody_needs_a_user_and_so_does_the_agent(device: FakeSystem) -> None:
    write(device, PASSWORDS, "sensor:$7$101$x$y\nagent:$7$101$x$y\n")
    write(device, "/etc/private-iot/broker-password", "secret\n", 0o600)
    write(
        device,
        "/etc/private-iot/agent.toml",
        f'{TOML}username = "agent"\npassword_file = "/etc/private-iot/broker-password"\n',
    )
    assert main(["mqtt", "enable", "--lan"], device) == 0
    text = device.path(DROP_IN).read_text()
    assert f"listener 1883\nallow_anonymous false\npassword_file {PASSWORDS}\n" in text
    assert "secret" not in text


def _no_topics(system: FakeSystem) -> None:
    write(system, "/etc/private-iot/agent.toml", "")


def _loop(system: FakeSystem) -> None:
    write(system, "/etc/private-iot/agent.toml", '[mqtt]\npublish = ["a/#"]\nsubscribe = ["a/b"]\n')


def _bad_place(system: FakeSystem) -> None:
    write(system, "/etc/private-iot/agent.toml", '[mqtt]\npublish = ["a/#/b"]\n')


def _no_mosquitto(system: FakeSystem) -> None:
    system.path(PROGRAM).unlink()


def _no_include(system: FakeSystem) -> None:
    write(system, CONFIGURATION, "persistence true\n")


def _own_listener(system: FakeSystem) -> None:
    write(system, f"{FOLDER}/home.conf", "listener 1883\npassword_file /etc/mosquitto/passwd\n")


def _no_password(system: FakeSystem) -> None:
    write(system, "/etc/private-iot/agent.toml", f'{TOML}username = "agent"\npassword_file = "/etc/private-iot/none"\n')


def _open_password(system: FakeSystem) -> None:
    write(system, "/etc/private-iot/pw", "secret", 0o644)
    write(system, "/etc/private-iot/agent.toml", f'{TOML}username = "agent"\npassword_file = "/etc/private-iot/pw"\n')


def _foreign_listener(system: FakeSystem) -> None:
    row = "   0: 0100007F:075B 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 77 1 0 100 0 0 10 0"
    write(system, "/proc/self/net/tcp", f"  sl  local_address\n{row}\n")
    write(system, "/proc/12/comm", "python3\n")
    system.path("/proc/12/fd").mkdir()
    system.path("/proc/12/fd/3").symlink_to("socket:[77]")


def _nobody_may(system: FakeSystem) -> None:
    write(system, PASSWORDS, "")


def _agent_is_no_user(system: FakeSystem) -> None:
    write(system, PASSWORDS, "sensor:$7$101$x$y\n")
    write(system, "/etc/private-iot/agent.toml", f'{TOML}username = "agent"\n')


@pytest.mark.parametrize(
    ("spoil", "argv", "why"),
    [
        (_no_topics, [], "has no topics of the broker"),
        (_loop, [], "are a loop: what comes in goes out again"),
        (_bad_place, [], "# the last one"),
        (_no_mosquitto, [], "mosquitto is not installed"),
        (_no_include, [], "has no `include_dir /etc/mosquitto/conf.d`"),
        (_own_listener, [], "home.conf has `listener 1883`: this mosquitto is set up already"),
        (_no_password, [], "mqtt.password_file /etc/private-iot/none is missing"),
        (_open_password, [], "/etc/private-iot/pw has mode 0644"),
        (_foreign_listener, [], "port 1883 is python3 (process 12)'s"),
        (_nobody_may, ["--lan"], "has no user, and --lan is not for everybody"),
        (_agent_is_no_user, ["--lan"], "mqtt.username is 'agent', who is not in"),
    ],
)
def test_bad_input_is_refused_before_anything_changes(
    device: FakeSystem,
    capsys: pytest.CaptureFixture[str],
    spoil: Callable[[FakeSystem], None],
    argv: list[str],
    why: str,
) -> None:
    spoil(device)
    check_refusal(device, ["mqtt", "enable", *argv], why, capsys)


def test_the_drop_in_bounds_what_waits_by_its_size() -> None:
    assert "max_queued_messages 0\nmax_queued_bytes 268435456\n" in drop_in(1883, lan=False)


def test_a_listener_is_seen_with_its_program() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        (found,) = find_listeners(System(), server.getsockname()[1])
    assert (found.address, found.process) == (ip_address("127.0.0.1"), os.getpid())


def test_a_row_of_ipv6_is_read() -> None:
    row = "0: 00000000000000000000000001000000:075B 0:0 0A 0:0 00:0 0 0 0 42 1"
    assert parse_row(row) == (ip_address("::1"), 1883, "0A", "42")
