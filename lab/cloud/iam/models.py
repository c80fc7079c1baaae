"""IAM of an account, with AWS's own policies on demand.

Every call of every service looks into IAM of its account; moto then makes 1,500 policies of each of AWS's partitions,
out of a text of megabytes.
"""

from moto.iam import models as moto


class IAMBackend(moto.IAMBackend):
    """IAM of one account and partition."""

    _own: list[moto.ManagedPolicy] | None = None
    _known: dict[str, moto.ManagedPolicy] | None = None

    @property
    def aws_managed_policies(self) -> list[moto.ManagedPolicy]:
        """AWS's own."""
        if self._own is None:
            self._own = super()._init_aws_policies()
        return self._own

    @aws_managed_policies.setter
    def aws_managed_policies(self, value: object) -> None:
        """Leave for later what moto's constructor gives."""

    @property
    def managed_policies(self) -> dict[str, moto.ManagedPolicy]:
        """ARN → policy: AWS's own and the account's."""
        if self._known is None:
            self._known = super()._init_managed_policies()
        return self._known

    @managed_policies.setter
    def managed_policies(self, value: object) -> None:
        """Leave for later what moto's constructor gives."""

    def _init_aws_policies(self) -> list[moto.ManagedPolicy]:
        return []

    def _init_managed_policies(self) -> dict[str, moto.ManagedPolicy]:
        return {}
