"""The one exception that the lab's command line turns into a sentence and an exit code."""


class LabError(Exception):
    """A failure that the user can act on.

    The message names the input, its value, the limit and the remedy; it never holds a secret.
    """
