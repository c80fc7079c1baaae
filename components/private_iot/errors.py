"""The one exception that the components raise for what a program passed to them."""


class ArgumentError(ValueError):
    """An argument of a component is refused; nothing was registered on its behalf.

    Attributes:
        argument: The argument's name, as the component spells it.
    """

    def __init__(self, argument: str, value: object, limit: str, remedy: str) -> None:
        """Word the refusal.

        Args:
            argument: The argument's name.
            value: What was given. Never a secret: it is shown.
            limit: What it should have been, as a clause (`it must be …`).
            remedy: What to do, as an imperative.
        """
        super().__init__(f"{argument} is {value!r}: {limit}; {remedy}")
        self.argument = argument


class UnknownArgumentError(ArgumentError, TypeError):
    """An argument has a name that the component does not know, or a required one is missing."""

    def __init__(self, argument: str, message: str) -> None:
        """Word the refusal without the value, which may be a secret."""
        ValueError.__init__(self, message)
        self.argument = argument
