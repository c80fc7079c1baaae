"""The agent's exceptions: each becomes one line on standard error and an exit code, never a traceback."""

from __future__ import annotations

import sys


class DeviceAgentError(Exception):
    """The base of everything that the command line reports by itself.

    The message names the input, its value, the limit and the remedy, in one line and without any secret.

    Attributes:
        exit_code: What the process ends with; 2 unless a subclass says otherwise.
    """

    exit_code = 2


class SdkMissingError(DeviceAgentError):
    """awscrt, of AWS's SDK, is not there or not for this Python."""

    def __init__(self) -> None:
        narrow = sys.maxsize < 2**32
        where = "this 32-bit Python, and the Python index has none for it" if narrow else "this Python"
        remedy = (
            "take 64-bit Raspberry Pi OS (from Pi Zero 2 and Pi 3 on; no `arm_64bit=0` in config.txt), or build it:"
            " `sudo apt install cmake gcc g++ python3-dev` and `pip install --no-binary awscrt awsiotsdk`"
            if narrow
            else "install it beside the agent: `pip install awsiotsdk`"
        )
        super().__init__(f"AWS's SDK (awscrt) is not installed for {where}; {remedy}")


class UsageError(DeviceAgentError):
    """The command cannot do what it was asked, or not as this user."""


class BundleError(DeviceAgentError):
    """The device bundle is malformed, contradicts itself or is out of date."""


class ProfileError(BundleError):
    """The OpenVPN profile holds a directive that this agent refuses to install."""


class CertificateError(BundleError):
    """A certificate or private key is not what its place in the bundle calls for."""


class InstallationError(DeviceAgentError):
    """What is installed on this device is missing, damaged or open to other users."""


class AddressError(DeviceAgentError):
    """The endpoint's name leads outside the VPC, so that a connection would leave the private path."""


class ConnectionFailedError(DeviceAgentError):
    """AWS IoT could not be reached, or refused the connection, a publish or a subscription."""


class RefusedError(ConnectionFailedError):
    """AWS IoT answered, and the answer was no.

    Attributes:
        reason_code: MQTT 5's reason code, 0x80 or more; None if TLS already ended with a refusal.
    """

    def __init__(self, message: str, reason_code: int | None = None) -> None:
        super().__init__(message)
        self.reason_code = reason_code

    @property
    def passing(self) -> bool:
        """Whether the service is only unavailable, busy or over a quota, so that waiting may help."""
        return self.reason_code in (0x88, 0x89, 0x97)


class ProvisioningRefusedError(DeviceAgentError):
    """AWS IoT's fleet provisioning, or the template's hook, answered that it does not take this device."""


class SettingsError(DeviceAgentError):
    """A setting of /etc/private-iot/agent.toml is not known, or its value not allowed."""
