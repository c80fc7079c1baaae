"""`device-agent config`: which settings are in force, and where each comes from."""

from __future__ import annotations

import argparse
import json
from itertools import groupby

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
    # JSON writes these numbers and texts as TOML does.
    value = f"{setting.name} = {json.dumps(setting.value)}"
    return f"{value:<28} # {_origin(setting)}; {setting.rule.text} ({setting.rule.limits})"


def _origin(setting: Setting) -> str:
    return SETTINGS_FILE if setting.given else "default"
