"""What holds for every tier: a property test has as long as the machine needs."""

from hypothesis import HealthCheck, settings

# A worker beside it, or another program, takes the processor for longer than hypothesis allows one example.
settings.register_profile("shared-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared-machine")
