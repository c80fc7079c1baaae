"""agent.toml: what is allowed, what is in force, and the errors that name key, value and limit."""

from __future__ import annotations

import json
import tomllib

import pytest
from device_agent.__main__ import main
from device_agent.commands.config import _line
from device_agent.daemon.connection import SESSION_EXPIRY
from device_agent.daemon.delivery import DeliveryOptions
from device_agent.daemon.local_socket import MAX_BUFFERED
from device_agent.messages import Limits
from device_agent.settings import Rule, Setting, Settings, check_settings, load_settings
from hypothesis import given
from hypothesis import strategies as st

from .material import FakeSystem, message_of


def give(system: FakeSystem, text: str) -> None:
    path = system.path("/etc/private-iot/agent.toml")
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)


def test_without_a_file_every_default_counts_and_is_that_of_the_parts(system: FakeSystem) -> None:
    settings = load_settings(system)
    assert settings == Settings()
    limits, delivery = Limits(), DeliveryOptions()
    assert settings.queue.max_mib * 1024 * 1024 == limits.max_bytes
    assert settings.queue.max_days * 86400 == limits.max_age
    assert settings.queue.when_full == limits.when_full
    assert (settings.delivery.in_flight, settings.delivery.max_tries) == (delivery.in_flight, delivery.max_tries)
    assert settings.connection.port == 8883
    assert settings.connection.session_expiry == SESSION_EXPIRY
    assert settings.local.buffer_mib * 1024 * 1024 == MAX_BUFFERED


def test_groups_of_programs_have_lists_of_topics(system: FakeSystem) -> None:
    give(
        system, '[local.groups.sensors]\npublish = ["telemetry/#"]\n[local.groups.doors]\nsubscribe = ["commands/#"]\n'
    )
    assert load_settings(system).local.groups == {
        "sensors": {"publish": ["telemetry/#"]},
        "doors": {"subscribe": ["commands/#"]},
    }


def test_a_file_changes_what_it_gives_and_nothing_else(system: FakeSystem) -> None:
    give(system, '[queue]\nmax_days = 7\nwhen_full = "refuse"\n')
    settings = load_settings(system)
    assert (settings.queue.max_days, settings.queue.when_full) == (7, "refuse")
    assert settings.queue.max_mib == Settings().queue.max_mib


WRONG = {
    "[queue]\nmax_mib = 0\n": "queue.max_mib is 0; allowed is 1 to 65536",
    "[queue]\nmax_mib = 1.5\n": "queue.max_mib is 1.5; it is a whole number, 1 to 65536",
    "[queue]\nmax_mib = true\n": "queue.max_mib is True; it is a whole number, 1 to 65536",
    '[queue]\nmax_days = "7"\n': "queue.max_days is '7'; it is a number, 0.001 to 3650",
    "[queue]\nmax_days = nan\n": "queue.max_days is nan; allowed is 0.001 to 3650",
    '[queue]\nwhen_full = "drop"\n': "queue.when_full is 'drop'; allowed is drop-oldest or refuse",
    "[connection]\nport = 1883\n": "connection.port is 1883; allowed is 8883 or 443",
    "[queue]\nmax_mb = 1\n": "[queue] has no 'max_mb'; it has max_mib, max_days, when_full",
    "[cue]\n": "there is no [cue]; there are [queue], [delivery], [connection]",
    "[local.groups.a]\nread = []\n": "local.groups.a is {'read': []}; it is a table with publish, subscribe",
    "[local.groups]\na = 1\n": "local.groups.a is 1; it is a table with publish, subscribe",
    "[local]\ngroups = 7\n": "local.groups is 7; it is a table of groups",
    "[local.groups.a]\npublish = [1]\n": "local.groups.a holds [1]; it is a list of topic filters",
    '[local.groups.a]\nsubscribe = ["$foo/#"]\n': "local.groups.a: ",
    "[connection]\ntrial_seconds = 5\n": "connection.trial_seconds is 5; allowed is 10 to 3600",
    "[connection]\nsession_expiry = 604801\n": "connection.session_expiry is 604801; allowed is 60 to 604800",
    "[mqtt]\nport = 0\n": "mqtt.port is 0; allowed is 1 to 65535",
    "[mqtt]\nusername = 7\n": "mqtt.username is 7; it is a text, a user of the broker's",
    '[mqtt]\npublish = "a/#"\n': "mqtt.publish is 'a/#'; it is a list of at most 20 topic filters",
    "[mqtt]\nsubscribe = [1]\n": "mqtt.subscribe is [1]; it is a list of at most 20 topic filters",
    "queue = 1\n": "queue is 1; it is a table, [queue]",
    "[queue\n": "is not TOML: Expected ']' at the end of a table declaration (at line 1, column 7)",
}


