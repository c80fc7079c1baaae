"""The demonstration: everything that a newcomer should see, in one run."""
