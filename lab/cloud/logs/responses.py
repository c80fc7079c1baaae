"""CloudWatch Logs' wire format where moto's differs from AWS."""

from moto.logs import responses as moto

from lab.cloud.logs.models import STANDARD, LogGroup


class LogsResponse(moto.LogsResponse):
    def create_log_group(self) -> str:
        """Answer CreateLogGroup, with the class of the group."""
        answer = super().create_log_group()
        group = self.logs_backend.groups[self._get_param("logGroupName")]
        assert isinstance(group, LogGroup)  # noqa: S101 - extensions.register puts it there
        group.log_group_class = self._get_param("logGroupClass") or STANDARD
        return answer
