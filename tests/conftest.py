"""What holds for every tier: a property test has as long as the machine needs."""

import gc
import os

from hypothesis import HealthCheck, settings

# A worker beside it, or another program, takes the processor for longer than hypothesis allows one example.
_SHARED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("continuous-integration", _SHARED)
# Whoever runs the unit tests after every change does not wait for hypothesis's own hundred examples.
settings.register_profile("quick", _SHARED, max_examples=25)
settings.load_profile("continuous-integration" if os.environ.get("CI") else "quick")


def pytest_collection_finish() -> None:
    """Keep what collecting has made out of every later collection of garbage: it stays to the end."""
    gc.collect()
    gc.freeze()
