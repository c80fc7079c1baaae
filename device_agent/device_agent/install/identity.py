"""What a device asks of AWS IoT's fleet provisioning, through the SDK's identity client over a session of ours.

https://docs.aws.amazon.com/iot/latest/developerguide/fleet-provision-api.html
"""

from __future__ import annotations

from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any

from awscrt.exceptions import AwsCrtError
from awscrt.mqtt_request_response import ClientOptions
from awsiot import V2ServiceException
from awsiot.iotidentity import CreateCertificateFromCsrRequest, IotIdentityClientV2, RegisterThingRequest

from device_agent._exceptions import ConnectionFailedError, ProvisioningRefusedError
from device_agent.mqtt import explain_error
from device_agent.session import Mqtt5Session

_TIMEOUT = 30
"""Seconds for an answer: AWS gives a pre-provisioning hook 5 s, and slow lines their time."""
_PASSING = (429, 500, 503)


class Identity:
    """The identity client of one session.

    Args:
        session: A connected session with the claim's identity.
        template_name: The provisioning template.
    """

    def __init__(self, session: Mqtt5Session, template_name: str) -> None:
        options = ClientOptions(
            max_request_response_subscriptions=4, max_streaming_subscriptions=1, operation_timeout_in_seconds=_TIMEOUT
        )
        self._client = IotIdentityClientV2(session.client, options)
        self._template_name = template_name

    def create_certificate(self, request_pem: str) -> tuple[str, str]:
        """Have a certificate issued for the device's key.

        Returns:
            The certificate, PEM, and the token with which it is registered.

        Raises:
            ProvisioningRefusedError: AWS IoT refused it.
            ConnectionFailedError: No answer came.
        """
        request = CreateCertificateFromCsrRequest(certificate_signing_request=request_pem)
        made = self._answer("issue a certificate", self._client.create_certificate_from_csr(request))
        return str(made.certificate_pem), str(made.certificate_ownership_token)

    def register_thing(self, token: str, serial_number: str) -> str:
        """Have the template make a thing of the device.

        Returns:
            The thing's name.

        Raises:
            ProvisioningRefusedError: AWS IoT, or the template's hook, refused it.
            ConnectionFailedError: No answer came.
        """
        request = RegisterThingRequest(
            template_name=self._template_name,
            certificate_ownership_token=token,
            parameters={"SerialNumber": serial_number},
        )
        what = f"provision {serial_number} by the template {self._template_name}"
        return str(self._answer(what, self._client.register_thing(request)).thing_name)

    def _answer(self, what: str, future: Future[Any]) -> Any:
        try:
            return future.result(_TIMEOUT + 5)
        except FutureTimeoutError:
            raise ConnectionFailedError(f"cannot {what}: no answer within {_TIMEOUT} s") from None
        except V2ServiceException as error:
            refused = error.modeled_error
            if refused is None:
                raise ConnectionFailedError(f"cannot {what}: {explain_error(error.inner_error or error)}") from error
            said = f"{refused.error_code}: {refused.error_message} [{refused.status_code}]"
            if refused.status_code in _PASSING:
                raise ConnectionFailedError(f"cannot {what} yet: {said}") from None
            raise ProvisioningRefusedError(f"AWS IoT refused to {what}: {said}") from None
        except AwsCrtError as error:
            raise ConnectionFailedError(f"cannot {what}: {explain_error(error)}") from error
