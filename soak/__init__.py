"""A long run: a device of the lab publishes while random faults break its path, and everything is counted."""
