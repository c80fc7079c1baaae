"""CloudWatch Logs' state where moto's differs from AWS."""

from typing import Any

from moto.logs import models as moto

STANDARD = "STANDARD"
"""CreateLogGroup: "If you omit this parameter, the default of STANDARD is used"."""


class LogGroup(moto.LogGroup):
    """A log group of a class."""

    log_group_class = STANDARD

    def to_describe_dict(self) -> dict[str, Any]:
        """Return the description that DescribeLogGroups gives."""
        return super().to_describe_dict() | {"logGroupClass": self.log_group_class}


class LogsBackend(moto.LogsBackend):
    """CloudWatch Logs of one account and Region."""

    def create_log_group(self, log_group_name: str, tags: dict[str, str], **kwargs: Any) -> moto.LogGroup:
        """Create a log group; moto checks its name, and tags it by its ARN."""
        super().create_log_group(log_group_name, tags, **kwargs)
        # moto makes its own so too, abstract as the class is.
        group = LogGroup(self.account_id, self.region_name, log_group_name, **kwargs)  # type: ignore[abstract]
        self.groups[log_group_name] = group
        return group