@pytest.mark.parametrize("text", WRONG)
@pytest.mark.parametrize("command", ["config", "run"])
def test_what_is_not_allowed_is_one_line_with_key_value_and_limit(
    system: FakeSystem, capsys: pytest.CaptureFixture[str], text: str, command: str
) -> None:
    give(system, text)
    assert main([command], system) == 2
    error = capsys.readouterr().err
    assert error.startswith("device-agent: /etc/private-iot/agent.toml")
    assert WRONG[text] in error
    assert error.count("\n") == 1


def test_a_file_that_others_can_change_is_refused(system: FakeSystem) -> None:
    give(system, "")
    system.path("/etc/private-iot/agent.toml").chmod(0o666)
    assert "has mode 0666, so that others can change it" in message_of(lambda: load_settings(system))


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(), st.lists, max_leaves=3))
def test_no_value_of_any_kind_raises_anything_but_a_settings_error(value: object) -> None:
    for key in ("max_mib", "max_days", "when_full"):
        error = message_of(lambda key=key: check_settings({"queue": {key: value}}))  # type: ignore[misc]
        assert error == "" or f"queue.{key} is " in error
    for groups in (value, {"a": value}, {"a": {"publish": value}}):
        error = message_of(lambda groups=groups: check_settings({"local": {"groups": groups}}))  # type: ignore[misc]
        assert error == "" or "local.groups" in error


def test_config_prints_toml_with_where_each_value_comes_from(
    system: FakeSystem, capsys: pytest.CaptureFixture[str]
) -> None:
    give(system, "[delivery]\nin_flight = 20\n")
    assert main(["config"], system) == 0
    text = capsys.readouterr().out
    assert tomllib.loads(text)["delivery"] == {"in_flight": 20, "max_tries": 5}
    assert "in_flight = 20" in text
    assert "# /etc/private-iot/agent.toml; messages sent without acknowledgement" in text
    assert "# default; refusals before a message goes to the dead letters (1 to 100)" in text
    assert main(["config", "--json"], system) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["delivery.in_flight"] == {"value": 20, "from": "/etc/private-iot/agent.toml"}
    assert found["connection.port"] == {"value": 8883, "from": "default"}


def test_what_config_prints_is_a_file_that_changes_nothing(
    system: FakeSystem, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["config"], system) == 0
    give(system, capsys.readouterr().out)
    assert load_settings(system) == Settings()


_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


@given(st.dictionaries(_TEXTS, st.dictionaries(st.sampled_from(["publish", "subscribe"]), st.lists(_TEXTS))))
def test_config_prints_groups_of_any_name_as_toml(groups: dict[str, dict[str, list[str]]]) -> None:
    rule = Rule(text="topics", groups=True)
    line = _line(Setting("local", "groups", groups, given=True, rule=rule))
    assert tomllib.loads(line) == {"groups": groups}


def test_config_prints_groups_as_a_file_may_give_them(system: FakeSystem, capsys: pytest.CaptureFixture[str]) -> None:
    give(system, '[local.groups.sensors]\npublish = ["telemetry/#", "ü"]\n')
    before = load_settings(system)
    assert main(["config"], system) == 0
    text = capsys.readouterr().out
    assert 'groups = {"sensors" = {"publish" = ["telemetry/#", "ü"]}}' in text
    give(system, text)
    assert load_settings(system) == before
