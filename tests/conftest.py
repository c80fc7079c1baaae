"""What holds for every tier: a property test has as long as the machine needs; modules are never garbage."""

import gc
import os

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


def pytest_collection_finish() -> None:
    """Look for garbage from here on: seldom, and only among what is made from here on."""
    gc.freeze()
    gc.set_threshold(100_000)
    gc.enable()
