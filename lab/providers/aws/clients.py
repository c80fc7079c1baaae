"""The clients of AWS's APIs that all operations of one provider share."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import botocore.config
import botocore.exceptions
import botocore.session

from lab.providers.errors import ProviderError

# terraform-provider-aws: `max_retries`, "the maximum number of times an AWS API request is retried"
MAXIMUM_RETRIES = 25


# The configuration's names of services that botocore names otherwise.
_SERVICES_OF_ENDPOINTS = {"cloudwatchlogs": "logs", "cloudwatchlog": "logs"}


class Session:
    """Credentials, Region and clients.

    Args:
        configuration: The provider's: `region`; `accessKey`, `secretKey` and `token` over botocore's usual chain
            (environment, files); `profile`; `endpoints` over `AWS_ENDPOINT_URL`, which botocore honours by itself; and
            `maxRetries`, how often a throttled or failed request is tried again.
    """

    def __init__(self, configuration: Mapping[str, Any]) -> None:
        given, retries = configuration.get, configuration.get("maxRetries")
        self.region = str(configuration["region"])
        self._endpoints = {
            _SERVICES_OF_ENDPOINTS.get(service, service): url
            for entry in given("endpoints") or []
            for service, url in entry.items()
        }
        self._session = botocore.session.Session(profile=given("profile"))
        if given("accessKey") and given("secretKey"):
            self._session.set_credentials(given("accessKey"), given("secretKey"), given("token"))
        self._configuration = botocore.config.Config(
            retries={
                "mode": "standard",
                "total_max_attempts": 1 + (MAXIMUM_RETRIES if retries is None else int(retries)),
            },
            max_pool_connections=64,
            user_agent_extra="private-iot-lab",
        )
        self._lock = threading.Lock()
        self._clients: dict[tuple[str, str], Any] = {}
        self._account_lock = threading.Lock()
        self._account: str | None = None

    def client(self, service: str, region: str | None = None) -> Any:
        """A client, made once for each service and Region; clients are safe to share between threads."""
        key = (service, region or self.region)
        with self._lock:
            if key not in self._clients:
                self._clients[key] = self._session.create_client(
                    service,
                    region_name=key[1],
                    endpoint_url=self._endpoints.get(service),
                    config=self._configuration,
                )
            return self._clients[key]

    @property
    def partition(self) -> str:
        """The partition of the Region: `aws`, `aws-cn`, `aws-us-gov` and so on."""
        return str(self._session.get_partition_for_region(self.region))

    @property
    def account(self) -> str:
        """The account's number, asked for once.

        Raises:
            ProviderError: When the credentials are missing or refused.
        """
        with self._account_lock:
            if self._account is None:
                with trying("validating provider credentials: retrieving caller identity from STS"):
                    self._account = str(self.client("sts").get_caller_identity()["Account"])
            return str(self._account)

    def arn(self, service: str, resource: str, region: str | None = None) -> str:
        """The ARN of a resource of this account."""
        return f"arn:{self.partition}:{service}:{region or self.region}:{self.account}:{resource}"


def code_of(error: Exception) -> str:
    """AWS's error code (`InvalidVpcID.NotFound`), or an empty string for any other exception."""
    if isinstance(error, ProviderError):
        return error.code
    if isinstance(error, botocore.exceptions.ClientError):
        return str(error.response.get("Error", {}).get("Code", ""))
    return ""


def explain(error: Exception) -> str:
    """An error in one line: the operation, AWS's code, its message and the request's id. Requests are never quoted."""
    if isinstance(error, botocore.exceptions.ClientError):
        told = error.response.get("Error", {})
        request = error.response.get("ResponseMetadata", {}).get("RequestId")
        tail = f" (request {request})" if request else ""
        return f"{error.operation_name}: {told.get('Code', 'Unknown')}: {told.get('Message', 'no message')}{tail}"
    return str(error)


_FAILURES = (botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError)


@contextmanager
def trying(what: str) -> Iterator[None]:
    """An error of AWS's inside it names what was tried.

    Args:
        what: `creating EC2 VPC`, `deleting IoT Thing (pi-1)`.

    Raises:
        ProviderError: With `what`, the operation, AWS's code and message.
    """
    try:
        yield
    except _FAILURES as error:
        raise ProviderError(f"{what}: {explain(error)}", code=code_of(error)) from error


@contextmanager
def tolerated(*codes: str) -> Iterator[None]:
    """An error with one of these codes inside it is none: what is to go may be gone already."""
    try:
        yield
    except (ProviderError, *_FAILURES) as error:
        if code_of(error) not in codes:
            raise


def has_code(*codes: str) -> Callable[[Exception], bool]:
    """A test for `Call.retry`."""
    return lambda error: code_of(error) in codes
