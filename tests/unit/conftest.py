"""What all tests of the unit tier share."""

from __future__ import annotations

from hypothesis import settings

# How long an example takes says how loaded the machine is, and nothing about the code.
settings.register_profile("any-machine", deadline=None)
settings.load_profile("any-machine")
