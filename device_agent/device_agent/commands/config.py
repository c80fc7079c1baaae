"""`device-agent config`: which settings are in force, and where each comes from."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from itertools import groupby
from typing import Any

from device_agent.installation import SETTINGS_FILE
from device_agent.settings import Setting, in_force, read_document
from device_agent.system import System

HELP = f"show the settings that are in force, and check {SETTINGS_FILE}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.epilog = (
        f"What it prints is TOML: write the lines that you want to change into {SETTINGS_FILE}, then\n"
        "`sudo systemctl restart private-iot-agent`.\n"
    )
    parser.add_argument("--json", action="store_true", help="print them as JSON")


def run(arguments: argparse.Namespace, system: System) -> int:
    """Run the command.

    Raises:
        DeviceAgentError: The file cannot be read, or holds what is not allowed.
    """
    settings = list(in_force(read_document(system)))
    if arguments.json:
        values = {
            f"{setting.table}.{setting.name}": {"value": setting.value, "from": _origin(setting)}
            for setting in settings
        }
        print(json.dumps(values, indent=2))
    else:
        print("\n\n".join(_tables(settings)))
    return 0


def _tables(settings: list[Setting]) -> list[str]:
    return [
        "\n".join([f"[{table}]", *(_line(setting) for setting in group)])
        for table, group in groupby(settings, lambda setting: setting.table)
    ]


def _line(setting: Setting) -> str:
    value = f"{setting.name} = {_toml(setting.value)}"
    return f"{value:<28} # {_origin(setting)}; {setting.rule.text} ({setting.rule.limits})"


def _toml(value: Any) -> str:
    """Write a value on one line, tables as inline tables (https://toml.io/en/v1.0.0#inline-table)."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_toml(name)} = {_toml(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    # JSON writes numbers and texts as TOML does, but for this one control character.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _origin(setting: Setting) -> str:
    return SETTINGS_FILE if setting.given else "default"
