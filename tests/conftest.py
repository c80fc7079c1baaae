"""What holds for every tier: a property test has as long as the machine needs; modules are never garbage."""

import gc
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Modules stay to the end, and those of AWS's SDK are most of all objects: to look through them again and again takes a
# tenth of the time of the tests that use them.
gc.disable()

# A worker beside it, or another program, takes the processor for longer than hypothesis allows one example.
_SHARED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("continuous-integration", _SHARED)
# Whoever runs the unit tests after every change does not wait for hypothesis's own hundred examples.
settings.register_profile("quick", _SHARED, max_examples=25)
settings.load_profile("continuous-integration" if os.environ.get("CI") else "quick")


LONGEST = (
    *("engine/test_certificates.py", "engine/test_lab_command.py", "engine/test_interruptions.py"),
    *("engine/test_environments.py", "engine/test_device_stack_changes.py", "engine/test_refused_calls.py"),
    *("engine/test_other_languages.py", "engine/test_installed_devices.py", "engine/test_device_stacks.py"),
    *("engine/test_zones.py", "engine/test_documented_commands.py", "engine/test_fleet.py"),
    *("path/agent_daemon/test_lines.py", "path/agent/test_broken.py", "path/test_soak.py"),
    *("path/agent/test_provision.py", "path/site/test_site_commands.py", "path/test_certificate_life.py"),
    *("path/site/test_neighbour_faults.py", "path/test_demonstration.py", "path/agent_daemon/test_daemon.py"),
    *("path/test_own_program.py", "path/site/test_site_faults.py", "path/site/test_sensor.py"),
    *("path/site/test_neighbour.py", "path/agent_daemon/test_rotation.py"),
)
"""The files that take longest, the longest of a tier first: what begins last bounds the tier."""
_RANK = {(Path(__file__).parent / name).resolve(strict=True): rank for rank, name in enumerate(LONGEST)}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first; `--no-loadscope-reorder` has workers take them in this order."""
    items.sort(key=lambda item: _RANK.get(item.path, len(_RANK)))


def pytest_collection_finish() -> None:
    """Look for garbage from here on: seldom, and only among what is made from here on."""
    gc.freeze()
    gc.set_threshold(100_000)
    gc.enable()
