"""What ends a section of the benchmark."""


class BenchError(Exception):
    """Something could not be measured; the message says what and why."""
