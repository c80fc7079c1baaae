"""Client tokens: a request that is sent again answers as the first time."""

import copy
from collections.abc import Callable
from typing import Any

from lab.cloud.ec2.exceptions import IdempotentParameterMismatchError


class ClientTokens:
    """The tokens of one account and Region ("Ensuring idempotency in Amazon EC2 API requests")."""

    def __init__(self) -> None:
        self._answers: dict[tuple[str, str], tuple[dict[str, Any], Any]] = {}

    def once(self, operation: str, token: str | None, parameters: dict[str, Any], call: Callable[[], Any]) -> Any:
        """Call once for a token; a call that fails leaves the token unused.

        Args:
            operation: AWS's name of it.
            token: the request's; None or empty calls each time.
            parameters: the request's, less the token.
            call: does the work and returns the answer.

        Returns:
            The answer of the first call.

        Raises:
            IdempotentParameterMismatchError: the token is known with other parameters.
        """
        if not token:
            return call()
        key = (operation, token)
        if key in self._answers:
            known, answer = self._answers[key]
            if known != parameters:
                raise IdempotentParameterMismatchError
            return answer
        # The call may change its parameters in place; what is compared later is what was asked.
        asked = copy.deepcopy(parameters)
        answer = call()
        self._answers[key] = (asked, answer)
        return answer
