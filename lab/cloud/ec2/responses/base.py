"""What the answers have in common: filters, pages, client tokens."""

import base64
import binascii
import fnmatch
from collections.abc import Callable
from typing import Any, TypeVar

from moto.core.responses import ActionResult
from moto.ec2.responses._base_response import EC2BaseResponse

from lab.cloud.ec2.exceptions import InvalidFilterError, InvalidNextTokenError, InvalidParameterValueError
from lab.cloud.ec2.models import EC2Backend

Item = TypeVar("Item")
MAX_RESULTS = 1000


class LabResponse(EC2BaseResponse):
    """Base of the lab's answers."""

    @property
    def backend(self) -> EC2Backend:
        """EC2 of the request's account and Region."""
        backend = self.ec2_backend
        assert isinstance(backend, EC2Backend)  # noqa: S101 - extensions.register puts it there
        return backend

    def parameters(self) -> dict[str, Any]:
        parameters: Any = self.params
        return dict(parameters.original_dict()) if hasattr(parameters, "original_dict") else dict(parameters)

    def filters(self) -> dict[str, list[str]]:
        """Return the request's filters: name to values."""
        filters: Any = self._filters_from_querystring()
        return {name: list(values) for name, values in filters.items()}

    def once(self, operation: str, call: Callable[[], Any]) -> Any:
        """Call once for the request's client token (see `ClientTokens.once`)."""
        parameters = self.parameters()
        token = parameters.pop("ClientToken", None)
        return self.backend.client_tokens.once(operation, token, parameters, call)

    def filtered(self, items: list[Item], values_of: dict[str, Callable[[Item], Any]]) -> list[Item]:
        """Return the items that pass the request's filters.

        Args:
            items: to choose from.
            values_of: for each filter that the operation knows, how to read its value, or values, from an item.
            ``tag`` reads a
                dictionary and serves ``tag:KEY`` and ``tag-key``.

        Raises:
            InvalidFilterError: the request has another filter.
        """
        for name, patterns in self.filters().items():
            read = values_of.get("tag" if name.startswith("tag") else name)
            if read is None:
                raise InvalidFilterError(name)
            items = [item for item in items if _matches(name, read(item), patterns)]
        return items

    def page(
        self, items: list[Item], *, smallest: int = 5, largest: int = MAX_RESULTS
    ) -> tuple[list[Item], str | None]:
        """Cut the page that the request asks for.

        Args:
            items: all of them, in a stable order.
            smallest: the least that MaxResults takes.
            largest: the most that MaxResults takes.

        Returns:
            The page's items, and the token for the next page or None.
        """
        size = self._get_int_param("MaxResults", 0) or 0
        if size and not smallest <= size <= largest:
            raise InvalidParameterValueError(
                f"Value ({size}) for parameter maxResults is invalid. Expecting a value between {smallest} and "
                f"{largest}."
            )
        token = self._get_param("NextToken")
        start = _decode(token) if token else 0
        if start > len(items):
            raise InvalidNextTokenError
        end = start + (size or largest)
        return items[start:end], _encode(end) if end < len(items) else None

    def result(self, **items: Any) -> ActionResult:
        """Answer with these members, less those that are None."""
        return ActionResult({name: value for name, value in items.items() if value is not None})


def _matches(name: str, value: Any, patterns: list[str]) -> bool:
    if name.startswith("tag:"):
        value = value.get(name[4:])
    elif name == "tag-key":
        value = list(value)
    values = value if isinstance(value, list) else [value]
    return any(one is not None and fnmatch.fnmatchcase(str(one), pattern) for one in values for pattern in patterns)


def _encode(offset: int) -> str:
    return base64.urlsafe_b64encode(f"offset={offset}".encode()).decode()


def _decode(token: str) -> int:
    try:
        name, _, offset = base64.b64decode(token, altchars=b"-_", validate=True).decode().partition("=")
        if name != "offset":
            raise InvalidNextTokenError
        return int(offset)
    except (binascii.Error, ValueError) as error:
        raise InvalidNextTokenError from error
