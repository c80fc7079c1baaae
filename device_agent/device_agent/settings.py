"""The agent's settings: /etc/private-iot/agent.toml, which nobody writes but the user.

A setting has its one home here: its key, type, default, limits and text. `device-agent config`, the reference in
docs/agent-settings.md and every error are made from it. A file that is not there means the defaults.
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from device_agent._exceptions import SettingsError
from device_agent.installation import SETTINGS_FILE, check_file
from device_agent.system import System
from device_agent.topics import TopicError, check_filter

_SIZE_LIMIT = 64 * 1024
GROUP_KEYS = ("publish", "subscribe")
MAX_MAPS = 20
"""Of each direction: AWS IoT takes 50 subscriptions of a connection, and the device's programs have some as well."""
_MAPS = f"a list of at most {MAX_MAPS} topic filters, each followed by ` -> FILTER` where the other side's name differs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What a setting may be.

    Attributes:
        text: What it is, with its unit.
        least: The least number.
        most: The greatest number.
        choices: The values that it may have, if they are few.
        groups: Whether it is a table of groups, each with lists of topic filters.
        allowed: What a text that is free, or each text of a list, may be, for people.
    """

    text: str
    least: float | None = None
    most: float | None = None
    choices: tuple[str | int, ...] = ()
    groups: bool = False
    allowed: str = ""

    @property
    def limits(self) -> str:
        """The limits, for people."""
        if self.groups:
            return f"[local.groups.NAME] with {_list(GROUP_KEYS)}, lists of topic filters"
        if self.allowed:
            return self.allowed
        if self.choices:
            return " or ".join(map(str, self.choices))
        return f"{self.least:g} to {self.most:g}"


def _setting(default: Any, text: str, **limits: Any) -> Any:
    return field(default=default, metadata={"rule": Rule(text=text, **limits)})


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueSettings:
    """`[queue]`: how much waits on the disk."""

    max_mib: int = _setting(256, "size of all queued messages, in MiB", least=1, most=65536)
    max_days: float = _setting(30.0, "days that a message may wait before it is dropped", least=0.001, most=3650)
    when_full: str = _setting(
        "drop-oldest", "what a full queue does with a new message", choices=("drop-oldest", "refuse")
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliverySettings:
    """`[delivery]`: how messages are sent."""

    in_flight: int = _setting(
        500, "messages sent without acknowledgement; AWS IoT may allow fewer", least=1, most=10_000
    )
    max_tries: int = _setting(5, "refusals before a message goes to the dead letters", least=1, most=100)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionSettings:
    """`[connection]`: how AWS IoT is reached."""

    port: int = _setting(8883, "AWS IoT's port; 443 goes with ALPN", choices=(8883, 443))
    session_expiry: int = _setting(
        3600,
        "seconds that AWS IoT keeps what comes in for persistent subscriptions while the device is offline; the"
        " account's quota may be less",
        least=60,
        most=7 * 24 * 3600,
    )
    # OpenVPN's own first retry comes after 60 s.
    trial_seconds: int = _setting(
        90,
        "seconds that a new bundle, claim or certificate has for its first message over the path, before all stays as"
        " it was; more on a line that needs longer",
        least=10,
        most=3600,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalSettings:
    """`[local]`: what programs on the device may do through the agent's socket."""

    buffer_mib: int = _setting(8, "memory for all programs together, in MiB, besides the queue", least=1, most=1024)
    groups: Mapping[str, Mapping[str, list[str]]] = field(
        default_factory=dict,
        metadata={"rule": Rule(text="topics that programs may use, by their Unix groups; none: all", groups=True)},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class MqttSettings:
    """`[mqtt]`: the broker on this device, whose messages go into the queue and which gets what AWS IoT sends."""

    port: int = _setting(1883, "the port of this device's own MQTT broker, on localhost", least=1, most=65535)
    username: str = _setting("", "the agent's user there; none: without", allowed="a user of the broker's")
    password_file: str = _setting("", "the file with that user's password, mode 0600", allowed="an absolute path")
    publish: tuple[str, ...] = _setting(
        (), "what is taken from the broker, to be published below the device's prefix", allowed=_MAPS
    )
    subscribe: tuple[str, ...] = _setting(
        (), "what is subscribed to below the device's prefix, and published by the broker", allowed=_MAPS
    )

    @property
    def wanted(self) -> bool:
        """Whether anything is taken from the broker or given to it."""
        return bool(self.publish or self.subscribe)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every table of the file."""

    queue: QueueSettings = field(default_factory=QueueSettings)
    delivery: DeliverySettings = field(default_factory=DeliverySettings)
    connection: ConnectionSettings = field(default_factory=ConnectionSettings)
    local: LocalSettings = field(default_factory=LocalSettings)
    mqtt: MqttSettings = field(default_factory=MqttSettings)


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting as it is in force.

    Attributes:
        table: Its table.
        name: Its key within the table.
        value: The value.
        given: Whether the file gives it.
        rule: What it may be.
    """

    table: str
    name: str
    value: Any
    given: bool
    rule: Rule


def load_settings(system: System) -> Settings:
    """Read and check the file.

    Raises:
        SettingsError: It is no TOML, or a key or value is not allowed; one line with the key, the value and the limit.
        InstallationError: Other users could have changed it, or this user cannot read it.
    """
    return check_settings(read_document(system))


def read_document(system: System) -> dict[str, Any]:
    """Read the file as it is; empty if there is none.

    Raises:
        SettingsError: It is no TOML.
        InstallationError: See `load_settings`.
    """
    path = system.path(SETTINGS_FILE)
    if not path.exists():
        return {}
    check_file(system, SETTINGS_FILE, secret=False)
    if path.stat().st_size > _SIZE_LIMIT:
        raise SettingsError(f"{SETTINGS_FILE} has {path.stat().st_size} bytes; at most {_SIZE_LIMIT} are read")
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{SETTINGS_FILE} is not TOML: {error}") from None


def check_settings(document: Mapping[str, Any]) -> Settings:
    """Check what a file holds against every rule.

    Raises:
        SettingsError: See `load_settings`.
    """
    tables = {item.name: type(getattr(Settings(), item.name)) for item in fields(Settings)}
    made = {}
    for name, values in document.items():
        if name not in tables:
            raise SettingsError(
                f"{SETTINGS_FILE}: there is no [{name}]; there are {_list(f'[{known}]' for known in tables)}"
            )
        if not isinstance(values, dict):
            raise SettingsError(f"{SETTINGS_FILE}: {name} is {values!r}; it is a table, [{name}]")
        made[name] = _table(name, tables[name], values)
    return Settings(**made)


def in_force(document: Mapping[str, Any]) -> Iterator[Setting]:
    """Go through every setting with its value and where that comes from.

    Raises:
        SettingsError: See `load_settings`.
    """
    settings = check_settings(document)
    for table in fields(settings):
        values = getattr(settings, table.name)
        for item in fields(values):
            given = item.name in document.get(table.name, {})
            yield Setting(table.name, item.name, getattr(values, item.name), given, item.metadata["rule"])


def _table(table: str, kind: type, values: Mapping[str, Any]) -> Any:
    known = {item.name: item for item in dataclasses.fields(kind)}
    for name, value in values.items():
        if name not in known:
            raise SettingsError(f"{SETTINGS_FILE}: [{table}] has no {name!r}; it has {_list(known)}")
        _check(f"{table}.{name}", value, known[name].default, known[name].metadata["rule"])
    return kind(**{name: tuple(value) if known[name].default == () else value for name, value in values.items()})


def _check(key: str, value: object, default: object, rule: Rule) -> None:
    if rule.groups:
        _check_groups(key, value)
        return
    if isinstance(default, tuple):
        _check_texts(key, value, rule)
        return
    whole = isinstance(default, int)
    kind = "a text" if isinstance(default, str) else "a whole number" if whole else "a number"
    fits = isinstance(value, str) if isinstance(default, str) else isinstance(value, int if whole else (int, float))
    if not fits or isinstance(value, bool):
        raise SettingsError(f"{SETTINGS_FILE}: {key} is {value!r}; it is {kind}, {rule.limits}")
    outside = isinstance(value, int | float) and not (rule.least or value) <= value <= (rule.most or value)
    if outside or (rule.choices and value not in rule.choices):
        raise SettingsError(f"{SETTINGS_FILE}: {key} is {value!r}; allowed is {rule.limits}")


def _check_texts(key: str, value: object, rule: Rule) -> None:
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value) or len(value) > MAX_MAPS:
        raise SettingsError(f"{SETTINGS_FILE}: {key} is {value!r}; it is {rule.limits}")


def _check_groups(key: str, value: object) -> None:
    if not isinstance(value, dict):
        raise SettingsError(f"{SETTINGS_FILE}: {key} is {value!r}; it is a table of groups")
    for name, topics in value.items():
        if not isinstance(topics, dict) or not set(topics) <= set(GROUP_KEYS):
            raise SettingsError(f"{SETTINGS_FILE}: {key}.{name} is {topics!r}; it is a table with {_list(GROUP_KEYS)}")
        for filters in topics.values():
            if not isinstance(filters, list) or not all(isinstance(item, str) for item in filters):
                raise SettingsError(f"{SETTINGS_FILE}: {key}.{name} holds {filters!r}; it is a list of topic filters")
            for item in filters:
                try:
                    check_filter(item)
                except TopicError as error:
                    raise SettingsError(f"{SETTINGS_FILE}: {key}.{name}: {error}") from None


def _list(names: Any) -> str:
    return ", ".join(names)
