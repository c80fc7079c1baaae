"""What can keep a long run from being one."""


class SoakError(Exception):
    """The run could not be made, so that its figures would mean nothing; the message says why."""
